//! What was promised beside what was measured.
//!
//! In: the results of all victims. Out: a table; a target whose figure is missing is "not measured".

use super::arms::{AGAIN, ALL, ALWAYS_ON, BPFTRACE_ALL, BPFTRACE_ALWAYS, FLOOR, STRACE};
use super::figures;
use super::store::Results;
use super::table::{number, with_interval};
use crate::statistics::Median;

/// A promise, what was measured, and whether it holds.
#[derive(Debug, PartialEq)]
pub struct Target {
    /// The promise.
    pub promise: String,
    /// The figure; nothing if there is none.
    pub measured: Option<String>,
    /// Whether it is kept.
    pub met: Option<bool>,
    /// Whether the whole interval says the same; also where there is none.
    pub sure: bool,
}

impl Target {
    fn new(promise: impl Into<String>, measured: Option<(String, bool)>) -> Self {
        let (measured, met) = measured.unzip();
        Self { promise: promise.into(), measured, met, sure: true }
    }

    fn at_most(promise: &str, value: Option<f64>, limit: f64, unit: &str) -> Self {
        Self::new(promise, value.map(|value| (format!("{}{unit}", number(value, false)), value <= limit)))
    }

    /// Of a figure that has no interval of its own.
    fn surely(self, sure: bool) -> Self {
        Self { sure: sure || self.met.is_none(), ..self }
    }

    fn at_least(promise: &str, value: Option<f64>, limit: f64) -> Self {
        Self::new(promise, value.map(|value| (format!("{} ×", number(value, false)), value >= limit)))
    }
}

/// All of them.
pub fn all(results: &[Results]) -> Vec<Target> {
    let of = |name: &str| results.iter().find(|results| results.victim == name);
    let redis = of("redis");
    let multiple = |results: Option<&Results>, arm, other| results.and_then(|all| figures::multiple(all, arm, other));
    let floor = multiple(redis, ALWAYS_ON, FLOOR);
    type Added = fn(&Results, &str) -> Option<Median>;
    let sure = |added: Added, arms: [&str; 2]| {
        redis.is_some_and(|all| arms.into_iter().all(|arm| figures::is_sure(added(all, arm))))
    };
    let floors = [ALWAYS_ON, FLOOR];
    let full = |arm, other| redis.and_then(|all| figures::full_multiple(all, arm, other));
    let full_loss = |promise: &str, name: &str, limit: f64| {
        let change = of(name).and_then(|results| figures::full_rate_change(results, ALWAYS_ON));
        percent(promise, change, |change| change >= -limit)
    };
    let mut targets = vec![
        Target::at_most("Redis: added time per request ≤ 1.5 times the floor's", floor, 1.5, " ×")
            .surely(sure(figures::added, floors)),
        Target::at_most("… stretch: ≤ 1.2 times", floor, 1.2, " ×").surely(sure(figures::added, floors)),
        Target::at_most("… the same at full speed: ≤ 1.5 times", full(ALWAYS_ON, FLOOR), 1.5, " ×")
            .surely(sure(figures::full_added, floors)),
        loss("… stretch: throughput −1.5 % at most", redis, 1.5),
        loss("nginx: throughput −1.5 % at most", of("nginx"), 1.5),
        full_loss("… at full speed", "nginx", 1.5),
        uvicorn(of("uvicorn")),
        full_loss("… at full speed: −0.3 % at most", "uvicorn", 0.3),
    ];
    for (name, title) in [("redis", "Redis"), ("nginx", "nginx"), ("uvicorn", "uvicorn"), ("postgres", "PostgreSQL")] {
        let change = of(name).and_then(|results| figures::p99_change(results, ALWAYS_ON));
        targets.push(percent(&format!("{title}: P99 at 60 % load ≤ +2 %"), change, |change| change <= 2.0));
    }
    let ratios =
        [(8.0, BPFTRACE_ALWAYS, ALWAYS_ON), (8.0, BPFTRACE_ALL, ALL), (100.0, STRACE, ALWAYS_ON), (100.0, STRACE, ALL)];
    for (limit, rival, ours) in ratios {
        let promise = format!("Redis: {ours} ≥ {limit} times cheaper than {rival}");
        targets.push(
            Target::at_least(&promise, multiple(redis, rival, ours), limit).surely(sure(figures::added, [rival, ours])),
        );
        targets.push(
            Target::at_least("… at full speed", full(rival, ours), limit)
                .surely(sure(figures::full_added, [rival, ours])),
        );
    }
    // Of system calls nothing is expected; a loop that got faster is as wrong as one that got slower.
    let bystanders = [
        ("syscall-loop", "bystander, system calls: 0 ± 0.2 %", -0.2..=0.2),
        ("switch-loop", "bystander, context switches: ≤ +1 %", f64::NEG_INFINITY..=1.0),
    ];
    for (name, promise, kept) in bystanders {
        let (change, full) = of(name).map_or((None, None), |all| {
            (figures::time_change(all, ALWAYS_ON), figures::full_time_change(all, ALWAYS_ON))
        });
        targets.push(percent(promise, change, |change| kept.contains(&change)));
        targets.push(percent("… at full speed", full, |change| kept.contains(&change)));
    }
    targets.extend(own_cost(redis, results));
    targets
}

/// CPU, memory and attach time of the always-on arm.
fn own_cost(redis: Option<&Results>, results: &[Results]) -> Vec<Target> {
    let per_request = redis.and_then(|results| {
        let programs = results.programs.iter().find(|programs| programs.arm == ALWAYS_ON)?;
        Some(figures::programs_per_request(programs)? + figures::agent_cpu(results, ALWAYS_ON)?.middle)
    });
    let mut targets = vec![Target::at_most("Redis: BPF and agent CPU ≤ 500 ns per request", per_request, 500.0, " ns")];
    for wanted in [10_000.0, 100_000.0] {
        let at = redis.and_then(|results| results.at_rates.iter().find(|at| at.wanted == wanted));
        let percent = at.map(|at| at.agent.cpu_ns as f64 / at.agent.window_ns.max(1) as f64 * 100.0);
        let measured = at
            .zip(percent)
            .map(|(at, percent)| (format!("{} % at {:.0}/s", number(percent, false), at.reached), percent <= 0.3));
        targets.push(Target::new(format!("agent ≤ 0.3 % of a core at {wanted:.0} requests/s"), measured));
    }
    let highest = |of: fn(&Results, &str) -> Option<Median>| {
        let values = results.iter().filter_map(|results| Some(of(results, ALWAYS_ON)?.middle));
        values.max_by(f64::total_cmp)
    };
    targets.push(Target::at_most(
        "memory ≤ 12 MB (the victim with the largest median)",
        highest(figures::rss_mb),
        12.0,
        " MB",
    ));
    targets.push(Target::at_most(
        "load and attach ≤ 200 ms (the victim with the longest median)",
        highest(figures::attach_ms),
        200.0,
        " ms",
    ));
    targets
}

fn percent(promise: &str, change: Option<Median>, kept: impl Fn(f64) -> bool) -> Target {
    let measured = change.map(|change| (with_interval(Some(change), " %"), kept(change.middle)));
    let sure = change.is_none_or(|change| {
        let ends = [change.low, change.middle, change.high].map(&kept);
        change.confidence >= 0.95 && ends[0] == ends[1] && ends[1] == ends[2]
    });
    Target { sure, ..Target::new(promise, measured) }
}

fn loss(promise: &str, results: Option<&Results>, limit: f64) -> Target {
    let change = results.and_then(|results| figures::rate_change(results, ALWAYS_ON));
    percent(promise, change, |change| change >= -limit)
}

/// Met as well when the median lies within the band of the second bare arm.
fn uvicorn(results: Option<&Results>) -> Target {
    let promise = "uvicorn: throughput −0.3 % at most, or inside the A/A band";
    let change = results.and_then(|results| figures::rate_change(results, ALWAYS_ON));
    let band = results.and_then(|results| figures::rate_change(results, AGAIN));
    let measured = change.zip(band).map(|(change, band)| {
        let met = change.middle >= -0.3 || (band.low..=band.high).contains(&change.middle);
        (format!("{}, A/A {}", with_interval(Some(change), " %"), with_interval(Some(band), " %")), met)
    });
    let sure = change.is_none_or(|change| change.confidence >= 0.95 && (change.low >= -0.3 || change.high < -0.3));
    Target { sure, ..Target::new(promise, measured) }
}

/// As a table.
pub fn table(targets: &[Target]) -> String {
    let mut text = "| target | measured | |\n|---|---|---|\n".to_owned();
    for Target { promise, measured, met, sure } in targets {
        let verdict = met.map_or("not measured", |met| if met { "met" } else { "**missed**" });
        let verdict = if *sure { verdict.to_owned() } else { format!("{verdict}, not sure") };
        text.push_str(&format!("| {promise} | {} | {verdict} |\n", measured.as_deref().unwrap_or("–")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::store::Run;

    fn results(victim: &str, rates: &[(&str, f64)]) -> Results {
        let mut results = Results { victim: victim.into(), ..Results::default() };
        for (arm, rate) in rates {
            let run = Run {
                round: 1,
                rate: *rate,
                slices: Vec::new(),
                cpu_ns: None,
                p99_ns: None,
                steady_rate: None,
                agent: None,
                others_percent: 0.0,
            };
            results.arms.entry((*arm).into()).or_default().runs.push(run);
        }
        results
    }

    fn find<'a>(targets: &'a [Target], start: &str) -> &'a Target {
        targets.iter().find(|target| target.promise.starts_with(start)).unwrap()
    }

    #[test]
    fn targets_are_met_missed_or_not_measured() {
        let redis = results("redis", &[("bare", 1e5), (FLOOR, 9e4), (ALWAYS_ON, 8.7e4), (STRACE, 1e4)]);
        let loops = results("switch-loop", &[("bare", 1e5), (ALWAYS_ON, 9.95e4)]);
        let targets = all(&[redis, loops]);
        // 1/87 − 1/100 against 1/90 − 1/100.
        assert_eq!(find(&targets, "Redis: added").met, Some(true));
        assert_eq!(find(&targets, "… stretch: ≤ 1.2").met, Some(false));
        assert_eq!(find(&targets, "Redis: always-on ≥ 100").met, Some(false));
        assert_eq!(find(&targets, "bystander, context").met, Some(true));
        assert_eq!(find(&targets, "bystander, system").met, None);
        assert_eq!(find(&targets, "nginx").met, None);
        let text = table(&targets);
        assert!(text.contains("| **missed**, not sure |") && text.contains("| – | not measured |"), "{text}");
    }

    #[test]
    fn inside_the_band_of_nothing_is_nothing() {
        let uvicorn = results("uvicorn", &[("bare", 1000.0), (AGAIN, 990.0), (ALWAYS_ON, 990.0)]);
        assert_eq!(find(&all(&[uvicorn]), "uvicorn: throughput").met, Some(true));
        let uvicorn = results("uvicorn", &[("bare", 1000.0), (AGAIN, 990.0), (ALWAYS_ON, 980.0)]);
        assert_eq!(find(&all(&[uvicorn]), "uvicorn: throughput").met, Some(false));
    }
}
