//! gunicorn with three sync workers, and with workers forked after the agent attached: every request counted.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_tests::harness::{Service, fixture, free_port, need_root, python, run};
use acgs_perf_tests::recording::Recorder;

fn command(port: u16) -> Command {
    command_of("wsgi:app", port)
}

fn command_of(application: &str, port: u16) -> Command {
    let mut command = Command::new(python("gunicorn").unwrap());
    command.arg(application).arg("--chdir").arg(fixture("")).args(["--workers", "3", "--worker-class", "sync"]);
    command.args(["--bind", &format!("127.0.0.1:{port}"), "--log-level", "warning", "--no-control-socket"]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn gunicorn() -> Service {
    let port = free_port().unwrap();
    Service::start(&mut command(port), port).unwrap()
}

/// A sync worker closes the connection after its reply, so each request has one of its own.
fn load(port: u16, requests: u64) {
    let url = format!("http://127.0.0.1:{port}/");
    let text = run(Command::new("ab").args(["-q", "-n", &requests.to_string(), "-c", "6", &url])).unwrap();
    assert!(text.contains(&format!("Complete requests:      {requests}\n")), "{text}");
    assert!(!text.contains("Non-2xx"), "{text}");
}

fn workers(master: u32) -> Vec<u32> {
    let path = format!("/proc/{master}/task/{master}/children");
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within 20 s");
        thread::sleep(Duration::from_millis(50));
    }
    // A new worker has yet to begin to accept.
    thread::sleep(Duration::from_millis(500));
}

#[test]
fn counts_what_three_workers_answered() {
    need_root();
    let service = gunicorn();
    let recording = Recorder::new("gunicorn", &format!("port:{}", service.port)).start().unwrap();
    load(service.port, 6_000);
    recording.stop().unwrap().assert_exact("gunicorn", 6_000);
}

#[test]
fn counts_what_a_worker_added_during_the_recording_answered() {
    need_root();
    let service = gunicorn();
    let recording = Recorder::new("gunicorn", &format!("port:{}", service.port)).start().unwrap();
    let before = workers(service.pid());
    service.signal(libc::SIGTTIN).unwrap();
    wait_for("a fourth worker", || workers(service.pid()).len() == before.len() + 1);
    load(service.port, 6_000);
    recording.stop().unwrap().assert_exact("gunicorn", 6_000);
}

#[test]
fn counts_what_workers_answered_that_replaced_others() {
    need_root();
    let service = gunicorn();
    let recording = Recorder::new("gunicorn", &format!("port:{}", service.port)).start().unwrap();
    let before = workers(service.pid());
    load(service.port, 1_000);
    service.signal(libc::SIGHUP).unwrap();
    wait_for("three new workers", || {
        let now = workers(service.pid());
        now.len() == 3 && now.iter().all(|pid| !before.contains(pid))
    });
    load(service.port, 3_000);
    recording.stop().unwrap().assert_exact("gunicorn", 4_000);
}

#[test]
fn one_slow_worker_of_three_is_found() {
    need_root();
    let counts = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let service = Service::start(command_of("workers_wsgi:app", port).env("COUNTS", counts.path()), port).unwrap();
    let recording = Recorder::new("gunicorn", &format!("port:{port}")).start().unwrap();
    load(port, 12_000);
    let report = recording.stop().unwrap();
    report.assert_exact("gunicorn", 12_000);
    let of = |file: &str| std::fs::read_to_string(counts.path().join(file)).unwrap();
    let rows = report.service("gunicorn")["workers"].as_array().unwrap();
    let pids: Vec<&str> = rows.iter().map(|row| row["pid"].as_str().unwrap()).collect();
    assert_eq!(pids.len(), workers(service.pid()).len(), "{rows:?}");
    for row in rows {
        let answered = of(&format!("pid-{}", row["pid"].as_str().unwrap())).len();
        assert_eq!(row["requests"].as_u64(), Some(answered as u64), "{rows:?}");
    }
    let findings = report.0["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["id"] == "slow_worker");
    let found = found.unwrap_or_else(|| panic!("not found: {rows:?}"));
    let who = found["figures"][0]["of"].as_str().unwrap();
    assert!(who.ends_with(&format!("({})", of("slow_pid"))), "{found}");
}

fn a_late_start_is_counted(port: u16, selector: &str) {
    need_root();
    // A recording needs something to record when it begins: this process.
    let this = format!("this=pid:{}", std::process::id());
    let recording = Recorder::new("gunicorn", selector).arg("--service").arg(&this).start().unwrap();
    let service = Service::start(&mut command(port), port).unwrap();
    wait_for("three workers", || workers(service.pid()).len() == 3);
    // The agent looks for new listeners about once a second.
    thread::sleep(Duration::from_secs(2));
    load(port, 3_000);
    recording.stop().unwrap().assert_exact("gunicorn", 3_000);
}

#[test]
fn counts_a_service_that_starts_after_the_agent_by_its_command_line() {
    let port = free_port().unwrap();
    a_late_start_is_counted(port, &format!("cmdline:127.0.0.1:{port}"));
}

#[test]
fn counts_a_service_that_starts_after_the_agent_by_its_port() {
    let port = free_port().unwrap();
    a_late_start_is_counted(port, &format!("port:{port}"));
}
