//! The probe `block_io`: how long requests to block devices wait, and how long the devices take.

use std::path::Path;

use acgs_perf_common::block_io::{
    BUCKETS, BYTES, BlockIoFields, DEVICE, DEVICE_OVER_RANGE, DEVICE_SUM, DEVICES, ERRORS, GROUPS, IN_FLIGHT, NOBODY,
    OPERATIONS, POWER, QUEUE, QUEUE_OVER_RANGE, QUEUE_SUM, RECORD_WORDS, REQUESTS, device_numbers, record_base,
};

use super::{FieldsSpec, Iterators, MapSpec, ProbeSpec, Sizes, Stop};
use crate::live::hooks::{Hook, chain};
use crate::live::maps::Maps;
use crate::live::table::{Column, Histogram, Kind, Name, Scope, TableSpec};
use crate::sums::{Key, Row, Section, Sections};

/// By major and minor number and operation, or by the operation alone for devices without records of their own; labelled with the
/// name of the disk. Words as in `acgs_perf_common::block_io`.
pub const BLOCK_IO: &str = "block_io";
/// The same of kernel threads that work for nobody who is known.
const NOT_ATTRIBUTABLE: &str = "block_io_not_attributable";
/// By number.
const OPERATION_NAMES: [&str; OPERATIONS as usize] = ["read", "write", "other"];

/// Requests that come and go while nobody records cost two lookups.
pub static PROBE: ProbeSpec = ProbeSpec {
    name: "block_io",
    purpose: "queue and device time of block I/O per device and operation",
    hooks: &[
        Hook::new(&[chain!("block_rq_complete", "block_rq_complete_standby")]),
        Hook::new(&[chain!("block_rq_issue", "block_rq_issue_standby")]),
        Hook::new(&[chain!("block_rq_insert", "block_rq_insert_standby")]),
    ],
    default: true,
    needs: &[],
    global: None,
    fields: Some(FieldsSpec { global: "BLOCK_IO_FIELDS", names: BlockIoFields::NAMES }),
    maps: &[
        MapSpec { name: "BLOCK_IO_RECORDS", entries: |s| record_base(owners(s), 0, 0) },
        MapSpec { name: "BLOCK_IO_DEVICES", entries: owners },
        MapSpec { name: "BLOCK_IO_IN_FLIGHT", entries: |s| s.if_active(IN_FLIGHT) },
        MapSpec { name: "BLOCK_IO_GROUPS", entries: |s| s.if_active(GROUPS) },
    ],
    iterators: Some(Iterators { begin: "block_io_groups", refresh: None, settle: None }),
    sockets: None,
    read: |maps, service, sections| drop(sections.insert(BLOCK_IO.into(), rows(maps, service + 1))),
    read_often: None,
    read_recording: Some(|maps, sections: &mut Sections| {
        sections.insert(NOT_ATTRIBUTABLE.into(), rows(maps, NOBODY));
    }),
    tables: &[
        table(BLOCK_IO, "block I/O", "Block I/O by device and operation, most requests first", Scope::Service),
        table(
            NOT_ATTRIBUTABLE,
            "not attributed",
            "Block I/O of kernel threads for no service that is known, by device and operation",
            Scope::Recording,
        ),
    ],
    others: &[],
    stop: Stop::ByCost,
};

const fn table(section: &'static str, title: &'static str, meaning: &'static str, scope: Scope) -> TableSpec {
    TableSpec { section, title, meaning, scope, also_needs: None, names: NAMES, row_names, columns: COLUMNS }
}

const NAMES: &[Name] = &[
    Name { name: "device", meaning: "Major and minor number of the disk; others for those beyond the first four" },
    Name { name: "disk", meaning: "Its name; empty if it is gone" },
    Name { name: "operation", meaning: "read, write, or other, such as flush and discard" },
];
const COLUMNS: &[Column] = &[
    Column { name: "requests", meaning: "Requests completed", kind: Kind::Count(REQUESTS) },
    Column { name: "bytes", meaning: "Their bytes", kind: Kind::Bytes(BYTES) },
    Column { name: "errors", meaning: "Requests that failed", kind: Kind::Count(ERRORS) },
    Column {
        name: "queue_time",
        meaning: "Request made → handed to the device; not of devices that keep no statistics",
        kind: histogram(QUEUE, QUEUE_OVER_RANGE, QUEUE_SUM),
    },
    Column {
        name: "device_time",
        meaning: "Handed to the device → completed",
        kind: histogram(DEVICE, DEVICE_OVER_RANGE, DEVICE_SUM),
    },
];

const fn histogram(first: u32, over_range: u32, sum: u32) -> Kind {
    Kind::Distribution(Histogram { first, buckets: BUCKETS, power: POWER, over_range, sum })
}

/// Services and nobody; none where the probe is not active.
fn owners(sizes: &Sizes) -> u32 {
    if sizes.services == 0 { 0 } else { sizes.services + 1 }
}

fn rows(maps: &Maps, owner: u32) -> Section {
    let (devices, records) = (maps.array("BLOCK_IO_DEVICES"), maps.array("BLOCK_IO_RECORDS"));
    let mut section = Section::new();
    for slot in 0..=DEVICES {
        let device = slot.checked_sub(1).map_or(0, |at| devices.get(owner as usize * DEVICES + at));
        let numbers = device_numbers(device);
        for operation in 0..OPERATIONS {
            let base = record_base(owner, slot as u32, operation) as usize;
            if records.get(base + REQUESTS as usize) == 0 {
                continue;
            }
            let sums = records.sums([base].into_iter(), RECORD_WORDS as usize);
            let (mut key, label) = match numbers {
                Some((major, minor)) => (vec![major, minor], disk_name(Path::new("/sys"), major, minor)),
                None => (Vec::new(), String::new()),
            };
            key.push(operation);
            section.insert(key, Row { sums, latest: Vec::new(), label });
        }
    }
    section
}

/// The name of a disk; empty if it is gone.
fn disk_name(sys: &Path, major: u32, minor: u32) -> String {
    let link = sys.join(format!("dev/block/{major}:{minor}")).read_link().unwrap_or_default();
    link.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn row_names(key: &Key, row: &Row) -> Vec<String> {
    let (device, operation) = match key[..] {
        [major, minor, operation] => (format!("{major}:{minor}"), operation),
        [operation] => ("others".into(), operation),
        _ => ("others".into(), OPERATIONS),
    };
    let operation = OPERATION_NAMES.get(operation as usize).copied().unwrap_or("other");
    vec![device, row.label.clone(), operation.into()]
}
