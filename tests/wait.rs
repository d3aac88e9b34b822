//! `record --wait`: a service that does not run yet is waited for, and the window begins when it runs; nobody waits for ever.
//!
//! In: an `echo-server` that is started when the agent has said that it waits. Out: every request of it, in a window of the length that was
//! asked for.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_tests::bpf::loaded_by;
use acgs_perf_tests::harness::{end, free_port, need_root, wait};
use acgs_perf_tests::listening::{Server, ask_on, tcp};
use acgs_perf_tests::recording::{Recorder, agent};

const CONNECTIONS: u64 = 4;
const EACH: u64 = 25;
/// The service is away for so long after the agent waits.
const AWAY: Duration = Duration::from_millis(1_500);

fn server(port: u16) -> Server {
    Server::start(["--port", &port.to_string()]).unwrap()
}

#[test]
fn the_window_begins_when_the_service_runs() {
    need_root();
    let port = free_port().unwrap();
    let later = thread::spawn(move || {
        thread::sleep(AWAY);
        server(port)
    });
    let begun = Instant::now();
    let recording = Recorder::new("late", &format!("port:{port}")).arg("--wait=60s").duration("2s").start().unwrap();
    assert!(begun.elapsed() >= AWAY, "it has not waited");
    let server = later.join().unwrap();
    ask_on(CONNECTIONS, EACH, || tcp(port)).unwrap();
    let (status, said, report) = recording.finish().unwrap();
    assert!(status.success(), "{said}");
    let waiting = format!("nothing matches late (port:{port}); waiting for it, at most 1m");
    assert!(said.contains(&waiting), "{said}");
    assert!(said.contains(&format!("recording late (pid {}) for 2s", server.pid())), "{said}");
    let report = report.unwrap();
    report.assert_exact("late", CONNECTIONS * EACH);
    let length = report.0["window"]["duration_ns"].as_u64().unwrap();
    assert!((1_900_000_000..3_000_000_000).contains(&length), "the wait is no part of the window: {length}");
}

#[test]
fn each_service_that_was_named_is_waited_for() {
    need_root();
    let [one, other] = [(); 2].map(|()| free_port().unwrap());
    let _runs = server(one);
    let later = thread::spawn(move || {
        thread::sleep(AWAY);
        server(other)
    });
    let recording = Recorder::new("one", &format!("port:{one}"))
        .arg("--service")
        .arg(&format!("other=port:{other}"))
        .arg("--wait")
        .duration("1s")
        .start()
        .unwrap();
    let later = later.join().unwrap();
    let (status, said, _) = recording.finish().unwrap();
    assert!(status.success() && said.contains(&format!("other (pid {})", later.pid())), "{said}");
    assert!(said.contains(&format!("nothing matches other (port:{other}); waiting for it, at most 10m")), "{said}");
}

#[test]
fn nobody_waits_longer_than_was_said() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(agent());
        command.args(["record", "--output"]).arg(directory.path().join("report.json")).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let service = format!("late=port:{}", free_port().unwrap());
    let output = run(&["--service", &service, "--wait=400ms"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("after 400ms of --wait"), "{said}");
    for wrong in [&["--all", "--wait"][..], &["--service", &service, "--wait", "--", "true"], &["--wait=soon"]] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(!directory.path().join("report.json").exists(), "no report of nothing");
}

#[test]
fn a_signal_ends_the_wait_with_nothing_attached() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Command::new(agent())
        .args(["record", "--wait", "--service", &format!("late=port:{}", free_port().unwrap()), "--output"])
        .arg(directory.path().join("report.json"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(800));
    let attached = loaded_by(agent.id());
    let is_there = Path::new(&format!("/proc/{}", agent.id())).exists();
    // SAFETY: kill takes two integers; the process is this test's own child, which nobody has waited for.
    unsafe { libc::kill(agent.id() as i32, libc::SIGTERM) };
    let status = wait(&mut agent, Duration::from_secs(10)).unwrap();
    end(&mut agent, libc::SIGKILL);
    let mut said = String::new();
    agent.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(is_there && attached.is_empty(), "it waits, and has attached {attached:?}: {said}");
    assert!(status.is_some_and(|status| !status.success()), "{said}");
    assert!(!directory.path().join("report.json").exists());
}
