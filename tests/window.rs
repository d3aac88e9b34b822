//! The window: what the report calls its duration is the time in which was counted, however short.
//!
//! A server under an open loop of 2,000 requests/s is recorded for 10 ms, 100 ms and 1 s; the load generator logs when each
//! reply came. The count must be that of the replies inside the window, but for those near its edges: a reply is counted when
//! the server has sent it, and logged when the client has read it. The same of recordings that follow one another over the same
//! connections, some of them killed: with `ACGS_PERF_LONG` in the environment twenty of 3 s.

use std::thread;
use std::time::Duration;

use acgs_perf_load::log::Entry;
use acgs_perf_load::{Arrivals, Client, Load};
use acgs_perf_tests::clock;
use acgs_perf_tests::harness::{Service, need_root, program};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::tries::{near, one_of_three};
use acgs_perf_tests::truth::protocol;

const RATE: f64 = 2_000.0;
const EDGE_NS: u64 = 100_000;
/// Sent before the agent starts and until its report is written.
const LOAD: Duration = Duration::from_secs(6);

/// Records for `duration` under load; gives the report and the replies.
fn under_load(duration: &str) -> (Report, Vec<Entry>) {
    let server = Service::truth(program("truth-server"), &["--mode", "single"]).unwrap();
    let mut client = Client::new(server.address(), 8, protocol::messages(""), false).unwrap();
    client.open().unwrap();
    let load = Load {
        arrivals: Arrivals::Constant(RATE),
        requests: u64::MAX,
        duration: Some(LOAD),
        limit: LOAD * 2,
        seed: 1,
        log: true,
    };
    let replies = thread::spawn(move || client.load(&load).unwrap().log);
    thread::sleep(Duration::from_millis(100));
    let recording = Recorder::new("truth", &format!("port:{}", server.port)).duration(duration).start().unwrap();
    let (status, said, report) = recording.finish().unwrap();
    assert!(status.success(), "{said}");
    (report.unwrap(), replies.join().unwrap())
}

/// First and last moment of the window on the clock of the log.
fn window(report: &Report) -> (u64, u64) {
    let number = |field: &str| report.0["window"][field].as_u64().unwrap();
    let to_monotonic = clock::realtime_now() - clock::now();
    let start = number("start_unix_ns") - to_monotonic;
    (start, start + number("duration_ns"))
}

fn counts_its_window(duration: &str, ns: u64) {
    need_root();
    one_of_three(|_| {
        let (report, replies) = under_load(duration);
        let (start, end) = window(&report);
        let inside =
            |from: u64, to: u64| replies.iter().filter(|reply| (from..to).contains(&reply.done_ns)).count() as u64;
        let least = inside(start + EDGE_NS, end - EDGE_NS);
        let most = inside(start - EDGE_NS, end + EDGE_NS);
        let counted = report.requests("truth");
        println!("{duration}: window {} ns, {least} to {most} replies, {counted} counted", end - start);
        assert!(replies.iter().any(|reply| reply.done_ns > end + EDGE_NS), "the load ended before the recording");
        assert!(counted * 2 > (end - start) * 2 / 1_000_000, "hardly anything was counted: {counted}");
        // A busy machine ends it late, which the report then says.
        near(end - start < ns + ns / 2 + 20_000_000, || format!("{} ns for {duration}", end - start))?;
        near((least..=most).contains(&counted), || format!("{counted} counted, {least} to {most} replies"))?;
        near(report.integer("truth", "/requests/unanswered") <= 8, || "more unanswered than connections".to_owned())
    });
}

#[test]
fn ten_milliseconds() {
    counts_its_window("10ms", 10_000_000);
}

#[test]
fn a_tenth_of_a_second() {
    counts_its_window("100ms", 100_000_000);
}

#[test]
fn one_second() {
    counts_its_window("1s", 1_000_000_000);
}

#[test]
fn recordings_that_follow_one_another_over_the_same_connections() {
    need_root();
    const CONNECTIONS: usize = 100;
    let long = std::env::var_os("ACGS_PERF_LONG").is_some();
    let (recordings, duration) = if long { (20, "3s") } else { (4, "1s") };
    let server = Service::truth(program("truth-server"), &["--mode", "threads"]).unwrap();
    let mut client = Client::new(server.address(), CONNECTIONS, protocol::messages(""), false).unwrap();
    client.open().unwrap();
    let length = Duration::from_secs(recordings * if long { 5 } else { 3 });
    let load = Load {
        arrivals: Arrivals::Poisson(RATE),
        requests: u64::MAX,
        duration: Some(length),
        limit: length * 2,
        seed: 1,
        log: true,
    };
    let replies = thread::spawn(move || client.load(&load).unwrap().log);
    let record = || Recorder::new("truth", &format!("port:{}", server.port)).duration(duration).start().unwrap();
    let mut reports = Vec::new();
    for turn in 0..recordings {
        if turn % 2 == 1 {
            let mut killed = record();
            thread::sleep(Duration::from_millis(150));
            killed.kill().unwrap();
        }
        let (status, said, report) = record().finish().unwrap();
        assert!(status.success(), "{said}");
        reports.push(report.unwrap());
    }
    let replies = replies.join().unwrap();
    for report in reports {
        let (start, end) = window(&report);
        let overlapping =
            |from: u64, to: u64| replies.iter().filter(|one| (from..to).contains(&one.done_ns)).count() as u64;
        let counted = report.requests("truth");
        // Near the edges a reply of each connection may be under way.
        let (least, most) = (overlapping(start + EDGE_NS, end - EDGE_NS), overlapping(start - EDGE_NS, end + EDGE_NS));
        let longest = report.spread("truth", "/requests/latency").get("max_ns");
        println!("{counted} counted, {least} to {most} replies, the longest {longest} ns of {}", end - start);
        let edge = CONNECTIONS as u64 / 10;
        assert!((least.saturating_sub(edge)..=most + edge).contains(&counted), "{counted} of {least} to {most}");
        assert!(longest < end - start, "a latency longer than the recording: {longest} ns");
        assert!(replies.iter().any(|one| one.done_ns > end), "the load ended before the recording");
        report.assert_nothing_lost(counted);
    }
}
