//! Known delays on the running kernel: each lands in the right class, in the right bucket, the right number of times.
//!
//! The waiting program is started and stands still before the agent attaches; it measures its own waits.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use acgs_perf_tests::harness::{end, need_root, program, target};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::tries::{near, one_of_three};
use acgs_perf_tests::vm;
use serde_json::Value;

const MILLISECOND: u64 = 1_000_000;
const COUNT: u64 = 50;

struct Waits(Child, BufReader<ChildStdout>);

impl Drop for Waits {
    fn drop(&mut self) {
        end(&mut self.0, libc::SIGTERM);
    }
}

impl Waits {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(program("truth-waits"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut waits = Self(child, output);
        assert_eq!(waits.line(), "ready\n");
        waits
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line
    }

    fn begin(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Records the waits; gives the report and what the program measured.
    fn record(mut self) -> (Report, Value) {
        let recording = Recorder::new("waits", &format!("pid:{}", self.0.id())).start().unwrap();
        self.begin();
        let measured = serde_json::from_str(&self.line()).unwrap();
        (recording.stop().unwrap(), measured)
    }
}

fn times(measured: &Value) -> Vec<u64> {
    measured["times_ns"].as_array().unwrap().iter().map(|time| time.as_u64().unwrap()).collect()
}

/// How often the program blocked in its waits, by the kernel's own count. A thread that is preempted, or whose virtual CPU
/// stands still, on its way into a wait until the wait is over does not block; that is rare.
fn blocked(measured: &Value, count: u64) -> u64 {
    let voluntary = measured["voluntary"].as_u64().unwrap();
    assert!(voluntary <= count && voluntary + count / 10 >= count, "{count} waits, blocked {voluntary} times");
    voluntary
}

/// All waits, and nothing else, are in this class, and each is as long as the program found, less the way in and out.
///
/// A wake-up that comes while the thread is still switching out makes its wait one for a CPU (docs/probes.md). Where the host
/// stops a virtual CPU at that moment it happens to one wait in some thousand: one run in three has to be without it.
fn in_class(class: &str, kind: &str, ns: u64) {
    need_root();
    one_of_three(|_| waits_in_class(class, kind, ns));
}

/// One run.
fn waits_in_class(class: &str, kind: &str, ns: u64) -> Result<(), String> {
    let count = COUNT.to_string();
    let (report, measured) = Waits::start(&[kind, "--count", &count, "--ns", &ns.to_string()]).record();
    let spread = report.spread("waits", &format!("/scheduler/blocked/{class}"));
    let waits = blocked(&measured, COUNT);
    let seen = spread.get("count");
    assert!((waits - waits / 10..=waits).contains(&seen), "{class}: {seen} of {waits} waits: {spread:?}");
    let times = times(&measured);
    let longest = times[times.len() - 1];
    // A bucket's width beside the exact length at both ends. In emulation up to a millisecond passes between the call, from
    // which the length counts, and the switch.
    let (low, high) = (ns - ns / vm::amount(100, 3), longest + longest / 100);
    report.assert_nothing_lost(COUNT);
    near(seen == waits, || format!("{class}: {seen} of {waits} waits"))?;
    near(spread.between(low, high) == seen, || format!("{class} between {low} and {high}: {spread:?}"))?;
    // The program's own times hold its wait for a CPU too.
    let (p50, middle) = (spread.get("p50_ns"), times[times.len() / 2]);
    near((low..=middle + middle / 100).contains(&p50), || format!("{class}: p50 {p50}, the program's own {middle}"))
}

#[test]
fn a_sleep_is_sleep() {
    in_class("sleep", "sleep", 5 * MILLISECOND);
}

#[test]
fn a_futex_is_lock() {
    in_class("lock", "futex", 7 * MILLISECOND);
}

#[test]
fn epoll_is_poll() {
    in_class("poll", "epoll", 3 * MILLISECOND);
}

#[test]
fn an_fsync_is_disk() {
    need_root();
    // A file on the disk that holds the build, since /tmp may be in memory.
    let directory = tempfile::tempdir_in(target()).unwrap();
    let file = directory.path().join("file").display().to_string();
    let (report, measured) = Waits::start(&["fsync", "--count", "50", "--file", &file]).record();
    let spread = report.spread("waits", "/scheduler/blocked/disk");
    // One fsync waits for its data, and then perhaps for the journal.
    let (count, times) = (spread.get("count"), times(&measured));
    assert!((COUNT..=6 * COUNT).contains(&count), "{count} waits in {COUNT} calls");
    let own = |field: &str| measured[field].as_u64().unwrap();
    // What the program did not run, nor wait for a CPU, it waited for the disk. Where the host takes the virtual CPU away,
    // that is in the calls too, but in none of the kernel's accounts: the wide bound is for that.
    let waited = own("sum_ns").saturating_sub(own("run_delay_ns") + own("cpu_ns"));
    let blocked = spread.get("time_ns");
    assert!(blocked <= own("sum_ns") && blocked * 4 >= waited, "blocked for {blocked} ns of {waited} ns: {measured}");
    // Each time that it gave up its CPU was for the disk.
    let switches = own("voluntary");
    assert!((switches - switches / 10..=switches).contains(&count), "{count} waits, {switches} switches");
    assert!(spread.get("max_ns") <= times[times.len() - 1] * 101 / 100, "longer than the longest call: {spread:?}");
    report.assert_nothing_lost(COUNT);
}

#[test]
fn waiting_behind_a_pinned_spinner_is_run_queue() {
    need_root();
    one_of_three(|_| {
        // Until it is ended, or longer than the agent takes to attach in emulation.
        let mut spinner = Waits::start(&["spin", "--count", "1", "--ns", "300000000000", "--cpu", "1"]);
        spinner.begin();
        let second = (1000 * MILLISECOND).to_string();
        let (report, measured) = Waits::start(&["spin", "--count", "2", "--ns", &second, "--cpu", "1"]).record();
        let kernel = measured["run_delay_ns"].as_u64().unwrap();
        near(kernel > 500 * MILLISECOND, || format!("the spinner took no CPU time: {measured}"))?;

        let spread = report.spread("waits", "/scheduler/run_queue");
        let waited = report.integer("waits", "/scheduler/run_queue_ns");
        report.assert_nothing_lost(COUNT);
        near(waited.abs_diff(kernel) * vm::amount(50, 10) <= kernel, || {
            format!("run queue {waited} ns, by the kernel's own count {kernel} ns")
        })?;
        // Two that want one CPU take turns of some milliseconds.
        let long = spread.between(MILLISECOND, 100 * MILLISECOND);
        near(long * 100 * MILLISECOND >= kernel / 2, || {
            format!("{long} waits of 1 to 100 ms add up to less than {kernel} ns")
        })?;
        near(spread.get("max_ns") < 1000 * MILLISECOND, || format!("{spread:?}"))
    });
}

#[test]
fn sleeps_without_a_spinner_wait_little_for_a_cpu() {
    need_root();
    one_of_three(|_| {
        let (report, measured) = Waits::start(&["sleep", "--count", "200", "--ns", "1000000"]).record();
        let spread = report.spread("waits", "/scheduler/run_queue");
        report.assert_nothing_lost(200);
        // Each time that it gave up its CPU ends with one wait for a CPU; before and after the sleeps there are a few more.
        let given_up = blocked(&measured, 200) + measured["involuntary"].as_u64().unwrap();
        let ended = spread.get("count");
        near((given_up..=given_up + 20).contains(&ended), || format!("gave up {given_up} times: {spread:?}"))?;
        let waited = report.integer("waits", "/scheduler/run_queue_ns");
        let kernel = measured["run_delay_ns"].as_u64().unwrap();
        // Between the wake-up and the moment from which the kernel counts an interrupt of another CPU may lie; emulation
        // takes long.
        let between = vm::amount(10, 200) * MILLISECOND;
        near(waited < kernel + between, || format!("run queue {waited} ns, by the kernel's own count {kernel} ns"))
    });
}
