//! CPU quota: time in which a control group held threads back is told apart from the run queue. The truth is the group's `cpu.stat`.

use std::process::Command;
use std::thread;
use std::time::Duration;

use acgs_perf_tests::causes::inject::Quota;
use acgs_perf_tests::harness::{Service, free_port, need_root, program};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::tries::{near, one_of_three};
use acgs_perf_tests::vm;
use acgs_perf_tests::waits::{Shares, ask};
use serde_json::Value;

/// The group's period; longer than anything is held back.
const PERIOD: Duration = Duration::from_millis(100);

/// Computes for each request, and has 10 ms of each 100 if `is_limited`. What was recorded, and how long the kernel says that it was held back.
fn recorded(is_limited: bool, clients: u64, each: u64) -> (Report, Duration) {
    need_root();
    let port = free_port().unwrap();
    let mut command = Command::new(program("wait-server"));
    let service = Service::start(command.args([&port.to_string(), "spin"]), port).unwrap();
    let quota = is_limited.then(|| Quota::new(service.pid(), 10_000, 100_000).unwrap());
    let recording = Recorder::new("computes", &format!("port:{port}")).start().unwrap();
    let throttled = || quota.as_ref().map_or(Duration::ZERO, |quota| quota.throttled().unwrap());
    let before = throttled();
    let asked = ask(&service, clients, each, Duration::from_millis(4));
    thread::sleep(2 * PERIOD);
    let truth = throttled() - before;
    let report = recording.stop().unwrap();
    report.assert_exact("computes", asked);
    (report, truth)
}

#[test]
fn what_a_quota_takes_is_what_the_kernel_says() {
    one_of_three(|_| {
        let (report, truth) = recorded(true, 1, 80);
        let shares = Shares::of(&report, "computes");
        let said = report.integer("computes", "/scheduler/cpu_quota_ns");
        println!("cpu.stat {truth:?}, said {said} ns: {shares:?}");
        assert!(truth > Duration::from_secs(1), "the quota was not used up: {truth:?}");
        let truth = truth.as_nanos() as u64;
        let ran_instead = report.service("computes")["scheduler"]["ran_instead"].as_array().unwrap();
        let instead: u64 = ran_instead.iter().filter_map(|who| who["wait_ns"].as_u64()).sum();
        near(instead * 5 < truth, || format!("{ran_instead:?}"))?;
        assert!(ran_instead.iter().all(|who| who["pid"] != 0 || who["comm"] == "others"), "{ran_instead:?}");
        let finding = report.0["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == "cpu_quota");
        let advice = finding.and_then(|finding| finding["recommendation"].as_str()).expect("a finding");
        assert!(advice.starts_with("raise the quota"), "{advice}");
        // One thread: it is held back while it works for a request. What others take of its CPU is run queue. In emulation it is as
        // often held back before it reads.
        near(shares.sum(&["cpu_quota"]) > vm::amount(60.0, 20.0), || format!("{shares:?}"))?;
        near(said.abs_diff(truth) * 10 < truth, || format!("said {said} ns, cpu.stat {truth} ns"))
    });
}

/// More threads than CPUs wait for each other, and not for a quota.
#[test]
fn without_a_quota_there_is_none() {
    let (report, _) = recorded(false, 6, 60);
    assert_eq!(report.integer("computes", "/scheduler/cpu_quota_ns"), 0);
    assert!(!report.found("cpu_quota"));
    let shares = Shares::of(&report, "computes");
    println!("{shares:?}");
    assert!(shares.sum(&["cpu_quota"]) < f64::EPSILON, "{shares:?}");
    assert_ne!(report.service("computes")["scheduler"]["run_queue_ns"], Value::Null);
}
