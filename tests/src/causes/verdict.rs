//! Whether a report names the cause that was planted.
//!
//! In: one service of a JSON report, and what was planted. Out: the component with the greatest excess in the P99 cut, the
//! downstream peer with the greatest excess where that matters, and whether both are the planted ones.

use acgs_perf_common::attribution::{COMPONENT_NAMES, Component};
use serde_json::Value;

/// What the report should say.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Any of these components is right.
    pub components: Vec<Component>,
    /// Address of the downstream peer.
    pub peer: Option<String>,
    /// The slow requests have no more than one call outstanding at a time.
    pub one_call: bool,
}

/// What the report says.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The component with the greatest excess.
    pub component: String,
    /// Its share of the excess of the slow requests over the others.
    pub share: f64,
    /// The peer with the greatest excess, where there is one.
    pub peer: Option<String>,
    /// What is wrong; `None` when the cause is named right.
    pub wrong: Option<String>,
}

/// Name of a component in the report.
pub fn name(component: Component) -> &'static str {
    COMPONENT_NAMES[component as usize].0
}

/// Judges one service of a report; an error says what the report lacks.
pub fn judge(service: &Value, expected: &Expected) -> Result<Verdict, String> {
    let cuts = service.pointer("/tail/cuts").and_then(Value::as_array).ok_or("the report has no tail.cuts")?;
    let cut = cuts.iter().find(|cut| cut["quantile"] == "p99").ok_or("the report has no p99 cut")?;
    let (component, share) = top(&cut["components"], "name").ok_or("the p99 cut has no components")?;
    let peer = top(&cut["downstream"], "peer").map(|(peer, _)| peer);
    let mut wrong = None;
    if !expected.components.iter().any(|right| name(*right) == component) {
        let names: Vec<&str> = expected.components.iter().map(|right| name(*right)).collect();
        wrong = Some(format!("{component} instead of {}", names.join(" or ")));
    } else if expected.peer.is_some() && expected.peer != peer {
        let right = expected.peer.as_deref().unwrap_or_default();
        wrong = Some(format!("{component}, but of {} instead of {right}", peer.as_deref().unwrap_or("no peer")));
    } else if expected.one_call {
        let one = one_call_share(cut).ok_or("no calls above the p99 cut")?;
        if one < 0.9 {
            wrong = Some(format!("one call outstanding in {:.0} % of the time with any", one * 100.0));
        }
    }
    Ok(Verdict { component, share, peer, wrong })
}

/// The entry with the greatest excess, whatever the order, and its share of all.
fn top(entries: &Value, key: &str) -> Option<(String, f64)> {
    let entries = entries.as_array()?;
    let excess = |entry: &Value| entry["excess_ns"].as_f64().unwrap_or(f64::MIN);
    let top = entries.iter().max_by(|a, b| excess(a).total_cmp(&excess(b)))?;
    let share = top["excess_share"].as_f64().or_else(|| top["share"].as_f64()).unwrap_or(0.0);
    Some((top[key].as_str()?.to_owned(), share))
}

/// Of the time with a call outstanding, the share with exactly one.
fn one_call_share(cut: &Value) -> Option<f64> {
    let mean = |field: &str| cut[field].as_f64().unwrap_or(0.0);
    let (one, many) = (mean("one_call_mean_ns"), mean("many_calls_mean_ns"));
    (one + many > 0.0).then(|| one / (one + many))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expected(components: &[Component]) -> Expected {
        Expected { components: components.to_vec(), peer: None, one_call: false }
    }

    fn service() -> Value {
        let component = |name: &str, excess: i64, share: f64| {
            json!({ "name": name, "mean_ns": 41_000_000, "share": 0.9,
            "body_mean_ns": 1_000_000, "excess_ns": excess, "excess_share": share })
        };
        json!({
            "tail": { "cuts": [
                { "quantile": "p50", "threshold_ns": 1, "components": [component("on_cpu", 9, 1.0)] },
                { "quantile": "p99", "threshold_ns": 20_000_000, "one_call_mean_ns": 380, "many_calls_mean_ns": 20,
                  "components": [component("on_cpu", 100_000, 0.0025), component("downstream", 40_000_000, 0.99),
                                 component("idle", -50_000, -0.001)],
                  "downstream": [{ "peer": "127.0.0.1:6379", "mean_ns": 9, "share": 0.01, "excess_ns": 5 },
                                 { "peer": "127.0.0.1:5432", "mean_ns": 9, "share": 0.98, "excess_ns": 39_000_000 }] },
            ] },
        })
    }

    #[test]
    fn the_planted_component_and_peer_are_right() {
        let mut want = expected(&[Component::Lock, Component::Downstream]);
        want.peer = Some("127.0.0.1:5432".into());
        want.one_call = true;
        let verdict = judge(&service(), &want).unwrap();
        assert_eq!((verdict.component.as_str(), verdict.share, verdict.wrong), ("downstream", 0.99, None));
    }

    #[test]
    fn another_component_is_wrong() {
        let wrong = judge(&service(), &expected(&[Component::OnCpu, Component::Idle])).unwrap().wrong;
        assert_eq!(wrong.as_deref(), Some("downstream instead of on_cpu or idle"));
    }

    #[test]
    fn another_peer_is_wrong_and_so_is_none() {
        let mut want = expected(&[Component::Downstream]);
        want.peer = Some("127.0.0.1:6379".into());
        assert!(judge(&service(), &want).unwrap().wrong.unwrap().contains("127.0.0.1:5432 instead of 127.0.0.1:6379"));
        let mut report = service();
        report["tail"]["cuts"][1]["downstream"] = json!([]);
        assert!(judge(&report, &want).unwrap().wrong.unwrap().contains("no peer"));
    }

    #[test]
    fn calls_side_by_side_are_not_in_sequence() {
        let mut report = service();
        report["tail"]["cuts"][1]["many_calls_mean_ns"] = json!(400);
        let mut want = expected(&[Component::Downstream]);
        want.one_call = true;
        assert!(judge(&report, &want).unwrap().wrong.is_some());
        (report["tail"]["cuts"][1]["one_call_mean_ns"], report["tail"]["cuts"][1]["many_calls_mean_ns"]) =
            (json!(0), json!(0));
        assert!(judge(&report, &want).is_err());
    }

    #[test]
    fn a_report_without_the_section_is_an_error() {
        for report in
            [json!({}), json!({ "tail": { "cuts": [] } }), json!({ "tail": { "cuts": [{ "quantile": "p99" }] } })]
        {
            assert!(judge(&report, &expected(&[Component::Lock])).is_err(), "{report}");
        }
    }
}
