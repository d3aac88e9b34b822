//! `--fail-on`: what makes a load a failed check.
//!
//! In: conditions such as `p99>5ms` or `errors>1%`. Out: those that hold of a result, in a line each.

use anyhow::{Context as _, bail};

use crate::report::{ClientReport, Distribution};
use crate::units::{duration, grouped, rate};

/// How a condition is written.
const FORM: &str = "write for example p99>5ms, uncorrected.p99>5ms, lateness.p99>1ms, errors>1%, errors>10 or rate<900";

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    metric: Metric,
    is_above: bool,
    value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    Time(Which, Place),
    ErrorShare,
    Errors,
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Corrected,
    Uncorrected,
    Lateness,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
    Mean,
}

impl Threshold {
    /// Reads conditions, separated by commas.
    ///
    /// # Errors
    /// If one is not written as it should be.
    pub fn parse_list(list: &str) -> anyhow::Result<Vec<Self>> {
        list.split(',').map(|text| Self::parse(text.trim()).with_context(|| format!("--fail-on {list}"))).collect()
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let Some(at) = text.find(['>', '<']) else { bail!("{text:?} has neither > nor <; {FORM}") };
        let (name, value) = (text[..at].trim(), text[at + 1..].trim());
        let is_above = text.as_bytes()[at] == b'>';
        let Some(value) = (!value.starts_with('=')).then_some(value) else {
            bail!("{text}: > and < alone are known; {FORM}");
        };
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let (metric, value) = match (name, value.strip_suffix('%')) {
            ("errors", Some(percent)) => (Metric::ErrorShare, number(percent).map(|percent| percent / 100.0)),
            ("errors", None) => (Metric::Errors, number(value)),
            ("rate", None) => (Metric::Rate, number(value)),
            (_, Some(_)) => bail!("{text}: only errors are in per cent; {FORM}"),
            (name, None) => {
                let (which, place) =
                    name.split_once('.').filter(|(which, _)| !which.starts_with('p')).unwrap_or(("corrected", name));
                let which = match which {
                    "corrected" => Which::Corrected,
                    "uncorrected" => Which::Uncorrected,
                    "lateness" => Which::Lateness,
                    _ => bail!("{text}: {which} is not known; {FORM}"),
                };
                let place = match place {
                    "p50" => Place::P50,
                    "p90" => Place::P90,
                    "p99" => Place::P99,
                    "p99.9" | "p999" => Place::P999,
                    "p99.99" | "p9999" => Place::P9999,
                    "max" => Place::Max,
                    "mean" => Place::Mean,
                    _ => bail!("{text}: {place} is none of p50, p90, p99, p99.9, p99.99, max, mean, errors, rate"),
                };
                let time = humantime::parse_duration(value);
                let time =
                    time.with_context(|| format!("{text}: the time {value:?}; write for example 5ms or 250us"))?;
                (Metric::Time(which, place), Some(time.as_nanos() as f64))
            }
        };
        let Some(value) = value else { bail!("{text}: the number is none; {FORM}") };
        Ok(Self { text: text.to_owned(), metric, is_above, value })
    }

    /// Why it makes this result fail, if it does. What is not known fails.
    #[must_use]
    pub fn failure(&self, client: &ClientReport) -> Option<String> {
        let errors = client.errors.values().sum::<u64>() + client.not_sent;
        let due = client.sent + client.not_sent;
        let (value, shown) = match self.metric {
            Metric::Time(which, place) => match time(client, which, place) {
                Some((ns, true)) => (ns as f64, duration(ns)),
                Some((ns, false)) => {
                    return Some(format!(
                        "{}: it is at least {}, and how much more is not known",
                        self.text,
                        duration(ns)
                    ));
                }
                None => return Some(format!("{}: nothing was answered", self.text)),
            },
            Metric::ErrorShare if due == 0 => return Some(format!("{}: nothing was sent", self.text)),
            Metric::ErrorShare => {
                let share = errors as f64 / due as f64;
                (share, format!("{:.2} % ({} of {})", share * 100.0, grouped(errors), grouped(due)))
            }
            Metric::Errors => (errors as f64, grouped(errors)),
            Metric::Rate => {
                let per_second = client.answered_per_s.unwrap_or(0.0);
                (per_second, format!("{} answers a second", rate(per_second)))
            }
        };
        let is_so = if self.is_above { value > self.value } else { value < self.value };
        is_so.then(|| format!("{}: it is {shown}", self.text))
    }
}

/// A figure, and whether it is known exactly or only "at least".
fn time(client: &ClientReport, which: Which, place: Place) -> Option<(u64, bool)> {
    let d: &Distribution = match which {
        Which::Corrected => &client.latency,
        Which::Uncorrected => &client.from_sending,
        Which::Lateness => &client.lateness,
    };
    let (exact, at_least) = match place {
        Place::P50 => (d.p50_ns, d.p50_at_least_ns),
        Place::P90 => (d.p90_ns, d.p90_at_least_ns),
        Place::P99 => (d.p99_ns, d.p99_at_least_ns),
        Place::P999 => (d.p999_ns, d.p999_at_least_ns),
        Place::P9999 => (d.p9999_ns, d.p9999_at_least_ns),
        Place::Max => (d.max_ns, d.max_at_least_ns),
        Place::Mean => (d.mean_ns, None),
    };
    exact.map(|ns| (ns, true)).or(at_least.map(|ns| (ns, false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> ClientReport {
        ClientReport {
            sent: 990,
            not_sent: 10,
            answered: 985,
            answered_per_s: Some(985.0),
            errors: [("timeout".to_owned(), 5)].into(),
            latency: Distribution {
                p50_ns: Some(1_000_000),
                p99_ns: Some(6_100_000),
                p999_at_least_ns: Some(5_000_000_000),
                ..Distribution::default()
            },
            ..ClientReport::default()
        }
    }

    fn failures(list: &str) -> Vec<String> {
        let thresholds = Threshold::parse_list(list).unwrap();
        thresholds.iter().filter_map(|threshold| threshold.failure(&result())).collect()
    }

    #[test]
    fn conditions_hold_or_do_not() {
        for passing in ["p99>7ms", "p50>1ms", "errors>1.5%", "errors>15", "rate<985", "corrected.p99>1s"] {
            assert!(failures(passing).is_empty(), "{passing}: {:?}", failures(passing));
        }
        for failing in ["p99>5ms", "p99.9>1h", "errors>1%", "errors > 14", "rate<986", "p50<2ms", "lateness.p99>1ms"] {
            assert_eq!(failures(failing).len(), 1, "{failing}");
        }
        assert_eq!(
            failures("p99>5ms,errors>1%,p50>1s"),
            ["p99>5ms: it is 6.10 ms", "errors>1%: it is 1.50 % (15 of 1,000)"]
        );
        assert_eq!(failures("max>1s"), ["max>1s: nothing was answered"]);
    }

    #[test]
    fn what_is_no_condition_is_told_how_to_be_one() {
        for (text, words) in [
            ("p99", "neither > nor <"),
            ("p99>=5ms", "alone are known"),
            ("p99>5", "write for example 5ms"),
            ("p98>5ms", "none of p50"),
            ("server.p99>5ms", "server is not known"),
            ("p99>5%", "only errors are in per cent"),
            ("errors>x", "the number is none"),
            ("", "neither"),
        ] {
            let line = format!("{:#}", Threshold::parse_list(text).unwrap_err());
            assert!(line.contains(words) && line.contains("--fail-on"), "{line}");
        }
    }
}
