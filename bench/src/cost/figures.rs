//! From runs to figures: each arm against the bare run of the same round.
//!
//! In: stored results. Out: medians with their intervals; nothing where nothing was measured.

use super::arms::{ARMS, BARE};
use super::speed;
use super::store::{Programs, Results, Run};
use crate::statistics::Median;

/// Pairs of an arm's run and the bare one of the same round.
fn pairs<'a>(results: &'a Results, arm: &str) -> Vec<(&'a Run, &'a Run)> {
    let partner = |run: &'a Run| Some((run, results.quiet_runs(BARE).find(|other| other.round == run.round)?));
    results.quiet_runs(arm).filter_map(partner).collect()
}

fn median(values: impl Iterator<Item = f64>) -> Option<Median> {
    Median::of(&values.collect::<Vec<_>>())
}

/// Requests or iterations per second.
pub fn rate(results: &Results, arm: &str) -> Option<Median> {
    median(results.quiet_runs(arm).map(|run| run.rate))
}

/// Change of the rate, in percent; below 0 is a loss.
pub fn rate_change(results: &Results, arm: &str) -> Option<Median> {
    median(pairs(results, arm).into_iter().map(|(run, bare)| (run.rate / bare.rate - 1.0) * 100.0))
}

/// Time that is added to each request, in ns: the difference of 1/rate.
pub fn added(results: &Results, arm: &str) -> Option<Median> {
    median(pairs(results, arm).into_iter().map(|(run, bare)| 1e9 / run.rate - 1e9 / bare.rate))
}

/// Change of the time per iteration, in percent.
pub fn time_change(results: &Results, arm: &str) -> Option<Median> {
    median(pairs(results, arm).into_iter().map(|(run, bare)| (bare.rate / run.rate - 1.0) * 100.0))
}

/// Rates at full speed of an arm and of bare in the same round, or in the nearest in which bare has one.
fn full_pairs(results: &Results, arm: &str) -> Vec<(f64, f64)> {
    let all = || ARMS.iter().flat_map(|arm| results.quiet_runs(arm.name)).flat_map(|run| run.slices.iter().copied());
    let Some(limit) = speed::limit(all()) else { return Vec::new() };
    let rates = |arm: &str| {
        let rates = results.quiet_runs(arm).filter_map(|run| Some((run.round, speed::rate(&run.slices, limit)?)));
        rates.collect::<Vec<_>>()
    };
    let bare = rates(BARE);
    let nearest = |round: usize| bare.iter().min_by_key(|(other, _)| other.abs_diff(round)).map(|(_, rate)| *rate);
    rates(arm).into_iter().filter_map(|(round, rate)| Some((rate, nearest(round)?))).collect()
}

/// Added time in the slices at full speed.
pub fn full_added(results: &Results, arm: &str) -> Option<Median> {
    median(full_pairs(results, arm).into_iter().map(|(rate, bare)| 1e9 / rate - 1e9 / bare))
}

/// Change of the time per iteration at full speed, in percent.
pub fn full_time_change(results: &Results, arm: &str) -> Option<Median> {
    median(full_pairs(results, arm).into_iter().map(|(rate, bare)| (bare / rate - 1.0) * 100.0))
}

/// Change of the rate at full speed, in percent.
pub fn full_rate_change(results: &Results, arm: &str) -> Option<Median> {
    median(full_pairs(results, arm).into_iter().map(|(rate, bare)| (rate / bare - 1.0) * 100.0))
}

/// CPU time of the victim per request, in ns.
pub fn cpu(results: &Results, arm: &str) -> Option<Median> {
    median(results.quiet_runs(arm).filter_map(|run| run.cpu_ns))
}

/// What is added to it, in ns.
pub fn cpu_added(results: &Results, arm: &str) -> Option<Median> {
    median(pairs(results, arm).into_iter().filter_map(|(run, bare)| Some(run.cpu_ns? - bare.cpu_ns?)))
}

/// P99 of the open loop, in ns.
pub fn p99(results: &Results, arm: &str) -> Option<Median> {
    median(results.quiet_runs(arm).filter_map(|run| run.p99_ns))
}

/// Change of it, in percent.
pub fn p99_change(results: &Results, arm: &str) -> Option<Median> {
    median(pairs(results, arm).into_iter().filter_map(|(run, bare)| Some((run.p99_ns? / bare.p99_ns? - 1.0) * 100.0)))
}

/// Added time of one arm in multiples of another's: the quotient of the medians, because the other's may be near 0 in a
/// single round. `None` when it is not above 0: then there is nothing to be a multiple of.
pub fn multiple(results: &Results, arm: &str, other: &str) -> Option<f64> {
    let (arm, other) = (added(results, arm)?.middle, added(results, other)?.middle);
    (other > 0.0).then(|| arm / other)
}

/// The same at full speed.
pub fn full_multiple(results: &Results, arm: &str, other: &str) -> Option<f64> {
    let (arm, other) = (full_added(results, arm)?.middle, full_added(results, other)?.middle);
    (other > 0.0).then(|| arm / other)
}

/// Whether something was added for sure: the whole interval is above 0. Only then is a multiple of it to be trusted.
pub fn is_sure(added: Option<Median>) -> bool {
    added.is_some_and(|added| added.confidence >= 0.95 && added.low > 0.0)
}

/// Load and attach time, in ms.
pub fn attach_ms(results: &Results, arm: &str) -> Option<Median> {
    median(results.quiet_runs(arm).filter_map(|run| Some(run.agent?.attach_ns as f64 / 1e6)))
}

/// Memory of the agent, in MB.
pub fn rss_mb(results: &Results, arm: &str) -> Option<Median> {
    median(results.quiet_runs(arm).filter_map(|run| Some(run.agent?.rss_bytes as f64 / 1e6)))
}

/// CPU time of the agent per request, in ns.
pub fn agent_cpu(results: &Results, arm: &str) -> Option<Median> {
    let of = |run: &Run| {
        let agent = run.agent?;
        let requests = agent.requests.filter(|requests| *requests > 0)?;
        Some(agent.cpu_ns as f64 / requests as f64)
    };
    median(results.quiet_runs(arm).filter_map(of))
}

/// CPU time of the agent in percent of a core.
pub fn agent_percent(results: &Results, arm: &str) -> Option<Median> {
    let of = |run: &Run| run.agent.map(|agent| agent.cpu_ns as f64 / agent.window_ns.max(1) as f64 * 100.0);
    median(results.quiet_runs(arm).filter_map(of))
}

/// Run time of all programs per request, in ns.
pub fn programs_per_request(programs: &Programs) -> Option<f64> {
    let total: u64 = programs.programs.iter().map(|(_, _, run_time)| run_time).sum();
    (programs.requests > 0).then(|| total as f64 / programs.requests as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::arms::{ALWAYS_ON, FLOOR};

    fn results() -> Results {
        let mut results = Results::default();
        let run = |round: usize, rate: f64, p99: f64| Run {
            round,
            rate,
            slices: [(rate / 2.0, 8.0); 5].into_iter().chain([(1.0, 12.0); 9]).collect(),
            cpu_ns: Some(1e9 / rate),
            p99_ns: Some(p99),
            steady_rate: None,
            agent: None,
            others_percent: 0.0,
        };
        let mut put = |arm: &str, runs: Vec<Run>| results.arms.entry(arm.into()).or_default().runs = runs;
        put(BARE, vec![run(1, 1000.0, 100.0), run(2, 2000.0, 200.0), run(3, 4000.0, 400.0)]);
        put(FLOOR, vec![run(1, 500.0, 110.0), run(3, 2000.0, 440.0)]);
        put(ALWAYS_ON, vec![run(2, 1000.0, 200.0), run(4, 1.0, 1.0)]);
        results
    }

    #[test]
    fn arms_are_compared_with_the_bare_run_of_their_round() {
        let results = results();
        // The machine was twice and four times as fast in rounds 2 and 3; the ratios do not see it.
        let change = rate_change(&results, FLOOR).unwrap();
        assert_eq!((change.low, change.middle, change.high, change.count), (-50.0, -50.0, -50.0, 2));
        assert!((p99_change(&results, FLOOR).unwrap().middle - 10.0).abs() < 1e-9);
        // 1/500 − 1/1000 s and 1/2000 − 1/4000 s.
        assert!((added(&results, FLOOR).unwrap().middle - 625_000.0).abs() < 1e-6);
        assert!((time_change(&results, FLOOR).unwrap().middle - 100.0).abs() < 1e-9);
        assert!((full_added(&results, FLOOR).unwrap().middle - 1_250_000.0).abs() < 1e-6);
        assert!((full_rate_change(&results, FLOOR).unwrap().middle + 50.0).abs() < 1e-9);
        assert!((cpu_added(&results, FLOOR).unwrap().middle - 625_000.0).abs() < 1e-6);
    }

    #[test]
    fn a_round_without_a_bare_run_is_left_out_and_nothing_is_none() {
        let results = results();
        assert_eq!(rate_change(&results, ALWAYS_ON).unwrap().count, 1);
        assert_eq!(rate_change(&results, "c"), None);
        assert_eq!(attach_ms(&results, FLOOR), None);
        assert_eq!(multiple(&results, FLOOR, BARE), None, "nothing was added by the bare arm");
        assert!((multiple(&results, FLOOR, ALWAYS_ON).unwrap() - 1.25).abs() < 1e-9);
    }

    #[test]
    fn what_may_be_nothing_is_not_sure() {
        let of = |values: &[f64]| is_sure(Median::of(values));
        assert!(of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert!(!of(&[-1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "the interval has 0 in it");
        assert!(!of(&[1.0, 2.0, 3.0]), "too few for an interval");
        assert!(!is_sure(None));
    }

    #[test]
    fn programs_count_per_request() {
        let agent =
            super::super::store::AgentCost { cpu_ns: 1, window_ns: 1, rss_bytes: 1, attach_ns: 1, requests: None };
        let programs = vec![("x".to_owned(), 10, 300), ("y".to_owned(), 10, 200)];
        let mut all = Programs { arm: "a".into(), requests: 5, programs, agent };
        assert_eq!(programs_per_request(&all), Some(100.0));
        all.requests = 0;
        assert_eq!(programs_per_request(&all), None);
    }
}
