//! The rarer counters of the loss ledger: memory that is refused, threads and interrupts that come upon each other. See
//! `ledger.rs`, which has the list.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::clock;
use acgs_perf_tests::harness::{Service, end, free_port, need_root};
use acgs_perf_tests::hostile::memory::Group;
use acgs_perf_tests::hostile::server::TORN;
use acgs_perf_tests::hostile::{Kind, MESSAGE, ask, command, in_vm, network, request, start};
use acgs_perf_tests::recording::{Recorder, Recording};

fn port(service: &Service) -> String {
    format!("port:{}", service.port)
}

fn record(service: &Service) -> Recorder {
    need_root();
    Recorder::new("hostile", &port(service))
}

#[test]
fn a_socket_without_room_for_its_state_is_not_counted() {
    need_root();
    let port = free_port().unwrap();
    let mut command = command(Kind::Echo, port);
    network::of_its_own(command.arg("--hold")).stdin(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let pid = server.id();
    thread::sleep(Duration::from_millis(200));
    let recording = Recorder::new("hostile", &format!("pid:{pid}")).start().unwrap();
    server.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let counted = network::inside(pid, || {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let limit = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(address).is_err() && Instant::now() < limit {
            thread::sleep(Duration::from_millis(10));
        }
        let plan = Plan { rate: None, requests: 400, limit: Duration::from_secs(20) };
        let mut old = Client::connect(address, 4, &request(0), MESSAGE)?;
        old.run(plan)?;
        network::set("core/optmem_max", "64")?;
        Client::connect(address, 2, &request(0), MESSAGE)?.run(Plan { requests: 100, ..plan })?;
        old.run(plan)?;
        Ok(800)
    });
    let report = recording.stop();
    end(&mut server, libc::SIGKILL);
    let (report, counted) = (report.unwrap(), counted.unwrap());
    assert!(report.lost("socket_storage_refused", &[]) >= 100);
    report.assert_requests("hostile", counted);
}

/// The agent stands still meanwhile: it could not allocate either.
fn starved(recording: &Recording, group: &Group, work: impl FnOnce()) {
    recording.signal(libc::SIGSTOP).unwrap();
    thread::sleep(Duration::from_millis(100));
    group.limit(group.usage().unwrap()).unwrap();
    work();
    group.unlimit().unwrap();
    recording.signal(libc::SIGCONT).unwrap();
}

#[test]
fn a_thread_without_room_for_its_state_is_not_followed() {
    need_root();
    // What the kernel keeps per thread is charged to the control group of the agent, which has made the map.
    let Some(group) = Group::new("ledger").unwrap() else {
        assert!(in_vm(), "no memory controller: the kernel cannot be made to refuse memory to one process");
        println!("skipped: no control groups in this virtual machine");
        return;
    };
    let (server, starter) = (start(Kind::Echo, &[]).unwrap(), start(Kind::Threads, &[]).unwrap());
    let threads = format!("threads={}", port(&starter));
    let recorder = record(&server).arg("--service").arg(&threads).in_group(group.procs());
    let recording = recorder.start().unwrap();
    ask(&server, 2, 300, 0).unwrap();
    starved(&recording, &group, || {
        ask(&starter, 1, 1, 3000).unwrap();
        ask(&server, 2, 300, 0).unwrap();
    });
    let report = recording.stop().unwrap();
    // A request whose place is taken takes memory too.
    let lost = report.lost("thread_storage_refused", &["request_table_full"]);
    println!("{lost} events of threads without a state");
    report.assert_requests("hostile", 600);
    assert_eq!(report.requests("threads"), 1);
}

/// One of the two has the request. Before that was so, this made `attribution_inconsistent` count within a few rounds; what else could is not
/// known.
#[test]
fn two_threads_that_take_up_one_request_at_once_add_up() {
    need_root();
    let rounds = if in_vm() { 20 } else { 200 };
    let server = start(Kind::Torn, &[]).unwrap();
    let recording = record(&server).start().unwrap();
    for _ in 0..rounds {
        let mut streams: Vec<_> = (0..3).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        for stream in &mut streams {
            stream.write_all(&[0; 1]).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        streams.iter_mut().for_each(|stream| stream.write_all(&[0; TORN - 1]).unwrap());
        streams.iter_mut().for_each(|stream| stream.read_exact(&mut [0; MESSAGE]).unwrap());
    }
    let report = recording.stop().unwrap();
    report.assert_requests("hostile", 3 * rounds);
    let losses = report.losses();
    assert!(losses.iter().all(|(name, _)| name != "attribution_inconsistent"), "{losses:?}");
    assert!(losses.iter().all(|(name, _)| name == "arrival_unseen"), "more than that: {losses:?}");
}

#[test]
fn a_program_that_is_interrupted_by_itself_is_missed() {
    need_root();
    if in_vm() {
        println!("skipped: in software emulation virtual CPUs take turns, and an interrupt from the other one is rare");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let server = start(Kind::Echo, &["--unix", path.to_str().unwrap(), "--cpu", "1"]).unwrap();
    let recording = Recorder::new("hostile", &format!("pid:{}", server.pid())).start().unwrap();
    let end = clock::now() + 3_000_000_000;
    let requests = thread::scope(|scope| {
        // Segments that CPU 0 sends arrive in interrupts of CPU 1, on which the recorded service and its client run.
        scope.spawn(|| network::steered(1, || Ok(flood(end)?)).unwrap());
        clock::pin(1).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        let (mut requests, mut message) = (0, [0; MESSAGE]);
        while clock::now() < end {
            stream.write_all(&message).unwrap();
            stream.read_exact(&mut message).unwrap();
            requests += 1;
        }
        requests
    });
    let report = recording.stop().unwrap();
    println!("{} misses, {requests} requests", report.lost("recursion_misses", &[]));
    report.assert_requests("hostile", requests);
}

/// Sends small segments over loopback, from CPU 0, until this moment.
fn flood(end: u64) -> std::io::Result<()> {
    clock::pin(0)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    sender.set_nodelay(true)?;
    let mut receiver = listener.accept()?.0;
    let reader = thread::spawn(move || while receiver.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {});
    while clock::now() < end {
        sender.write_all(&[0; 8])?;
    }
    drop(sender);
    reader.join().map_err(|_| std::io::Error::other("the reader panicked"))
}
