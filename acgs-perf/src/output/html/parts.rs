//! What several parts of the page share: the parts of a latency, with groups, which have a colour each, and names; verdicts.
//!
//! In: components. Out: classes and words. Eight groups, because nobody can tell more colours apart; the colours are those of Okabe and Ito.

use acgs_perf_common::attribution::Component;

use crate::analysis::tail::component;
use crate::output::text::component_label;
use crate::report::{ServiceReport, Verdict};
use crate::units::{grouped, percent};

/// (class, what it is), in the order in which they are stacked: from arrival to delivery.
pub const GROUPS: [(&str, &str); 8] = [
    ("p1", "queueing before it is read"),
    ("p2", "on a CPU"),
    ("p3", "waiting for a CPU"),
    ("p4", "event loop or pool"),
    ("p5", "lock, disk, other waits"),
    ("p6", "downstream"),
    ("p7", "client and network"),
    ("p8", "not known"),
];

/// Index of the group of a component.
pub fn group(name: &str) -> usize {
    if name.starts_with("queue_") {
        return 0;
    }
    match component(name) {
        Some(Component::OnCpu) => 1,
        Some(Component::RunQueue | Component::CpuQuota) => 2,
        Some(Component::LoopWait | Component::PoolWait | Component::ConnectionWait) => 3,
        Some(
            Component::Lock
            | Component::Disk
            | Component::Idle
            | Component::Sleep
            | Component::Fault
            | Component::Other,
        ) => 4,
        Some(Component::Downstream) => 5,
        Some(
            Component::RequestBody
            | Component::SendBuffer
            | Component::Reply
            | Component::DeliveryNagle
            | Component::DeliveryWindow
            | Component::DeliveryNetwork,
        ) => 6,
        _ => 7,
    }
}

/// Class, sign and word. The sign is for who does not see the colour.
pub fn verdict(of: Option<Verdict>) -> (&'static str, &'static str) {
    match of {
        Some(Verdict::Met) => ("met", "✓ met"),
        Some(Verdict::Missed) => ("missed", "✗ missed"),
        Some(Verdict::TooFew) => ("few", "? too few requests"),
        Some(Verdict::NotTested) => ("untested", "○ not tested"),
        None => ("untested", "○ not measured"),
    }
}

/// So many of all: `12 (3.4 %)`.
pub fn of_all(count: u64, all: u64) -> String {
    if count == 0 { "0".into() } else { format!("{} ({})", grouped(count), percent(count, all)) }
}

/// A part in words: `on-CPU`, `downstream: postgres (127.0.0.1:5432)`.
pub fn name(component: &str, peer: Option<&str>, service: &ServiceReport) -> String {
    match peer {
        Some(peer) => format!("{}: {}", component_label(component), peer_name(peer, service)),
        None => component_label(component),
    }
}

/// A peer by the service that listens there, if it is known.
pub fn peer_name(peer: &str, service: &ServiceReport) -> String {
    let known = service.downstream.iter().flatten().find(|of| of.address == peer);
    match known.and_then(|of| of.service.as_deref()) {
        Some(name) => format!("{name} ({peer})"),
        None => peer.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::attribution::COMPONENT_NAMES;

    use super::*;

    #[test]
    fn every_component_has_a_group() {
        let unknown: Vec<_> = COMPONENT_NAMES.iter().map(|(name, _)| *name).filter(|name| group(name) == 7).collect();
        assert_eq!(unknown, ["unknown"]);
        assert_eq!(group("a component of a later version"), 7);
    }
}
