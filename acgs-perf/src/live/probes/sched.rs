//! The probe `sched`: thread clocks.

use std::path::Path;

use acgs_perf_common::maps::{
    BLOCKED_HISTOGRAM, Counter, HISTOGRAMS, Histogram, OTHER_PROCESSES, PREEMPTORS, Preemptor, STATE_COUNTER,
    STOPPED_ATTRIBUTION, STOPPED_SCHED,
};
use acgs_perf_common::quota::QuotaFields;
use acgs_perf_common::state::STATES;

use super::{FieldsSpec, Iterators, MapSpec, ProbeSpec, Stop};
use crate::live::hooks::{Hook, tracepoints};
use crate::live::host_cpu;
use crate::live::maps::{Maps, text};
use crate::sums::{Key, Row, Sections, Sums};

/// Counters of the scheduler, by `Counter`.
pub const COUNTERS: &str = "sched";
/// Waits, by `Histogram`.
pub const WAITS: &str = "sched_waits";
/// Who ran instead, by process: waits, their sum in ns; labelled with the command name. Those without a row of their own have the
/// process id [`OTHER_PROCESSES`].
pub const RAN_INSTEAD: &str = "ran_instead";
/// With more entries than this, those in which nothing happens make room for new ones.
const ROOM: usize = PREEMPTORS as usize / 8;

/// The kernel holds a lock of the run queue or of the thread at these hooks, so that they keep their CPU everywhere.
pub static PROBE: ProbeSpec = ProbeSpec {
    name: "sched",
    purpose: "thread states, run-queue latency, CPU quota, blocked time per class, who ran instead",
    hooks: HOOKS,
    default: true,
    needs: &[],
    global: Some("SCHED_ACTIVE"),
    fields: Some(FieldsSpec { global: "QUOTA_FIELDS", names: QuotaFields::NAMES }),
    maps: &[
        MapSpec { name: "PREEMPTOR", entries: |s| s.if_active(PREEMPTORS) },
        MapSpec { name: "PREEMPTOR_OTHERS", entries: |s| s.services },
    ],
    iterators: Some(Iterators { begin: "threads_begin", refresh: None, settle: Some("threads_settle") }),
    sockets: None,
    read,
    read_often: None,
    read_recording: Some(|_, sections| {
        drop(sections.insert(host_cpu::SECTION.into(), host_cpu::rows(Path::new("/proc"))))
    }),
    tables: &[host_cpu::TABLE],
    others: &[(RAN_INSTEAD, others)],
    // `attribution` has nothing to work on without it.
    stop: Stop::InOrder { place: 2, switches: STOPPED_ATTRIBUTION | STOPPED_SCHED },
};

const HOOKS: &[Hook] = tracepoints!["sched_waking", "sched_switch"];

fn read(maps: &Maps, service: u32, sections: &mut Sections) {
    let switches = [Counter::VoluntarySwitches as u32, Counter::InvoluntarySwitches as u32];
    let states = STATE_COUNTER..STATE_COUNTER + STATES as u32;
    maps.read_counters(COUNTERS, service, switches.into_iter().chain(states), sections);
    let blocked = BLOCKED_HISTOGRAM..HISTOGRAMS;
    maps.read_histograms(WAITS, service, [Histogram::RunQueue as u32].into_iter().chain(blocked), sections);
    let table = ("PREEMPTOR", "commands that ran instead", ROOM);
    let of_service = |key: &u64, who: &Preemptor| {
        let sums = Sums::dense([who.waits as i64, who.wait_ns as i64]);
        let row = Row { sums, latest: Vec::new(), label: text(&who.comm) };
        ((key >> 32) as u32 == service).then(|| (vec![*key as u32], row))
    };
    let mut ran_instead = maps.read_table(table, sections.get(RAN_INSTEAD), of_service);
    // Its words as in `Preemptor`, whose last two are a name that these have not.
    let base = service as usize * size_of::<Preemptor>() / size_of::<u64>();
    let sums = maps.array("PREEMPTOR_OTHERS").sums([base].into_iter(), 2);
    ran_instead.insert(others(&Key::new()), Row { sums, ..Row::default() });
    sections.insert(RAN_INSTEAD.into(), ran_instead);
}

/// Those without a row of their own, together.
fn others(_: &Key) -> Key {
    vec![OTHER_PROCESSES]
}
