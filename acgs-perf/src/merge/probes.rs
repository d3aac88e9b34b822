//! What a probe did in several captures.
//!
//! In: the states of each capture. Out: one state per probe, which has figures if any capture has, and notes on captures that lack them.

use std::collections::{BTreeMap, BTreeSet};

use super::names::either;
use crate::live::status::{ProbeState, ProbeStatus};

/// The probes so far.
#[derive(Debug, Default)]
pub struct Probes {
    all: Vec<ProbeStatus>,
    captures: usize,
    /// What was not the same, by probe, state and reason: the hosts.
    others: BTreeMap<(String, String), BTreeSet<String>>,
    differs: BTreeSet<String>,
}

impl Probes {
    /// Adds those of a capture that begins `offset_ns` after the first one.
    pub fn add(&mut self, host: &str, offset_ns: u64, statuses: Vec<ProbeStatus>) {
        for known in &self.all {
            if !statuses.iter().any(|status| status.name == known.name) {
                self.differs.insert(known.name.clone());
                let absent = (known.name.clone(), "not known".to_owned());
                self.others.entry(absent).or_default().insert(host.to_owned());
            }
        }
        for mut status in statuses {
            status.stopped_after_ns = status.stopped_after_ns.map(|ns| ns.saturating_add(offset_ns));
            if status.state != ProbeState::Active {
                let reason = status.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let what = (status.name.clone(), format!("{}{reason}", status.state.name()));
                self.others.entry(what).or_default().insert(host.to_owned());
            }
            match self.all.iter_mut().find(|known| known.name == status.name) {
                None => {
                    if self.captures > 0 {
                        self.differs.insert(status.name.clone());
                    }
                    self.all.push(status);
                }
                Some(known) => {
                    if known.state != status.state {
                        self.differs.insert(status.name.clone());
                    }
                    add(known, status);
                }
            }
        }
        self.captures += 1;
    }

    /// The probes, and a note on each that was not the same in all captures.
    pub fn finish(self) -> (Vec<ProbeStatus>, Vec<String>) {
        let differing = self.others.iter().filter(|((name, _), _)| self.differs.contains(name));
        let notes = differing.map(|((name, what), hosts)| {
            let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
            let more = hosts.len().saturating_sub(3);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let hosts = hosts.into_iter().take(3).collect::<Vec<_>>().join(", ");
            format!("probe {name} was {what} in captures of {hosts}{more}: its figures are those of the others")
        });
        (self.all.clone(), notes.collect())
    }
}

fn add(known: &mut ProbeStatus, other: ProbeStatus) {
    let states = [known.state, other.state];
    known.state = match () {
        () if states.contains(&ProbeState::Stopped) => ProbeState::Stopped,
        () if states.contains(&ProbeState::Active) => ProbeState::Active,
        () => known.state,
    };
    let stopped = [known.stopped_after_ns, other.stopped_after_ns];
    known.stopped_after_ns = stopped.into_iter().flatten().min();
    for hook in other.hooks {
        if !known.hooks.contains(&hook) {
            known.hooks.push(hook);
        }
    }
    known.reason = match (known.reason.take(), other.reason) {
        _ if known.state == ProbeState::Active => None,
        (Some(a), Some(b)) => Some(either(a, &b)),
        (one, other) => one.or(other),
    };
}
