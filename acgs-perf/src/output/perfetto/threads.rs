//! The threads of a trace: what each did for the requests that it answered, with an arrow from the request to each turn.
//!
//! In: exemplars and where their tracks begin. Out: events: a track per thread, and arrows. A thread works for one request at a time, so that
//! its turns follow each other. Before a pool has handed a request over, another thread had it, which nobody has noted: of such a request
//! only what comes behind the last hand-over is the thread's.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::event::{label, micros, slice};
use crate::report::ExemplarReport;

/// Threads stand below all requests.
const FIRST_RANK: u64 = 10_000;
/// While a request is in one of these it goes from one thread to another.
const HANDED_OVER: &str = "pool_wait";
const ON_CPU: &str = "on_cpu";
/// Category of what a thread did.
pub const CATEGORY: &str = "thread";

/// A stretch in which a thread worked for a request.
struct Turn {
    start: u64,
    length: u64,
    /// Track of the request.
    request: u64,
    name: String,
}

/// The threads of one service.
#[derive(Default)]
pub struct Threads {
    /// By process and thread: the command, and what it did.
    turns: BTreeMap<(u32, u32), (String, Vec<Turn>)>,
}

impl Threads {
    /// Adds what its thread did for an exemplar that has this track, begins there, and has this title.
    pub fn add(&mut self, exemplar: &ExemplarReport, request: u64, start: u64, title: &str) {
        // Where there were more segments the last one stands for all that followed.
        let kept = exemplar.segments.len().saturating_sub(usize::from(exemplar.truncated));
        let segments = &exemplar.segments[..kept];
        let own = segments.iter().rposition(|segment| segment.component == HANDED_OVER).map_or(0, |at| at + 1);
        let mut spent = 0u64;
        for (at, segment) in segments.iter().enumerate() {
            let length = segment.duration_ns.min(exemplar.latency_ns.saturating_sub(spent));
            if at >= own && segment.component == ON_CPU && length > 0 {
                let of = self.turns.entry((exemplar.pid, exemplar.thread)).or_default();
                of.0.clone_from(&exemplar.comm);
                let name = exemplar.endpoint.clone().unwrap_or_else(|| title.to_owned());
                of.1.push(Turn { start: start.saturating_add(spent), length, request, name });
            }
            spent = spent.saturating_add(length);
        }
    }

    /// The events of the threads, whose tracks are numbered on from `track`; `flow` is the number of the last arrow.
    pub fn events(self, process: u64, track: &mut u64, flow: &mut u64, events: &mut Vec<Value>) {
        for (rank, ((pid, thread), (comm, mut turns))) in self.turns.into_iter().enumerate() {
            *track += 1;
            let place = (process, *track);
            let name = format!("thread {thread} of {comm} {pid}");
            events.push(label("thread_name", process, Some(*track), json!({ "name": name })));
            let order = json!({ "sort_index": FIRST_RANK + rank as u64 });
            events.push(label("thread_sort_index", process, Some(*track), order));
            turns.sort_by_key(|turn| turn.start);
            let mut free = 0u64;
            for turn in turns {
                // Of two requests at once, whose time was divided between them, the later one gets what is left.
                let begin = turn.start.max(free);
                let end = turn.start.saturating_add(turn.length);
                if begin >= end {
                    continue;
                }
                free = end;
                *flow += 1;
                events.push(slice(place, &turn.name, CATEGORY, begin, end - begin, json!({})));
                events.push(arrow("s", (process, turn.request), *flow, begin));
                events.push(arrow("f", place, *flow, begin));
            }
        }
    }
}

/// One end of an arrow: `s` where it begins, `f` where it ends, in the slice that is there.
fn arrow(end: &str, (process, track): (u64, u64), number: u64, at: u64) -> Value {
    json!({
        "ph": end, "bp": "e", "id": number, "name": "hand-off", "cat": "flow", "pid": process, "tid": track, "ts": micros(at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::SegmentReport;

    fn exemplar(parts: &[(&str, u64)]) -> ExemplarReport {
        let segment = |(component, duration_ns): &(&str, u64)| SegmentReport {
            component: (*component).into(),
            duration_ns: *duration_ns,
            ..SegmentReport::default()
        };
        ExemplarReport {
            latency_ns: parts.iter().map(|(_, ns)| ns).sum(),
            segments: parts.iter().map(segment).collect(),
            pid: 7,
            thread: 9,
            comm: "api".into(),
            ..ExemplarReport::default()
        }
    }

    fn slices(threads: Threads) -> Vec<(u64, u64)> {
        let (mut track, mut flow, mut events) = (1_000, 0, Vec::new());
        threads.events(1, &mut track, &mut flow, &mut events);
        let number = |event: &Value, field: &str| (event[field].as_f64().unwrap() * 1_000.0).round() as u64;
        let arrows = events.iter().filter(|event| event["ph"] == "s" || event["ph"] == "f").count();
        let slices: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
        assert_eq!((arrows, flow), (2 * slices.len(), slices.len() as u64));
        slices.iter().map(|event| (number(event, "ts"), number(event, "dur"))).collect()
    }

    #[test]
    fn turns_of_a_thread_follow_each_other() {
        let mut threads = Threads::default();
        threads.add(
            &exemplar(&[("queue_idle", 10), ("on_cpu", 50), ("downstream", 100), ("on_cpu", 40)]),
            1_001,
            1_000,
            "a",
        );
        threads.add(&exemplar(&[("on_cpu", 30)]), 1_002, 1_040, "b");
        threads.add(&exemplar(&[("on_cpu", 5)]), 1_003, 1_042, "c");
        assert_eq!(slices(threads), [(1_010, 50), (1_060, 10), (1_160, 40)]);
    }

    #[test]
    fn what_another_thread_may_have_done_is_left_out() {
        let mut threads = Threads::default();
        threads.add(&exemplar(&[("on_cpu", 10), ("pool_wait", 20), ("on_cpu", 30)]), 1_001, 0, "a");
        let mut cut = exemplar(&[("on_cpu", 10), ("on_cpu", 900)]);
        cut.truncated = true;
        threads.add(&cut, 1_002, 100, "b");
        assert_eq!(slices(threads), [(30, 30), (100, 10)]);
    }
}
