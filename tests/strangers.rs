//! Strangers: who merely has the port, or the process id, of a recorded service is not counted.
//!
//! Servers on one port in several network namespaces and in a user namespace of their own, before and during a recording; the
//! agent in a PID namespace of its own; processes that match and die while the agent looks at them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_tests::harness::{Service, end, free_port, need_root};
use acgs_perf_tests::hostile::{Kind, ask, command, network};
use acgs_perf_tests::recording::{Recorder, agent};
use acgs_perf_tests::report::Report;

const OWN: u64 = 300;
const OTHERS: u64 = 500;

fn server(port: u16) -> Service {
    Service::start(&mut command(Kind::Echo, port), port).unwrap()
}

/// A server in a network namespace of its own.
struct Elsewhere(Child, u16);

impl Elsewhere {
    fn start(port: u16) -> Self {
        let mut command = command(Kind::Echo, port);
        let child = network::of_its_own(&mut command).stdin(Stdio::null()).spawn().unwrap();
        let elsewhere = Self(child, port);
        elsewhere.ask(1);
        elsewhere
    }

    /// Sends requests from inside its namespace; the first ones until it listens.
    fn ask(&self, requests: u64) {
        network::inside(self.0.id(), || {
            let until = Instant::now() + Duration::from_secs(10);
            let address = (std::net::Ipv4Addr::LOCALHOST, self.1);
            while std::net::TcpStream::connect(address).is_err() && Instant::now() < until {
                thread::sleep(Duration::from_millis(10));
            }
            let message = acgs_perf_tests::hostile::request(0);
            let mut client =
                acgs_perf_load::Client::connect(address.into(), 2, &message, acgs_perf_tests::hostile::MESSAGE)?;
            client.run(acgs_perf_load::Plan { rate: None, requests, limit: Duration::from_secs(30) })?;
            Ok(())
        })
        .unwrap();
    }

    fn namespace(&self) -> String {
        let link = fs::read_link(format!("/proc/{}/ns/net", self.0.id())).unwrap();
        link.to_str().unwrap().trim_start_matches("net:[").trim_end_matches(']').to_owned()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        end(&mut self.0, libc::SIGKILL);
    }
}

fn processes(report: &Report) -> Vec<u64> {
    let list = report.service("own")["processes"].as_array().unwrap().clone();
    list.iter().map(|process| process["pid"].as_u64().unwrap()).collect()
}

/// Only this server was counted: its requests, its connections, its process.
#[track_caller]
fn assert_only(report: &Report, pid: u32, requests: u64, connections: u64) {
    report.assert_exact("own", requests);
    assert_eq!(processes(report), [u64::from(pid)], "a stranger is listed");
    assert_eq!(report.integer("own", "/tcp/accepted"), connections, "a stranger's connections");
}

#[test]
fn the_same_port_in_another_network_is_another_service() {
    need_root();
    let port = free_port().unwrap();
    let before = Elsewhere::start(port);
    let own = server(port);
    let recording = Recorder::new("own", &format!("port:{port}")).start().unwrap();
    let later = Elsewhere::start(port);
    ask(&own, 3, OWN, 0).unwrap();
    before.ask(OTHERS);
    later.ask(OTHERS);
    assert_only(&recording.stop().unwrap(), own.pid(), OWN, 3);
}

#[test]
fn a_stranger_does_not_take_the_place_of_a_service_that_died() {
    need_root();
    let port = free_port().unwrap();
    let own = server(port);
    let pid = own.pid();
    let recording = Recorder::new("own", &format!("port:{port}")).start().unwrap();
    ask(&own, 3, OWN, 0).unwrap();
    drop(own);
    let later = Elsewhere::start(port);
    // Longer than the agent waits before it searches for a new process.
    thread::sleep(Duration::from_millis(1_500));
    later.ask(OTHERS);
    assert_only(&recording.stop().unwrap(), pid, OWN, 3);
}

#[test]
fn a_user_namespace_of_its_own_does_not_join() {
    need_root();
    let port = free_port().unwrap();
    let own = server(port);
    let pid = own.pid();
    let recording = Recorder::new("own", &format!("port:{port}")).start().unwrap();
    ask(&own, 3, OWN, 0).unwrap();
    drop(own);
    let mut stranger = command(Kind::Echo, port);
    // SAFETY: between fork and exec only a system call is made.
    unsafe {
        stranger.pre_exec(|| match libc::unshare(libc::CLONE_NEWUSER) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    let stranger = Service::start(&mut stranger, port).unwrap();
    thread::sleep(Duration::from_millis(1_500));
    ask(&stranger, 2, OTHERS, 0).unwrap();
    let report = recording.stop().unwrap();
    report.assert_exact("own", OWN);
    assert_eq!(processes(&report), [u64::from(pid)]);
}

#[test]
fn the_only_other_network_that_has_the_port_is_taken_and_named() {
    need_root();
    let port = free_port().unwrap();
    let only = Elsewhere::start(port);
    let mut recording = Recorder::new("own", &format!("port:{port}")).start().unwrap();
    assert!(recording.said(&format!("network namespace {}", only.namespace())), "the namespace is not named");
    only.ask(OWN);
    let report = recording.stop().unwrap();
    report.assert_exact("own", OWN);
    assert_eq!(processes(&report), [u64::from(only.0.id())]);
}

#[test]
fn several_others_are_refused_with_their_list() {
    need_root();
    let port = free_port().unwrap();
    let both = [Elsewhere::start(port), Elsewhere::start(port)];
    let directory = tempfile::tempdir().unwrap();
    let output = record(Command::new(agent()), &format!("own=port:{port}"), directory.path());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
    assert!(both.iter().all(|one| text.contains(&one.namespace()) && text.contains(&one.0.id().to_string())), "{text}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    // As the line says.
    let selector = format!("pid:{},port:{port}", both[1].0.id());
    let recording = Recorder::new("own", &selector).start().unwrap();
    both.iter().for_each(|one| one.ask(OWN));
    recording.stop().unwrap().assert_exact("own", OWN);
}

fn record(mut command: Command, service: &str, directory: &Path) -> Output {
    command.args(["record", "--duration", "200ms", "--service", service, "--output"]);
    command.arg(directory.join("report.json")).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn in_a_pid_namespace_of_its_own_the_agent_refuses() {
    need_root();
    let own = server(free_port().unwrap());
    for mount in [&["--mount-proc"][..], &[]] {
        let unshared = || {
            let mut command = Command::new("unshare");
            command.args(["--pid", "--fork"]).args(mount).arg(agent());
            command
        };
        let directory = tempfile::tempdir().unwrap();
        let output = record(unshared(), &format!("own=port:{}", own.port), directory.path());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
        assert!(text.contains("PID namespace"), "{text}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let output = unshared().arg("doctor").stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.lines().any(|line| line.starts_with("FAIL") && line.contains("PID namespace")), "{text}");
    }
}

/// Short-lived processes that a selector matches, started one after the other for a while.
fn storm(program: &Path, length: Duration) -> u32 {
    let until = Instant::now() + length;
    let (mut started, mut running) = (0, Vec::new());
    while Instant::now() < until {
        let lifetime = format!("0.00{}", started % 6);
        running.push(Command::new(program).arg(lifetime).stdin(Stdio::null()).spawn().unwrap());
        started += 1;
        running.retain_mut(|child: &mut Child| matches!(child.try_wait(), Ok(None)));
    }
    running.iter_mut().for_each(|child| drop(child.wait()));
    started
}

#[test]
fn who_dies_while_the_agent_looks_leaves_nothing_behind() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("acgs-storm");
    fs::copy("/bin/sleep", &program).unwrap();
    let mut steady = Command::new(&program).arg("60").stdin(Stdio::null()).spawn().unwrap();
    let recorder = Recorder::new("storm", "comm:acgs-storm").arg("--tuning=speed=20");
    let recording = recorder.start().unwrap();
    let started = storm(&program, Duration::from_secs(4));
    let report = recording.stop().unwrap();
    end(&mut steady, libc::SIGKILL);
    let processes = report.service("storm")["processes"].as_array().unwrap().clone();
    let members: HashSet<u64> = processes
        .iter()
        .filter(|process| process["state"] == "running")
        .map(|process| process["pid"].as_u64().unwrap())
        .collect();
    println!("{started} processes, {} listed, {} members at the end", processes.len(), members.len());
    assert!(started > 300, "no storm: {started}");
    assert_eq!(members, HashSet::from([u64::from(steady.id())]), "dead processes are members");
}
