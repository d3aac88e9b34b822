//! The services of the list: in which order, which of them, and what is said of each.
//!
//! In: a report, how to sort, a filter. Out: services, and words about them.

use std::cmp::Ordering;

use crate::analysis::left;
use crate::analysis::tail::main_cut;
use crate::output::text::figure;
use crate::report::{FatesReport, OpenReport, Report, ServiceReport, Verdict};
use crate::units::{duration, grouped};

use super::bar::{KINDS, by_kind};

/// By what the list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// What is left of the objective, least first.
    #[default]
    Headroom,
    /// The P99, highest first.
    P99,
    /// Requests per second, most first.
    Rate,
    /// The name.
    Name,
}

impl Sort {
    const ALL: [Self; 4] = [Self::Headroom, Self::P99, Self::Rate, Self::Name];

    /// The one `steps` after this.
    #[must_use]
    pub fn after(self, steps: usize) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(at + steps) % Self::ALL.len()]
    }

    /// The one before.
    #[must_use]
    pub fn before(self) -> Self {
        self.after(Self::ALL.len() - 1)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Headroom => "headroom",
            Self::P99 => "P99",
            Self::Rate => "rate",
            Self::Name => "name",
        }
    }
}

/// The P99, or what it is at least.
pub fn p99(service: &ServiceReport) -> Option<u64> {
    let latency = &service.requests.as_ref()?.latency;
    latency.p99_ns.or(latency.p99_at_least_ns)
}

/// The share of the objective that is left; negative beyond it.
pub fn headroom(service: &ServiceReport) -> Option<f64> {
    let objective = service.objective.p99_ns;
    p99(service).filter(|_| objective > 0).map(|p99| 1.0 - p99 as f64 / objective as f64)
}

/// The same in words.
pub fn headroom_words(service: &ServiceReport) -> String {
    match headroom(service) {
        None => "–".into(),
        Some(left) if left >= 0.0 => format!("{:.0} %", (left * 100.0).floor()),
        Some(left) => {
            let times = 1.0 - left;
            if times < 9.95 {
                format!("{times:.1}× over")
            } else {
                format!("{}× over", grouped(times.round() as u64))
            }
        }
    }
}

/// The P99 in words.
pub fn p99_words(service: &ServiceReport) -> String {
    let latency = service.requests.as_ref().map(|requests| &requests.latency).filter(|latency| latency.count > 0);
    latency.map_or_else(|| "–".into(), |latency| figure((latency.p99_ns, latency.p99_at_least_ns), latency))
}

/// A verdict in at most eight letters.
pub fn verdict(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Met) => "MET",
        Some(Verdict::Missed) => "MISSED",
        Some(Verdict::TooFew) => "TOO FEW",
        Some(Verdict::NotTested) => "LOW RATE",
        None => "–",
    }
}

/// What the time of its slowest requests is made of; zeros where nobody knows.
pub fn tail_parts(service: &ServiceReport) -> [u64; KINDS.len()] {
    let cut = service.tail.as_ref().and_then(|tail| main_cut(&tail.cuts));
    by_kind(cut.into_iter().flat_map(|cut| cut.components.iter().map(|part| (part.name.as_str(), part.mean_ns))))
}

/// The P99 of each interval.
pub fn p99_over_time(service: &ServiceReport) -> Vec<Option<u64>> {
    service.series.iter().map(|point| point.p99_ns).collect()
}

/// What became of requests that got no reply, as far as there are any.
pub fn fates(service: &ServiceReport) -> Vec<String> {
    let mut items = service.fates.as_ref().map(of_fates).unwrap_or_default();
    let refused = service.refused.as_ref().map_or(0, |refused| refused.drops);
    if refused > 0 {
        items.push(format!("{} refused", grouped(refused)));
    }
    items
}

/// Whether requests were left: longer than the objective allows, or for good. Others are on their way as they should be.
pub fn has_left(service: &ServiceReport) -> bool {
    let cut_off = service.fates.as_ref().and_then(|fates| fates.cut_off).unwrap_or(0);
    left(service) > 0 || cut_off > 0
}

fn of_fates(fates: &FatesReport) -> Vec<String> {
    let open = |open: &OpenReport, what: &str| {
        let oldest = open.oldest_ns.map_or_else(String::new, |ns| format!(" for {}", duration(ns)));
        (open.count > 0).then(|| format!("{} {what}{oldest}", grouped(open.count)))
    };
    let count = |count: u64, what: &str| (count > 0).then(|| format!("{} {what}", grouped(count)));
    let all = [
        open(&fates.unread, "unread"),
        open(&fates.in_service, "in service"),
        open(&fates.undelivered, "not delivered"),
        count(fates.abandoned.count, "abandoned"),
        count(fates.cut_off.unwrap_or(0), "cut off"),
    ];
    all.into_iter().flatten().collect()
}

fn compare(a: &ServiceReport, b: &ServiceReport, sort: Sort) -> Ordering {
    let rate = |service: &ServiceReport| service.requests.as_ref().and_then(|requests| requests.rate_per_s);
    let highest_first = |a: Option<f64>, b: Option<f64>| b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0));
    match sort {
        Sort::Headroom => {
            // Who answers nobody has no P99, and misses its objective all the same.
            let key = |service: &ServiceReport| {
                let is_kept = service.objective.verdict != Some(Verdict::Missed);
                (is_kept, headroom(service).unwrap_or(if is_kept { f64::MAX } else { f64::MIN }))
            };
            let ((a_kept, a_left), (b_kept, b_left)) = (key(a), key(b));
            a_kept.cmp(&b_kept).then(a_left.total_cmp(&b_left))
        }
        Sort::P99 => p99(b).cmp(&p99(a)),
        Sort::Rate => highest_first(rate(a), rate(b)),
        Sort::Name => Ordering::Equal,
    }
    .then_with(|| a.name.cmp(&b.name))
}

/// The services in the order in which they are shown, of those whose name holds the filter, whatever its case.
pub fn order<'a>(report: &'a Report, sort: Sort, is_reversed: bool, filter: &str) -> Vec<&'a ServiceReport> {
    let filter = filter.to_lowercase();
    let is_wanted = |service: &&ServiceReport| service.name.to_lowercase().contains(&filter);
    let mut services: Vec<&ServiceReport> = report.services.iter().filter(is_wanted).collect();
    services.sort_by(|a, b| compare(a, b, sort));
    if is_reversed {
        services.reverse();
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};

    /// A service with `n` requests of this latency, at 500 a second.
    fn service(name: &str, n: u64, latency_ns: u64) -> ServiceReport {
        let mut service = sample::small().services.remove(0);
        service.name = name.into();
        let requests = service.requests.as_mut().unwrap();
        requests.latency = sample::distribution((0..n).map(|_| latency_ns));
        (requests.count, requests.rate_per_s) = (n, Some(500.0));
        service
    }

    fn report() -> Report {
        let mut report = sample::small();
        let services =
            [("idle", 0, 0), ("fast", 5_000, 1_000_000), ("Slow", 5_000, 40_000_000), ("near", 5_000, 4_500_000)];
        report.services = services.map(|(name, n, ns)| service(name, n, ns)).into();
        let mut report = assessed(report);
        let hung = &mut report.services[0];
        hung.objective.verdict = Some(Verdict::TooFew);
        report
    }

    fn names(report: &Report, sort: Sort, is_reversed: bool, filter: &str) -> Vec<String> {
        order(report, sort, is_reversed, filter).iter().map(|service| service.name.clone()).collect()
    }

    #[test]
    fn the_least_headroom_comes_first_and_who_has_no_figure_last() {
        let mut report = report();
        assert_eq!(names(&report, Sort::Headroom, false, ""), ["Slow", "near", "fast", "idle"]);
        assert_eq!(names(&report, Sort::Headroom, true, ""), ["idle", "fast", "near", "Slow"]);
        assert_eq!(names(&report, Sort::P99, false, ""), ["Slow", "near", "fast", "idle"]);
        assert_eq!(names(&report, Sort::Name, false, "")[0], "Slow");
        assert_eq!(names(&report, Sort::Headroom, false, "SLO"), ["Slow"]);
        // Who answers nobody is no idler.
        report.services[0].objective.verdict = Some(Verdict::Missed);
        assert_eq!(names(&report, Sort::Headroom, false, "")[0], "idle");
    }

    #[test]
    fn headroom_is_told_as_what_is_left_or_how_often_it_was_used() {
        let words: Vec<_> = report().services.iter().map(headroom_words).collect();
        assert!(words[2].starts_with("8.0× over") || words[2].starts_with("8.1× over"), "{words:?}");
        assert_eq!((words[0].as_str(), words[1].as_str()), ("–", "79 %"));
    }

    #[test]
    fn sorts_go_round() {
        assert_eq!(Sort::Headroom.before(), Sort::Name);
        assert_eq!(Sort::Name.after(1), Sort::Headroom);
    }
}
