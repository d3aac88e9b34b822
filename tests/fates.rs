//! Requests that nobody answered: unread, in service, abandoned, refused. Each is made by a server and clients of our own, which know
//! how many there are and how long they have waited.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use acgs_perf::snapshot::fates::Abandoned;
use acgs_perf::snapshot::open::{Open, Since};
use acgs_perf_common::histogram::bucket_index;
use acgs_perf_tests::fate::{Client, Kind, Server, drops_of};
use acgs_perf_tests::harness::{free_port, need_root};
use acgs_perf_tests::hostile::{MESSAGE, in_vm, network};
use acgs_perf_tests::listening;
use acgs_perf_tests::recording::Recorder;
use socket2::{Domain, Socket, Type};

const AT_ONCE: Duration = Duration::ZERO;
const KINDS: [Kind; 2] = [Kind::Tcp, Kind::Unix];
const REPLY: u32 = 32;

fn ns(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// Checks that all open requests are so old, and as many as is said.
fn assert_open(open: &Open, count: u64, from: Duration, to: Duration, what: &str) {
    assert_eq!(open.count, count, "{what}: {open:?}");
    let (low, high) = (bucket_index(ns(from)) as u32, bucket_index(ns(to)) as u32);
    let within: i64 = open.ages.iter().filter(|(bucket, _)| (low..=high).contains(bucket)).map(|(_, n)| n).sum();
    assert_eq!(within, count as i64, "{what}: not all between {from:?} and {to:?}: {open:?}");
    assert!((ns(from)..=ns(to)).contains(&open.oldest_ns), "{what}: {open:?}");
    assert_eq!(open.listed.len() as u64, count.min(8), "{what}: {open:?}");
}

#[test]
fn requests_to_a_stopped_process_are_unread_and_have_their_age() {
    need_root();
    for kind in KINDS {
        let server = Server::start(kind).unwrap();
        let recording = server.record();
        let mut known: Vec<Client> = (0..20).map(|_| server.connect()).collect();
        for client in &mut known {
            (0..25).for_each(|_| client.ask(AT_ONCE, REPLY));
        }
        server.freeze();
        let began = Instant::now();
        // On connections that were accepted, and on some that will not be.
        known.iter_mut().for_each(|client| client.send(AT_ONCE, REPLY));
        let new = server.send_on_new(80, AT_ONCE, REPLY);
        sleep(Duration::from_secs(3));
        let seen = recording.stop();
        assert_open(&seen.fates.unread, 100, Duration::from_secs(3), began.elapsed(), &format!("{kind:?}"));
        assert_eq!((seen.fates.in_service.count, seen.fates.unread.older), (0, 0), "{kind:?}");
        assert_eq!(seen.report.requests("fate"), 500, "{kind:?}");
        // A UNIX socket's reader may outrun the word that something arrives for it.
        let lost = seen.report.losses_beyond(1000);
        let outrun = [("arrival_unseen".to_owned(), 1)];
        assert!(lost.is_empty() || (kind == Kind::Unix && lost == outrun), "{kind:?}: {lost:?}");
        // The oldest came on accepted connections.
        for (request, client) in seen.fates.unread.listed.iter().zip(&known) {
            assert_eq!((request.pid, request.since), (server.pid(), Since::Arrival), "{kind:?}: {request:?}");
            assert_eq!((request.comm.as_str(), &request.client), ("fate-server", &client.address()), "{kind:?}");
        }
        // They were there at the end of earlier intervals too.
        let earlier = seen.by_interval().iter().filter(|fates| fates.unread.count == 100).count();
        // Looks are paced by what they cost, which in emulation is a lot.
        let least = if in_vm() { 1 } else { 3 };
        assert!(earlier >= least, "{kind:?}: {earlier} intervals");
        drop(new);
    }
}

#[test]
fn requests_from_before_the_recording_are_there_and_are_answered_in_it() {
    need_root();
    for kind in KINDS {
        let server = Server::start(kind).unwrap();
        let mut accepted: Vec<Client> = (0..40).map(|_| server.connect()).collect();
        accepted.iter_mut().for_each(|client| client.ask(AT_ONCE, REPLY));
        server.freeze();
        let began = Instant::now();
        accepted.iter_mut().for_each(|client| client.send(AT_ONCE, REPLY));
        let mut new = server.send_on_new(60, AT_ONCE, REPLY);
        sleep(Duration::from_secs(1));
        let recording = server.record();
        let attached = Instant::now();
        sleep(Duration::from_secs(1));
        let seen = recording.stop();
        let (least, since) = match kind {
            // Since the kernel knows it to a tick; the recording began a second later.
            Kind::Tcp => (attached.duration_since(began) + Duration::from_millis(980), Since::LastBytes),
            Kind::Unix => (Duration::from_millis(980), Since::AtLeast),
        };
        let unread = &seen.fates.unread;
        assert_open(unread, 100, least, began.elapsed(), &format!("{kind:?}"));
        assert_eq!(unread.older, 100, "{kind:?}");
        assert!(unread.listed.iter().all(|request| request.since == since), "{kind:?}: {unread:?}");
        // In the next one the process goes on, and they are answered.
        let recording = server.record();
        server.signal(libc::SIGCONT);
        accepted.iter_mut().chain(&mut new).for_each(|client| client.receive(REPLY));
        let seen = recording.stop();
        assert_eq!((seen.fates.unread.count, seen.fates.in_service.count), (0, 0), "{kind:?}: {:?}", seen.fates);
        assert_eq!(seen.report.requests("fate"), 100, "{kind:?}");
        seen.report.assert_nothing_lost(1000);
    }
}

#[test]
fn requests_that_were_read_and_hang_are_in_service() {
    need_root();
    for kind in KINDS {
        let server = Server::start(kind).unwrap();
        let recording = server.record();
        (0..200).for_each(|_| server.connect().ask(AT_ONCE, REPLY));
        let began = Instant::now();
        let hanging = server.send_on_new(50, AT_ONCE, 0);
        sleep(Duration::from_secs(3));
        let seen = recording.stop();
        assert_open(&seen.fates.in_service, 50, Duration::from_secs(3), began.elapsed(), &format!("{kind:?}"));
        assert_eq!((seen.fates.unread.count, seen.fates.abandoned.count), (0, 0), "{kind:?}");
        assert!(seen.fates.in_service.listed.iter().all(|request| request.pid == server.pid()), "{kind:?}");
        assert_eq!(seen.report.requests("fate"), 200, "{kind:?}");
        drop(hanging);
    }
}

/// Waits that a recording gave for clients that left are between these, which their buckets widen.
fn assert_waited(abandoned: &Abandoned, count: u64, from: Duration, to: Duration, what: &str) {
    assert_eq!(abandoned.count, count, "{what}: {abandoned:?}");
    let (low, high) = (bucket_index(ns(from)) as u32, bucket_index(ns(to)) as u32);
    let within: i64 = abandoned.waited.iter().filter(|(bucket, _)| (low..=high).contains(bucket)).map(|(_, n)| n).sum();
    assert_eq!(within, count as i64, "{what}: not all between {from:?} and {to:?}: {abandoned:?}");
    let mean = abandoned.waited_sum_ns / count.max(1);
    assert!((ns(from)..=ns(to)).contains(&mean), "{what}: {abandoned:?}");
}

#[test]
fn clients_that_reset_while_they_are_served_have_abandoned_their_requests() {
    need_root();
    const HANDLER: Duration = Duration::from_secs(1);
    for kind in KINDS {
        let what = format!("{kind:?}");
        let server = Server::start(kind).unwrap();
        let recording = server.record();
        let began = Instant::now();
        let leaving = server.send_on_new(40, HANDLER, REPLY);
        sleep(Duration::from_millis(100));
        leaving.into_iter().for_each(Client::reset);
        let left = began.elapsed();
        let mut staying = server.connect();
        (0..100).for_each(|_| staying.ask(AT_ONCE, REPLY));
        sleep(HANDLER + Duration::from_millis(500));
        let seen = recording.stop();
        // Of a UNIX client nobody hears before the next look, or the reply.
        let latest = if kind == Kind::Tcp { left } else { began.elapsed() };
        assert_waited(&seen.fates.abandoned, 40, Duration::from_millis(99), latest, &what);
        assert_eq!(seen.fates.abandoned.into_closed, 40, "{what}: each was answered all the same");
        assert_eq!((seen.fates.in_service.count, seen.fates.unread.count, seen.fates.cut_off), (0, 0, 0), "{what}");
        assert_eq!(seen.report.requests("fate"), 100, "{what}");
        seen.report.assert_nothing_lost(1000);
    }
}

#[test]
fn clients_that_leave_before_they_are_read_have_abandoned_their_requests() {
    need_root();
    for kind in KINDS {
        let what = format!("{kind:?}");
        let server = Server::start(kind).unwrap();
        let mut accepted: Vec<Client> = (0..10).map(|_| server.connect()).collect();
        accepted.iter_mut().for_each(|client| client.ask(AT_ONCE, REPLY));
        let recording = server.record();
        server.freeze();
        let began = Instant::now();
        accepted.iter_mut().for_each(|client| client.send(AT_ONCE, REPLY));
        accepted.extend(server.send_on_new(10, AT_ONCE, REPLY));
        sleep(Duration::from_millis(200));
        accepted.into_iter().for_each(Client::reset);
        sleep(Duration::from_millis(1500));
        // It goes on, and reads what the kernel has kept: that is no new request.
        server.signal(libc::SIGCONT);
        sleep(Duration::from_millis(500));
        let seen = recording.stop();
        assert_waited(&seen.fates.abandoned, 20, Duration::from_millis(199), began.elapsed(), &what);
        assert_eq!((seen.fates.unread.count, seen.fates.in_service.count), (0, 0), "{what}: {:?}", seen.fates);
        assert_eq!(seen.report.requests("fate"), 0, "{what}");
        seen.report.assert_nothing_lost(1000);
    }
}

#[test]
fn a_client_that_has_closed_its_end_and_gets_its_reply_has_abandoned_nothing() {
    need_root();
    for kind in KINDS {
        let server = Server::start(kind).unwrap();
        let recording = server.record();
        let mut clients = server.send_on_new(30, Duration::from_millis(1500), REPLY);
        sleep(Duration::from_millis(100));
        clients.iter().for_each(Client::half_close);
        clients.iter_mut().for_each(|client| client.receive(REPLY));
        drop(clients);
        let seen = recording.stop();
        assert_eq!(seen.fates.abandoned.count, 0, "{kind:?}: {:?}", seen.fates);
        assert_eq!((seen.report.requests("fate"), seen.fates.in_service.count), (30, 0), "{kind:?}");
    }
}

#[test]
fn replies_to_clients_that_have_closed_are_work_for_nobody() {
    need_root();
    for kind in KINDS {
        let what = format!("{kind:?}");
        let server = Server::start(kind).unwrap();
        let recording = server.record();
        let began = Instant::now();
        let clients = server.send_on_new(30, Duration::from_millis(600), REPLY);
        sleep(Duration::from_millis(200));
        drop(clients);
        let left = began.elapsed();
        sleep(Duration::from_secs(1));
        let seen = recording.stop();
        let latest = if kind == Kind::Tcp { left } else { began.elapsed() };
        assert_waited(&seen.fates.abandoned, 30, Duration::from_millis(199), latest, &what);
        assert_eq!((seen.fates.abandoned.into_closed, seen.report.requests("fate")), (30, 0), "{what}");
    }
}

#[test]
fn a_reset_that_answers_a_reply_takes_it_back() {
    need_root();
    // One after the other, on connections that the server keeps.
    let server = Server::with(Kind::Tcp, 64, "keep", |command| command).unwrap();
    let recording = server.record();
    (0..10).for_each(|_| server.connect().ask(AT_ONCE, REPLY));
    let began = Instant::now();
    let clients = server.send_on_new(6, Duration::from_millis(300), REPLY);
    sleep(Duration::from_millis(100));
    clients.iter().for_each(Client::half_close);
    let left = began.elapsed();
    sleep(Duration::from_millis(2000));
    // The replies are here, and nobody reads them: the kernel says so with a reset.
    drop(clients);
    let seen = recording.stop();
    assert_waited(&seen.fates.abandoned, 6, Duration::from_millis(99), left, "take back");
    assert_eq!(seen.fates.abandoned.into_closed, 6);
    seen.report.assert_requests("fate", 10);
    seen.report.assert_nothing_lost(1000);
}

#[test]
fn a_service_that_closes_instead_of_answering_cuts_off() {
    need_root();
    let mut server = Server::start(Kind::Tcp).unwrap();
    let recording = server.record();
    let clients = server.send_on_new(25, AT_ONCE, 0);
    sleep(Duration::from_millis(300));
    server.kill();
    let seen = recording.stop();
    assert_eq!((seen.fates.cut_off, seen.fates.abandoned.count), (25, 0), "{:?}", seen.fates);
    assert_eq!((seen.fates.in_service.count, seen.fates.unread.count), (0, 0));
    drop(clients);
}

#[test]
fn what_a_server_drains_after_its_last_reply_is_no_request() {
    need_root();
    const CONNECTIONS: u64 = 30;
    let directory = tempfile::tempdir().unwrap();
    let (port, path) = (free_port().unwrap(), directory.path().join("drains"));
    for kind in KINDS {
        let place = match kind {
            Kind::Tcp => ["--port".to_owned(), port.to_string()],
            Kind::Unix => ["--unix".to_owned(), path.display().to_string()],
        };
        let server = listening::Server::start(place.into_iter().chain(["--drains".to_owned()])).unwrap();
        let recording = Recorder::new("drains", &format!("pid:{}", server.pid())).start().unwrap();
        for _ in 0..CONNECTIONS {
            let mut stream: Socket = match kind {
                Kind::Tcp => TcpStream::connect(("127.0.0.1", port)).unwrap().into(),
                Kind::Unix => OwnedFd::from(UnixStream::connect(&path).unwrap()).into(),
            };
            stream.write_all(&[0; MESSAGE]).unwrap();
            stream.read_exact(&mut [0; MESSAGE]).unwrap();
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "{kind:?}: the server sends more");
            for _ in 0..3 {
                stream.write_all(&[0; MESSAGE]).unwrap();
                sleep(Duration::from_millis(2));
            }
        }
        let report = recording.stop().unwrap();
        assert_eq!(report.requests("drains"), CONNECTIONS, "{kind:?}");
        for fate in ["unread/count", "in_service/count", "abandoned/count"] {
            let of = &report.service("drains")["fates"];
            assert_eq!(report.integer("drains", &format!("/fates/{fate}")), 0, "{kind:?}: {fate}: {of}");
        }
        report.assert_nothing_lost(CONNECTIONS);
        // What is not measured is absent.
        let service = report.service("drains");
        let known = [service.pointer("/fates/cut_off"), service.pointer("/refused/drops")];
        let expected = (kind == Kind::Tcp).then_some(0);
        assert_eq!(known.map(|value| value.map(|value| value.as_u64().unwrap())), [expected; 2], "{kind:?}");
    }
}

#[test]
fn what_a_full_accept_queue_drops_is_refused() {
    need_root();
    // In a network of its own, where nobody else's drops are counted, and where the agent is not.
    let server = Server::with(Kind::Tcp, 4, "keep", network::of_its_own).unwrap();
    let recording = server.record();
    server.freeze();
    let dropped = network::inside(server.pid(), || {
        let before = network::listen_drops()?;
        let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
        let clients: Vec<Socket> = (0..40)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                let _under_way = socket.connect(&address.into());
                socket
            })
            .collect();
        // Some of them try again.
        sleep(Duration::from_millis(2500));
        drop(clients);
        Ok(network::listen_drops()? - before)
    });
    let dropped = dropped.unwrap();
    assert!(dropped >= 40, "{dropped} drops are too few to tell");
    let seen = recording.stop();
    assert_eq!(seen.fates.refused.drops, dropped, "{:?}", seen.fates.refused);
    assert_eq!(seen.fates.refused.by_port, [(u32::from(server.port()), dropped)].into());
}

#[test]
fn connections_that_are_told_of_with_their_first_bytes_are_not_refused() {
    need_root();
    let server = Server::with(Kind::Tcp, 64, "defer", |command| command).unwrap();
    let recording = server.record();
    // There is no `ss` in a virtual machine.
    let drops = || if in_vm() { 100 } else { drops_of(server.port()) };
    let before = if in_vm() { 0 } else { drops() };
    for _ in 0..100 {
        server.connect().ask(Duration::ZERO, 1);
    }
    // The listener's own counter has one for the end of each handshake.
    assert!(drops() - before >= 100);
    let seen = recording.stop();
    seen.report.assert_counted("fate", 100, &[]);
    // In this network others may be refused meanwhile, but not so many.
    assert!(seen.fates.refused.drops < 50, "{:?}", seen.fates.refused);
}

#[test]
fn ten_thousand_idle_connections_cost_no_look() {
    need_root();
    const CONNECTIONS: usize = 10_000;
    const IDLE: Duration = Duration::from_secs(10);
    allow_descriptors();
    let server = Server::with(Kind::Tcp, 512, "keep", |command| command).unwrap();
    let recording = server.record_with(|recorder| recorder.arg("--measure-cost").arg("--interval").arg("100ms"));
    let began = Instant::now();
    let clients: Vec<Client> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = server.connect();
            client.ask(AT_ONCE, REPLY);
            client
        })
        .collect();
    let busy = began.elapsed();
    sleep(IDLE);
    let seen = recording.stop();
    assert_eq!((seen.fates.unread.count, seen.fates.in_service.count), (0, 0));
    let programs = seen.capture.context.cost.programs.as_deref().unwrap_or_default();
    let looks: Vec<_> = programs.iter().filter(|program| program.name.starts_with("sockets_look")).collect();
    let runs: u64 = looks.iter().map(|program| program.runs).sum();
    // A look at the end of each busy interval and some at its edges; a hundred idle ones would be a million runs more. Who goes over all
    // sockets sees the clients' ends too, and the sockets of others.
    let ends = if looks.len() == 1 { 1 } else { 3 };
    let most = (busy.as_millis() as u64 / 100 + 4) * CONNECTIONS as u64 * ends;
    assert!((CONNECTIONS as u64..=most).contains(&runs), "{runs} runs, at most {most} expected");
    assert!(most < CONNECTIONS as u64 * 80 * ends, "it took {busy:?} to connect");
    drop(clients);
}

/// As many descriptors as the test and the server need, which inherits the limit.
fn allow_descriptors() {
    let limit = libc::rlimit { rlim_cur: 20_000, rlim_max: 20_000 };
    // SAFETY: `limit` is valid.
    let status = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(status, 0, "{}", io::Error::last_os_error());
}
