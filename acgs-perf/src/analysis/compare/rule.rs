//! What `--fail-on` says: which change of which figure fails.
//!
//! In: `p99>+5%`, `rate<-10%`, `component:downstream>+1ms`, `unanswered>0`, `regression`. Out: a [`Rule`], and of a comparison the
//! changes that break it. A change breaks a rule if it is told, and if it is as large as the rule says.

use acgs_perf_common::attribution::COMPONENT_NAMES;

use super::model::{Comparison, Figure, Shift, Told};

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    text: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    /// Any figure that got worse.
    Regression,
    Change {
        figure: String,
        is_above: bool,
        limit: Limit,
    },
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// A change, as a share of what was.
    Share(f64),
    /// A change, in the unit of the figure.
    Change(f64),
    /// The new value itself.
    Value(f64),
}

/// Figures that are no component and no peer.
const PLAIN: [&str; 9] = ["p50", "p90", "p99", "p99.9", "rate", "abandoned", "cut_off", "refused", "unanswered"];
/// Beginnings of the others.
const NAMED: [&str; 5] = ["component:", "downstream:", "calls:", "endpoint:", "share:"];

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// When it is none; the text says what is wrong, and what could be written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "regression" {
            return Ok(Self { text: text.to_owned(), what: What::Regression });
        }
        let example =
            "write for example p99>+5%, p50>+100us, rate<-10%, component:downstream>+1ms, unanswered>0, or regression";
        // Statements have these too.
        let Some(at) = text.rfind(['>', '<']) else { return Err(format!("no > or < in it; {example}")) };
        let (figure, limit) = (text[..at].trim(), text[at + 1..].trim());
        let is_named = NAMED.iter().any(|start| figure.strip_prefix(start).is_some_and(|name| !name.is_empty()));
        if !is_named && !PLAIN.contains(&figure) {
            return Err(format!(
                "no figure {figure:?}; there are {}, component:NAME, downstream:PEER, calls:PEER, endpoint:NAME (its P99) and share:NAME",
                PLAIN.join(", ")
            ));
        }
        if let Some(name) = figure.strip_prefix("component:")
            && !COMPONENT_NAMES.iter().any(|(known, _)| *known == name)
        {
            let names: Vec<&str> = COMPONENT_NAMES.iter().map(|(name, _)| *name).collect();
            return Err(format!("no component {name:?}; there are {}", names.join(", ")));
        }
        let (limit, has_time) =
            Limit::parse(limit).ok_or_else(|| format!("cannot read the limit {limit:?}; {example}"))?;
        let is_time = ["p", "component:", "downstream:", "endpoint:"].iter().any(|start| figure.starts_with(start));
        if !matches!(limit, Limit::Share(_)) && is_time != has_time {
            let what = if is_time { "is a time: its limit needs ns, us, ms or s" } else { "is no time" };
            return Err(format!("{figure} {what}; {example}"));
        }
        let is_above = text.as_bytes()[at] == b'>';
        Ok(Self { text: text.to_owned(), what: What::Change { figure: figure.to_owned(), is_above, limit } })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether any service has the figure; a rule on one that nobody has is a mistake.
    #[must_use]
    pub fn fits(&self, comparison: &Comparison) -> bool {
        let What::Change { figure, .. } = &self.what else { return true };
        // Fates that did not happen are left out, and components that take no time.
        let is_known = PLAIN.contains(&figure.as_str()) || figure.starts_with("component:");
        is_known || comparison.services.iter().flat_map(|of| &of.figures).any(|shift| shift.figure.name() == *figure)
    }

    /// The changes that break it, with their services.
    #[must_use]
    pub fn broken_by<'a>(&self, comparison: &'a Comparison) -> Vec<(&'a str, &'a Shift)> {
        let all = comparison.services.iter().flat_map(|of| of.figures.iter().map(move |shift| (of, shift)));
        let broken = all.filter(|(of, shift)| self.is_broken_by(shift, of.requests[1]));
        broken.map(|(of, shift)| (of.name.as_str(), shift)).collect()
    }

    fn is_broken_by(&self, shift: &Shift, requests: u64) -> bool {
        let (figure, is_above, limit) = match &self.what {
            What::Regression => return shift.is_worse(),
            What::Change { figure, is_above, limit } => (figure, *is_above, *limit),
        };
        if shift.figure.name() != *figure {
            return false;
        }
        let is_told = shift.told == if is_above { Told::Up } else { Told::Down };
        let beyond = |value: f64, limit: f64| if is_above { value > limit } else { value < limit };
        match limit {
            Limit::Share(share) => is_told && shift.share().map_or(is_above, |of| beyond(of, share)),
            Limit::Change(change) => is_told && beyond(shift.shift, change),
            // Of a fate it is how many there are.
            Limit::Value(value) if matches!(shift.figure, Figure::Fate { .. }) => {
                beyond((shift.new * requests as f64).round(), value)
            }
            Limit::Value(value) => beyond(shift.new, value),
        }
    }
}

impl Limit {
    /// The limit, and whether it is a time.
    fn parse(text: &str) -> Option<(Self, bool)> {
        let is_change = text.starts_with(['+', '-', '−']);
        let text = text.replace('−', "-");
        let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))).unwrap_or(text.len());
        let number: f64 = text[..end].parse().ok().filter(|number: &f64| number.is_finite())?;
        let unit = text[end..].trim();
        let factor = match unit {
            "%" => return Some((Self::Share(number / 100.0), false)),
            "" => 1.0,
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            _ => return None,
        };
        let limit = if is_change { Self::Change(number * factor) } else { Self::Value(number * factor) };
        Some((limit, !unit.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{ServiceComparison, Unit};
    use super::*;

    fn shift(figure: Figure, old: f64, new: f64, told: Told) -> Shift {
        let unit = if matches!(figure, Figure::Fate { .. }) { Unit::PerRequest } else { Unit::Ns };
        Shift { figure, unit, old, new, shift: new - old, interval: None, would_be_seen: None, told }
    }

    fn breaks(rule: &str, shift: &Shift) -> bool {
        Rule::parse(rule).unwrap().is_broken_by(shift, 1_000)
    }

    #[test]
    fn what_is_no_rule_is_told_in_one_line() {
        for (text, word) in [
            ("", "no > or <"),
            ("p99", "no > or <"),
            ("p98>+5%", "no figure \"p98\""),
            ("component:>+1ms", "no figure"),
            ("p99>", "cannot read the limit \"\""),
            ("p99>+5 furlongs", "cannot read the limit"),
            ("p99>nan%", "cannot read the limit"),
            ("p99>5", "p99 is a time: its limit needs ns, us, ms or s"),
            ("rate<-5ms", "rate is no time"),
            ("component:nosuch>+1ms", "no component \"nosuch\"; there are queue_accept"),
        ] {
            let line = Rule::parse(text).unwrap_err();
            assert!(line.contains(word) && !line.contains('\n'), "{text}: {line}");
        }
    }

    #[test]
    fn a_rule_is_broken_by_what_is_told_and_large_enough() {
        let p99 = |new, told| shift(Figure::Latency { quantile: 9_900 }, 1e6, new, told);
        assert!(breaks("p99>+5%", &p99(1.06e6, Told::Up)) && breaks("regression", &p99(1.06e6, Told::Up)));
        assert!(!breaks("p99>+5%", &p99(1.04e6, Told::Up)));
        assert!(!breaks("p99>+5%", &p99(1.5e6, Told::Nothing)));
        assert!(!breaks("p99>+5%", &p99(0.5e6, Told::Down)) && !breaks("regression", &p99(0.5e6, Told::Down)));
        assert!(breaks("p99 > +50us", &p99(1.06e6, Told::Up)) && !breaks("p99>+70µs", &p99(1.06e6, Told::Up)));
        assert!(breaks("p99>1ms", &p99(1.06e6, Told::Nothing)) && !breaks("p90>1ms", &p99(1.06e6, Told::Up)));
        let rate = shift(Figure::Rate, 100.0, 80.0, Told::Down);
        assert!(breaks("rate<-10%", &rate) && breaks("regression", &rate) && !breaks("rate<−30%", &rate));
        let fate = shift(Figure::Fate { name: "unanswered".into() }, 0.0, 0.003, Told::Nothing);
        assert!(breaks("unanswered>0", &fate) && breaks("unanswered>2", &fate) && !breaks("unanswered>3", &fate));
        let component = shift(Figure::Component { name: "downstream".into() }, 0.0, 2e6, Told::Up);
        assert!(breaks("component:downstream>+1ms", &component) && breaks("component:downstream>+10%", &component));
    }

    #[test]
    fn the_broken_ones_come_with_their_service() {
        let figures = vec![shift(Figure::Rate, 100.0, 80.0, Told::Down)];
        let service = ServiceComparison { name: "api".into(), figures, ..ServiceComparison::default() };
        let comparison = super::super::compare(&Default::default(), &Default::default(), &Default::default());
        let comparison = Comparison { services: vec![service], ..comparison };
        let rule = Rule::parse("regression").unwrap();
        assert_eq!(rule.broken_by(&comparison)[0].0, "api");
        assert!(rule.fits(&comparison) && Rule::parse("p50>1ms").unwrap().fits(&comparison));
        assert!(!Rule::parse("calls:nobody>1").unwrap().fits(&comparison));
    }
}
