//! Takes snapshots of a live session.
//!
//! In: a session, and the snapshot before. Out: a snapshot; what is dear to read is taken over from the one before unless it is
//! asked for, and so is what a stopped probe has counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use acgs_perf_common::attribution::COUNT_WORD;
use acgs_perf_common::ledger::Loss;

use super::fates::REFUSED;
use super::model::{LAYOUT_VERSION, Look, Snapshot, Subject, Subjects};
use crate::live::probes::{attribution, request, sched, tcp};
use crate::live::session::Session;
use crate::sums::{Difference as _, Section, Sections, Sums};

/// Sections whose words are counts of values that may have been taken back, and how many of their words are.
const TAKEN_BACK: &[(&str, u32)] = &[
    (request::LATENCY, u32::MAX),
    (request::TIMES, u32::MAX),
    (sched::WAITS, u32::MAX),
    (tcp::TIMES, u32::MAX),
    (attribution::ROWS, COUNT_WORD as u32 + 1),
];

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What is cheap to read.
    Often,
    /// Everything.
    Whole,
}

/// What a look at the sockets has brought.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The open requests; `None` without a look.
    pub look: Option<Look>,
    /// What listeners have dropped since the first look.
    pub refused: BTreeMap<Subject, Section>,
}

/// The state of now, `at_ns` on the clock of the programs and `unix_ns` since 1970.
#[must_use]
pub fn snapshot(
    session: &Session,
    before: &Snapshot,
    depth: Depth,
    at_ns: u64,
    unix_ns: u64,
    agent_cpu_ns: u64,
    looked: Looked,
) -> Snapshot {
    let services = 0..session.maps.services() as u32;
    let subject = |service: u32| Subject::service(service as usize);
    let mut often = Subjects::new();
    for service in services.clone() {
        let mut sections = before.often.get(&subject(service)).cloned().unwrap_or_default();
        session.read(service, true, &mut sections);
        if let Some(refused) = looked.refused.get(&subject(service)) {
            sections.insert(REFUSED.into(), refused.clone());
        }
        often.insert(subject(service), sections);
    }
    let mut after = Snapshot {
        layout: LAYOUT_VERSION,
        at_ns,
        unix_ns,
        often,
        rest: Arc::clone(&before.rest),
        rest_at_ns: before.rest_at_ns,
        look: looked.look,
        ledger: session.maps.ledger(),
        agent_cpu_ns,
    };
    if depth == Depth::Whole {
        let mut rest = Subjects::clone(&before.rest);
        session.maps.reading_once(|| {
            for service in services {
                session.read(service, false, rest.entry(subject(service)).or_default());
            }
        });
        session.read_recording(rest.entry(Subject::recording()).or_default());
        after.rest = Arc::new(rest);
        after.rest_at_ns = at_ns;
    }
    after
}

/// Takes what one probe has counted into a snapshot, before nobody reads it any more.
pub fn freeze(session: &Session, probe: &str, snapshot: &mut Snapshot) {
    let Some(spec) = session.counted(probe) else { return };
    let mut rest = Subjects::clone(&snapshot.rest);
    for service in 0..session.maps.services() as u32 {
        (spec.read)(&session.maps, service, rest.entry(Subject::service(service as usize)).or_default());
    }
    if let Some(read) = spec.read_recording {
        read(&session.maps, rest.entry(Subject::recording()).or_default());
    }
    snapshot.rest = Arc::new(rest);
}

/// Adds to the ledger by how much counts are below 0, which are shown as 0. That is a fault: nothing is taken back that was not
/// recorded before.
pub fn count_below_zero(snapshot: &mut Snapshot) {
    let all = snapshot.often.values().chain(snapshot.rest.values());
    let below: i64 = all.map(below_zero).sum();
    snapshot.ledger.add(&Sums::sparse([(Loss::CountsBelowZero as u32, below)]));
}

fn below_zero(sections: &Sections) -> i64 {
    let of_section = |(name, words): &(&str, u32)| {
        let rows = sections.get(*name).into_iter().flat_map(|section| section.values());
        let counts = rows.flat_map(|row| row.sums.iter()).filter(|(word, count)| word < words && *count < 0);
        counts.map(|(_, count)| -count).sum::<i64>()
    };
    TAKEN_BACK.iter().map(of_section).sum()
}
