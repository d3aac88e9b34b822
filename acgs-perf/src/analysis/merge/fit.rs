//! Whether a report can be added to others.
//!
//! In: a report that was loaded. Out: what the plan of a merge has to know of it, and all reasons why it cannot be added.

use std::path::Path;

use acgs_perf_common::attribution::ATTRIBUTION_POWER;
use serde_json::Value;

use super::{latency, whole};
use crate::analysis::distribution::ended_of;
use crate::analysis::model::{Distribution, Report, SCHEMA_VERSION};
use crate::merge::{Head, Refusal};

/// What the plan of a merge has to know of the report in `path`.
#[must_use]
pub fn head(path: &Path, report: &Report) -> Head {
    Head::new(path, &whole::context(report), report.digest.as_bytes())
}

/// Why the report in `path` cannot be added to others: it has another shape, or buckets that are not ours.
#[must_use]
pub fn unfit(path: &Path, report: &Report) -> Vec<Refusal> {
    if report.schema_version != SCHEMA_VERSION {
        let (version, own) = (report.schema_version, SCHEMA_VERSION);
        return vec![Refusal::Schema { path: path.to_owned(), version, own }];
    }
    let mut wrong = Vec::new();
    for service in &report.services {
        if service.attribution.as_ref().is_some_and(|of| of.grouping_power != ATTRIBUTION_POWER) {
            wrong.push(format!("the attribution histogram of {}", service.name));
        }
        // Also what probes have declared, whose fields nobody knows here.
        find(&serde_json::to_value(service).unwrap_or_default(), &service.name, &mut wrong);
    }
    find(&serde_json::to_value(&report.recording).unwrap_or_default(), "the recording", &mut wrong);
    wrong.into_iter().map(|what| Refusal::Buckets { path: path.to_owned(), what }).collect()
}

/// Looks for distributions that do not count what they say.
fn find(value: &Value, name: &str, wrong: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("over_range") && fields.contains_key("count") && !is_ours(value) {
                wrong.push(name.to_owned());
            }
            fields.iter().for_each(|(field, value)| find(value, &format!("{name}: {field}"), wrong));
        }
        Value::Array(all) => {
            // A row of many is told by the table's name.
            all.iter().for_each(|value| find(value, name, wrong));
        }
        _ => {}
    }
}

fn is_ours(value: &Value) -> bool {
    let Ok(of) = serde_json::from_value::<Distribution>(value.clone()) else { return false };
    let ages = latency::ages_of(&of).map(|ages| ages.iter().sum::<u64>());
    ended_of(&of).is_some() && ages == Some(of.without_end.unwrap_or(0))
}
