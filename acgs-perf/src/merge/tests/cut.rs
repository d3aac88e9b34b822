//! What `merge` undoes: a capture cut by time and by service.

use crate::live::probes::attribution::DOWNSTREAM;
use crate::snapshot::exemplar::{Exemplar, Exemplars, Kept};
use crate::snapshot::{Capture, Context, Interval, Subject, Timeline};
use crate::sums::{Key, Row};
use std::collections::BTreeMap;

/// The piece of the intervals from `from` to `to`, and of one service. What is no service's is in the pieces of the first one.
pub fn piece(whole: &Capture, from: usize, to: usize, service: usize) -> Capture {
    let all: Vec<Interval> = whole.intervals.iter().collect();
    let is_last = to == all.len();
    let (start_ns, mut end_ns) = (all[from].start_ns, all[to - 1].end_ns());
    if is_last {
        end_ns = whole.context.start_ns + whole.context.duration_ns;
    }
    let rename = |subject: &Subject| match subject.service {
        of if of == service as u32 => Some(Subject { service: 0, ..subject.clone() }),
        u32::MAX if service == 0 => Some(subject.clone()),
        _ => None,
    };
    let mut intervals: Vec<Interval> =
        all[from..to].iter().map(|interval| of_service(interval, &rename, service)).collect();
    name_peers(&mut intervals, &all, service);
    let agent_cpu_ns = intervals.iter().map(|interval| interval.agent_cpu_ns).sum::<u64>();
    let mut cost = whole.context.cost.clone();
    // The agent's own is in the pieces of the first service; what is left, in its last one.
    let of_all: u64 = all.iter().map(|interval| interval.agent_cpu_ns).sum();
    let left = cost.agent_cpu_ns.wrapping_sub(of_all);
    cost.agent_cpu_ns = agent_cpu_ns.wrapping_add(if service == 0 && is_last { left } else { 0 });
    Capture {
        context: Context {
            start_ns,
            start_unix_ns: whole.context.start_unix_ns + (start_ns - whole.context.start_ns),
            duration_ns: end_ns - start_ns,
            services: vec![whole.context.services[service].clone()],
            cost,
            ..whole.context.clone()
        },
        intervals: Timeline::of(intervals),
        exemplars: exemplars(whole, (start_ns, if is_last { u64::MAX } else { end_ns }), from == 0, &rename),
    }
}

fn of_service(interval: &Interval, rename: &dyn Fn(&Subject) -> Option<Subject>, service: usize) -> Interval {
    let mut interval = interval.clone();
    interval.subjects = renamed(interval.subjects, rename);
    interval.slowest.0 = renamed(interval.slowest.0, rename);
    if let Some(look) = &mut interval.look {
        look.open = renamed(std::mem::take(&mut look.open), rename);
    }
    if service > 0 {
        interval.ledger = Default::default();
        interval.agent_cpu_ns = 0;
    }
    interval
}

/// A request may end in another piece than its calls: the piece says which peers its slots are.
fn name_peers(intervals: &mut [Interval], all: &[Interval], service: usize) {
    let mut named: BTreeMap<Key, Row> = BTreeMap::new();
    for interval in all {
        let downstream = interval.of(&Subject::service(service)).and_then(|sections| sections.get(DOWNSTREAM));
        for (key, row) in downstream.into_iter().flatten() {
            named.entry(key.clone()).or_insert_with(|| Row { label: row.label.clone(), ..Row::default() });
        }
    }
    if named.is_empty() {
        return;
    }
    let first = intervals[0].subjects.entry(Subject::service(0)).or_default().entry(DOWNSTREAM.into()).or_default();
    for (key, row) in named {
        first.entry(key).or_insert(row);
    }
}

fn exemplars(
    whole: &Capture,
    (start_ns, end_ns): (u64, u64),
    is_first: bool,
    rename: &dyn Fn(&Subject) -> Option<Subject>,
) -> Exemplars {
    let is_in = |exemplar: &&Exemplar| {
        // Some had arrived before.
        let at = exemplar.arrived_ns + exemplar.latency_ns();
        at < end_ns && (at >= start_ns || is_first)
    };
    let of = |kept: Kept| {
        let sample: Vec<Exemplar> = kept.sample.iter().filter(is_in).cloned().collect();
        let not_kept = if is_first { kept.sampled - kept.sample.len() as u64 } else { 0 };
        Kept {
            slowest: kept.slowest.iter().filter(is_in).cloned().collect(),
            sampled: sample.len() as u64 + not_kept,
            sample,
        }
    };
    renamed(whole.exemplars.clone(), rename).into_iter().map(|(subject, kept)| (subject, of(kept))).collect()
}

fn renamed<T>(all: BTreeMap<Subject, T>, name: &dyn Fn(&Subject) -> Option<Subject>) -> BTreeMap<Subject, T> {
    all.into_iter().filter_map(|(subject, value)| Some((name(&subject)?, value))).collect()
}
