//! Every counter of the loss ledger is made to count, while the rest of the report stays right.
//!
//! A table is filled, memory is refused, times are turned round: by servers of `hostile`, and where a table is too large for
//! a test by a smaller one (`--tuning`). A new counter without a test fails `every_counter_has_a_test`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use acgs_perf_common::ledger::LOSSES;
use acgs_perf_common::maps::{EXEC_QUEUE, OTHER_CALLS, PEERS, SYSCALL_SLOTS};
use acgs_perf_common::members::MEMBER_SETS;
use acgs_perf_tests::bpf;
use acgs_perf_tests::harness::{Service, end, free_port, need_root, program};
use acgs_perf_tests::hostile::{Kind, MESSAGE, PROVOKED, ask, command, in_vm, kill, request, start};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use socket2::{Domain, Socket, Type};

#[test]
fn every_counter_has_a_test() {
    let counters = LOSSES.iter().map(|(name, _)| *name).chain(["recursion_misses"]);
    assert_eq!(counters.collect::<BTreeSet<_>>(), PROVOKED.iter().copied().collect(), "a counter without a test");
    let tests = [include_str!("ledger.rs"), include_str!("ledger_rare.rs"), include_str!("overhead.rs")];
    for counter in PROVOKED {
        let name = format!("\"{counter}\"");
        assert!(tests.iter().any(|text| text.contains(&name)), "no test names {counter}");
    }
}

fn port(service: &Service) -> String {
    format!("port:{}", service.port)
}

fn record(service: &Service) -> Recorder {
    need_root();
    Recorder::new("hostile", &port(service))
}

#[test]
fn a_second_request_in_the_same_segment_has_no_arrival_of_its_own() {
    need_root();
    let server = start(Kind::Echo, &[]).unwrap();
    let recording = record(&server).start().unwrap();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    for _ in 0..10 {
        // The server reads them one by one, the client sends and reads them by threes.
        stream.write_all(&[0; 3 * MESSAGE]).unwrap();
        stream.read_exact(&mut [0; 3 * MESSAGE]).unwrap();
    }
    let report = recording.stop().unwrap();
    assert_eq!(report.lost("arrival_unseen", &[]), 20);
    report.assert_requests("hostile", 30);
}

#[test]
fn the_kernel_side_says_what_it_lost_to_whoever_asks() {
    need_root();
    let server = start(Kind::Echo, &[]).unwrap();
    for (level, says) in [(None, false), (Some("debug"), true)] {
        let mut recorder = record(&server);
        if let Some(level) = level {
            recorder = recorder.env("ACGS_PERF_LOG", level);
        }
        let mut recording = recorder.start().unwrap();
        let mut stream = TcpStream::connect(server.address()).unwrap();
        for _ in 0..10 {
            stream.write_all(&[0; 2 * MESSAGE]).unwrap();
            stream.read_exact(&mut [0; 2 * MESSAGE]).unwrap();
        }
        // The agent looks five times a second.
        thread::sleep(Duration::from_millis(500));
        let line = format!(", 8 so far, process {}, thread ", server.pid());
        assert_eq!(recording.said(&line), says, "level {level:?}");
        assert_eq!(recording.said("arrival_unseen"), says, "level {level:?}");
        assert!(!recording.said(", 9 so far"), "a flood of losses is a flood of messages");
        assert_eq!(recording.stop().unwrap().lost("arrival_unseen", &[]), 10);
    }
}

#[test]
fn an_answer_before_its_call_is_a_negative_difference() {
    need_root();
    let greeter = start(Kind::Greeter, &[]).unwrap();
    let server = start(Kind::Hasty, &["--peer", &greeter.address().to_string()]).unwrap();
    let recording = record(&server).start().unwrap();
    ask(&server, 1, 25, 0).unwrap();
    let report = recording.stop().unwrap();
    assert_eq!(report.lost("negative_difference", &[]), 25);
    report.assert_requests("hostile", 25);
    let peers = report.service("hostile")["downstream"].as_array().unwrap().clone();
    assert_eq!((peers.len(), peers[0]["connects"].as_u64()), (1, Some(25)), "{peers:?}");
}

#[test]
fn a_call_on_a_connection_with_an_answer_outstanding_is_multiplexed() {
    need_root();
    let echo = start(Kind::Echo, &[]).unwrap();
    let server = start(Kind::Mixed, &["--peer", &echo.address().to_string()]).unwrap();
    let recording = record(&server).start().unwrap();
    for _ in 0..20 {
        let mut pair: Vec<_> = (0..2).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        pair.iter_mut().for_each(|stream| stream.write_all(&request(0)).unwrap());
        pair.iter_mut().for_each(|stream| stream.read_exact(&mut [0; MESSAGE]).unwrap());
    }
    let report = recording.stop().unwrap();
    assert_eq!(report.lost("calls_multiplexed", &[]), 20);
    report.assert_requests("hostile", 40);
}

#[test]
fn more_peers_than_slots_are_counted_as_others() {
    need_root();
    let echo = start(Kind::Echo, &["--addresses", "20"]).unwrap();
    let peers = (1..=20u8).flat_map(|last| ["--peer".to_owned(), format!("127.0.0.{last}:{}", echo.port)]);
    let peers: Vec<String> = peers.collect();
    let server = start(Kind::Fickle, &peers.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let recording = record(&server).start().unwrap();
    ask(&server, 1, 200, 0).unwrap();
    let report = recording.stop().unwrap();
    // On loopback an answer can arrive while the send that asked for it still returns, and has no latency then.
    let slots = report.lost("downstream_slots_full", &["negative_difference"]);
    assert_eq!(slots, 5, "20 peers, 15 slots beside that of the others");
    report.assert_requests("hostile", 200);
    let called = report.service("hostile")["downstream"].as_array().unwrap().clone();
    let calls: u64 = called.iter().map(|peer| peer["calls"].as_u64().unwrap()).sum();
    let others = called.iter().find(|peer| peer["address"] == "others").unwrap();
    assert_eq!((called.len(), calls, others["calls"].as_u64()), (16, 200, Some(50)), "{called:?}");
}

#[test]
fn peers_beyond_the_table_of_peers_are_counted_as_others_too() {
    need_root();
    let echo = start(Kind::Echo, &["--addresses", "20"]).unwrap();
    let peers = (1..=20u8).flat_map(|last| ["--peer".to_owned(), format!("127.0.0.{last}:{}", echo.port)]);
    let peers: Vec<String> = peers.collect();
    let server = start(Kind::Fickle, &peers.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let recording = record(&server).arg("--tuning=DOWNSTREAM_PEER=4").start().unwrap();
    ask(&server, 1, 200, 0).unwrap();
    let report = recording.stop().unwrap();
    let lost = report.lost("downstream_slots_full", &["negative_difference"]);
    assert_eq!(lost, 160, "each connection to 16 peers that nobody remembers");
    report.assert_requests("hostile", 200);
    let called = report.service("hostile")["downstream"].as_array().unwrap().clone();
    let calls: u64 = called.iter().map(|peer| peer["calls"].as_u64().unwrap()).sum();
    let others = called.iter().find(|peer| peer["address"] == "others").unwrap();
    assert_eq!((called.len(), calls, others["calls"].as_u64()), (5, 200, Some(160)), "{called:?}");
}

#[test]
fn threads_that_call_one_new_peer_at_once_use_one_slot() {
    need_root();
    let echo = start(Kind::Echo, &["--addresses", "15"]).unwrap();
    let peers = (1..=15u8).flat_map(|last| ["--peer".to_owned(), format!("127.0.0.{last}:{}", echo.port)]);
    let peers: Vec<String> = peers.collect();
    let server = start(Kind::Rush, &peers.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    // As many peers as slots: if one of them took two, another had none.
    for round in 0..if in_vm() { 1 } else { 8 } {
        let recording = record(&server).start().unwrap();
        ask(&server, 1, 1, 0).unwrap();
        let report = recording.stop().unwrap();
        let losses = report.losses();
        assert!(losses.iter().all(|(name, _)| name == "negative_difference"), "round {round}: {losses:?}");
        let called = report.service("hostile")["downstream"].as_array().unwrap().clone();
        let connects: u64 = called.iter().map(|peer| peer["connects"].as_u64().unwrap()).sum();
        assert!(called.iter().all(|peer| peer["address"] != "others"), "round {round}: {called:?}");
        assert_eq!((called.len(), connects), (15, 30), "round {round}: {called:?}");
    }
}

#[test]
fn clients_beyond_the_table_of_peers_count_as_others() {
    need_root();
    let server = start(Kind::Echo, &[]).unwrap();
    let recording = record(&server).start().unwrap();
    let beyond = 76;
    for client in 0..PEERS + beyond {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let address = Ipv4Addr::new(127, 1, (client >> 8) as u8, client as u8);
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        socket.connect(&server.address().into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.write_all(&request(0)).unwrap();
        stream.read_exact(&mut [0; MESSAGE]).unwrap();
    }
    let report = recording.stop().unwrap();
    report.assert_nothing_lost(u64::from(PEERS + beyond));
    report.assert_requests("hostile", u64::from(PEERS + beyond));
    let tcp = &report.service("hostile")["tcp"];
    assert_eq!(tcp["accepted"].as_u64(), Some(u64::from(PEERS + beyond)));
    let peers = tcp["peers"].as_array().unwrap();
    let (others, named) = peers.split_last().unwrap();
    assert_eq!(named.len(), PEERS as usize);
    assert_eq!((&others["address"], &others["direction"]), (&"others".into(), &"incoming".into()), "{others}");
    assert_eq!(others["connections"].as_u64(), Some(u64::from(beyond)), "{others}");
}

/// Calls of the report: (count, errors), of those that have a row.
fn calls(report: &Report) -> Vec<(String, u64, u64)> {
    let calls = report.service("hostile")["syscalls"].as_array().unwrap().clone();
    let integer = |call: &serde_json::Value, field: &str| call[field].as_u64().unwrap();
    calls.iter().map(|c| (c["name"].as_str().unwrap().to_owned(), integer(c, "count"), integer(c, "errors"))).collect()
}

#[test]
fn system_calls_beyond_the_slots_share_a_row() {
    need_root();
    let server = start(Kind::Calls, &[]).unwrap();
    let recording = record(&server).start().unwrap();
    ask(&server, 1, 10, 0).unwrap();
    let report = recording.stop().unwrap();
    report.assert_exact("hostile", 10);
    let calls = calls(&report);
    assert_eq!(calls.len(), SYSCALL_SLOTS as usize);
    // Only this one does it make otherwise than to fail.
    let failing = calls.iter().filter(|(name, count, errors)| count == errors && *count == 10 && name != "sendto");
    assert!(failing.count() >= 50, "{calls:?}");
    // It makes more of those than there are rows, each ten times.
    assert!(calls.iter().map(|(_, _, errors)| errors).sum::<u64>() >= 10 * u64::from(SYSCALL_SLOTS), "{calls:?}");
    let rows = report.service("hostile")["syscalls"].as_array().unwrap();
    let others = rows.iter().find(|call| call["name"] == "others").unwrap();
    let by_errno: u64 = others["errnos"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert!(by_errno >= 10 && others["errors"] == by_errno, "{others}");
}

#[test]
fn a_call_with_a_number_that_no_table_has_has_no_figures() {
    need_root();
    // Its own process is the service: such a call tells nobody anything but itself.
    let recording = Recorder::new("own", &format!("pid:{}", std::process::id())).start().unwrap();
    for _ in 0..10 {
        // SAFETY: no kernel has this call, and none takes an argument of it.
        assert_eq!(unsafe { libc::syscall(i64::from(OTHER_CALLS) + 100) }, -1);
    }
    assert_eq!(recording.stop().unwrap().lost("syscall_slots_full", &[]), 10);
}

#[test]
fn failures_beyond_the_table_count_without_their_errno() {
    need_root();
    let server = start(Kind::Calls, &[]).unwrap();
    let recording = record(&server).arg("--tuning=ERRNO=16").start().unwrap();
    ask(&server, 1, 10, 0).unwrap();
    let report = recording.stop().unwrap();
    assert!(report.lost("errno_table_full", &[]) >= 300);
    report.assert_requests("hostile", 10);
    let named = report.service("hostile")["syscalls"].as_array().unwrap().iter().map(|call| call["errnos"].clone());
    let named = named.filter(|errnos| !errnos.as_object().unwrap().is_empty());
    assert_eq!(named.count(), 16);
    assert!(calls(&report).iter().filter(|(_, _, errors)| *errors == 10).count() >= 50);
}

#[test]
fn commands_beyond_the_table_of_those_that_ran_instead_are_others() {
    need_root();
    let server = start(Kind::Echo, &["--cpu", "0"]).unwrap();
    let spin = |_| {
        let mut command = Command::new(program("truth-waits"));
        command.args(["spin", "--count", "1", "--ns", "2500000000", "--cpu", "0"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; "ready\n".len()]).unwrap();
        child
    };
    let mut spinners: Vec<Child> = (0..8).map(spin).collect();
    let recording = record(&server).arg("--tuning=PREEMPTOR=2").start().unwrap();
    spinners.iter_mut().for_each(|child| child.stdin.as_mut().unwrap().write_all(b"\n").unwrap());
    ask(&server, 4, 400, 0).unwrap();
    let report = recording.stop().unwrap();
    spinners.iter_mut().for_each(|child| end(child, libc::SIGTERM));
    assert_eq!(report.losses(), []);
    report.assert_requests("hostile", 400);
    let scheduler = &report.service("hostile")["scheduler"];
    let named = scheduler["ran_instead"].as_array().unwrap();
    let waits: u64 = named.iter().map(|who| who["waits"].as_u64().unwrap()).sum();
    assert_eq!(named.len(), 3, "{named:?}");
    assert_eq!(named.iter().filter(|who| who["comm"] == "others" && who["pid"] == 0).count(), 1, "{named:?}");
    assert!(waits <= scheduler["run_queue"]["count"].as_u64().unwrap(), "{waits}: {scheduler}");
}

/// A server in the same set of the service table as process `first`: its id is as many sets further.
fn start_in_set_of(first: u32, further: u32) -> Service {
    let id = first + further * MEMBER_SETS;
    for _ in 0..20 {
        // The next process gets the next id, unless another one is quicker.
        std::fs::write("/proc/sys/kernel/ns_last_pid", (id - 1).to_string()).unwrap();
        let server = start(Kind::Echo, &[]).unwrap();
        if server.pid() == id {
            return server;
        }
    }
    panic!("no process got the id {id}");
}

#[test]
fn a_process_beyond_the_service_table_is_not_profiled() {
    need_root();
    // An id that is free in as many sets; the lowest are not given out again.
    let first = (1000..MEMBER_SETS).find(|id| {
        (0..4).all(|further| !std::path::Path::new(&format!("/proc/{}", id + further * MEMBER_SETS)).exists())
    });
    // Two have room in their set, one in the table behind it.
    let inside: Vec<Service> = (0..3).map(|further| start_in_set_of(first.unwrap(), further)).collect();
    let outside = start_in_set_of(first.unwrap(), 3);
    let mut recorder = record(&inside[0]).arg("--tuning=MORE_MEMBERS_OF=1");
    for (name, server) in [("second", &inside[1]), ("third", &inside[2]), ("beyond", &outside)] {
        recorder = recorder.arg("--service").arg(&format!("{name}=pid:{}", server.pid()));
    }
    let recording = recorder.start().unwrap();
    inside.iter().chain([&outside]).for_each(|server| ask(server, 2, 500, 0).unwrap());
    let report = recording.stop().unwrap();
    assert!(report.lost("service_table", &[]) >= 1);
    for (name, requests) in [("hostile", 500), ("second", 500), ("third", 500), ("beyond", 0)] {
        assert_eq!(report.requests(name), requests, "{name}");
    }
}

#[test]
fn more_programs_than_the_queue_holds_are_found_by_a_scan() {
    need_root();
    let mark = format!("mark-{}", std::process::id());
    let starter = start(Kind::Programs, &["--mark", &mark]).unwrap();
    let recording = Recorder::new("hostile", &format!("cmdline:--mark {mark}")).start().unwrap();
    recording.signal(libc::SIGSTOP).unwrap();
    let late_port = free_port().unwrap();
    let late = Service::start(command(Kind::Echo, late_port).args(["--mark", &mark]), late_port).unwrap();
    ask(&starter, 1, 1, EXEC_QUEUE + 76).unwrap();
    recording.signal(libc::SIGCONT).unwrap();
    thread::sleep(Duration::from_secs(1));
    ask(&late, 2, 500, 0).unwrap();
    let report = recording.stop().unwrap();
    kill(late).unwrap();
    assert_eq!(report.lost("exec_queue_overrun", &[]), 1);
    report.assert_requests("hostile", 501);
    assert_eq!(report.integer("hostile", "/processes_forked"), u64::from(EXEC_QUEUE + 76));
}

#[test]
fn requests_that_wait_beyond_the_table_have_an_unknown_time() {
    need_root();
    let connections = 1200; // more than there are places in the array
    let server = start(Kind::Backlog, &["--count", &connections.to_string()]).unwrap();
    let recording = record(&server).arg("--tuning=PARKED=4").start().unwrap();
    ask(&server, connections, 8 * connections as u64, 0).unwrap();
    let report = recording.stop().unwrap();
    report.lost("request_table_full", &[]);
    report.assert_requests("hostile", 8 * connections as u64);
}

#[test]
fn unix_sockets_that_close_unanswered_leave_room() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("silent");
    let server = start(Kind::Silent, &["--unix", path.to_str().unwrap()]).unwrap();
    // Each waits in the table when the next one is read; those beyond the places go to the hash map, here with less room.
    let (connections, room) = if in_vm() { (8_000, 1024) } else { (70_000, 4096) };
    let recording = record(&server).arg(&format!("--tuning=PARKED={room}")).start().unwrap();
    for number in 0..connections {
        let mut stream = UnixStream::connect(&path).unwrap();
        let closes_last = number % 2 != 0;
        stream.write_all(&request(u32::from(closes_last))).unwrap();
        if !closes_last {
            assert_eq!(stream.read(&mut [0; MESSAGE]).unwrap(), 0);
        }
    }
    let report = recording.stop().unwrap();
    // A reader that does not sleep can take what was queued before the kernel tells.
    let unseen = connections / 1000 + 1;
    let losses = report.losses();
    assert!(losses.iter().all(|(name, count)| name == "arrival_unseen" && *count <= unseen), "{losses:?}");
    assert_eq!(report.integer("hostile", "/requests/unanswered"), connections);
}

#[test]
fn counts_that_cannot_be_are_told() {
    need_root();
    let server = start(Kind::Echo, &[]).unwrap();
    // The first words are buckets of the latency, one for each nanosecond; no request is as quick as that.
    for (value, lost, disagree) in [(-3, 3, false), (4, 0, true)] {
        let recording = record(&server).start().unwrap();
        ask(&server, 1, 100, 0).unwrap();
        bpf::set_word(recording.pid(), "HISTOGRAMS", 5, value).unwrap();
        let report = recording.stop().unwrap();
        report.assert_requests("hostile", 100);
        assert_eq!(report.losses().iter().map(|(_, count)| count).sum::<u64>(), lost);
        if lost > 0 {
            assert_eq!(report.lost("counts_below_zero", &[]), lost);
        }
        assert_eq!(report.found("counts_disagree"), disagree);
        let count = report.spread("hostile", "/requests/latency").get("count");
        assert_eq!(count, 100 + u64::try_from(value).unwrap_or(0));
    }
}
