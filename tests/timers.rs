//! How a wait ended says what it was: waits that their own time limit ended are sleep, in whatever call; those that another thread ended
//! are not. The truth is what the server does, and how long each request asks it to.

use std::process::Command;
use std::time::Duration;

use acgs_perf_tests::harness::{Service, free_port, need_root, program};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::vm;
use acgs_perf_tests::waits::{Shares, ask, calls};

const TIME: Duration = Duration::from_millis(20);

/// At least this much of the latency, in percent, is what the server does; the rest is the machine's.
fn most() -> f64 {
    vm::amount(85, 40) as f64
}

/// At most this much is a wrong answer.
fn little(percent: u64) -> f64 {
    vm::amount(percent, 6 * percent) as f64
}

fn server(arguments: &[&str]) -> Service {
    need_root();
    let port = free_port().unwrap();
    let mut command = Command::new(program("wait-server"));
    Service::start(command.arg(port.to_string()).args(arguments), port).unwrap()
}

/// Records so many clients with so many requests each.
fn recorded(arguments: &[&str], clients: u64, each: u64) -> Shares {
    recorded_for(arguments, clients, each, TIME)
}

/// Requests that take this long.
fn recorded_for(arguments: &[&str], clients: u64, each: u64, time: Duration) -> Shares {
    let service = server(arguments);
    let recording = Recorder::new("waits", &format!("port:{}", service.port)).start().unwrap();
    let asked = ask(&service, clients, each, time);
    let report = recording.stop().unwrap();
    report.assert_exact("waits", asked);
    let shares = Shares::of(&report, "waits");
    println!("{arguments:?}, {clients} clients: {shares:?}");
    shares
}

#[test]
fn a_wait_until_its_limit_is_a_sleep_in_every_call() {
    for (name, _) in calls::WAYS {
        let shares = recorded(&["call", name], 2, 20);
        assert!(shares.sum(&["sleep"]) > most(), "{name}: {shares:?}");
        assert!(shares.sum(&["lock", "idle", "pool_wait"]) < little(3), "{name}: {shares:?}");
    }
}

#[test]
fn a_wait_that_another_thread_ended_is_a_lock() {
    for mode in ["woken", "looked"] {
        let shares = recorded(&[mode], 2, 20);
        assert!(shares.sum(&["lock"]) > most(), "{mode}: {shares:?}");
        assert!(shares.sum(&["sleep"]) < little(3), "{mode}: {shares:?}");
    }
}

#[test]
fn a_wait_for_a_helper_is_what_that_does() {
    let shares = recorded(&["helped"], 2, 20);
    assert!(shares.sum(&["sleep"]) > most(), "{shares:?}");
    assert!(shares.sum(&["lock"]) < little(3), "{shares:?}");
}

/// As Java's and Ruby's: who has a worker sleeps, and the others wait for one.
#[test]
fn workers_that_sleep_are_waited_for() {
    let shares = recorded(&["pool", "4"], 3, 20);
    assert!(shares.sum(&["sleep"]) > most(), "{shares:?}");
    let shares = recorded(&["pool", "2"], 6, 20);
    assert!(shares.sum(&["sleep"]) > 25.0, "{shares:?}");
    assert!(shares.sum(&["sleep", "pool_wait"]) > most(), "{shares:?}");
    assert!(shares.sum(&["lock"]) < little(3), "{shares:?}");
}

/// They end their waits at one moment, and each may have the job for which another one was woken: one replies to a request while the other
/// puts it away.
#[test]
fn workers_that_change_places_lose_nothing() {
    for workers in ["2", "4"] {
        recorded_for(&["pool", workers], 12, vm::amount(400, 20), Duration::from_millis(1));
    }
}

/// As Go's: a timer of the runtime is one where it can be seen, and an unknown event where not; never a thread that was missing.
#[test]
fn tasks_of_a_runtime_do_not_wait_for_a_thread() {
    let shares = recorded(&["runtime", "4"], 1, 40);
    assert!(shares.sum(&["sleep"]) > most(), "{shares:?}");
    let shares = recorded(&["runtime", "4"], vm::amount(20, 5), 40);
    assert!(shares.sum(&["sleep"]) > vm::amount(60, 0) as f64, "{shares:?}");
    assert!(shares.sum(&["sleep", "idle"]) > most(), "{shares:?}");
    assert!(shares.sum(&["pool_wait", "lock"]) < little(5), "{shares:?}");
}

/// A lock inside of the runtime leaves no trace: what is said of it is that nothing is known. In emulation its timers are as long as chance has it, so
/// that nobody can see that each is set when the one before is due.
#[test]
fn a_lock_of_a_runtime_is_an_unknown_event() {
    let shares = recorded(&["runtime-lock", "4"], 6, 20);
    assert!(shares.sum(&["sleep", "idle"]) > most(), "{shares:?}");
    assert!(shares.sum(&["idle"]) >= vm::amount(50, 0) as f64, "{shares:?}");
    assert!(shares.sum(&["pool_wait", "lock"]) < little(5), "{shares:?}");
}
