//! The exemplars as a trace that <https://ui.perfetto.dev> opens.
//!
//! In: a report. Out: JSON in the Trace Event Format: one process per service, one track per exemplar, slowest first, and below them
//! one per thread. On the track of an exemplar one slice is the whole request; below it, its segments follow each other without a gap and
//! add up to it. On that of a thread stands what it did for them, each with an arrow from the request.
//!
//! Perfetto calls this format legacy, and its own protobuf preferable; but it is what a reader can check, it needs no
//! dependency, and the UI reads all that is used here: nested complete events, names, sort indexes (since October 2025)
//! and the top-level `metadata` (since July 2026; ignored before). Times are microseconds with three decimals, which the
//! UI rounds to whole nanoseconds again.

mod event;
mod threads;

use std::io;

use acgs_perf_common::attribution::{COMPONENT_NAMES, FIRST_OF_SERVICE_TIME};
use serde_json::{Map, Value, json};

use crate::report::{ExemplarReport, Report, SegmentReport, ServiceReport};
use crate::units::duration;
use event::{label, slice};
use threads::Threads;

/// Tracks are numbered from here on, so that no track has the number of a process: the UI would take it for the main thread.
const FIRST_TRACK: u64 = 1_000;
/// A slice for the part of a latency that the segments do not cover.
const NOT_RECORDED: &str = "not recorded";

/// The trace, one event per line.
///
/// # Errors
/// If the report holds no exemplar.
pub fn render(report: &Report) -> io::Result<String> {
    if report.services.iter().all(|service| service.exemplars.iter().flatten().next().is_none()) {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the report holds no exemplars to show as a trace; record with the attribution probe, under load",
        ));
    }
    // The UI wants no negative times, and what arrived before the window has one.
    let exemplars = report.services.iter().flat_map(|service| service.exemplars.iter().flatten());
    let origin = exemplars.map(|exemplar| exemplar.arrived_offset_ns).min().unwrap_or(0).min(0);
    let mut events = Vec::new();
    let (mut track, mut flow) = (FIRST_TRACK, 0);
    for (index, service) in report.services.iter().enumerate() {
        let process = index as u64 + 1;
        events.push(label("process_name", process, None, json!({ "name": service.name })));
        events.push(label("process_sort_index", process, None, json!({ "sort_index": process })));
        let mut threads = Threads::default();
        for (rank, exemplar) in service.exemplars.iter().flatten().enumerate() {
            track += 1;
            let title = format!("{} #{} {}", service.name, rank + 1, duration(exemplar.latency_ns));
            events.push(label("thread_name", process, Some(track), json!({ "name": &title })));
            events.push(label("thread_sort_index", process, Some(track), json!({ "sort_index": rank + 1 })));
            let start = u64::try_from(i128::from(exemplar.arrived_offset_ns) - i128::from(origin)).unwrap_or(u64::MAX);
            request(&mut events, (process, track), start, exemplar, service, report);
            threads.add(exemplar, track, start, &title);
        }
        threads.events(process, &mut track, &mut flow, &mut events);
    }
    let lines: Vec<_> = events.iter().map(Value::to_string).collect();
    let metadata = json!({
        "constitutional_hash": report.constitutional_hash,
        "tool": format!("{} {}", report.tool.name, report.tool.version),
        "host": report.host.name,
        "window_start_unix_ns": report.window.start_unix_ns,
        "trace_begin_offset_ns": origin,
        "report_digest": report.digest,
    });
    Ok(format!("{{\"displayTimeUnit\":\"ns\",\"metadata\":{metadata},\"traceEvents\":[\n{}\n]}}\n", lines.join(",\n")))
}

fn request(
    events: &mut Vec<Value>,
    place: (u64, u64),
    start: u64,
    exemplar: &ExemplarReport,
    service: &ServiceReport,
    report: &Report,
) {
    let mut args = serde_json::to_value(exemplar).unwrap_or_default();
    if let Value::Object(map) = &mut args {
        // They are the slices below.
        map.remove("segments");
        map.insert("constitutional_hash".into(), report.constitutional_hash.clone().into());
    }
    events.push(slice(place, "request", "request", start, exemplar.latency_ns, args));
    let mut spent = 0u64;
    for segment in &exemplar.segments {
        // What does not fit into the latency would cover what follows, and slices must nest.
        let length = segment.duration_ns.min(exemplar.latency_ns.saturating_sub(spent));
        if length > 0 {
            let title = title(segment, service);
            let args = details(segment, service);
            events.push(slice(place, &title, phase(&segment.component), start.saturating_add(spent), length, args));
        }
        spent = spent.saturating_add(length);
    }
    let rest = exemplar.latency_ns.saturating_sub(spent);
    if rest > 0 {
        events.push(slice(place, NOT_RECORDED, "request", start.saturating_add(spent), rest, json!({})));
    }
}

/// Slices of one name have one colour: component and peer.
fn title(segment: &SegmentReport, service: &ServiceReport) -> String {
    match &segment.peer {
        Some(peer) => format!("{} {}", segment.component, listener(peer, service).unwrap_or(peer)),
        None => segment.component.clone(),
    }
}

fn listener<'a>(peer: &str, service: &'a ServiceReport) -> Option<&'a str> {
    service.downstream.iter().flatten().find(|d| d.address == peer)?.service.as_deref()
}

fn phase(component: &str) -> &'static str {
    match COMPONENT_NAMES.iter().position(|(name, _)| *name == component) {
        Some(index) if index < FIRST_OF_SERVICE_TIME => "queue time",
        Some(_) if component == "reply" => "reply",
        _ => "service time",
    }
}

fn details(segment: &SegmentReport, service: &ServiceReport) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: &str| drop(map.insert(key.into(), value.into()));
    put("component", &segment.component);
    if let Some((_, meaning)) = COMPONENT_NAMES.iter().find(|(name, _)| *name == segment.component) {
        put("meaning", meaning);
    }
    if let Some(peer) = &segment.peer {
        put("peer", peer);
        if let Some(listener) = listener(peer, service) {
            put("service", listener);
        }
    }
    if let Some(call) = &segment.call {
        put("call", call);
    }
    if let Some(by) = &segment.by {
        let waits_for_cpu = segment.component.ends_with("run_queue");
        put(if waits_for_cpu { "ran_instead" } else { "woken_by" }, format!("{} {}", by.comm, by.pid).trim());
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::analysis::sample::{self, assessed};

    fn parsed(report: &Report) -> Value {
        serde_json::from_str(&render(report).unwrap()).unwrap()
    }

    /// As the UI does: microseconds to whole nanoseconds.
    fn ns(value: &Value) -> i64 {
        (value.as_f64().unwrap() * 1000.0).round() as i64
    }

    /// Slices by track: the request first, then its segments in order, as (start, length, name).
    fn tracks(trace: &Value) -> BTreeMap<i64, Vec<(i64, i64, String)>> {
        let mut tracks = BTreeMap::<i64, Vec<_>>::new();
        for event in trace["traceEvents"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["ph"] == "X" && event["cat"] != threads::CATEGORY)
        {
            let name = event["name"].as_str().unwrap().to_owned();
            tracks.entry(event["tid"].as_i64().unwrap()).or_default().push((ns(&event["ts"]), ns(&event["dur"]), name));
        }
        tracks
    }

    fn assert_whole(slices: &[(i64, i64, String)], latency_ns: u64) {
        let (start, length, name) = &slices[0];
        assert_eq!((*length as u64, name.as_str()), (latency_ns, "request"));
        let mut at = *start;
        for (start, length, name) in &slices[1..] {
            assert_eq!(*start, at, "a gap or an overlap before {name}");
            assert!(*length > 0, "{name}");
            at += length;
        }
        assert_eq!(at, start + length, "the segments do not add up to the request");
    }

    #[test]
    fn slices_follow_each_other_and_add_up_to_the_latency() {
        let report = assessed(sample::whole());
        let trace = parsed(&report);
        let tracks = tracks(&trace);
        let exemplars = report.services[1].exemplars.as_ref().unwrap();
        assert_eq!(tracks.len(), 4);
        for (slices, exemplar) in tracks.values().zip(exemplars) {
            assert_whole(slices, exemplar.latency_ns);
            assert_eq!(slices.len(), 9);
            assert_eq!(slices[3].2, "downstream postgres");
        }
        // The first arrived 5 ms before the window: its track begins the trace.
        assert_eq!(tracks.values().next().unwrap()[0].0, 0);
        assert_eq!(trace["metadata"]["trace_begin_offset_ns"], -5_000_000);
        assert_eq!(tracks.values().nth(1).unwrap()[0].0, 1_300_000_000);
    }

    #[test]
    fn whole_nanoseconds_survive_at_the_end_of_a_day() {
        let mut report = assessed(sample::whole());
        let exemplars = report.services[1].exemplars.as_mut().unwrap();
        for (at, exemplar) in exemplars.iter_mut().enumerate() {
            exemplar.arrived_offset_ns = 86_399_123_456_789 + at as i64;
            exemplar.segments[0].duration_ns += 1;
            exemplar.latency_ns += 1;
        }
        let exemplars = exemplars.clone();
        for (slices, exemplar) in tracks(&parsed(&report)).values().zip(&exemplars) {
            assert_whole(slices, exemplar.latency_ns);
            assert_eq!(slices[0].0, exemplar.arrived_offset_ns);
        }
    }

    #[test]
    fn segments_that_do_not_fit_are_made_to() {
        let mut report = assessed(sample::whole());
        let exemplars = report.services[1].exemplars.as_mut().unwrap();
        exemplars[0].segments.clear();
        exemplars[1].segments.truncate(2);
        exemplars[2].segments[2].duration_ns = u64::MAX;
        let exemplars = exemplars.clone();
        let tracks: Vec<_> = tracks(&parsed(&report)).into_values().collect();
        for (slices, exemplar) in tracks.iter().zip(&exemplars) {
            assert_whole(slices, exemplar.latency_ns);
        }
        assert_eq!((tracks[0].len(), tracks[0][1].2.as_str()), (2, NOT_RECORDED));
        assert_eq!((tracks[1].len(), tracks[1][3].2.as_str()), (4, NOT_RECORDED));
        assert_eq!(tracks[2].len(), 4);
    }

    #[test]
    fn names_arguments_and_the_constitutional_hash_are_in_it() {
        let trace = parsed(&assessed(sample::whole()));
        assert_eq!(trace["metadata"]["constitutional_hash"], acgs_perf_common::CONSTITUTIONAL_HASH);
        let events = trace["traceEvents"].as_array().unwrap();
        let named = |kind: &str| -> Vec<&str> {
            let of = events.iter().filter(|event| event["name"] == kind);
            of.map(|event| event["args"]["name"].as_str().unwrap()).collect()
        };
        assert_eq!(named("process_name"), ["redis", "api"]);
        assert_eq!(named("thread_name")[0], "api #1 58.0 ms");
        let find = |name: &str| events.iter().find(|event| event["name"] == name).unwrap();
        let request = &find("request")["args"];
        assert_eq!(request["components"]["run_queue"], 400_000);
        assert_eq!((request["client"].as_str(), request["truncated"].as_bool()), (Some("10.0.0.7:51000"), Some(false)));
        assert!(request.get("segments").is_none());
        let wait = &find("run_queue")["args"];
        assert_eq!((wait["ran_instead"].as_str(), wait.get("woken_by")), (Some("stress-ng 99"), None));
        let call = find("downstream postgres");
        assert_eq!(
            (call["args"]["woken_by"].as_str(), call["cat"].as_str()),
            (Some("postgres 812"), Some("service time"))
        );
        assert_eq!(call["args"]["peer"], "127.0.0.1:5432");
        assert_eq!(find("queue_on_cpu")["cat"], "queue time");
        assert_eq!(find("reply")["cat"], "reply");
        // No track has the number of a process.
        let tracks: Vec<_> = events.iter().filter_map(|event| event["tid"].as_u64()).collect();
        // Four requests of eleven events; a thread with two turns for each, of three events.
        assert!(
            tracks.len() == 4 * 11 + 2 + 4 * 2 * 3 && tracks.iter().all(|track| *track > FIRST_TRACK),
            "{tracks:?}"
        );
    }

    #[test]
    fn without_exemplars_it_says_what_to_do() {
        let error = render(&assessed(sample::small())).unwrap_err().to_string();
        assert!(error.contains("no exemplars") && error.contains("attribution probe"), "{error}");
    }
}
