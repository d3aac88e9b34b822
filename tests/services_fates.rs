//! Requests to real servers that get no answer: what the report says is what their clients know of them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_tests::fate::drops_of;
use acgs_perf_tests::harness::{Service, fixture, free_port, need_root, python};
use acgs_perf_tests::hostile::network;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::redis;
use acgs_perf_tests::report::Report;
use socket2::SockRef;

const SECOND: u64 = 1_000_000_000;

fn record(service: &Service) -> Recorder {
    Recorder::new("service", &format!("port:{}", service.port))
}

fn verdict(report: &Report) -> String {
    report.service("service")["objective"]["verdict"].as_str().unwrap().to_owned()
}

/// A field of the fates.
fn fate(report: &Report, pointer: &str) -> u64 {
    report.integer("service", &format!("/fates/{pointer}"))
}

/// What the P99 is, or is at least.
fn p99(report: &Report) -> (Option<u64>, Option<u64>) {
    let latency = &report.service("service")["requests"]["latency"];
    (latency["p99_ns"].as_u64(), latency["p99_at_least_ns"].as_u64())
}

/// Asks, and reads until the reply that ends so is there.
fn ask(stream: &mut TcpStream, request: &[u8], end: &[u8]) {
    let (mut reply, mut length) = ([0; 4096], 0);
    stream.write_all(request).unwrap();
    while !reply[..length].ends_with(end) {
        let read = stream.read(&mut reply[length..]).unwrap();
        assert!(read > 0, "the server closes in mid-reply");
        length += read;
    }
}

#[test]
fn redis_that_is_stopped_has_its_unread_requests_in_its_p99() {
    need_root();
    let service = redis::start().unwrap();
    let recording = record(&service).start().unwrap();
    let mut stream = TcpStream::connect(service.address()).unwrap();
    (0..500).for_each(|_| ask(&mut stream, b"PING\r\n", b"+PONG\r\n"));
    service.signal(libc::SIGSTOP).unwrap();
    let send = |_| {
        let mut stream = TcpStream::connect(service.address()).unwrap();
        stream.write_all(b"PING\r\n").unwrap();
        stream
    };
    let waiting: Vec<_> = (0..100).map(send).collect();
    let sent = Instant::now();
    thread::sleep(Duration::from_secs(3));
    let waited = sent.elapsed();
    let report = recording.stop().unwrap();
    service.signal(libc::SIGCONT).unwrap();
    drop(waiting);
    assert_eq!((report.requests("service"), fate(&report, "unread/count")), (500, 100));
    let (ended, at_least) = p99(&report);
    let least = at_least.unwrap_or_else(|| panic!("P99 {ended:?} has an end"));
    // The window closes some time after the clients have looked at their clocks.
    assert!(least >= waited.as_nanos() as u64 / 100 * 95 && least < 20 * SECOND, "{least} ns, clients {waited:?}");
    assert_eq!(verdict(&report), "missed");
    assert!(report.found("requests_unread"));
    // Those that were stopped before the recording began are known too. Until then the server goes round often enough to accept and read all
    // that waited.
    (0..10).for_each(|_| ask(&mut stream, b"PING\r\n", b"+PONG\r\n"));
    service.signal(libc::SIGSTOP).unwrap();
    let _late: Vec<_> = (0..20).map(send).collect();
    thread::sleep(Duration::from_secs(1));
    let report = record(&service).duration("1s").start().unwrap().finish().unwrap().2.expect("no report");
    service.signal(libc::SIGCONT).unwrap();
    assert_eq!((report.requests("service"), fate(&report, "unread/count")), (0, 20));
    assert!(fate(&report, "unread/before_recording") == 20 && fate(&report, "unread/oldest_ns") >= SECOND);
    assert_eq!(verdict(&report), "missed", "nothing was answered, and there was something to answer");
}

#[test]
fn redis_has_all_of_a_pipeline_open_and_abandoned_with_its_client() {
    need_root();
    let service = redis::start().unwrap();
    let word = |word: &str| format!("${}\r\n{word}\r\n", word.len());
    let command = |words: &[&str]| {
        let words: String = words.iter().copied().map(word).collect();
        words
    };
    let busy = "local from = redis.call('TIME')[1] while redis.call('TIME')[1] - from < 3 do end";
    let script = format!("*3\r\n{}", command(&["EVAL", busy, "0"]));
    let behind = format!("*2\r\n{}", command(&["GET", "key"])).repeat(9);
    // Where the script begins, Redis has read all of it.
    let pipeline = || {
        let mut stream = TcpStream::connect(service.address()).unwrap();
        ask(&mut stream, b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n");
        stream.write_all(format!("{script}{behind}").as_bytes()).unwrap();
        stream
    };
    let recording = record(&service).start().unwrap();
    let stream = pipeline();
    thread::sleep(Duration::from_secs(1));
    let report = recording.stop().unwrap();
    assert_eq!((report.requests("service"), fate(&report, "in_service/count")), (1, 10));
    let oldest = fate(&report, "in_service/oldest_ns");
    assert!((SECOND / 100 * 95..4 * SECOND).contains(&oldest), "{oldest}");
    drop(stream);
    let recording = record(&service).start().unwrap();
    // It is accepted when the script before has ended.
    let stream = pipeline();
    thread::sleep(Duration::from_secs(1));
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    let mut stream = TcpStream::connect(service.address()).unwrap();
    ask(&mut stream, b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n");
    let report = recording.stop().unwrap();
    assert_eq!((report.requests("service"), fate(&report, "abandoned/count")), (2, 10));
    assert_eq!(report.integer("service", "/requests/unanswered"), 10);
    let waited = fate(&report, "abandoned/oldest_ns");
    assert!((SECOND / 100 * 95..4 * SECOND).contains(&waited), "{waited}");
}

#[test]
fn uvicorn_whose_clients_give_up_has_abandoned_requests() {
    need_root();
    let port = free_port().unwrap();
    let mut command = Command::new(python("uvicorn").unwrap());
    command.args(["app:app", "--app-dir"]).arg(fixture("")).args(["--host", "127.0.0.1"]);
    command.args(["--port", &port.to_string(), "--no-access-log", "--log-level", "warning"]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let service = Service::start(&mut command, port).unwrap();
    let (answered, left, patience) = (400, 20, Duration::from_secs(1));
    let recording = record(&service).start().unwrap();
    let leave = |address: SocketAddr| {
        thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /late/3000 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let sent = Instant::now();
            thread::sleep(patience);
            drop(stream);
            sent.elapsed()
        })
    };
    let leaving: Vec<_> = (0..left).map(|_| leave(service.address())).collect();
    let mut stream = TcpStream::connect(service.address()).unwrap();
    (0..answered).for_each(|_| ask(&mut stream, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"}"));
    let waited: Vec<_> = leaving.into_iter().map(|client| client.join().unwrap()).collect();
    thread::sleep(Duration::from_secs(4));
    let report = recording.stop().unwrap();
    assert_eq!((report.requests("service"), fate(&report, "abandoned/count")), (answered, left));
    assert_eq!(report.integer("service", "/requests/latency/without_end"), left);
    let longest = waited.iter().max().unwrap().as_nanos() as u64;
    let oldest = fate(&report, "abandoned/oldest_ns");
    assert!(oldest >= SECOND / 100 * 99 && oldest <= longest / 100 * 105 + SECOND / 2, "{oldest}, clients {longest}");
    let (ended, at_least) = p99(&report);
    assert!(ended.is_none() && at_least >= Some(SECOND / 100 * 95), "{ended:?} {at_least:?}");
    assert_eq!(verdict(&report), "missed");
    assert!(report.found("requests_abandoned"));
}

#[test]
fn gunicorn_with_a_short_backlog_refuses_and_says_so() {
    need_root();
    let port = free_port().unwrap();
    let mut command = Command::new(python("gunicorn").unwrap());
    command.arg("causes_wsgi:app").arg("--chdir").arg(fixture("")).args(["--workers", "1", "--backlog", "4"]);
    command.args(["--bind", &format!("127.0.0.1:{port}"), "--log-level", "warning", "--no-control-socket"]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let service = Service::start(&mut command, port).unwrap();
    let recording = record(&service).start().unwrap();
    // The listener's counter has some twice, that of the network has others too.
    let counters = || [drops_of(port), network::listen_drops().unwrap()];
    let before = counters();
    let dropped = || counters().iter().zip(before).map(|(now, before)| now - before).min().unwrap();
    let address = service.address();
    let get = move || {
        // Who finds the queue full tries again after a second, then after two; whether it gets through is not the question.
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else { return };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = stream.write_all(b"GET /sleep/20 HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_end(&mut Vec::new()));
    };
    let clients: Vec<_> = (0..40).map(|_| thread::spawn(get)).collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    // The kernel tries again for clients that have long gone, also while the recording ends.
    let least = dropped();
    let report = recording.stop().unwrap();
    let most = dropped();
    let drops = report.integer("service", "/refused/drops");
    assert!(drops > 0 && drops >= least && drops <= most, "{drops} drops, {least} to {most} as the kernel says");
    assert_eq!(report.integer("service", &format!("/refused/by_port/{port}")), drops);
    assert_ne!(verdict(&report), "met");
    assert!(report.found("connections_refused"));
}
