//! Components of the report against the truth, and whether they add up.
//!
//! In: the `attribution` section of a service, and the true sum per component. Out: the share of each component in the
//! latency, the error in percentage points, and the conservation error.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Score;
use super::truth::QUEUE;

/// Components are compared when one side gives them at least this share.
const LEAST_SHARE: f64 = 0.001;
/// |sum of components − latency| / latency may be this much.
const CONSERVATION: f64 = 0.001;

/// The `attribution` section, summed over its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attribution {
    /// Requests.
    pub count: u64,
    /// Sum of their latencies.
    pub latency_ns: u64,
    /// Sum per component, queue time as one.
    pub component_ns: BTreeMap<String, u64>,
    /// Conservation error of all rows together, and of the worst row.
    pub conservation: (f64, f64),
}

impl Attribution {
    /// Of a service of the report; `None` when it was not measured.
    pub fn of(service: &Value) -> Result<Option<Self>> {
        let Some(section) = service.get("attribution") else { return Ok(None) };
        let rows = section["rows"].as_array().context("attribution.rows is missing")?;
        let mut all = Self::default();
        let (mut sum, mut worst) = (0u64, 0.0f64);
        for row in rows {
            let number = |name: &str| row[name].as_u64().with_context(|| format!("{name} is missing in {row}"));
            let (count, latency_ns) = (number("count")?, number("latency_ns")?);
            let components = row["component_ns"].as_object().with_context(|| format!("no component_ns in {row}"))?;
            let mut of_row = 0;
            for (name, ns) in components {
                let ns = ns.as_u64().with_context(|| format!("{name} is no integer in {row}"))?;
                let name = if name.starts_with("queue_") { QUEUE } else { name };
                *all.component_ns.entry(name.to_owned()).or_default() += ns;
                of_row += ns;
            }
            worst = worst.max(relative(of_row, latency_ns));
            (all.count, all.latency_ns, sum) = (all.count + count, all.latency_ns + latency_ns, sum + of_row);
        }
        all.conservation = (relative(sum, all.latency_ns), worst);
        Ok(Some(all))
    }

    /// The log of an event loop has its timers as idle. The report says sleep as far as the loop itself slept until the timer.
    pub fn takes_timers_as_idle(&mut self) {
        if let Some(sleep) = self.component_ns.remove("sleep") {
            *self.component_ns.entry("idle".to_owned()).or_default() += sleep;
        }
    }
}

fn relative(sum: u64, latency: u64) -> f64 {
    sum.abs_diff(latency) as f64 / latency.max(1) as f64
}

/// Shares of a component: of the truth, and of the report.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares(pub Vec<(String, f64, f64)>);

impl Shares {
    /// Those that matter on either side, the greatest first.
    pub fn new(truth: &BTreeMap<String, u64>, report: &BTreeMap<String, u64>) -> Result<Self> {
        let share = |side: &BTreeMap<String, u64>, name: &str| {
            let sum: u64 = side.values().sum();
            side.get(name).copied().unwrap_or(0) as f64 / sum.max(1) as f64
        };
        let names: BTreeSet<&String> = truth.keys().chain(report.keys()).collect();
        let all = names.into_iter().map(|name| (name.clone(), share(truth, name), share(report, name)));
        let mut all: Vec<_> = all.filter(|(_, truth, report)| truth.max(*report) >= LEAST_SHARE).collect();
        ensure!(!all.is_empty(), "there are no components");
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(Self(all))
    }

    /// Mean of the absolute errors, in percentage points.
    pub fn mean_error(&self) -> f64 {
        let sum: f64 = self.0.iter().map(|(_, truth, report)| (truth - report).abs()).sum();
        100.0 * sum / self.0.len().max(1) as f64
    }
}

/// The table's head.
pub fn head(score: &mut Score) {
    score.line("| run | component | truth, % | report, % | off, points | allowed | |");
    score.line("|---|---|---|---|---|---|---|");
}

/// The rows of one run; `allowed` is in percentage points.
pub fn rows(
    run: &str,
    truth: &BTreeMap<String, u64>,
    report: &Attribution,
    allowed: f64,
    score: &mut Score,
) -> Result<()> {
    let shares = Shares::new(truth, &report.component_ns)?;
    for (name, truth, report) in &shares.0 {
        let (truth, report) = (100.0 * truth, 100.0 * report);
        score.line(&format!("| {run} | {name} | {truth:.2} | {report:.2} | {:+.2} | | |", report - truth));
    }
    let word = |missed: bool| if missed { "MISSED" } else { "met" };
    let error = shares.mean_error();
    score.line(&format!("| {run} | **mean error** | | | {error:.2} | {allowed:.1} | {} |", word(error > allowed)));
    if error > allowed {
        score.missed.push(format!("{run}: shares are off by {error:.2} points, allowed {allowed:.1}"));
    }
    let (all, worst) = (100.0 * report.conservation.0, 100.0 * report.conservation.1);
    let missed = report.conservation.1 > CONSERVATION;
    let text = format!("{all:.4} %, worst row {worst:.4} %");
    score.line(&format!("| {run} | **conservation** | | | {text} | {} % | {} |", 100.0 * CONSERVATION, word(missed)));
    if missed {
        score.inexact.push(format!("{run}: components do not add up to the latency: {text}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> Value {
        json!({ "name": "truth", "attribution": { "grouping_power": 4, "rows": [
            { "low_ns": 96, "high_ns": 103, "count": 1, "latency_ns": 100,
              "component_ns": { "queue_idle": 10, "queue_on_cpu": 10, "on_cpu": 50, "lock": 30 },
              "shared_ns": 0, "calls": 0, "one_call_ns": 0, "many_calls_ns": 0, "downstream_ns": {} },
            { "low_ns": 896, "count": 2, "latency_ns": 1800, "component_ns": { "on_cpu": 1700, "disk": 100 } }
        ] } })
    }

    fn sums(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, ns)| ((*name).to_owned(), *ns)).collect()
    }

    #[test]
    fn rows_are_summed() {
        let all = Attribution::of(&service()).unwrap().unwrap();
        assert_eq!((all.count, all.latency_ns, all.conservation), (3, 1900, (0.0, 0.0)));
        assert_eq!(all.component_ns, sums(&[(QUEUE, 20), ("on_cpu", 1750), ("lock", 30), ("disk", 100)]));
        assert_eq!(Attribution::of(&json!({ "name": "truth" })).unwrap(), None);
        assert!(Attribution::of(&json!({ "attribution": { "rows": [{ "count": 1 }] } })).is_err());
    }

    #[test]
    fn what_does_not_add_up_is_found_in_its_row() {
        let mut service = service();
        service["attribution"]["rows"][0]["component_ns"]["lock"] = json!(20);
        service["attribution"]["rows"][1]["component_ns"]["disk"] = json!(110);
        let all = Attribution::of(&service).unwrap().unwrap();
        assert_eq!(all.conservation, (0.0, 0.1));
        let mut score = Score::default();
        rows("threads", &all.component_ns.clone(), &all, 3.0, &mut score).unwrap();
        assert_eq!((score.missed.len(), score.inexact.len()), (0, 1), "{score:?}");
        assert!(score.inexact[0].contains("add up"), "{score:?}");
    }

    #[test]
    fn shares_are_compared_in_points() {
        // The lock is seen as on-CPU: 10 points off each, the third component is right.
        let truth = sums(&[("on_cpu", 60), ("lock", 10), ("disk", 30)]);
        let report = sums(&[("on_cpu", 140), ("disk", 60)]);
        let shares = Shares::new(&truth, &report).unwrap();
        assert!((shares.mean_error() - 20.0 / 3.0).abs() < 1e-9, "{shares:?}");
        assert_eq!(shares.0.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["on_cpu", "disk", "lock"]);
        let mut score = Score::default();
        let report = Attribution { component_ns: report, ..Attribution::default() };
        rows("threads", &truth, &report, 6.0, &mut score).unwrap();
        rows("epoll", &truth, &report, 7.0, &mut score).unwrap();
        assert_eq!(score.missed.len(), 1, "{score:?}");
        assert!(Shares::new(&sums(&[]), &sums(&[])).is_err());
    }

    #[test]
    fn a_component_too_small_to_matter_does_not_dilute_the_mean() {
        let truth = sums(&[("on_cpu", 9_999), ("lock", 1)]);
        let shares = Shares::new(&truth, &sums(&[("downstream", 10_000)])).unwrap();
        assert_eq!(shares.0.len(), 2);
        assert!((shares.mean_error() - 99.995).abs() < 1e-9);
    }
}
