//! Families as text: the format of Prometheus, and OpenMetrics.
//!
//! In: families. Out: the exposition.

use std::fmt::Write as _;

use super::family::{Family, Histogram, Sample, Type, Value};

/// Which text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// That of Prometheus.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

/// The families as text.
#[must_use]
pub fn render(families: &[Family], dialect: Dialect) -> String {
    let mut text = String::with_capacity(32 << 10);
    for Family { name, kind, help, samples } in families {
        let (kind, suffix) = match kind {
            Type::Counter => ("counter", "_total"),
            Type::Gauge => ("gauge", ""),
            Type::Histogram => ("histogram", ""),
        };
        // In OpenMetrics the family has the name without the suffix of its samples.
        let of_family = if dialect == Dialect::Prometheus { suffix } else { "" };
        let _ = writeln!(text, "# HELP {name}{of_family} {help}\n# TYPE {name}{of_family} {kind}");
        for Sample { labels, value } in samples {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            match value {
                Value::Count(count) => line(&mut text, name, suffix, &labels, &count.to_string()),
                Value::Nanos(ns) => line(&mut text, name, suffix, &labels, &seconds(*ns)),
                Value::Histogram(histogram) => lines(&mut text, name, &labels, histogram),
            }
        }
    }
    if dialect == Dialect::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn lines(text: &mut String, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
    let bounds = histogram.bounds.iter().map(|(bound, count)| (seconds(*bound), *count));
    for (le, count) in bounds.chain([("+Inf".to_owned(), histogram.count)]) {
        line(text, name, "_bucket", &[labels, &[("le", &le)]].concat(), &count.to_string());
    }
    line(text, name, "_sum", labels, &seconds(histogram.sum_ns));
    line(text, name, "_count", labels, &histogram.count.to_string());
}

fn line(text: &mut String, name: &str, suffix: &str, labels: &[(&str, &str)], value: &str) {
    let _ = write!(text, "{name}{suffix}");
    for (at, (label, value)) in labels.iter().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{}{label}=\"{value}\"", if at == 0 { '{' } else { ',' });
    }
    let _ = writeln!(text, "{} {value}", if labels.is_empty() { "" } else { "}" });
}

/// Seconds, exactly.
fn seconds(ns: u64) -> String {
    let text = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    let text = text.trim_end_matches('0');
    // OpenMetrics wants bounds with a digit behind the point.
    if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::serve::metrics::tests::totals;
    use crate::serve::metrics::{BOUNDS_US, Exposition, OfServer};

    fn text(dialect: Dialect) -> String {
        let families = Exposition::default().families(&totals("a\"b\\c\nd"), OfServer::default());
        render(&families, dialect)
    }

    fn value(text: &str, series: &str) -> String {
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).rsplit(' ').next().unwrap().to_owned()
    }

    #[test]
    fn counts_are_those_of_the_report() {
        let text = text(Dialect::Prometheus);
        let label = r#"service="a\"b\\c\nd""#;
        assert_eq!(value(&text, &format!("acgs_perf_requests_total{{{label}}}")), "300000");
        assert_eq!(value(&text, &format!("acgs_perf_request_latency_seconds_count{{{label}}}")), "300000");
        let bucket = |le: &str| {
            value(&text, &format!("acgs_perf_request_latency_seconds_bucket{{{label},le=\"{le}\"}}"))
                .parse::<u64>()
                .unwrap()
        };
        assert_eq!(bucket("+Inf"), 300_000);
        // 5 ms is the objective, and one of the bounds.
        assert!(bucket("0.005013503") <= 300_000);
        let bounds: Vec<u64> = text
            .lines()
            .filter(|line| line.starts_with(&format!("acgs_perf_request_latency_seconds_bucket{{{label}")))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(bounds.is_sorted() && bounds.len() == BOUNDS_US.len() + 1, "{bounds:?}");
    }

    #[test]
    fn each_series_is_there_once_and_belongs_to_its_family() {
        for dialect in [Dialect::Prometheus, Dialect::OpenMetrics] {
            let text = text(dialect);
            let (mut seen, mut families) = (HashSet::new(), HashSet::new());
            let mut family = (String::new(), String::new());
            for line in text.lines() {
                match line.strip_prefix("# ").map(|rest| rest.splitn(3, ' ').collect::<Vec<_>>()).as_deref() {
                    Some(["TYPE", name, kind]) => {
                        assert!(families.insert((*name).to_owned()), "{name} twice");
                        family = ((*name).to_owned(), (*kind).to_owned());
                    }
                    Some(_) => {}
                    None => {
                        let name = line.split(['{', ' ']).next().unwrap();
                        let suffixes: &[&str] = match (family.1.as_str(), dialect) {
                            ("counter", Dialect::OpenMetrics) => &["_total"],
                            ("histogram", _) => &["_bucket", "_sum", "_count"],
                            _ => &[""],
                        };
                        assert!(
                            suffixes.iter().any(|suffix| name == format!("{}{suffix}", family.0)),
                            "{line} in {family:?}"
                        );
                        assert!(seen.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "{line} twice");
                        assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
                    }
                }
            }
            assert!(
                seen.len() < 300 && text.ends_with("# EOF\n") == (dialect == Dialect::OpenMetrics),
                "{} series",
                seen.len()
            );
        }
    }

    #[test]
    fn seconds_are_exact() {
        for (ns, text) in [(0, "0.0"), (1, "0.000000001"), (5_013_503, "0.005013503"), (2_000_000_000, "2.0")] {
            assert_eq!(seconds(ns), text);
        }
    }
}
