//! What clients saw, by their kernels' stamps, against the report.
//!
//! In: the end of each request as its client's kernel has it, and the report. Out: one row; which percentiles are too far off, and
//! which counts are not exact.
//!
//! A request that has no end is censored: its client waited at least so long. The percentiles of both are the product-limit estimate
//! (`docs/report.md`), here computed from the stamps alone.
//!
//! A request whose segment was sent again, because the listener dropped it, counts from then: before, no socket of the service had a byte
//! of it, and only the drop is known there. The row says how many there are.

use std::fmt;

use serde_json::{Value, json};

use super::Score;
use super::quantiles::{QUANTILES, Tolerance, distance};
use crate::report::Report;
use crate::truth::clients::{End, Outcome, Seen};

/// What is claimed: 2 %, or 50 µs where that is more, up to p99.
pub const SEEN: Tolerance = Tolerance { part: 50, floor_ns: 50_000, quantiles: 3 };
/// At most one event in so many requests may be missing: a program that an interrupt finds running does not run for it.
const EVENTS_MISSED: u64 = 100;
/// How many of the quantiles are shown.
const SHOWN: usize = 4;

/// A percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Percentile {
    /// Known.
    Is(u64),
    /// It lies among those without an end.
    AtLeast(u64),
}

impl fmt::Display for Percentile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, ns) = match self {
            Self::Is(ns) => ("", ns),
            Self::AtLeast(ns) => ("≥", ns),
        };
        write!(formatter, "{sign}{:.1}", *ns as f64 / 1000.0)
    }
}

/// How long requests took, or have lasted without an end, in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Lives(Vec<(u64, bool)>);

impl Lives {
    /// Each with whether it has ended.
    pub fn new(mut lives: Vec<(u64, bool)>) -> Self {
        // Of two that are as long the one that ended comes first: the other one lasted on.
        lives.sort_unstable_by_key(|(ns, ended)| (*ns, !ended));
        Self(lives)
    }

    /// The smallest time at which at most 1 − q are estimated to take longer.
    pub fn percentile(&self, q: f64) -> Percentile {
        /// What the products of many fractions are off by.
        const ROUNDING: f64 = 1e-9;
        let mut longer = 1.0;
        for (index, (ns, ended)) in self.0.iter().enumerate() {
            if *ended {
                longer *= 1.0 - 1.0 / (self.0.len() - index) as f64;
                if longer <= 1.0 - q + ROUNDING {
                    return Percentile::Is(*ns);
                }
            }
        }
        let rank = (q * self.0.len() as f64 - ROUNDING).ceil() as usize;
        Percentile::AtLeast(self.0.get(rank.max(1) - 1).map_or(0, |(ns, _)| *ns))
    }
}

/// What became of the requests of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Their reply came.
    pub answered: u64,
    /// Their client left.
    pub abandoned: u64,
    /// They are open.
    pub open: u64,
    /// Connections that the listener dropped; `None` where nobody else counted them.
    pub refused: Option<u64>,
}

/// What clients saw in a run.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// How long each request lasted.
    pub lives: Lives,
    /// How many ended how.
    pub fates: Fates,
    /// Requests whose first segment was sent again.
    pub again: usize,
}

/// The truth of a run whose window closed at `end_ns`.
pub fn truth(outcome: &Outcome, refused: Option<u64>, end_ns: u64) -> Truth {
    let mut fates = Fates { refused, ..Fates::default() };
    let mut one = |seen: &Seen| {
        let (ns, count) = match seen.end {
            End::Answered(ns) => (ns, &mut fates.answered),
            End::Left(ns) => (ns, &mut fates.abandoned),
            End::Open => (end_ns, &mut fates.open),
        };
        *count += 1;
        (ns.saturating_sub(seen.left.last_ns), matches!(seen.end, End::Answered(_)))
    };
    let lives = Lives::new(outcome.seen.iter().map(&mut one).collect());
    let again = outcome.seen.iter().filter(|seen| seen.left.last_ns > seen.left.first_ns).count();
    Truth { lives, fates, again }
}

impl Truth {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let Fates { answered, abandoned, open, .. } = self.fates;
        let mut value = json!({ "answered": answered, "abandoned": abandoned, "open": open, "sent_again": self.again });
        for (name, q) in QUANTILES.into_iter().take(SHOWN) {
            let (end, ns) = match self.lives.percentile(q) {
                Percentile::Is(ns) => ("_ns", ns),
                Percentile::AtLeast(ns) => ("_at_least_ns", ns),
            };
            value[format!("{}{end}", name.replace('.', ""))] = json!(ns);
        }
        value
    }
}

/// The same in the report.
fn reported(report: &Report, service: &str, counts_refused: bool) -> Fates {
    let integer = |pointer| report.integer(service, pointer);
    Fates {
        answered: report.requests(service),
        abandoned: integer("/fates/abandoned/count"),
        open: integer("/fates/in_service/count") + integer("/fates/unread/count"),
        refused: counts_refused.then(|| integer("/refused/drops")),
    }
}

/// The table's head.
pub fn head(score: &mut Score) {
    let cells: Vec<String> =
        QUANTILES.iter().take(SHOWN).map(|(name, _)| format!("{name}, µs: client / report")).collect();
    score.line(&format!("| clients and server | requests | beside replies | {} | |", cells.join(" | ")));
    score.line(&format!("|---|---|---|{}---|", "---|".repeat(SHOWN)));
}

/// One run's row.
pub fn row(run: &str, truth: &Truth, report: &Report, service: &str, tolerance: Tolerance, score: &mut Score) {
    let Truth { lives, fates, again } = truth;
    let got = reported(report, service, fates.refused.is_some());
    if got != *fates {
        score.inexact.push(format!("{run}: the report has {got:?}, the clients {fates:?}"));
    }
    let Fates { answered, abandoned, open, .. } = *fates;
    // How many events may be missing; that none is missing which counts, the fates have just told.
    let (misses, mut losses) = (report.misses(), report.losses_beyond(answered));
    losses.retain(|(name, _)| name != "recursion_misses");
    if !losses.is_empty() || misses * EVENTS_MISSED > answered {
        score.inexact.push(format!("{run}: losses {:?}", report.losses()));
    }
    let latency = &report.service(service)["requests"]["latency"];
    let histogram = report.spread(service, "/requests/latency").histogram();
    let (mut cells, mut met) = (Vec::new(), true);
    for (index, (name, q)) in QUANTILES.into_iter().take(SHOWN).enumerate() {
        let (truth, ours) = (lives.percentile(q), of_report(latency, name));
        let off = match (truth, ours) {
            (Percentile::Is(truth), Some(Percentile::Is(ours)))
            | (Percentile::AtLeast(truth), Some(Percentile::AtLeast(ours))) => {
                let off = distance((truth, truth), (histogram.lowest_equivalent(ours), ours));
                (off > tolerance.allowed(truth)).then(|| format!("off by {:.1} µs", off as f64 / 1000.0))
            }
            _ => Some("of another kind".to_owned()),
        };
        let ours = ours.map_or_else(|| "–".to_owned(), |ours| ours.to_string());
        cells.push(format!("{truth} / {ours}"));
        if let Some(off) = off
            && index < tolerance.quantiles
        {
            met = false;
            score
                .missed
                .push(format!("{run}: {name} is {off}: {truth} µs by the clients' kernel, {ours} µs in the report"));
        }
    }
    let refused = fates.refused.unwrap_or(0);
    let twice = got.refused.unwrap_or(0).saturating_sub(refused);
    let all = [
        (abandoned, "abandoned"),
        (open, "open"),
        (refused, "tries refused"),
        (twice, "of them counted twice"),
        (*again as u64, "sent again"),
        (misses, "events missed"),
    ];
    let without: Vec<String> =
        all.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let count = answered + abandoned + open;
    let (without, met) = (without.join(", "), if met { "met" } else { "MISSED" });
    score.line(&format!("| {run} | {count} | {without} | {} | {met} |", cells.join(" | ")));
}

/// `p99` of a distribution: its upper end, or what it is at least.
fn of_report(distribution: &Value, name: &str) -> Option<Percentile> {
    let name = name.replace('.', "");
    let field = |end: &str| distribution[format!("{name}{end}")].as_u64();
    field("_ns").map(Percentile::Is).or_else(|| field("_at_least_ns").map(Percentile::AtLeast))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::stamps::Left;

    #[test]
    fn where_all_have_ended_a_percentile_is_the_value_of_its_rank() {
        let lives = Lives::new((1..=1000).rev().map(|ns| (ns, true)).collect());
        let at = [0.5, 0.9, 0.99, 0.999].map(|q| lives.percentile(q));
        assert_eq!(at, [500, 900, 990, 999].map(Percentile::Is));
        assert_eq!(Lives::new(vec![(7, true)]).percentile(0.5), Percentile::Is(7));
    }

    #[test]
    fn who_left_waited_at_least_so_long() {
        // Of ten, the fourth to sixth left at 35: a sixth and so on would each stand for more than one.
        let times = [10, 20, 30, 35, 35, 35, 40, 50, 60, 70];
        let lives = Lives::new(times.iter().map(|ns| (*ns, *ns != 35)).collect());
        assert_eq!(lives.percentile(0.3), Percentile::Is(30));
        // 0.7 · 3/4 = 0.525 take longer than 40, 0.35 longer than 50.
        assert_eq!(lives.percentile(0.5), Percentile::Is(50));
        assert_eq!(lives.percentile(0.99), Percentile::Is(70));
        let lives = Lives::new([(10, true), (20, true), (30, false), (90, false)].into());
        assert_eq!(lives.percentile(0.5), Percentile::Is(20));
        assert_eq!([lives.percentile(0.75), lives.percentile(0.99)], [30, 90].map(Percentile::AtLeast));
    }

    #[test]
    fn one_that_ended_comes_before_one_that_lasted_as_long() {
        let lives = Lives::new(vec![(10, false), (10, true)]);
        assert_eq!(lives.percentile(0.5), Percentile::Is(10));
    }

    #[test]
    fn ends_are_counted_and_open_ones_have_their_age() {
        let seen = |first_ns, last_ns, end| Seen { left: Left { first_ns, last_ns }, end };
        let seen = vec![
            seen(100, 100, End::Answered(150)),
            seen(100, 100, End::Left(130)),
            seen(120, 120, End::Open),
            seen(50, 100, End::Answered(160)),
        ];
        let Truth { lives, fates, again } = truth(&Outcome { seen, ..Outcome::default() }, Some(4), 200);
        assert_eq!(fates, Fates { answered: 2, abandoned: 1, open: 1, refused: Some(4) });
        let json = Truth { lives: lives.clone(), fates, again }.to_json();
        assert_eq!([&json["p50_ns"], &json["p999_at_least_ns"]], [&json!(60), &json!(80)], "{json}");
        assert_eq!((lives.0, again), (vec![(30, false), (50, true), (60, true), (80, false)], 1));
    }

    #[test]
    fn the_reports_percentiles_are_read_by_name() {
        let distribution = json!({ "p50_ns": 5, "p99_at_least_ns": 7 });
        assert_eq!(of_report(&distribution, "p50"), Some(Percentile::Is(5)));
        assert_eq!(of_report(&distribution, "p99"), Some(Percentile::AtLeast(7)));
        assert_eq!(of_report(&distribution, "p99.9"), None);
        assert_eq!(Percentile::AtLeast(1_500).to_string(), "≥1.5");
    }

    /// A report of one service whose requests took so long.
    fn report(ns: u64) -> Report {
        let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 36, 2).unwrap();
        histogram.record_n(ns, 10).unwrap();
        let mut bytes = Vec::new();
        let mut serializer = hdrhistogram::serialization::V2Serializer::new();
        hdrhistogram::serialization::Serializer::serialize(&mut serializer, &histogram, &mut bytes).unwrap();
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        let high = histogram.value_at_quantile(0.5);
        let latency = json!({ "p50_ns": high, "p90_ns": high, "p99_ns": high, "p999_ns": high, "histogram": text });
        let none = json!({ "count": 0 });
        let fates = json!({ "abandoned": none, "in_service": none, "unread": none });
        let service = json!({ "name": "s", "requests": { "count": 10, "latency": latency }, "fates": fates });
        Report(json!({ "services": [service], "ledger": { "arrival_unseen": 0 } }))
    }

    fn scored(truth_ns: u64, requests: usize, report_ns: u64) -> Score {
        let (mut score, fates) = (Score::default(), Fates { answered: requests as u64, ..Fates::default() });
        let lives = Lives::new(vec![(truth_ns, true); requests]);
        row("run", &Truth { lives, fates, again: 0 }, &report(report_ns), "s", SEEN, &mut score);
        score
    }

    #[test]
    fn two_percent_or_fifty_microseconds_are_allowed_up_to_p99() {
        let missed = |truth, report| scored(truth, 10, report).missed.len();
        assert_eq!([missed(100_000, 149_000), missed(100_000, 152_000)], [0, 3]);
        assert_eq!([missed(10_000_000, 10_190_000), missed(10_000_000, 10_300_000)], [0, 3]);
        assert_eq!([missed(10_000_000, 9_810_000), missed(10_000_000, 9_700_000)], [0, 3]);
        let score = scored(1_000_000, 10, 1_000_000);
        assert!(score.is_met() && score.text.ends_with("| met |\n"), "{}", score.text);
    }

    #[test]
    fn a_request_too_few_is_inexact() {
        let score = scored(1_000_000, 11, 1_000_000);
        assert_eq!((score.inexact.len(), score.missed.len()), (1, 0), "{:?}", score.inexact);
    }
}
