//! Two recordings of the same service have nothing to tell, and one whose requests sleep for longer is told, with the sleep for its cause.
//!
//! In: truth servers under an open load, recorded with `--capture`. Out: what `diff` says, and its exit code.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use acgs_perf_load::{Arrivals, Client, Load, Messages};
use acgs_perf_tests::harness::{Service, need_root, program};
use acgs_perf_tests::recording::{Recorder, agent};
use serde_json::Value;

const RATE: f64 = 400.0;
const SECONDS: u64 = 5;

/// Records a server that sleeps so long for each request.
fn record(to: &Path, name: &str, sleep_us: u32) -> PathBuf {
    let service = format!("lognormal:{sleep_us},0.2");
    let arguments = ["--mode", "threads", "--work", "sleep", "--service", &service];
    let server = Service::truth(program("truth-server"), &arguments).unwrap();
    let capture = to.join(name);
    let recorder = Recorder::new("truth", &format!("port:{}", server.port)).arg("--interval").arg("100ms");
    let recording = recorder.arg("--capture").arg(capture.to_str().unwrap()).start().unwrap();
    let mut client = Client::new(server.address(), 16, Messages::fixed(vec![0; 64], 64), false).unwrap();
    client.open().unwrap();
    let load = Load {
        arrivals: Arrivals::Poisson(RATE),
        requests: u64::MAX,
        duration: Some(Duration::from_secs(SECONDS)),
        limit: Duration::from_secs(30),
        seed: 3,
        log: false,
    };
    client.load(&load).unwrap();
    recording.stop().unwrap();
    capture
}

fn diff(old: &Path, new: &Path, arguments: &[&str]) -> Output {
    Command::new(agent()).arg("diff").args([old, new]).args(arguments).output().unwrap()
}

#[test]
fn a_longer_sleep_is_told_and_the_same_one_is_not() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    // At the same time: what else the machine does, it does to all of them.
    let [old, same, slow] = thread::scope(|scope| {
        let to = directory.path();
        let recordings = [("old", 3_000), ("same", 3_000), ("slow", 4_000)];
        recordings.map(|(name, us)| scope.spawn(move || record(to, name, us))).map(|one| one.join().unwrap())
    });
    let quiet = diff(&old, &same, &["--fail-on", "regression"]);
    assert_eq!(quiet.status.code(), Some(0), "{quiet:?}");
    let told = diff(&old, &slow, &["--fail-on", "component:sleep>+500us", "--format", "json"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stderr).contains("check failed: truth: sleep +"), "{told:?}");
    let comparison: Value = serde_json::from_slice(&told.stdout).unwrap();
    let figures = comparison["services"][0]["figures"].as_array().unwrap();
    let sleep = figures.iter().find(|figure| figure["name"] == "sleep").unwrap();
    // The mean of the sleeps is a millisecond longer, and what the kernel's timers add.
    let shift = sleep["shift"].as_f64().unwrap();
    assert!((900_000.0..1_200_000.0).contains(&shift), "{sleep}");
    let text = diff(&old, &slow, &["--fail-on", "rate<-50%"]);
    assert_eq!(text.status.code(), Some(0));
    let text = String::from_utf8(text.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("sleeping of its own accord"), "{text}");
    // On a host that was busier the second time it says so, of all that is not the sleep.
    let is_of_others = text.contains("while others used the CPUs");
    assert!(text.contains("WORSE") || is_of_others, "{text}");
    let markdown = String::from_utf8(diff(&old, &slow, &["--format", "markdown"]).stdout).unwrap();
    assert!(markdown.contains("### truth: worse") || is_of_others, "{markdown}");
}
