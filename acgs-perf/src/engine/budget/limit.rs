//! The decision of `--max-overhead`: whether a probe must be stopped, and which.
//!
//! In: what each program and the agent itself cost in an interval, as shares of the CPU time of all online CPUs, and the states
//! of the probes. Out: a [`Decision`]. Pure: `overhead` measures, and carries the decision out.

use crate::live::probes::{PROBES, Stop};
use crate::live::status::ProbeStatus;

/// So many intervals in a row must be over the limit: one may be a burst.
const PATIENCE: u32 = 2;
/// A probe whose own hooks make up less than one part in this many of all is left alone: stopping it would not help.
const NEGLIGIBLE: f64 = 100.0;
/// What a stretch of time has cost, as shares of the CPU time of all online CPUs: 0.01 is one percent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spent {
    /// Of each kernel program, with the probe that it belongs to.
    pub programs: Vec<(Option<&'static str>, f64)>,
    /// Of the agent itself.
    pub agent: f64,
    /// Of timing the programs.
    pub account: f64,
}

impl Spent {
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

    /// Judges one more stretch of time.
    pub fn judge(&mut self, spent: &Spent, probes: &[ProbeStatus]) -> Decision {
        if spent.total() <= self.share {
            self.over = 0;
            return Decision::Keep;
        }
        self.over += 1;
        if self.over < PATIENCE {
            return Decision::Keep;
        }
        // What is left shall show in intervals of its own.
        self.over = 0;
        costliest(spent, probes).map_or(Decision::End, Decision::Stop)
    }
}

/// The probe to stop first: of those whose own hooks tell what stopping them saves the costliest, then the others in their order.
fn costliest(spent: &Spent, probes: &[ProbeStatus]) -> Option<&'static str> {
    let is_active = |name: &str| probes.iter().any(|probe| probe.name == name && probe.is_active());
    let active = || PROBES.iter().filter(|probe| is_active(probe.name));
    let total = spent.total();
    let by_cost = active()
        .filter(|probe| probe.stop == Stop::ByCost)
        .map(|probe| (probe.name, spent.of(probe.name)))
        .filter(|(_, saving)| *saving * NEGLIGIBLE >= total)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(name, _)| name);
    let in_order = || {
        let places = active().filter_map(|probe| match probe.stop {
            Stop::InOrder { place, .. } => Some((place, probe.name)),
            _ => None,
        });
        places.min().map(|(_, name)| name)
    };
    by_cost.or_else(in_order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::status::ProbeState;

    fn interval(programs: &[(&'static str, f64)]) -> Spent {
        Spent {
            programs: programs.iter().map(|(probe, share)| (Some(*probe), *share)).collect(),
            agent: 0.001,
            account: 0.0,
        }
    }

    fn probes(active: &[&str]) -> Vec<ProbeStatus> {
        let state = |name| if active.contains(&name) { ProbeState::Active } else { ProbeState::Disabled };
        let probe = |name: &str, state| ProbeStatus { name: name.into(), state, ..ProbeStatus::default() };
        PROBES.iter().map(|known| probe(known.name, state(known.name))).collect()
    }

    const ALL: &[&str] = &["request", "sched", "syscalls", "tcp", "attribution"];

    /// The decision after two intervals alike.
    fn decide(percent: f64, interval: &Spent, active: &[&str]) -> Decision {
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
        let cost = Spent { programs: vec![(None, 0.0)], agent: 0.02, account: 0.0 };
        assert_eq!(decide(1.0, &cost, &["request"]), Decision::End);
        assert_eq!(decide(2.0, &cost, &["request"]), Decision::Keep);
    }

    #[test]
    fn timing_the_programs_counts_too() {
        let cost = Spent { programs: vec![(Some("syscalls"), 0.01)], agent: 0.002, account: 0.01 };
        assert_eq!(decide(2.0, &cost, ALL), Decision::Stop("syscalls"));
        assert_eq!(decide(2.3, &cost, ALL), Decision::Keep);
    }

    #[test]
    fn only_requests_are_counted_to_the_end() {
        for probe in PROBES {
            assert_eq!(probe.stop == Stop::Never, probe.name == "request", "{}", probe.name);
        }
    }
}
