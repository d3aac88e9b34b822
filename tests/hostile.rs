//! Hostile conditions for the figures: services that die and come again, processes by the thousand, clocks that jump, CPUs
//! that go, a full ring. Counts stay exact, or say why not.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_common::exemplar::ExemplarRecord;
use acgs_perf_load::{Arrivals, Client, Load, Messages, Plan};
use acgs_perf_tests::clock;
use acgs_perf_tests::harness::{Service, free_port, need_root};
use acgs_perf_tests::hostile::passing::PAUSE;
use acgs_perf_tests::hostile::{Kind, MESSAGE, ask, command, in_vm, kill, request, start};
use acgs_perf_tests::kernel;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::tries::{near, one_of_three};

const ROUNDS: u64 = 12;
/// Longer than anything takes here.
const LONGEST: u64 = 60_000_000_000;

fn record(service: &Service) -> Recorder {
    need_root();
    Recorder::new("hostile", &format!("port:{}", service.port))
}

fn again(port: u16) -> Service {
    Service::start(&mut command(Kind::Echo, port), port).unwrap()
}

#[test]
fn a_service_that_is_killed_and_restarted_counts_from_its_first_request() {
    need_root();
    let port = free_port().unwrap();
    let first = again(port);
    let recording = record(&first).start().unwrap();
    let mut service = Some(first);
    for _ in 0..ROUNDS {
        let running = service.take().unwrap_or_else(|| again(port));
        ask(&running, 4, 100, 0).unwrap();
        kill(running).unwrap();
    }
    let report = recording.stop().unwrap();
    report.assert_exact("hostile", ROUNDS * 100);
    assert_eq!(report.integer("hostile", "/processes_exited"), ROUNDS);
}

#[test]
fn a_service_that_is_killed_under_load_counts_what_it_answered() {
    need_root();
    let port = free_port().unwrap();
    let first = again(port);
    let recording = record(&first).start().unwrap();
    let mut service = Some(first);
    let (mut sent, mut completed) = (0, 0);
    for round in 0..ROUNDS {
        let running = service.take().unwrap_or_else(|| again(port));
        let address = running.address();
        let load = thread::spawn(move || {
            let messages = Messages::fixed(request(0).to_vec(), MESSAGE);
            let mut client = Client::new(address, 8, messages, false).unwrap();
            client.open().unwrap();
            let (arrivals, limit) = (Arrivals::Constant(4000.0), Duration::from_secs(5));
            let duration = Some(Duration::from_millis(300));
            client.load(&Load { arrivals, requests: u64::MAX, duration, limit, seed: 1, log: false }).unwrap()
        });
        thread::sleep(Duration::from_millis(100 + 13 * round));
        kill(running).unwrap();
        let outcome = load.join().unwrap();
        // What went out after the end was never sent to anybody.
        sent += outcome.sent - outcome.connect_errors;
        completed += outcome.completed;
    }
    let report = recording.stop().unwrap();
    let counted = report.requests("hostile");
    println!("sent {sent}, answered as the clients saw {completed}, counted {counted}");
    assert!(report.losses().is_empty(), "{:?}", report.losses());
    // The last reply on each connection may have been sent and not read.
    assert!((completed..=completed + 8 * ROUNDS).contains(&counted), "answered {completed}, counted {counted}");
    assert!(counted > 1000 && counted <= sent);
}

#[test]
fn standbys_count_nothing_twice() {
    need_root();
    if kernel::older_than(6, 15) {
        println!("skipped: before Linux 6.15 the verifier lets no program call a subprogram while it keeps its CPU");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let server = start(Kind::Echo, &["--unix", path.to_str().unwrap()]).unwrap();
    let recorder = Recorder::new("hostile", &format!("pid:{}", server.pid()));
    let recording = recorder.arg("--tuning=standby").start().unwrap();
    let (connections, each) = (4, 2000);
    let requests = 2 * connections * each;
    ask(&server, connections as usize, connections * each, 0).unwrap();
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut stream = UnixStream::connect(&path).unwrap();
                let mut message = [0; MESSAGE];
                for _ in 0..each {
                    stream.write_all(&message).unwrap();
                    stream.read_exact(&mut message).unwrap();
                }
            });
        }
    });
    let report = recording.stop().unwrap();
    report.assert_exact_on_unix("hostile", requests);
    // What the server reads and sends is one call each; at its end a connection is read once more.
    let calls = report.service("hostile")["syscalls"].as_array().unwrap();
    for names in [["recvfrom", "read"], ["sendto", "write"]] {
        let of_these = calls.iter().filter(|call| names.iter().any(|name| call["name"] == *name));
        let count: u64 = of_these.map(|call| call["count"].as_u64().unwrap()).sum();
        // Of calls, each tracepoint has one standby, and both may have missed one: no more than the ledger says.
        let missing = if kernel::preemptible() { report.misses() } else { 0 };
        println!("{names:?}: {count} calls of {requests}, {missing} missed at most");
        assert!((requests.saturating_sub(missing)..=requests + 20).contains(&count), "{names:?}: {count} calls");
    }
    // Perhaps one more, to see whether the server is there.
    let accepted = report.integer("hostile", "/tcp/accepted");
    assert!((connections..=connections + 1).contains(&accepted), "{accepted} connections");
    drop(server);

    let server = start(Kind::Forks, &[]).unwrap();
    let recording = record(&server).arg("--tuning=standby").start().unwrap();
    ask(&server, 2, 4, 25).unwrap();
    let report = recording.stop().unwrap();
    report.assert_exact("hostile", 4);
    let count = |field: &str| report.integer("hostile", field);
    assert_eq!((count("/processes_forked"), count("/processes_exited")), (100, 100));
}

#[test]
fn a_thousand_processes_a_second() {
    need_root();
    one_of_three(|_| {
        let server = start(Kind::Forks, &[]).unwrap();
        let recording = record(&server).start().unwrap();
        let (processes, begin) = (4000, Instant::now());
        ask(&server, 2, 4, processes / 4).unwrap();
        let per_second = f64::from(processes) / begin.elapsed().as_secs_f64();
        let report = recording.stop().unwrap();
        println!("{per_second:.0} processes a second");
        report.assert_exact("hostile", 4);
        let count = |field: &str| report.integer("hostile", field);
        assert_eq!((count("/processes_forked"), count("/processes_exited")), (processes.into(), processes.into()));
        near(per_second >= 1000.0 || in_vm(), || format!("{per_second} processes a second are too few for this test"))
    });
}

/// Load for two seconds while something happens to the machine; gives the report and the number of requests.
fn under_load(happens: impl FnMut() + Send) -> (Report, u64) {
    let server = start(Kind::Echo, &[]).unwrap();
    let recording = record(&server).start().unwrap();
    let (done, mut happens) = (AtomicBool::new(false), happens);
    let requests = 3000;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                happens();
            }
        });
        let mut client = Client::connect(server.address(), 4, &request(0), MESSAGE).unwrap();
        let plan = Plan { rate: Some(1500), requests, limit: Duration::from_secs(60) };
        let outcome = client.run(plan);
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    (recording.stop().unwrap(), requests)
}

/// Sets the wall clock by this much.
fn step(ns: i64) -> io::Result<()> {
    let target = clock::realtime_now().wrapping_add_signed(ns);
    // SAFETY: the time is valid; only this machine's clock changes.
    match unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &clock::timespec(target)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn steps_of_the_clock_change_no_time() {
    need_root();
    if !in_vm() {
        println!("skipped: sets the machine's clock, so only in a virtual machine of the tests (ACGS_PERF_VM=1)");
        return;
    }
    let second = 1_000_000_000;
    let (report, requests) = under_load(|| {
        step(second).unwrap();
        thread::sleep(Duration::from_millis(5));
        step(-second).unwrap();
        thread::sleep(Duration::from_millis(5));
    });
    report.assert_exact("hostile", requests);
    let longest = report.spread("hostile", "/requests/latency").get("max_ns");
    assert!(longest < second as u64 / 2, "a latency of {longest} ns");
    let length = report.0["window"]["duration_ns"].as_u64().unwrap();
    assert!(length < 60 * second as u64, "a window of {length} ns");
}

#[test]
fn a_cpu_that_goes_and_comes_loses_nothing() {
    need_root();
    let online = "/sys/devices/system/cpu/cpu1/online";
    if !in_vm() {
        println!("skipped: takes a CPU away, so only in a virtual machine of the tests (ACGS_PERF_VM=1)");
        return;
    }
    let mut turns = 0;
    let (report, requests) = under_load(|| {
        for state in ["0", "1"] {
            fs::write(online, state).unwrap();
            thread::sleep(Duration::from_millis(50));
        }
        turns += 1;
    });
    assert!(turns > 0);
    report.assert_exact("hostile", requests);
}

#[test]
fn exemplars_that_find_the_ring_full_are_counted() {
    need_root();
    let server = start(Kind::Echo, &[]).unwrap();
    // One page holds a few records, and the agent empties it 16 times a second; standing still it does not.
    let page = 4096;
    let recording = record(&server).arg(&format!("--tuning=EXEMPLARS={page}")).start().unwrap();
    ask(&server, 1, 20, 0).unwrap();
    thread::sleep(Duration::from_millis(200));
    recording.signal(libc::SIGSTOP).unwrap();
    ask(&server, 1, 60, 0).unwrap();
    recording.signal(libc::SIGCONT).unwrap();
    let report = recording.stop().unwrap();
    report.assert_exact("hostile", 80);
    let service = report.service("hostile");
    let (kept, dropped) =
        (service["exemplars"].as_array().unwrap().len(), service["attribution"]["exemplars_dropped"].as_u64());
    println!("{kept} kept, {dropped:?} dropped; a record has {} bytes", size_of::<ExemplarRecord>());
    assert!(dropped >= Some(1), "{dropped:?} dropped");
    assert!(kept >= 1 && kept as u64 <= 40, "{kept} kept");
}

#[test]
fn a_reply_that_another_service_ends_counts_for_the_service_that_began_it() {
    need_root();
    let requests = 100;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("passing");
    let place = path.to_str().unwrap();
    let takes = start(Kind::Takes, &["--unix", place]).unwrap();
    let passes = start(Kind::Passes, &["--unix", place]).unwrap();
    let recorder = record(&passes).arg("--service").arg(&format!("takes=pid:{}", takes.pid()));
    let recording = recorder.start().unwrap();
    ask(&passes, 1, requests, 0).unwrap();
    let report = recording.stop().unwrap();
    let pause = PAUSE.as_nanos() as u64;
    for name in ["hostile", "takes"] {
        report.assert_requests(name, requests);
        let latency = report.spread(name, "/requests/latency");
        // The one takes so long to end its reply, the other to answer the message with the socket.
        assert_eq!((latency.get("count"), latency.between(pause, LONGEST)), (requests, requests), "{name}");
    }
    assert_eq!(report.integer("hostile", "/requests/bytes_out"), requests * MESSAGE as u64);
    assert_eq!(report.integer("takes", "/requests/bytes_out"), requests);
}

#[test]
fn a_caller_that_reads_no_bytes_first_has_its_answer_all_the_same() {
    need_root();
    let calls = 100;
    let echo = start(Kind::Echo, &[]).unwrap();
    let server = start(Kind::Wary, &["--peer", &echo.address().to_string()]).unwrap();
    let recording = record(&server).start().unwrap();
    ask(&server, 1, calls, 0).unwrap();
    let report = recording.stop().unwrap();
    // An answer that arrives while the send that asked for it still returns has no latency: in emulation that is not rare.
    report.assert_counted("hostile", calls, &[("negative_difference", calls / 2)]);
    let late =
        report.losses().iter().filter(|(name, _)| name == "negative_difference").map(|(_, count)| count).sum::<u64>();
    let peer = &report.service("hostile")["downstream"][0];
    assert_eq!(peer["calls"].as_u64(), Some(calls - late), "{peer}");
}

#[test]
fn what_is_read_after_the_reply_belongs_to_the_answered_request() {
    need_root();
    let connections = 50;
    let server = start(Kind::Hurried, &[]).unwrap();
    let recording = record(&server).start().unwrap();
    for _ in 0..connections {
        ask(&server, 1, 2, 0).unwrap();
    }
    let report = recording.stop().unwrap();
    // Each connection ends with such a rest, which is no request, unanswered or abandoned.
    report.assert_exact("hostile", 2 * connections);
    let service = report.service("hostile");
    assert_eq!(service["requests"]["unanswered"], 0, "{}", service["requests"]);
    for fate in ["/fates/unread/count", "/fates/in_service/count", "/fates/abandoned/count", "/fates/cut_off"] {
        assert_eq!(report.integer("hostile", fate), 0, "{fate}: {}", service["fates"]);
    }
}

#[test]
fn two_threads_that_send_on_one_socket_at_once_count_each_request_once() {
    need_root();
    let requests = if in_vm() { 200 } else { 3_000 };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("duet");
    let server = start(Kind::Duet, &["--unix", path.to_str().unwrap()]).unwrap();
    let recording = record(&server).start().unwrap();
    let (mut stream, mut message) = (UnixStream::connect(&path).unwrap(), [0; MESSAGE]);
    for _ in 0..requests {
        stream.write_all(&message).unwrap();
        stream.read_exact(&mut message).unwrap();
    }
    let report = recording.stop().unwrap();
    report.assert_exact_on_unix("hostile", requests);
    report.assert_requests("hostile", requests);
    for times in ["latency", "queue_time", "service_time"] {
        assert_eq!(report.spread("hostile", &format!("/requests/{times}")).get("count"), requests, "{times}");
    }
    assert_eq!(report.integer("hostile", "/requests/bytes_out"), requests * MESSAGE as u64);
    assert!(!report.found("counts_disagree"));
}
