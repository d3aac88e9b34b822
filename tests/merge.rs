//! A thousand day captures into one, on a small machine: `acgs-perf merge` in bounded time and memory; and some of their reports.
//!
//! In: captures of a day each, made from a recording of some seconds. Out: the time and the largest resident set of the merge, and the
//! sums of the result. With `ACGS_PERF_LONG` in the environment (`cargo xtask test --long`) 1,000 captures, otherwise 40.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use acgs_perf::snapshot::file::{decode, encode};
use acgs_perf::snapshot::packed::pack;
use acgs_perf::snapshot::{Capture, Context, Interval, Timeline};
use acgs_perf_common::CONSTITUTIONAL_HASH;
use acgs_perf_tests::recording::agent;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;
/// Nearly as short as intervals of a day can be.
const EACH: u64 = 80;
const MAX_BYTES: usize = 1 << 20;
const MAX_RSS_BYTES: u64 = 200 << 20;
const MAX_TIME: Duration = Duration::from_secs(60);
/// Reports that are merged, each of another host.
const REPORTS: usize = 10;
/// Hosts; each has been recorded for several days.
const HOSTS: u64 = 50;

fn is_long() -> bool {
    std::env::var_os("ACGS_PERF_LONG").is_some()
}

fn fixture() -> Capture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../acgs-perf/fixtures/merge/four-services.capture");
    decode(&fs::read(path).unwrap()).unwrap().capture
}

/// A day of one service of the recording, interval by interval. With all four it would be 1.3 MB, and have half as many intervals.
fn day() -> Capture {
    let recorded = fixture();
    let intervals: Vec<Interval> = recorded.intervals.iter().collect();
    let (mut timeline, start_ns) = (Timeline::default(), recorded.context.start_ns);
    for at in 0..DAY / EACH {
        let mut interval = intervals[at as usize % intervals.len()].clone();
        interval.subjects.retain(|subject, _| subject.service != 1 && subject.service != 2 && subject.service != 3);
        interval.slowest.0.retain(|subject, _| subject.service == 0);
        interval.start_ns = start_ns + at * EACH * SECOND;
        interval.rest_start_ns = interval.start_ns;
        interval.len_ns = EACH * SECOND;
        timeline.push(interval);
    }
    let mut context = Context { duration_ns: DAY * SECOND, ..recorded.context };
    context.services.truncate(1);
    let mut exemplars = recorded.exemplars;
    exemplars.retain(|subject, _| subject.service == 0);
    Capture { context, intervals: timeline, exemplars }
}

/// The capture with another context, without packing all of it again.
fn with_context(capture: &[u8], context: &Context) -> Vec<u8> {
    let line = capture.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let len = |at: usize| u32::from_le_bytes(capture[at + 1..at + 5].try_into().unwrap()) as usize;
    let frame = |bytes: &mut Vec<u8>, kind: u8, payload: &[u8]| {
        bytes.push(kind);
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(payload);
    };
    let mut bytes = capture[..line].to_vec();
    assert!(std::str::from_utf8(&bytes).unwrap().contains(CONSTITUTIONAL_HASH));
    frame(&mut bytes, b'C', &pack(context).unwrap());
    let mut at = line + 5 + len(line);
    while capture[at] != b'E' {
        let next = at + 5 + len(at);
        bytes.extend_from_slice(&capture[at..next]);
        at = next;
    }
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    frame(&mut bytes, b'E', &pack(&digest).unwrap());
    bytes
}

fn write_days(directory: &Path, count: u64) -> (Vec<PathBuf>, usize) {
    let day = day();
    let bytes = encode(&day).unwrap();
    let mut files = Vec::new();
    for at in 0..count {
        let (host, day_of) = (at % HOSTS, at / HOSTS);
        let mut context = day.context.clone();
        context.host.name = format!("host{host:02}");
        // No two hosts have the same clock, and their intervals do not begin together.
        let later = day_of * DAY * SECOND + host * 777 * SECOND / 10;
        context.start_unix_ns += later;
        files.push(directory.join(format!("{at:04}.capture")));
        fs::write(files.last().unwrap(), with_context(&bytes, &context)).unwrap();
    }
    (files, bytes.len())
}

/// Runs the agent; gives its standard output, and the largest resident set.
fn measured(command: &mut Command) -> (String, Duration, u64) {
    let start = Instant::now();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let took = start.elapsed();
    // SAFETY: all-zero bytes are a `rusage`, which the call fills.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a `rusage` and outlives the call.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) }, 0);
    (String::from_utf8(output.stdout).unwrap(), took, usage.ru_maxrss as u64 * 1024)
}

fn requests(report: &Value) -> Vec<(String, u64)> {
    let services = report["services"].as_array().unwrap().iter();
    let mut all: Vec<_> = services
        .map(|service| (service["name"].as_str().unwrap().to_owned(), service["requests"]["count"].as_u64().unwrap()))
        .collect();
    all.sort();
    all
}

fn report(path: &Path) -> Value {
    let output = Command::new(agent()).arg("report").arg(path).args(["--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn day_captures_of_a_fleet_merge_in_bounded_time_and_memory() {
    let count = if is_long() { 1_000 } else { 40 };
    let directory = tempfile::tempdir().unwrap();
    let (files, size) = write_days(directory.path(), count);
    assert!((MAX_BYTES / 2..=MAX_BYTES).contains(&size), "{size} bytes");
    let merged = directory.path().join("merged.capture");
    let (said, took, rss_bytes) =
        measured(Command::new(agent()).arg("merge").args(&files).arg("--output").arg(&merged));
    println!("{count} captures of {size} bytes: {took:?}, {} MiB; {said}", rss_bytes >> 20);
    assert!(said.contains(&format!("{} captures of {} hosts", grouped(count), count.min(HOSTS))), "{said}");
    assert!(took <= MAX_TIME && rss_bytes <= MAX_RSS_BYTES, "{took:?}, {} MiB", rss_bytes >> 20);
    let (one, all) = (report(&files[0]), report(&merged));
    let expected: Vec<_> = requests(&one).into_iter().map(|(name, of_one)| (name, of_one * count)).collect();
    assert_eq!(requests(&all), expected);
    assert_eq!(all["hosts"].as_array().unwrap().len() as u64, count.min(HOSTS));
    verify(&merged);
    // The same of their reports, as far as reports go.
    let reports: Vec<PathBuf> = files.iter().take(REPORTS).map(|file| file.with_extension("json")).collect();
    for (file, to) in files.iter().zip(&reports) {
        let output = Command::new(agent()).arg("report").arg(file).args(["--format", "json"]).output().unwrap();
        fs::write(to, output.stdout).unwrap();
    }
    let merged = directory.path().join("merged.json");
    let (said, took, _) = measured(Command::new(agent()).arg("merge").args(&reports).arg("--output").arg(&merged));
    println!("{REPORTS} reports: {took:?}; {said}");
    assert!(said.contains(&format!("{REPORTS} reports of {REPORTS} hosts")) && took <= MAX_TIME, "{took:?}; {said}");
    let all = report(&merged);
    let expected: Vec<_> = requests(&one).into_iter().map(|(name, of_one)| (name, of_one * REPORTS as u64)).collect();
    assert_eq!((requests(&all), all["hosts"].as_array().unwrap().len()), (expected, REPORTS));
    let latency = |report: &Value| report["services"][0]["requests"]["latency"].clone();
    assert_eq!(
        (&latency(&all)["p50_ns"], &latency(&all)["mean_ns"]),
        (&latency(&one)["p50_ns"], &latency(&one)["mean_ns"])
    );
    verify(&merged);
}

fn verify(file: &Path) {
    let verified = Command::new(agent()).arg("verify").arg(file).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

fn grouped(count: u64) -> String {
    if count < 1000 { count.to_string() } else { format!("{},{:03}", count / 1000, count % 1000) }
}
