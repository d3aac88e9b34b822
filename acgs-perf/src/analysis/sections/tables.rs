//! The sections that probes have declared to be tables of the report.
//!
//! In: the sections of a subject. Out: JSON rows, of which only the `TableSpec` knows the fields; none where nothing was counted. Histograms with wider buckets than
//! those of the report go into the report's bucket that holds the upper bound of their own: percentiles stay upper bounds.

use std::collections::BTreeMap;

use acgs_perf_common::histogram::{BUCKETS, bucket_index, bucket_low_of_power};
use serde_json::{Map, Value};

use crate::analysis::counts::Counts;
use crate::analysis::distribution::of_wide;
use crate::analysis::model::{Distribution, ProbeStatus};
use crate::live::probes;
use crate::live::status::has_figures;
use crate::live::table::{Histogram, Kind, Scope, TableSpec};
use crate::snapshot::interval::section;
use crate::sums::{Key, Row, Section, Sections};

/// The tables of this scope whose probes have figures, by the name of their field. `instead` takes the place of the section of its name.
pub fn tables(
    sections: Option<&Sections>,
    scope: Scope,
    statuses: &[ProbeStatus],
    instead: Option<(&str, &Section)>,
) -> BTreeMap<String, Value> {
    let counts = |probe: &str| has_figures(statuses, probe);
    let wanted = probes::tables()
        .filter(|(probe, spec)| spec.scope == scope && counts(probe.name) && spec.also_needs.is_none_or(counts));
    let of = |name: &str| match instead {
        Some((other, rows)) if other == name => rows,
        _ => section(sections, name),
    };
    wanted.map(|(_, spec)| (spec.section.to_owned(), rows(spec, of(spec.section)))).collect()
}

fn rows(spec: &TableSpec, section: &Section) -> Value {
    let mut rows: Vec<(u64, Vec<String>, Value)> = section.iter().map(|(key, row)| one(spec, key, row)).collect();
    rows.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    rows.into_iter().map(|(_, _, row)| row).collect()
}

/// A row, behind what it is sorted by.
fn one(spec: &TableSpec, key: &Key, row: &Row) -> (u64, Vec<String>, Value) {
    let names = (spec.row_names)(key, row);
    let mut fields: Map<String, Value> =
        spec.names.iter().zip(&names).map(|(of, name)| (of.name.to_owned(), name.as_str().into())).collect();
    let figures = spec.columns.iter().filter_map(|column| Some((column.name.to_owned(), figure(column.kind, row)?)));
    fields.extend(figures);
    let size = spec.columns.first().and_then(|column| fields.get(column.name)?.as_u64());
    (size.unwrap_or(0), names, Value::Object(fields))
}

fn figure(kind: Kind, row: &Row) -> Option<Value> {
    match kind {
        Kind::Count(word) | Kind::Bytes(word) | Kind::Time(word) => Some(row.sums.count(word).into()),
        Kind::Latest(at) => row.latest.get(at).map(|value| (*value).into()),
        Kind::Distribution(histogram) => serde_json::to_value(of_histogram(histogram, row)).ok(),
    }
}

pub fn of_histogram(histogram: Histogram, row: &Row) -> Distribution {
    let Histogram { first, buckets, power, over_range, sum } = histogram;
    let mut counts = Counts { buckets: vec![0; BUCKETS], sum_ns: Some(row.sums.count(sum)), ..Counts::default() };
    counts.over_range = row.sums.count(over_range);
    for (word, count) in row.sums.iter().filter(|(word, count)| (first..first + buckets).contains(word) && *count > 0) {
        let upper = bucket_low_of_power((word - first) as usize + 1, power) - 1;
        match counts.buckets.get_mut(bucket_index(upper)) {
            Some(bucket) => *bucket += count as u64,
            None => counts.over_range += count as u64,
        }
    }
    of_wide(&counts, power)
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::histogram::bucket_index_of_power;

    use super::*;
    use crate::analysis::model::ProbeState;
    use crate::live::table::{Column, Name};
    use crate::sums::Sums;

    const POWER: u32 = 4;
    const SPEC: TableSpec = TableSpec {
        section: "sample",
        title: "sample",
        meaning: "A sample",
        scope: Scope::Service,
        also_needs: None,
        names: &[Name { name: "device", meaning: "Device" }],
        row_names: |key, row| vec![format!("{}{}", row.label, key[0])],
        columns: &[
            Column { name: "requests", meaning: "Requests", kind: Kind::Count(0) },
            Column { name: "gauge", meaning: "Gauge", kind: Kind::Latest(0) },
            Column {
                name: "time",
                meaning: "Time",
                kind: Kind::Distribution(Histogram { first: 4, buckets: 528, power: POWER, over_range: 2, sum: 1 }),
            },
        ],
    };

    fn row(values: &[u64], over_range: i64) -> Row {
        let mut words = vec![0i64; 4 + 528];
        for value in values {
            words[4 + bucket_index_of_power(*value, POWER)] += 1;
        }
        words[0] = values.len() as i64 + over_range;
        words[1] = values.iter().sum::<u64>() as i64;
        words[2] = over_range;
        Row { sums: Sums::dense(words), latest: Vec::new(), label: "sd".into() }
    }

    #[test]
    fn rows_have_names_and_figures_and_the_largest_comes_first() {
        let section = Section::from([(vec![1], row(&[5], 0)), (vec![2], row(&[7, 9], 0))]);
        let value = rows(&SPEC, &section);
        assert_eq!((&value[0]["device"], &value[0]["requests"]), (&"sd2".into(), &2.into()));
        assert_eq!(value[1]["device"], "sd1");
        assert!(value[0].get("gauge").is_none());
        assert_eq!((&value[0]["time"]["count"], &value[0]["time"]["mean_ns"]), (&2.into(), &8.into()));
    }

    #[test]
    fn a_table_whose_other_probe_did_not_run_is_absent_and_not_empty() {
        let status = |name: &str, state| ProbeStatus { name: name.into(), state, ..ProbeStatus::default() };
        let of = |attribution| {
            let statuses = [status("endpoints", ProbeState::Active), status("attribution", attribution)];
            tables(None, Scope::Service, &statuses, None).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(of(ProbeState::Active), ["downstream_endpoints", "endpoints", "workers"]);
        assert_eq!(of(ProbeState::Disabled), ["endpoints"]);
    }

    #[test]
    fn wide_buckets_give_upper_bounds_within_their_width_and_a_lower_minimum() {
        let mut values: Vec<u64> = (0..5_000u64).map(|i| (i * 7919) % 5_003 * 1_001 + 300).collect();
        let Kind::Distribution(histogram) = SPEC.columns[2].kind else { panic!() };
        let d = of_histogram(histogram, &row(&values, 3));
        values.sort_unstable();
        assert_eq!((d.count, d.over_range), (5_003, 3));
        for (found, rank) in [(d.p50_ns, 2502), (d.p90_ns, 4503), (d.p99_ns, 4953)] {
            let (found, truth) = (found.unwrap(), values[rank - 1]);
            assert!(found >= truth && (found - truth) * 16 <= truth, "{found} {truth}");
        }
        assert!(d.min_ns.unwrap() <= values[0], "{d:?}");
        let [low, high] = d.p99_ci95_ns.unwrap();
        assert!(low < d.p99_ns.unwrap() && d.p99_ns.unwrap() <= high);
        // The widest bucket, up to the end of the range.
        let last = of_histogram(histogram, &row(&[(1 << 36) - 1], 0));
        assert_eq!((last.max_ns, last.over_range), (Some((1 << 36) - 1), 0));
    }
}
