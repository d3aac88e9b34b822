//! The table as a Parquet file.
//!
//! In: points, and what is known of them all. Out: bytes. A plain use of the format (<https://parquet.apache.org/docs/file-format/>): a
//! page per column and group of rows, values as they are, gzip, no statistics; lists have three levels, and nothing in them is null
//! but what [`Field::is_optional`] says. The crate `parquet` would add half a minute of CPU time to each build.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::columns::{Column, Kind, all};
use super::points::{Bucket, Point};
use super::thrift::{Struct, varint};

const MAGIC: &[u8] = b"PAR1";
/// Rows of a group: what is in memory at once as columns.
const GROUP: usize = 4096;

// As `parquet.thrift` numbers them.
const INT64: i32 = 2;
const DOUBLE: i32 = 5;
const BYTE_ARRAY: i32 = 6;
const REQUIRED: i32 = 0;
const OPTIONAL: i32 = 1;
const REPEATED: i32 = 2;
const UTF8: i32 = 0;
const CONVERTED_LIST: i32 = 3;
const TIMESTAMP_MICROS: i32 = 10;
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const GZIP: i32 = 2;
const DATA_PAGE: i32 = 0;

/// The file, with `metadata` by name.
#[must_use]
pub fn file(points: impl Iterator<Item = Point>, metadata: &[(&str, String)]) -> Vec<u8> {
    let columns = all();
    let (mut bytes, mut groups, mut rows) = (MAGIC.to_vec(), Vec::new(), 0);
    let mut points = points.peekable();
    while points.peek().is_some() {
        let group: Vec<Point> = points.by_ref().take(GROUP).collect();
        rows += group.len() as i64;
        let (mut chunks, mut size) = (Vec::new(), 0);
        for leaf in columns.iter().flat_map(|column| leaves(column, &group)) {
            size += leaf.write(&mut bytes, &mut chunks);
        }
        groups.push(Struct::default().structs(1, chunks).long(2, size).long(3, group.len() as i64));
    }
    let pair = |(key, value): &(&str, String)| Struct::default().text(1, &format!("acgs_perf.{key}")).text(2, value);
    let footer = Struct::default()
        .int(1, 1)
        .structs(2, schema(&columns))
        .long(3, rows)
        .structs(4, groups)
        .structs(5, metadata.iter().map(pair).collect())
        .text(6, concat!("acgs-perf version ", env!("CARGO_PKG_VERSION")))
        .finish();
    bytes.extend_from_slice(&footer);
    bytes.extend((footer.len() as u32).to_le_bytes());
    bytes.extend(MAGIC);
    bytes
}

/// The schema as the format wants it: a node, then its children.
fn schema(columns: &[Column]) -> Vec<Struct> {
    let node = || Struct::default();
    let number = |name: &str, is_optional: bool| {
        node().int(1, INT64).int(3, if is_optional { OPTIONAL } else { REQUIRED }).text(4, name)
    };
    let mut all = vec![node().text(4, "acgs_perf").int(5, columns.len() as i32)];
    for Column { name, kind, .. } in columns {
        match kind {
            Kind::Time(_) => {
                let micros = node().nested(2, node());
                let logical = node().nested(8, node().yes(1).nested(2, micros));
                all.push(number(name, false).int(6, TIMESTAMP_MICROS).nested(10, logical));
            }
            Kind::Integer(_) => all.push(number(name, false)),
            Kind::Optional(_) | Kind::Component(_) => all.push(number(name, true)),
            Kind::Real(_) => all.push(node().int(1, DOUBLE).int(3, REQUIRED).text(4, name)),
            Kind::Text(_) => {
                let text = node().int(1, BYTE_ARRAY).int(3, REQUIRED).text(4, name).int(6, UTF8);
                all.push(text.nested(10, node().nested(1, node())));
            }
            Kind::Buckets(_, fields) => {
                let list = node().int(3, REQUIRED).text(4, name).int(5, 1).int(6, CONVERTED_LIST);
                all.push(list.nested(10, node().nested(3, node())));
                all.push(node().int(3, REPEATED).text(4, "list").int(5, 1));
                all.push(node().int(3, REQUIRED).text(4, "element").int(5, fields.len() as i32));
                all.extend(fields.iter().map(|field| number(&field.name, field.is_optional)));
            }
        }
    }
    all
}

/// A column of a group as the format knows it: values without gaps, and levels that say where the gaps are.
#[derive(Default)]
struct Leaf {
    path: Vec<String>,
    kind: i32,
    values: Vec<u8>,
    /// How many values and gaps.
    count: usize,
    /// How much of the path is there, and the most there can be; empty where that is always all.
    defined: (Vec<u8>, u8),
    /// 0 where a row begins; empty where each has one value.
    repeated: Vec<u8>,
}

fn leaves(column: &Column, points: &[Point]) -> Vec<Leaf> {
    let leaf = |kind| Leaf { path: vec![column.name.clone()], kind, count: points.len(), ..Leaf::default() };
    let optional = |values: Vec<Option<i64>>| Leaf {
        defined: (values.iter().map(|value| u8::from(value.is_some())).collect(), 1),
        values: plain(values.into_iter().flatten()),
        ..leaf(INT64)
    };
    match &column.kind {
        Kind::Time(of) | Kind::Integer(of) => vec![Leaf { values: plain(points.iter().map(of)), ..leaf(INT64) }],
        Kind::Optional(of) => vec![optional(points.iter().map(of).collect())],
        Kind::Component(at) => vec![optional(points.iter().map(|point| point.component_ns(*at)).collect())],
        Kind::Real(of) => {
            let values = points.iter().flat_map(|point| of(point).to_le_bytes()).collect();
            vec![Leaf { values, ..leaf(DOUBLE) }]
        }
        Kind::Text(of) => {
            let mut values = Vec::new();
            for text in points.iter().map(of) {
                values.extend((text.len() as u32).to_le_bytes());
                values.extend_from_slice(text.as_bytes());
            }
            vec![Leaf { values, ..leaf(BYTE_ARRAY) }]
        }
        Kind::Buckets(of, fields) => {
            let lists: Vec<&[Bucket]> = points.iter().map(of).collect();
            let field = |(at, field): (usize, &super::Field)| Leaf {
                path: [&column.name, "list", "element", &field.name].map(str::to_owned).to_vec(),
                ..of_lists(&lists, at, field.is_optional)
            };
            fields.iter().enumerate().map(field).collect()
        }
    }
}

/// One field of the buckets. Defined is 0 of a list without buckets, 1 of a bucket, 2 of a value that might be null and is not.
fn of_lists(lists: &[&[Bucket]], at: usize, is_optional: bool) -> Leaf {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        if list.is_empty() {
            defined.push(0);
            repeated.push(0);
        }
        for (number, bucket) in list.iter().enumerate() {
            let value = bucket[at];
            defined.push(1 + u8::from(is_optional && value.is_some()));
            repeated.push(u8::from(number > 0));
            values.extend(if is_optional { value } else { Some(value.unwrap_or(0)) });
        }
    }
    let most = 1 + u8::from(is_optional);
    let count = defined.len();
    Leaf { kind: INT64, values: plain(values), count, defined: (defined, most), repeated, ..Leaf::default() }
}

fn plain(values: impl IntoIterator<Item = i64>) -> Vec<u8> {
    values.into_iter().flat_map(i64::to_le_bytes).collect()
}

impl Leaf {
    /// Appends the page, and what the footer has of it; gives its size when it is unpacked.
    fn write(&self, bytes: &mut Vec<u8>, chunks: &mut Vec<Struct>) -> i64 {
        let mut page = Vec::with_capacity(self.values.len() + 64);
        if !self.repeated.is_empty() {
            page.extend(levels(&self.repeated));
        }
        if !self.defined.0.is_empty() {
            debug_assert!(self.defined.0.iter().all(|level| *level <= self.defined.1));
            page.extend(levels(&self.defined.0));
        }
        page.extend_from_slice(&self.values);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        // Into memory nothing fails.
        let packed = encoder.write_all(&page).and_then(|()| encoder.finish()).unwrap_or_default();
        let of_page = Struct::default().int(1, self.count as i32).int(2, PLAIN).int(3, RLE).int(4, RLE);
        let sizes = Struct::default().int(1, DATA_PAGE).int(2, page.len() as i32).int(3, packed.len() as i32);
        let header = sizes.nested(5, of_page).finish();
        let (offset, size) = (bytes.len() as i64, (header.len() + page.len()) as i64);
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&packed);
        let of_chunk = Struct::default()
            .int(1, self.kind)
            .ints(2, &[PLAIN, RLE])
            .texts(3, &self.path)
            .int(4, GZIP)
            .long(5, self.count as i64)
            .long(6, size)
            .long(7, (header.len() + packed.len()) as i64)
            .long(9, offset);
        chunks.push(Struct::default().long(2, offset).nested(3, of_chunk));
        size
    }
}

/// Levels as runs of the same one, behind their length in bytes. A level takes a byte, as it is at most 2.
fn levels(all: &[u8]) -> Vec<u8> {
    let mut runs = Vec::new();
    for run in all.chunk_by(|a, b| a == b) {
        varint(&mut runs, (run.len() as u64) << 1);
        runs.extend(run.first());
    }
    let mut bytes = (runs.len() as u32).to_le_bytes().to_vec();
    bytes.extend(runs);
    bytes
}
