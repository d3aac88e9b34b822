//! Bad input: one line that says what, where and what to do; exit 2; nothing written and nothing lost.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_tests::bpf;
use acgs_perf_tests::harness::{Service, free_port, need_root, program, run};

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::recording::{Recorder, agent, says_attached};
use acgs_perf_tests::report::Report;
use acgs_perf_tests::vm;
use serde_json::Value;

const NOBODY: u32 = 65534;

fn truth() -> Service {
    Service::truth(program("truth-server"), &["--mode", "threads"]).unwrap()
}

fn port(service: &Service) -> String {
    format!("port:{}", service.port)
}

/// The agent refuses: exit 2, one line with these words, soon.
#[track_caller]
fn refuses(arguments: &[&str], words: &[&str]) {
    refused(Command::new(agent()).args(arguments), words);
}

#[track_caller]
fn refused(command: &mut Command, words: &[&str]) {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{command:?}: {text}");
    assert!(start.elapsed() < vm::patient(Duration::from_secs(10)), "{command:?} took {:?}", start.elapsed());
    // A command is started once the agent is attached, so that it may have said that it is.
    let complaint = |line: &&str| !line.trim().is_empty() && !says_attached(line);
    let lines: Vec<&str> = text.lines().filter(complaint).collect();
    assert_eq!(lines.len(), 1, "{command:?} says more or less than one line: {text}");
    for word in words {
        assert!(text.contains(word), "{command:?} does not name {word:?}: {text}");
    }
}

/// `record` refuses, and writes nothing.
#[track_caller]
fn record_refuses(arguments: &[&str], words: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("report.json").display().to_string();
    let mut all = vec!["record", "--output", &output];
    all.extend(arguments);
    refuses(&all, words);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{arguments:?} left a file");
}

#[test]
fn without_root() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let copy = directory.path().join("acgs-perf");
    fs::copy(agent(), &copy).unwrap();
    let mut command = Command::new(copy);
    // With the user goes every supplementary group: the standard library clears them.
    command.uid(NOBODY).gid(NOBODY).current_dir(directory.path());
    refused(command.args(["record", "--service", &format!("x={}", port(&server)), "--duration", "1s"]), &["root"]);
}

#[test]
fn a_bad_selector() {
    need_root();
    for (selector, word) in [
        ("x=colour:blue", "colour"),
        ("x=port:http", "http"),
        ("x=port:99999", "99999"),
        ("x=port:", "port"),
        ("x=", "x"),
        ("port", "port"),
        ("x=pid:minus", "minus"),
        ("x=cmdline:[", "["),
    ] {
        record_refuses(&["--duration", "30s", "--service", selector], &[word]);
    }
}

#[test]
fn a_pid_that_does_not_exist() {
    need_root();
    record_refuses(&["--duration", "30s", "--service", "x=pid:4194303"], &["4194303"]);
}

#[test]
fn a_selector_that_matches_nothing_is_answered_with_what_listens() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let nobody = format!("nobody=port:{}", free_port().unwrap());
    let mut command = Command::new(agent());
    command.args(["record", "--duration", "30s", "--service", &nobody, "--output"]);
    let output = command.arg(directory.path().join("report.json")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.lines().next().is_some_and(|line| line.contains(&nobody)), "{text}");
    // The flag to profile what does listen.
    assert!(text.contains("--service") && text.contains(&port(&server)), "{text}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_udp_port_is_not_measured() {
    need_root();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    let selector = format!("dns=port:{port}");
    record_refuses(&["--duration", "30s", "--service", &selector], &[&format!("port:{port}"), "UDP is not measured"]);
    let waits = Command::new(agent()).args(["record", "--wait=300ms", "--service", &selector]).output().unwrap();
    let said = String::from_utf8(waits.stderr).unwrap();
    let told: Vec<_> = said.lines().filter(|line| line.contains("UDP is not measured")).collect();
    // When it begins to wait, and at its end.
    assert!(waits.status.code() == Some(2) && told.len() == 2 && said.lines().last() == told.last().copied(), "{said}");
    let listing = run(Command::new(agent()).args(["services", "--format", "json"])).unwrap();
    let listing: Value = serde_json::from_str(&listing).unwrap();
    let listed = listing["udp"].as_array().unwrap();
    assert!(listed.iter().any(|socket| socket["address"] == format!("127.0.0.1:{port}")), "{listing}");
    // A port on both: TCP is recorded, and the report says what is not.
    let both = |_| {
        let tcp = TcpListener::bind("127.0.0.1:0").ok()?;
        let port = tcp.local_addr().ok()?.port();
        Some((UdpSocket::bind(("127.0.0.1", port)).ok()?, tcp, port))
    };
    let (_udp, _tcp, port) = (0..100).find_map(both).expect("no port is free on both");
    let recording = Recorder::new("dns", &format!("port:{port}")).duration("1s").start().unwrap();
    let (status, said, report) = recording.finish().unwrap();
    let report = report.expect("no report");
    assert!(status.success() && said.contains("UDP"), "{status}: {said}");
    assert_eq!(report.service("dns")["udp_ports"], serde_json::json!([port]));
    assert!(report.found("udp_not_measured"));
}

#[test]
fn a_pid_that_dies_during_the_recording() {
    need_root();
    let server = truth();
    let pid = server.pid();
    let recording = Recorder::new("dying", &format!("pid:{pid}")).duration("3s").start().unwrap();
    let mut client = Client::connect(server.address(), 2, &[1; 64], 64).unwrap();
    client.run(Plan { rate: None, requests: 500, limit: Duration::from_secs(10) }).unwrap();
    server.stop().unwrap();
    let (status, said, report) = recording.finish().unwrap();
    assert!(status.success(), "{status}: {said}");
    report.expect("no report").assert_exact("dying", 500);
    assert!(said.contains("ended") || said.contains("exited") || said.contains("died"), "does not say so: {said}");
}

#[test]
fn a_duration_of_nothing_or_for_ever() {
    need_root();
    let server = truth();
    let service = format!("x={}", port(&server));
    for duration in ["0", "0s", "-1s", "soon", "", "1000000000000h", "5 parsecs"] {
        record_refuses(&["--service", &service, &format!("--duration={duration}")], &["duration"]);
    }
}

#[test]
fn an_unknown_probe() {
    need_root();
    let server = truth();
    let service = format!("x={}", port(&server));
    record_refuses(&["--service", &service, "--duration", "30s", "--probes", "request,astrology"], &["astrology"]);
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_recording() {
    need_root();
    let server = truth();
    let service = format!("x={}", port(&server));
    for path in ["/proc/report.json", "/nonexistent/report.json", "/tmp"] {
        refuses(&["record", "--service", &service, "--duration", "30s", "--output", path], &[path]);
    }
}

#[test]
fn a_configuration_with_an_unknown_key() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("acgs-perf.toml");
    fs::write(&path, "colour = \"blue\"\n").unwrap();
    let path = path.display().to_string();
    record_refuses(&["--duration", "30s", "--config", &path], &["colour", &path]);
    record_refuses(&["--duration", "30s", "--config", "/nonexistent.toml"], &["/nonexistent.toml"]);
}

fn a_report(directory: &Path) -> Vec<u8> {
    let server = truth();
    let path = directory.join("good.json");
    let mut command = Command::new(agent());
    command.args(["record", "--duration", "1s", "--service", &format!("truth={}", port(&server)), "--output"]);
    run(command.arg(&path)).unwrap();
    run(Command::new(agent()).arg("verify").arg(&path)).unwrap();
    fs::read(&path).unwrap()
}

#[test]
fn a_report_file_that_is_truncated_or_foreign_or_newer() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let good = a_report(directory.path());
    let mut newer: Value = serde_json::from_slice(&good).unwrap();
    newer["schema_version"] = Value::from(4_000_000);
    let path = directory.path().join("bad.json").display().to_string();
    let newer = serde_json::to_vec(&newer).unwrap();
    for bytes in [&good[..good.len() / 2], b"", b"latency: bad\n", b"{}", &newer] {
        fs::write(&path, bytes).unwrap();
        for verb in ["report", "verify"] {
            refuses(&[verb, &path], &[&path]);
        }
    }
    refuses(&["report", "/nonexistent.json"], &["/nonexistent.json"]);
}

#[test]
fn one_flipped_byte_anywhere_is_found() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let good = a_report(directory.path());
    let path = directory.path().join("bad.json");
    let step = (good.len() / 150).max(1);
    for position in (0..good.len()).step_by(step) {
        let mut bytes = good.clone();
        bytes[position] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let output = Command::new(agent()).arg("verify").arg(&path).output().unwrap();
        let code = output.status.code();
        let around = String::from_utf8_lossy(&bytes[position.saturating_sub(30)..(position + 30).min(bytes.len())]);
        assert!(matches!(code, Some(1 | 2)), "byte {position} flipped, exit {code:?}: …{around}…");
    }
}

#[test]
fn two_agents_at_once_count_the_same() {
    need_root();
    let server = truth();
    let one = Recorder::new("one", &port(&server)).start().unwrap();
    let two = Recorder::new("two", &port(&server)).start().unwrap();
    let mut client = Client::connect(server.address(), 4, &[1; 64], 64).unwrap();
    client.run(Plan { rate: None, requests: 5_000, limit: Duration::from_secs(30) }).unwrap();
    one.stop().unwrap().assert_exact("one", 5_000);
    two.stop().unwrap().assert_exact("two", 5_000);
}

/// Sends a signal to an agent under load; gives its exit code, its report, and what it had loaded.
fn signalled_with(signal: i32) -> (Option<i32>, Option<Report>, BTreeSet<bpf::Loaded>) {
    use std::os::unix::process::ExitStatusExt;
    let server = truth();
    let recording = Recorder::new("truth", &port(&server)).start().unwrap();
    let mut client = Client::connect(server.address(), 4, &[1; 64], 64).unwrap();
    client.run(Plan { rate: None, requests: 1_000, limit: Duration::from_secs(30) }).unwrap();
    thread::sleep(Duration::from_millis(200));
    let loaded = bpf::loaded_by(recording.pid());
    recording.signal(signal).unwrap();
    let (status, _, report) = recording.finish().unwrap();
    (status.code().or_else(|| status.signal().map(|signal| -signal)), report, loaded)
}

fn signalled(signal: i32) -> (Option<i32>, Option<Report>) {
    let (code, report, _) = signalled_with(signal);
    (code, report)
}

#[test]
fn sigint_ends_early_with_a_report() {
    need_root();
    let (code, report) = signalled(libc::SIGINT);
    assert_eq!(code, Some(0));
    report.expect("no report").assert_exact("truth", 1_000);
}

#[test]
fn sigterm_ends_early_with_a_report() {
    need_root();
    let (code, report) = signalled(libc::SIGTERM);
    assert_eq!(code, Some(143));
    report.expect("no report").assert_exact("truth", 1_000);
}

#[test]
fn sigkill_leaves_nothing_behind() {
    need_root();
    let (code, report, loaded) = signalled_with(libc::SIGKILL);
    assert!(loaded.len() > 10, "{loaded:?}");
    assert_eq!(code, Some(-libc::SIGKILL));
    assert!(report.is_none());
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let left = bpf::still_there(&loaded).unwrap();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "left behind: {left:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_failing_command_hands_on_its_exit_code() {
    need_root();
    let server = truth();
    let service = format!("x={}", port(&server));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let mut command = Command::new(agent());
    command.args(["record", "--service", &service, "--output"]).arg(&path).arg("--").arg(program("truth-waits"));
    command.args(["exit", "--count", "7"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    Report::read(&path).unwrap();
    refuses(
        &["record", "--service", &service, "--output", "-", "--", "/nonexistent/program"],
        &["/nonexistent/program"],
    );
}
