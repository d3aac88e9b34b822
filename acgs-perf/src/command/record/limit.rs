//! The decision of `--max-overhead`: whether a probe must be stopped, and which.
//!
//! In: what each program and the agent itself cost in an interval, as shares of the CPU time of all online CPUs, and the states
//! of the probes. Out: a [`Decision`]. Pure: `overhead` measures, and carries the decision out.

use crate::capture;

/// So many intervals in a row must be over the limit: one may be a burst.
const PATIENCE: u32 = 2;
/// A probe whose own hooks make up less than one part in this many of all is left alone: stopping it would not help.
const NEGLIGIBLE: f64 = 100.0;
/// Probes of which their own hooks tell what stopping them saves; the dearest goes first.
const MEASURED: &[&str] = &["syscalls", "tcp"];
/// Those that go after them, in this order. `attribution` works in the hooks of `request` and `sched`, so that nobody knows
/// what it costs; `sched` is worth the most to a reader. `request` stays to the end.
const LAST: &[&str] = &["attribution", "sched"];

/// What an interval has cost, as shares of the CPU time of all online CPUs: 0.01 is one percent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// Of each kernel program, with the probe that it belongs to.
    pub programs: Vec<(Option<&'static str>, f64)>,
    /// Of the agent itself.
    pub agent: f64,
    /// Of timing the programs.
    pub account: f64,
}

impl Interval {
    /// Of all together.
    pub fn total(&self) -> f64 {
        self.agent + self.account + self.programs.iter().map(|(_, share)| share).sum::<f64>()
    }

    /// Of the programs that only this probe uses.
    fn of(&self, probe: &str) -> f64 {
        self.programs.iter().filter(|(of, _)| *of == Some(probe)).map(|(_, share)| share).sum()
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// Stop this probe.
    Stop(&'static str),
    /// Nothing is left to stop: end the recording.
    End,
}

/// The limit, and for how many intervals it has been passed.
#[derive(Debug)]
pub struct Limit {
    share: f64,
    over: u32,
}

impl Limit {
    /// A limit in percent of the CPU time of all online CPUs.
    pub fn new(percent: f64) -> Self {
        Self { share: percent / 100.0, over: 0 }
    }

    /// Judges one more interval.
    pub fn judge(&mut self, interval: &Interval, probes: &[capture::Probe]) -> Decision {
        if interval.total() <= self.share {
            self.over = 0;
            return Decision::Keep;
        }
        self.over += 1;
        if self.over < PATIENCE {
            return Decision::Keep;
        }
        // What is left shall show in intervals of its own.
        self.over = 0;
        dearest(interval, probes).map_or(Decision::End, Decision::Stop)
    }
}

/// The probe to stop first.
fn dearest(interval: &Interval, probes: &[capture::Probe]) -> Option<&'static str> {
    let is_active = |name: &&str| probes.iter().any(|probe| probe.name == *name && probe.state == "active");
    let total = interval.total();
    MEASURED
        .iter()
        .copied()
        .filter(is_active)
        .map(|name| (name, interval.of(name)))
        .filter(|(_, saving)| *saving * NEGLIGIBLE >= total)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(name, _)| name)
        .or_else(|| LAST.iter().copied().find(is_active))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::table::PROBES;

    fn interval(programs: &[(&'static str, f64)]) -> Interval {
        Interval {
            programs: programs.iter().map(|(probe, share)| (Some(*probe), *share)).collect(),
            agent: 0.001,
            account: 0.0,
        }
    }

    fn probes(active: &[&str]) -> Vec<capture::Probe> {
        let state = |name| if active.contains(&name) { "active" } else { "disabled" };
        let probe = |name: &str, state: &str| capture::Probe {
            name: name.into(),
            state: state.into(),
            ..capture::Probe::default()
        };
        PROBES.iter().map(|known| probe(known.name, state(known.name))).collect()
    }

    const ALL: &[&str] = &["request", "sched", "syscalls", "tcp", "attribution"];

    /// The decision after two intervals alike.
    fn decide(percent: f64, interval: &Interval, active: &[&str]) -> Decision {
        let mut limit = Limit::new(percent);
        assert_eq!(limit.judge(interval, &probes(active)), Decision::Keep, "after one interval");
        limit.judge(interval, &probes(active))
    }

    #[test]
    fn below_the_limit_nothing_is_stopped() {
        let cost = interval(&[("syscalls", 0.01), ("sched", 0.02)]);
        assert_eq!(decide(3.2, &cost, ALL), Decision::Keep);
        assert_eq!(decide(3.0, &cost, ALL), Decision::Stop("syscalls"));
    }

    #[test]
    fn one_interval_over_the_limit_is_not_enough() {
        let (high, low) = (interval(&[("syscalls", 0.5)]), interval(&[]));
        let mut limit = Limit::new(1.0);
        let judged: Vec<_> =
            [&high, &low, &high, &low, &high, &high, &high, &high].map(|i| limit.judge(i, &probes(ALL))).to_vec();
        let (keep, stop) = (Decision::Keep, Decision::Stop("syscalls"));
        assert_eq!(judged, [keep, keep, keep, keep, keep, stop, keep, stop]);
    }

    #[test]
    fn the_dearer_of_the_measured_probes_goes_first() {
        let cost = interval(&[("syscalls", 0.01), ("syscalls", 0.01), ("tcp", 0.03)]);
        assert_eq!(decide(1.0, &cost, ALL), Decision::Stop("tcp"));
        assert_eq!(decide(1.0, &cost, &["request", "syscalls"]), Decision::Stop("syscalls"));
    }

    #[test]
    fn what_stopping_would_not_save_is_left_alone() {
        let cost = interval(&[("tcp", 0.000_001), ("sched", 0.05), ("request", 0.05)]);
        assert_eq!(decide(1.0, &cost, &["request", "sched", "tcp", "attribution"]), Decision::Stop("attribution"));
        assert_eq!(decide(1.0, &cost, &["request", "sched", "tcp"]), Decision::Stop("sched"));
    }

    #[test]
    fn requests_are_counted_to_the_end() {
        let cost = interval(&[("request", 0.05)]);
        assert_eq!(decide(1.0, &cost, &["request", "tcp"]), Decision::End);
    }

    #[test]
    fn the_agent_counts_too() {
        let cost = Interval { programs: vec![(None, 0.0)], agent: 0.02, account: 0.0 };
        assert_eq!(decide(1.0, &cost, &["request"]), Decision::End);
        assert_eq!(decide(2.0, &cost, &["request"]), Decision::Keep);
    }

    #[test]
    fn timing_the_programs_counts_too() {
        let cost = Interval { programs: vec![(Some("syscalls"), 0.01)], agent: 0.002, account: 0.01 };
        assert_eq!(decide(2.0, &cost, ALL), Decision::Stop("syscalls"));
        assert_eq!(decide(2.3, &cost, ALL), Decision::Keep);
    }

    #[test]
    fn every_probe_has_its_place() {
        for probe in PROBES {
            let places = MEASURED.iter().chain(LAST).filter(|name| **name == probe.name).count();
            assert_eq!(places, usize::from(probe.name != "request"), "{}", probe.name);
        }
    }
}
