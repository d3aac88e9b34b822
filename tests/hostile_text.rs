//! Text that others choose: names, paths and files that try to drive the terminal, to forge a line, or to join a service.
//!
//! In: a server whose command name and socket path hold escape sequences and newlines; configurations and reports with the same.
//! Out: no character on standard output or standard error that acts on a terminal, and no member that is none.

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use acgs_perf_tests::harness::{Service, free_port, need_root, program};
use acgs_perf_tests::recording::agent;
use acgs_perf_tests::report::Report;
use serde_json::Value;
use tempfile::TempDir;

const NAME: &str = "\x1b]0;x\x07\u{202e}";
const SOCKET: &str = "\x1b[2J\u{9b}2J\n  --service forged=port:1   (pid 1, init)";

/// Whether a character acts on a terminal; newlines are for the tests to count.
fn acts(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn run(arguments: &[&str]) -> Output {
    Command::new(agent()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What the agent writes, which must be clean.
#[track_caller]
fn clean(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!text.contains(acts), "{arguments:?}: {text:?}");
    (output.status.code(), text)
}

/// A server with the command name, which listens on a port and on the socket.
fn server() -> (Service, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join(NAME);
    fs::copy(program("hostile-server"), &copy).unwrap();
    let (port, socket) = (free_port().unwrap(), directory.path().join(SOCKET));
    let mut command = Command::new(copy);
    command.args(["echo", "--port", &port.to_string(), "--unix"]).arg(&socket);
    (Service::start_in(&mut command, port, directory).unwrap().ends_on(libc::SIGKILL), socket)
}

#[test]
fn a_name_and_a_path_neither_drive_the_terminal_nor_forge_a_line() {
    need_root();
    let (server, _socket) = server();
    let pid = format!("(pid {}, ", server.pid());
    let (code, text) = clean(&["services"]);
    assert_eq!(code, Some(0));
    let own: Vec<&str> = text.lines().filter(|line| line.contains(&pid)).collect();
    assert!(own.iter().any(|line| line.contains(&format!("port:{}", server.port))), "{text}");
    assert!(own.iter().all(|line| line.ends_with("?]0;x??)")), "{own:?}");
    assert!(!text.lines().any(|line| line.starts_with("  --service forged=")), "{text}");

    let output = tempfile::tempdir().unwrap();
    let path = output.path().join("report.json").display().to_string();
    let nobody = format!("x=port:{}", free_port().unwrap());
    let (code, text) = clean(&["record", "--service", &nobody, "--output", &path]);
    assert!(code == Some(2) && text.contains(&pid), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("  --service forged=")), "{text}");

    let by_port = format!("x=port:{}", server.port);
    let by_pid = format!("y=pid:{}", server.pid());
    let (code, text) = clean(&[
        "record",
        "--duration",
        "300ms",
        "--service",
        &by_port,
        "--service",
        &by_pid,
        "--output",
        &path,
        "--",
        "/bin/true",
    ]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("(?]0;x??) matches too, but belongs to x, which comes first"), "{text}");
    let comm = Report::read(Path::new(&path)).unwrap().service("x")["processes"][0]["comm"].clone();
    assert!(comm.as_str().is_some_and(|comm| comm.starts_with("\x1b]0;x\x07")), "the report itself keeps it: {comm}");
    for verb in ["report", "verify"] {
        assert_eq!(clean(&[verb, &path]).0, Some(0));
    }
}

#[test]
fn what_the_user_is_given_to_write_is_clean_in_errors() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("\x1b[2J\n.toml");
    let shown = config.display().to_string();
    for text in ["\"\\u001b[2J\\u202e\" = 1\n", "[services]\nx = \"\\u001b[2J:1\"\n", "[services]\n\"\\u0007\" = 1\n"] {
        fs::write(&config, text).unwrap();
        let (code, said) = clean(&["services", "--config", &shown]);
        assert!(code == Some(2) && said.lines().count() == 1, "{said}");
    }
    for selector in
        ["x=\x1b[2J:1", "x=comm:\x1b[2J", "\x1b[2J\n=port:1", "x=unix:/\x1b[2J\nacgs-perf: recording x for 1s"]
    {
        let (code, said) = clean(&["record", "--service", selector]);
        assert_eq!(code, Some(2), "{said}");
        assert!(!said.lines().any(|line| line.starts_with("acgs-perf: recording")), "{said}");
    }
}

/// The report with a digest that fits, as somebody who knows the format would write it.
fn sealed(mut report: Value, directory: &TempDir) -> String {
    let map = report.as_object_mut().unwrap();
    map.remove("digest");
    // The map is sorted by its keys, and compact text of it is what the digest is made of.
    let canonical = serde_json::to_string(&report).unwrap();
    let plain = directory.path().join("canonical");
    fs::write(&plain, canonical).unwrap();
    let sum = Command::new("sha256sum").arg(&plain).output().unwrap();
    let digest = String::from_utf8(sum.stdout).unwrap();
    report["digest"] = format!("sha256:{}", digest.split_once(' ').unwrap().0).into();
    let path = directory.path().join("hostile.json");
    fs::write(&path, serde_json::to_string_pretty(&report).unwrap() + "\n").unwrap();
    path.display().to_string()
}

#[test]
fn a_foreign_report_drives_no_terminal() {
    need_root();
    let (server, _socket) = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json").display().to_string();
    let service = format!("x=port:{}", server.port);
    assert_eq!(clean(&["record", "--duration", "300ms", "--service", &service, "--output", &path]).0, Some(0));
    let good: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let foul = "\u{1b}[2J\u{9b}2J\u{202e}\r\nok: all is well";

    let mut report = good.clone();
    report["findings"] = serde_json::json!([{
        "id": foul, "severity": "warning", "title": foul, "evidence": foul, "recommendation": foul
    }]);
    report["host"]["name"] = foul.into();
    report["notes"] = serde_json::json!([foul]);
    let path = sealed(report, &directory);
    let (code, text) = clean(&["report", &path]);
    assert!(code == Some(0) && text.contains("?[2J?2J???ok: all is well"), "{text}");
    let (code, text) = clean(&["verify", &path]);
    assert!(code == Some(0) && text.lines().count() == 1, "{text}");
    let json = run(&["report", &path, "--format", "json"]);
    assert_eq!(json.stdout, fs::read(&path).unwrap(), "what is for programs keeps its bytes");

    let mut report = good.clone();
    report["findings"] = serde_json::json!([{
        "id": "x", "severity": foul, "title": "", "evidence": "", "recommendation": ""
    }]);
    let path = sealed(report, &directory);
    for verb in ["report", "verify"] {
        let (code, text) = clean(&[verb, &path]);
        assert!(code == Some(2) && text.lines().count() == 1 && text.contains("unknown variant"), "{text}");
    }

    let mut report = good;
    report["constitutional_hash"] = foul.into();
    let path = sealed(report, &directory);
    assert_eq!(clean(&["verify", &path]).0, Some(1));
}

/// Inode of a socket.
fn inode(socket: &impl AsRawFd) -> u64 {
    fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap().ino()
}

#[test]
fn a_newline_in_a_path_makes_nobody_a_member() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("@v{}", std::process::id());
    let line = format!(": 00000002 00000000 00010000 0001 01 {} {target}", inode(&tcp));
    let _forger = UnixListener::bind(directory.path().join(format!("a\n0{line}"))).unwrap();
    let table = fs::read_to_string("/proc/self/net/unix").unwrap();
    assert!(table.lines().any(|text| text.ends_with(&line)), "the line is not in the table");

    let output = directory.path().join("report.json").display().to_string();
    let service = format!("victim=unix:{target}");
    let (code, text) = clean(&["record", "--duration", "300ms", "--service", &service, "--output", &output]);
    assert!(code == Some(2) && text.starts_with("acgs-perf: nothing matches victim=unix:@v"), "{text}");
    let (_, text) = clean(&["services"]);
    assert!(!text.contains(&format!("unix:{target}")), "{text}");

    // Nor is anyone hidden by it: this process still listens on its port.
    let service = format!("own=port:{}", tcp.local_addr().unwrap().port());
    let (code, text) = clean(&["record", "--duration", "300ms", "--service", &service, "--output", &output]);
    assert!(code == Some(0) && text.contains(&format!("(pid {})", std::process::id())), "{text}");

    // And a real listener is found by its path, in any place that its owner chose for it.
    let path = directory.path().join("real one.sock");
    let _real = UnixListener::bind(&path).unwrap();
    let service = format!("own=unix:{}", path.display());
    let (code, text) = clean(&["record", "--duration", "300ms", "--service", &service, "--output", &output]);
    assert!(code == Some(0) && text.contains(&format!("(pid {})", std::process::id())), "{text}");
}
