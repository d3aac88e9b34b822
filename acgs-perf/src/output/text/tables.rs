//! The tables that probes have declared, in the terminal summary.
//!
//! In: rows of the report, and the `TableSpec` that knows their fields. Out: for each row a line with its counts, and one with p50, p99
//! and maximum for each of its distributions.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;

use super::layout::{ABSENT, Lines, TOP, few_percentiles, row};
use super::probe::{absent, until};
use crate::live::probes;
use crate::live::status::has_figures;
use crate::live::table::{Column, Kind, Scope, TableSpec};
use crate::report::{Distribution, ProbeStatus};
use crate::units::{bytes, duration, grouped};

/// Renders the tables of this scope. A report of an agent that did not know a probe says nothing of it.
pub fn render(tables: &BTreeMap<String, Value>, scope: Scope, statuses: &[ProbeStatus], lines: &mut Lines) {
    // Endpoints are shown with what else is known of them.
    let is_shown = |spec: &TableSpec| spec.scope == scope && spec.section != probes::endpoints::SECTION;
    for (probe, spec) in probes::tables().filter(|(_, spec)| is_shown(spec)) {
        let is_known = statuses.iter().any(|status| status.name == probe.name);
        match tables.get(spec.section).and_then(Value::as_array) {
            Some(rows) if rows.is_empty() && scope == Scope::Recording => {}
            Some(rows) if rows.is_empty() => lines.items(spec.title, &["none".into()]),
            Some(rows) => {
                table(spec, rows, lines);
                until(probe.name, statuses, lines);
            }
            None if is_known && scope == Scope::Service => {
                let other = spec.also_needs.filter(|other| !has_figures(statuses, other));
                absent(spec.title, other.unwrap_or(probe.name), statuses, lines);
            }
            None => {}
        }
    }
}

/// Whether there is a row in any table of this scope.
pub fn has_rows(tables: &BTreeMap<String, Value>, scope: Scope) -> bool {
    let specs = probes::tables().filter(|(_, spec)| spec.scope == scope);
    let mut rows = specs.filter_map(|(_, spec)| tables.get(spec.section)?.as_array());
    rows.any(|rows| !rows.is_empty())
}

fn table(spec: &TableSpec, rows: &[Value], lines: &mut Lines) {
    let is_wide = |column: &&Column| matches!(column.kind, Kind::Distribution(_));
    let counts: Vec<&Column> = spec.columns.iter().filter(|column| !is_wide(column)).collect();
    let times: Vec<&Column> = spec.columns.iter().filter(is_wide).collect();
    let mut header = row(&[spec.title]);
    header.extend(counts.iter().map(|column| words(column.name)));
    if !times.is_empty() {
        header.extend(row(&["p50", "p99", "max"]));
    }
    let mut cells = vec![header];
    for of_row in rows.iter().take(TOP) {
        let names = spec.names.iter().filter_map(|name| of_row.get(name.name)?.as_str());
        let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        let mut line = row(&[&names.join(" ")]);
        line.extend(counts.iter().map(|column| count(column, of_row)));
        cells.push(line);
        for column in &times {
            let mut line = row(&[&format!("  {}", words(column.name))]);
            line.extend(counts.iter().map(|_| String::new()));
            line.extend(quantiles(of_row.get(column.name)));
            cells.push(line);
        }
    }
    lines.table(&cells);
    if rows.len() > TOP {
        lines.labelled("", &format!("and {} more, all in the JSON report", rows.len() - TOP));
    }
}

fn count(column: &Column, row: &Value) -> String {
    let value = row.get(column.name).and_then(Value::as_u64);
    let format = match column.kind {
        Kind::Bytes(_) => bytes,
        Kind::Time(_) => duration,
        _ => grouped,
    };
    value.map_or_else(|| ABSENT.into(), format)
}

fn quantiles(distribution: Option<&Value>) -> Vec<String> {
    let found = distribution.and_then(|value| Distribution::deserialize(value).ok()).unwrap_or_default();
    few_percentiles(&found).to_vec()
}

/// The name of a field without its unit, in words.
fn words(name: &str) -> String {
    name.strip_suffix("_ns").or_else(|| name.strip_suffix("_bytes")).unwrap_or(name).replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::table::{Histogram, Name};

    const HISTOGRAM: Histogram = Histogram { first: 4, buckets: 528, power: 4, over_range: 2, sum: 1 };
    const SPEC: TableSpec = TableSpec {
        section: "sample",
        title: "sample",
        meaning: "A sample",
        scope: Scope::Service,
        also_needs: None,
        names: &[Name { name: "device", meaning: "Device" }, Name { name: "operation", meaning: "Operation" }],
        row_names: |_, _| Vec::new(),
        columns: &[
            Column { name: "requests", meaning: "Requests", kind: Kind::Count(0) },
            Column { name: "moved_bytes", meaning: "Bytes", kind: Kind::Bytes(3) },
            Column { name: "device_time", meaning: "Time", kind: Kind::Distribution(HISTOGRAM) },
        ],
    };

    #[test]
    fn a_row_is_a_line_of_counts_and_a_line_for_each_distribution() {
        let of_row = serde_json::json!({
            "device": "sda", "operation": "read", "requests": 1234, "moved_bytes": 4096,
            "device_time": {"count": 1234, "over_range": 0, "p50_ns": 1500, "p99_ns": 2500, "max_ns": 3_000_000},
        });
        let mut lines = Lines::new(80);
        table(&SPEC, &vec![of_row; TOP + 2], &mut lines);
        let text = lines.finish();
        let text: Vec<&str> = text.as_str().lines().collect();
        let split = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
        assert_eq!(split(text[0]), "sample requests moved p50 p99 max");
        assert!(split(text[1]).starts_with("sda read 1,234 4"), "{}", text[1]);
        let times = [1_500, 2_500, 3_000_000].map(duration).join(" ");
        assert_eq!(split(text[2]), format!("device time {times}"));
        assert!(text.last().unwrap().contains("and 2 more"), "{text:?}");
    }

    #[test]
    fn a_row_of_which_nothing_is_known_is_no_zero() {
        let mut lines = Lines::new(80);
        table(&SPEC, &[serde_json::json!({"device": 5})], &mut lines);
        let text = lines.finish();
        let row = text.as_str().lines().nth(1).unwrap();
        assert!(row.contains(ABSENT) && !row.contains('0'), "{row}");
    }
}
