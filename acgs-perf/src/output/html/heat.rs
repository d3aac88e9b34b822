//! The latency over time: a heat map with the median and the P99, and the rate above it.
//!
//! In: the columns of a service; of a report that has none its time series. Out: two pictures and a short table. The colours of the cells
//! are steps of one hue, which also those can tell apart who see few colours; a step is a factor in the number of requests.

use acgs_perf_common::histogram::{bucket_high, bucket_index_of_power, bucket_low, bucket_low_of_power};

use super::svg::{Svg, across, line, number};
use crate::analysis::decode_histogram;
use crate::report::ServiceReport;
use crate::units::{duration, grouped, rate};

const HEIGHT: f64 = 220.0;
const RATE_HEIGHT: f64 = 44.0;
/// Pixels between two labels of the axis.
const TICKS_APART: f64 = 30.0;
/// Rows for each power of two: 2^this.
const POWERS: [u32; 3] = [2, 1, 0];
const MOST_ROWS: (usize, usize) = (44, 32);
/// Steps of colour.
const STEPS: usize = 7;
const TABLE_ROWS: usize = 10;
/// Columns and rows of a service, where the page has few services and where it has many.
const COLUMNS: (usize, usize) = (96, 36);
const FEW_SERVICES: usize = 4;

/// The pictures, and the same in figures.
pub struct Heat {
    /// Requests per second.
    pub rate: String,
    /// The most of it.
    pub rate_most: String,
    /// The map.
    pub svg: String,
    /// (class, fewest requests of the step).
    pub legend: Vec<(String, String)>,
    /// (time, rate, p50, p99).
    pub rows: Vec<[String; 4]>,
}

/// A part of the window.
#[derive(Clone, Debug, Default)]
struct Column {
    offset_ns: u64,
    duration_ns: u64,
    count: u64,
    /// (latency, requests), by rising latency.
    cells: Vec<(u64, u64)>,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
}

/// Both; `None` where nothing is known over time.
pub fn heat(id: &str, service: &ServiceReport, services: usize) -> Option<Heat> {
    let is_few = services <= FEW_SERVICES;
    let (most_columns, most_rows) = if is_few { (COLUMNS.0, MOST_ROWS.0) } else { (COLUMNS.1, MOST_ROWS.1) };
    let columns = fewer(columns(service), most_columns);
    if columns.len() < 2 || columns.iter().all(|column| column.count == 0) {
        return None;
    }
    let objective_ns = service.objective.p99_ns;
    let (rows, power) = rows(&columns, objective_ns, most_rows);
    let per_second = |column: &Column| column.count as f64 * 1e9 / column.duration_ns.max(1) as f64;
    let fastest = columns.iter().map(&per_second).fold(0.0, f64::max);
    let thickest = columns.iter().flat_map(|column| in_rows(column, power)).map(|(_, count)| count).max().unwrap_or(0);
    Some(Heat {
        rate: rate_picture(&format!("{id}r"), &columns, fastest),
        rate_most: rate(fastest.round()),
        svg: picture(id, &columns, &Rows { first: rows.0, count: rows.1, power }, objective_ns, thickest),
        legend: legend(thickest),
        rows: table(&columns),
    })
}

fn columns(service: &ServiceReport) -> Vec<Column> {
    if service.latency_over_time.is_empty() {
        let point = |of: &crate::report::SeriesPointReport| Column {
            offset_ns: of.offset_ns,
            duration_ns: of.duration_ns,
            count: of.requests,
            cells: Vec::new(),
            p50_ns: of.p50_ns,
            p99_ns: of.p99_ns,
        };
        return service.series.iter().map(point).collect();
    }
    let column = |of: &crate::report::LatencyColumnReport| {
        let buckets = of.histogram.as_deref().and_then(decode_histogram).unwrap_or_default();
        let cells = buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        let cells: Vec<(u64, u64)> = cells.map(|(at, count)| (bucket_low(at), *count)).collect();
        with_percentiles(Column { offset_ns: of.offset_ns, duration_ns: of.duration_ns, cells, ..Column::default() })
    };
    service.latency_over_time.iter().map(column).collect()
}

fn with_percentiles(column: Column) -> Column {
    let count = column.cells.iter().map(|(_, count)| count).fold(0u64, |sum, count| sum.saturating_add(*count));
    let at = |share: f64| {
        let rank = (count as f64 * share).ceil() as u64;
        let mut seen = 0u64;
        let found = column.cells.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        });
        // Columns are an eighth of a power of two wide, and have the value of their lower end.
        found.map(|(ns, _)| bucket_high(acgs_perf_common::histogram::bucket_index(*ns)).max(ns.saturating_add(ns / 16)))
    };
    let (p50_ns, p99_ns) = (at(0.5), at(0.99));
    Column { count, p50_ns, p99_ns, ..column }
}

/// Neighbours put together until there are at most so many; of percentiles without a histogram the largest counts.
fn fewer(all: Vec<Column>, most: usize) -> Vec<Column> {
    let together = all.len().div_ceil(most).max(1);
    if together == 1 {
        return all;
    }
    let joined = |group: &[Column]| {
        let mut sum = Column { offset_ns: group[0].offset_ns, ..Column::default() };
        let mut cells = std::collections::BTreeMap::<u64, u64>::new();
        for column in group {
            sum.duration_ns = column.offset_ns.saturating_add(column.duration_ns).saturating_sub(sum.offset_ns);
            sum.count = sum.count.saturating_add(column.count);
            (sum.p50_ns, sum.p99_ns) = (sum.p50_ns.max(column.p50_ns), sum.p99_ns.max(column.p99_ns));
            column.cells.iter().for_each(|(ns, count)| *cells.entry(*ns).or_default() += count);
        }
        sum.cells = cells.into_iter().collect();
        if sum.cells.is_empty() { sum } else { with_percentiles(sum) }
    };
    all.chunks(together).map(joined).collect()
}

/// The rows of the map: the first bucket, how many, and of what power.
struct Rows {
    first: usize,
    count: usize,
    power: u32,
}

impl Rows {
    /// Where a latency is, in rows from below.
    fn at(&self, ns: u64) -> f64 {
        let bucket = bucket_index_of_power(ns, self.power);
        let (low, high) = (bucket_low_of_power(bucket, self.power), bucket_low_of_power(bucket + 1, self.power));
        let within = (ns - low) as f64 / (high - low).max(1) as f64;
        (bucket as f64 - self.first as f64 + within).clamp(0.0, self.count as f64)
    }
}

/// ((first row, how many), power), so that all cells and the objective have room.
fn rows(columns: &[Column], objective_ns: u64, most: usize) -> ((usize, usize), u32) {
    let cells = columns.iter().flat_map(|column| column.cells.iter().map(|(ns, _)| *ns));
    let lines = columns.iter().flat_map(|column| [column.p50_ns, column.p99_ns]).flatten();
    let (low, high) = cells
        .chain(lines)
        .chain([objective_ns])
        .fold((u64::MAX, 1), |(low, high), ns| (low.min(ns.max(1)), high.max(ns)));
    let of = |power: u32| {
        let first = bucket_index_of_power(low.min(high), power);
        (first, bucket_index_of_power(high, power) - first + 1)
    };
    let power = POWERS.into_iter().find(|power| of(*power).1 <= most).unwrap_or(0);
    (of(power), power)
}

/// Requests by row.
fn in_rows(column: &Column, power: u32) -> Vec<(usize, u64)> {
    let mut rows: Vec<(usize, u64)> = Vec::new();
    for (ns, count) in &column.cells {
        let row = bucket_index_of_power(*ns, power);
        match rows.last_mut().filter(|(last, _)| *last == row) {
            Some((_, sum)) => *sum = sum.saturating_add(*count),
            None => rows.push((row, *count)),
        }
    }
    rows
}

/// The step of a number of requests, from 0.
fn step(count: u64, thickest: u64) -> usize {
    let share = (count.max(1) as f64).ln() / (thickest.max(2) as f64).ln();
    ((share * STEPS as f64) as usize).min(STEPS - 1)
}

fn legend(thickest: u64) -> Vec<(String, String)> {
    if thickest == 0 {
        return Vec::new();
    }
    let least = |of: usize| (thickest.max(2) as f64).powf(of as f64 / STEPS as f64).ceil() as u64;
    let mut steps: Vec<(String, String)> = Vec::new();
    for of in (0..STEPS).filter(|of| least(*of) <= thickest) {
        let text = grouped(least(of));
        // Few requests have fewer steps.
        if steps.last().is_none_or(|(_, last)| *last != text) {
            steps.push((format!("h{}", of + 1), text));
        }
    }
    steps
}

fn picture(id: &str, columns: &[Column], rows: &Rows, objective_ns: u64, thickest: u64) -> String {
    let (first, last) = (columns[0].offset_ns, columns.last().map_or(0, |of| of.offset_ns + of.duration_ns));
    let (low, high) = columns
        .iter()
        .filter_map(|column| column.p99_ns)
        .fold((u64::MAX, 0), |(low, high), p99| (low.min(p99), high.max(p99)));
    let description = format!(
        "{} columns from {} to {} after the start, how many requests took how long in each. The P99 lies between {} and {}.",
        columns.len(),
        duration(first),
        duration(last),
        duration(low.min(high)),
        duration(high)
    );
    let mut svg = Svg::new(id, "plot heat", HEIGHT, "Latency over time", &description);
    let height = rows.count as f64;
    let down = |ns: u64| (1.0 - rows.at(ns) / height) * HEIGHT;
    svg.stretched(columns.len() as f64, height);
    for (at, d) in cells(columns, rows, thickest).iter().enumerate() {
        svg.path(&format!("h{}", at + 1), d);
    }
    for (class, of) in [("line p50", (|c| c.p50_ns) as fn(&Column) -> Option<u64>), ("line p99", |c| c.p99_ns)] {
        let known = columns.iter().enumerate().filter_map(|(at, column)| Some((at as f64 + 0.5, of(column)?)));
        svg.path(class, &line(known.map(|(x, ns)| (x, height - rows.at(ns)))));
    }
    svg.end();
    let mut free = f64::MAX;
    for ns in (2..11u32).flat_map(|power| [1, 2, 5].map(|of| of * 10u64.pow(power))) {
        let y = down(ns);
        if (2.0..HEIGHT).contains(&y) && free - y > TICKS_APART {
            free = y;
            svg.put("line", &[("class", &"grid over"), ("x2", &"100%"), ("y1", &y), ("y2", &y)]);
            svg.label("tick left", "-8", y + 4.0, &duration(ns));
        }
    }
    let y = down(objective_ns);
    svg.put("line", &[("class", &"objective"), ("x2", &"100%"), ("y1", &y), ("y2", &y)]);
    let length = last.saturating_sub(first);
    for (at, class) in [(0.0, "tick start"), (0.5, "tick middle"), (1.0, "tick end")] {
        let time = first + (length as f64 * at) as u64;
        svg.label(class, &across(at), HEIGHT + 18.0, &since_start(time));
    }
    svg.finish()
}

/// For each step of colour the cells that have it, as one path; neighbours in a row are one stretch.
fn cells(columns: &[Column], rows: &Rows, thickest: u64) -> [String; STEPS] {
    let mut steps: [String; STEPS] = Default::default();
    let mut steps_of_row = vec![vec![None; columns.len()]; rows.count];
    for (x, column) in columns.iter().enumerate() {
        for (row, count) in in_rows(column, rows.power) {
            if let Some(cell) = steps_of_row.get_mut(row.saturating_sub(rows.first)) {
                cell[x] = Some(step(count, thickest));
            }
        }
    }
    for (row, of_row) in steps_of_row.iter().enumerate() {
        let y = rows.count - 1 - row;
        let mut x = 0;
        for run in of_row.chunk_by(|a, b| a == b) {
            if let Some(step) = run[0] {
                steps[step].push_str(&format!("M{x} {y}h{}v1h-{0}z", run.len()));
            }
            x += run.len();
        }
    }
    steps
}

fn rate_picture(id: &str, columns: &[Column], fastest: f64) -> String {
    let description = format!("At most {} requests per second.", rate(fastest.round()));
    let mut svg = Svg::new(id, "plot rate", RATE_HEIGHT, "Requests per second over time", &description);
    svg.stretched(columns.len() as f64, RATE_HEIGHT);
    let mut d = format!("M0 {}", number(RATE_HEIGHT));
    for column in columns {
        let per_second = column.count as f64 * 1e9 / column.duration_ns.max(1) as f64;
        d.push_str(&format!("V{}h1", number((1.0 - per_second / fastest.max(1e-9)) * RATE_HEIGHT)));
    }
    d.push_str(&format!("V{}z", number(RATE_HEIGHT)));
    svg.path("rate", &d);
    svg.finish()
}

/// A time after the start.
fn since_start(ns: u64) -> String {
    if ns == 0 { "0 s".to_owned() } else { duration(ns) }
}

fn table(columns: &[Column]) -> Vec<[String; 4]> {
    let shown = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), duration);
    let row = |of: &Column| {
        let per_second = of.count as f64 * 1e9 / of.duration_ns.max(1) as f64;
        [since_start(of.offset_ns), rate((per_second * 10.0).round() / 10.0), shown(of.p50_ns), shown(of.p99_ns)]
    };
    fewer(columns.to_vec(), TABLE_ROWS).iter().map(row).collect()
}
