//! What of root's power the agent keeps, and that it needs all of that.
//!
//! In: root; servers of other users. Out: the capabilities of each thread; what fails without each of them; what works as the unit has it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::confine::with_only;
use acgs_perf_tests::harness::{Service, free_port, need_root, program};
use acgs_perf_tests::recording::agent;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::serving::{Serving, get};
use acgs_perf_tests::signal;

/// Numbers as in include/uapi/linux/capability.h.
const DAC_OVERRIDE: u32 = 1;
const DAC_READ_SEARCH: u32 = 2;
const FOWNER: u32 = 3;
const KILL: u32 = 5;
const SYS_PTRACE: u32 = 19;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;
const LOOK: &[u32] = &[DAC_READ_SEARCH, SYS_PTRACE];
const RECORD: &[u32] = &[DAC_READ_SEARCH, SYS_PTRACE, PERFMON, BPF];

const NOBODY: u32 = 65_534;
/// Somebody who is neither root nor nobody.
const USER: &str = "64000";
const LIMIT: Duration = Duration::from_secs(60);

fn set(numbers: &[u32]) -> u64 {
    numbers.iter().fold(0, |set, number| set | 1 << number)
}

/// A server that root could not look at, were it not for its capabilities.
fn of_nobody() -> Service {
    let port = free_port().unwrap();
    let script = format!(
        "import socket,time;s=socket.socket();s.setsockopt(1,2,1);s.bind(('127.0.0.1',{port}));s.listen();time.sleep(600)"
    );
    Service::start(Command::new("/usr/bin/python3").args(["-c", &script]).uid(NOBODY).gid(NOBODY), port).unwrap()
}

fn record(server: &Service, more: &[&str]) -> Command {
    let mut command = Command::new(agent());
    command.args(["record", "--duration", "200ms", "--service", &format!("x=port:{}", server.port)]).args(more);
    command.stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))
}

/// A field of /proc/PID/status, as a number in hexadecimal.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
}

/// By name of the thread: the set that it holds.
fn held(pid: u32) -> BTreeMap<String, u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_thread = |path: PathBuf| {
        let status = fs::read_to_string(path.join("status")).unwrap();
        let name = fs::read_to_string(path.join("comm")).unwrap().trim().to_owned();
        assert_eq!(field(&status, "CapEff"), field(&status, "CapPrm"), "{name}");
        assert_eq!((field(&status, "CapInh"), field(&status, "CapAmb")), (0, 0), "{name}");
        assert_eq!(field(&status, "NoNewPrivs"), 1, "{name}");
        (name, field(&status, "CapEff"))
    };
    threads.map(|thread| of_thread(thread.unwrap().path())).collect()
}

fn serve(server: &Service, state: &Path, address: SocketAddr) -> Vec<String> {
    let selector = format!("truth=port:{}", server.port);
    let listen = address.to_string();
    let arguments = ["serve", "--service", &selector, "--listen", &listen, "--state-dir", state.to_str().unwrap()];
    arguments.map(str::to_owned).into()
}

#[test]
fn each_thread_of_an_agent_that_serves_keeps_what_it_needs() {
    need_root();
    let server = of_nobody();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    for (more, of_engine) in [(&[][..], set(RECORD)), (&["--max-overhead", "90"], set(RECORD) | set(&[SYS_ADMIN]))] {
        let directory = tempfile::tempdir().unwrap();
        let mut agent =
            Serving::start(Command::new(agent()).args(serve(&server, directory.path(), address)).args(more));
        let expected = BTreeMap::from([
            ("acgs-perf".to_owned(), set(LOOK)),
            ("acgs-engine".to_owned(), of_engine),
            ("acgs-scan".to_owned(), set(LOOK)),
            ("acgs-tell".to_owned(), 0),
            ("acgs-answer".to_owned(), 0),
        ]);
        assert_eq!(held(agent.child.id()), expected);
        // A configuration that is read again is loaded with what is left.
        signal::send(&agent.child, libc::SIGHUP).unwrap();
        agent.wait_for("the configuration was read again");
        assert_eq!(held(agent.child.id()), expected);
        assert!(get(address, "/metrics").is_ok());
        agent.stop();
    }
}

#[test]
fn without_any_of_what_it_keeps_nothing_is_recorded() {
    need_root();
    let server = of_nobody();
    let output = with_only(&mut record(&server, &["-o", "-"]), RECORD).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for (missing, why) in [
        (BPF, "the kernel refused"),
        (PERFMON, "the kernel refused"),
        (SYS_PTRACE, "nothing matches"),
        (DAC_READ_SEARCH, "nothing matches"),
    ] {
        let kept: Vec<u32> = RECORD.iter().copied().filter(|number| *number != missing).collect();
        let output = with_only(&mut record(&server, &["-o", "-"]), &kept).output().unwrap();
        // Without a right to look there is nothing that could be listed either.
        let is_said = said(&output).contains(why) || said(&output).contains("cannot be seen");
        assert!(output.status.code() == Some(2) && is_said, "without {missing}: {}", said(&output));
    }
    // What the kernel times takes one more.
    let timed = ["-o", "-", "--measure-cost"];
    let output = with_only(&mut record(&server, &timed), RECORD).output().unwrap();
    assert!(said(&output).contains("--measure-cost: the kernel does not keep run times"), "{}", said(&output));
    let output = with_only(&mut record(&server, &timed), &[RECORD, &[SYS_ADMIN]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_report_goes_where_root_can_write_and_no_further() {
    need_root();
    let server = of_nobody();
    let directory = tempfile::tempdir().unwrap();
    // A user's directory, and one in which all may write and nobody may replace what is another's.
    let (home, shared) = (directory.path().join("home"), directory.path().join("shared"));
    for (path, mode) in [(&home, 0o755), (&shared, 0o1777)] {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let of_other = shared.join("r.json");
    fs::write(&of_other, "old").unwrap();
    chown(&of_other, Some(1), Some(1)).unwrap();
    for (path, missing) in [(home.join("r.json"), DAC_OVERRIDE), (of_other, FOWNER)] {
        let path = path.to_str().unwrap();
        let output = record(&server, &["-o", path, "--capture", &format!("{path}.capture")]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(fs::read_to_string(path).unwrap().starts_with('{'));
        fs::write(path, "old").unwrap();
        chown(path, Some(1), Some(1)).unwrap();
        let kept: Vec<u32> =
            [RECORD, &[DAC_OVERRIDE, FOWNER]].concat().into_iter().filter(|number| *number != missing).collect();
        let output = with_only(&mut record(&server, &["-o", path]), &kept).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "without {missing}: {}", said(&output));
        assert_eq!(fs::read_to_string(path).unwrap(), "old");
    }
}

#[test]
fn a_command_has_all_rights_and_is_ended_whoever_it_has_become() {
    need_root();
    let server = of_nobody();
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let ask = ["--", "grep", "-E", "Cap(Eff|Bnd)|NoNewPrivs", "/proc/self/status"];
    let directory = tempfile::tempdir().unwrap();
    let output = record(&server, &ask).current_dir(directory.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", said(&output));
    for name in ["CapEff", "CapBnd"] {
        assert_eq!(field(&told, name), field(&own, name), "{told}");
    }
    assert_eq!(field(&told, "NoNewPrivs"), 0);

    let place = directory.path().join("pid");
    let sleeps = format!(
        "import os,time; open({place:?},'w').write(str(os.getpid())); os.setresuid(65534,65534,65534); time.sleep(60)"
    );
    for (kept, is_ended) in [(vec![KILL], true), (vec![], false)] {
        let all = [RECORD, &[DAC_OVERRIDE, FOWNER, 6, 7], &kept].concat();
        let mut command = record(&server, &["--", "/usr/bin/python3", "-c", &sleeps]);
        let command = command.current_dir(directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = with_only(command, &all).status().unwrap();
        let pid: i32 = fs::read_to_string(&place).unwrap().parse().unwrap();
        // SAFETY: a signal to a process that this test has had started, if it is there.
        let is_there = unsafe { libc::kill(pid, libc::SIGKILL) } == 0;
        assert_eq!(is_there, !is_ended, "{kept:?}: {status}");
    }
}

/// The unit's user, its capabilities, and no new privileges. What else it forbids, the system's own tool judges below.
#[test]
fn the_agent_serves_as_its_unit_has_it() {
    need_root();
    let server = Service::truth(program("truth-server"), &["--mode", "threads"]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(&state).unwrap();
    chown(&state, Some(64_000), Some(64_000)).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let unit = fs::read_to_string(unit()).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("AmbientCapabilities=")).unwrap();
    assert!(unit.contains(&format!("CapabilityBoundingSet={line}\n")) && unit.contains("DynamicUser=yes\n"));
    let all: String =
        line.split(' ').map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase())).collect();
    let sets = ["--inh-caps", "--ambient-caps", "--bounding-set"].map(|set| format!("{set}=-all{all}"));
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs"]).args(sets).arg(agent());
    let mut agent = Serving::start(command.args(serve(&server, &state, address)));
    assert_eq!(held(agent.child.id())["acgs-engine"], set(RECORD));
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.child.id())).unwrap();
    let side = children.split_whitespace().next().unwrap().parse().unwrap();
    assert_eq!(held(side).into_values().collect::<Vec<_>>(), [0]);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    signal::send(&agent.child, libc::SIGHUP).unwrap();
    agent.wait_for("the configuration was read again");
    let mut client = Client::connect(server.address(), 4, &[1; 64], 64).unwrap();
    client.run(Plan { rate: Some(1_000), requests: 2_000, limit: LIMIT }).unwrap();
    let limit = Instant::now() + LIMIT;
    loop {
        let metrics = get(address, "/metrics").unwrap();
        if metrics.contains("acgs_perf_requests_total{service=\"truth\"} 2000\n") {
            break;
        }
        assert!(Instant::now() < limit, "{metrics}");
        thread::sleep(Duration::from_millis(200));
    }
    agent.stop();
    let mut command = Command::new(acgs_perf_tests::recording::agent());
    command.args(["report", "--from", &format!("@{since}"), "--format", "json", "--state-dir"]).arg(&state);
    let output = command.output().unwrap();
    Report(serde_json::from_slice(&output.stdout).unwrap()).assert_exact("truth", 2_000);
}

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/acgs-perf.service")
}

#[test]
fn the_unit_gives_away_what_it_can() {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--threshold=20"]).arg(unit());
    let Ok(output) = command.output() else {
        println!("not run: there is no systemd-analyze");
        return;
    };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", said(&output));
    let level = told.lines().find(|line| line.contains("Overall exposure level")).unwrap();
    println!("{level}");
}
