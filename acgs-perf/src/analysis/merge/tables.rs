//! The tables that probes have declared, over several reports.
//!
//! In: their rows, report by report. Out: rows with the same names as one. Of figures that are a state and no sum the later one counts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::latency;
use crate::analysis::distribution::of_wide;
use crate::analysis::model::Distribution;
use crate::live::probes;
use crate::live::table::{Kind, TableSpec};

type Tables = BTreeMap<String, Value>;

/// Adds the tables of another report; those that this version does not know are left out.
pub fn add(own: &mut Tables, other: Tables, notes: &mut BTreeSet<String>) {
    for (name, rows) in other {
        let (Some(spec), Value::Array(rows)) = (spec(&name), rows) else {
            notes.insert(format!("{name} is left out: this version does not know what its figures are"));
            continue;
        };
        let known = own.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(known) = known else { continue };
        for row in rows {
            let Value::Object(row) = row else { continue };
            match known
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .find(|known| names(spec, known) == names(spec, &row))
            {
                Some(known) => add_row(spec, known, row),
                None => known.push(Value::Object(row)),
            }
        }
    }
}

/// Brings the rows into their order, the largest first.
pub fn settle(own: &mut Tables) {
    for (name, rows) in own {
        let (Some(spec), Value::Array(rows)) = (spec(name), rows) else { continue };
        rows.sort_by_cached_key(|row| {
            let size = spec.columns.first().and_then(|column| row.get(column.name)?.as_u64()).unwrap_or(0);
            (Reverse(size), row.as_object().map(|row| names(spec, row).join("\0")))
        });
    }
}

fn spec(name: &str) -> Option<&'static TableSpec> {
    probes::tables().find(|(_, spec)| spec.section == name).map(|(_, spec)| spec)
}

fn names(spec: &TableSpec, row: &Map<String, Value>) -> Vec<String> {
    let name = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    spec.names.iter().map(|of| name(of.name)).collect()
}

fn add_row(spec: &TableSpec, own: &mut Map<String, Value>, mut other: Map<String, Value>) {
    for column in spec.columns {
        let Some(more) = other.remove(column.name) else { continue };
        let known = own.entry(column.name).or_insert(Value::Null);
        *known = match column.kind {
            Kind::Count(_) | Kind::Bytes(_) | Kind::Time(_) => {
                let [a, b] = [&*known, &more].map(|value| value.as_u64().unwrap_or(0));
                a.saturating_add(b).into()
            }
            Kind::Latest(_) => more,
            Kind::Distribution(histogram) => {
                let read = |value: &Value| serde_json::from_value::<Distribution>(value.clone()).unwrap_or_default();
                match latency::added(&read(known), &read(&more)) {
                    Some(counts) => serde_json::to_value(of_wide(&counts, histogram.power)).unwrap_or(more),
                    None => continue,
                }
            }
        };
    }
}
