//! Real servers whose answers come late, come to nobody, come before the request has ended, or do not come: what the report says is
//! what their clients saw.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_tests::harness::{Service, fixture, free_port, need_root, python, run};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::tries::{near, one_of_three};
use acgs_perf_tests::{nginx, redis};
use serde_json::Value;
use socket2::{SockRef, Socket};

const MILLISECOND: u64 = 1_000_000;

fn record(service: &Service) -> Recorder {
    Recorder::new("service", &format!("port:{}", service.port))
}

/// A field of the fates.
fn fate(report: &Report, pointer: &str) -> u64 {
    report.integer("service", &format!("/fates/{pointer}"))
}

/// Unread, in service, abandoned, cut off; the last one is not known of UNIX sockets.
fn fates(report: &Report) -> [u64; 4] {
    let cut_off = report.service("service")["fates"]["cut_off"].as_u64().unwrap_or(0);
    let [unread, in_service, abandoned] =
        ["unread", "in_service", "abandoned"].map(|of| fate(report, &format!("{of}/count")));
    [unread, in_service, abandoned, cut_off]
}

fn connect(service: &Service) -> TcpStream {
    TcpStream::connect(service.address()).unwrap()
}

/// Sends a request of HTTP.
fn send(mut stream: impl Write, place: &str) {
    stream.write_all(format!("GET {place} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
}

/// Sends one, and reads until the JSON of the reply has ended.
fn ask(mut stream: impl Read + Write, place: &str) {
    send(&mut stream, place);
    let (mut reply, mut length) = ([0; 4096], 0);
    while !reply[..length].ends_with(b"}") {
        let read = stream.read(&mut reply[length..]).unwrap();
        assert!(read > 0, "the server closes in mid-reply");
        length += read;
    }
}

/// uvicorn on a port, or on a UNIX socket.
fn uvicorn(path: Option<&Path>) -> Service {
    let port = free_port().unwrap();
    let mut command = Command::new(python("uvicorn").unwrap());
    command.args(["app:app", "--app-dir"]).arg(fixture("")).args(["--no-access-log", "--log-level", "warning"]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    match path {
        Some(path) => command.arg("--uds").arg(path),
        None => command.args(["--host", "127.0.0.1", "--port", &port.to_string()]),
    };
    if let Some(path) = path { Service::start_on(&mut command, path) } else { Service::start(&mut command, port) }
        .unwrap()
}

#[test]
fn requests_that_are_read_and_never_answered_are_in_the_p99() {
    need_root();
    let service = uvicorn(None);
    let recording = record(&service).start().unwrap();
    let mut stream = connect(&service);
    (0..200).for_each(|_| ask(&mut stream, "/"));
    let waiting: Vec<TcpStream> =
        (0..50).map(|_| connect(&service)).inspect(|stream| send(stream, "/late/60000")).collect();
    let sent = Instant::now();
    thread::sleep(Duration::from_secs(3));
    let waited = sent.elapsed();
    let report = recording.stop().unwrap();
    drop(waiting);
    assert_eq!((report.requests("service"), fates(&report)), (200, [0, 50, 0, 0]));
    let latency = &report.service("service")["requests"]["latency"];
    assert!(latency["p99_ns"].is_null(), "{latency}");
    let least = latency["p99_at_least_ns"].as_u64().unwrap();
    assert!(u128::from(least) >= waited.as_nanos() / 100 * 95, "{least} ns, the clients have waited {waited:?}");
    assert_eq!(report.service("service")["objective"]["verdict"], "missed");
}

/// One request to gunicorn; whether it was answered before patience ended.
fn is_answered(service: &Service, patience: Duration) -> bool {
    let mut stream = connect(service);
    stream.write_all(b"GET /sleep/100 HTTP/1.0\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    match stream.read(&mut [0; 4096]) {
        Ok(read) => read > 0,
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn work_for_clients_that_have_left_is_into_closed() {
    need_root();
    const CLIENTS: u64 = 40;
    let port = free_port().unwrap();
    let mut command = Command::new(python("gunicorn").unwrap());
    command.arg("causes_wsgi:app").arg("--chdir").arg(fixture("")).args(["--workers", "1", "--no-control-socket"]);
    command.args(["--bind", &format!("127.0.0.1:{port}"), "--log-level", "warning"]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let service = Service::start(&mut command, port).unwrap();
    let recording = record(&service).start().unwrap();
    // A request takes a tenth of a second: it ends when nobody is about to leave.
    let patience = Duration::from_millis(1_050);
    let answered = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| is_answered(&service, patience))).collect();
        clients.into_iter().map(|client| u64::from(client.join().unwrap())).sum::<u64>()
    });
    // The worker goes on for nobody, one request after the other.
    thread::sleep(Duration::from_millis(100 * CLIENTS));
    let report = recording.stop().unwrap();
    assert!((5..15).contains(&answered), "{answered} were answered");
    let left = CLIENTS - answered;
    assert_eq!((report.requests("service"), fates(&report)), (answered, [0, 0, left, 0]));
    assert_eq!(fate(&report, "abandoned/into_closed"), left);
    report.assert_nothing_lost(CLIENTS);
}

/// A connection to uvicorn, of either kind.
fn either(service: &Service, path: Option<&PathBuf>) -> Socket {
    match path {
        Some(path) => std::os::fd::OwnedFd::from(UnixStream::connect(path).unwrap()).into(),
        None => connect(service).into(),
    }
}

#[test]
fn who_comes_again_is_not_taken_for_who_has_left() {
    need_root();
    const CLIENTS: u64 = 40;
    for unix in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = unix.then(|| directory.path().join("uvicorn"));
        one_of_three(|_| {
            let service = uvicorn(path.as_deref());
            let recording = Recorder::new("service", &format!("pid:{}", service.pid())).start().unwrap();
            let leaving: Vec<Socket> = (0..CLIENTS).map(|_| either(&service, path.as_ref())).collect();
            leaving.iter().for_each(|stream| send(stream, "/late/1000"));
            thread::sleep(Duration::from_millis(100));
            for stream in leaving {
                if !unix {
                    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                }
                drop(stream);
                ask(either(&service, path.as_ref()), "/late/5");
            }
            thread::sleep(Duration::from_millis(1_200));
            let report = recording.stop().unwrap();
            assert_eq!((report.requests("service"), fates(&report)), (CLIENTS, [0, 0, CLIENTS, 0]), "unix {unix}");
            // Also checks that the parts add up.
            report.assert_requests("service", CLIENTS);
            report.assert_nothing_lost(2 * CLIENTS);
            let rows = report.service("service").pointer("/attribution/rows").and_then(Value::as_array).unwrap();
            let mean = |row: &Value| row["latency_ns"].as_u64().unwrap() / row["count"].as_u64().unwrap();
            let slowest = rows.iter().map(mean).max().unwrap();
            near(slowest < 100 * MILLISECOND, || format!("unix {unix}: a fast request of {slowest} ns"))
        });
    }
}

#[test]
fn requests_that_are_refused_before_they_have_ended_are_answered() {
    need_root();
    let (requests, port) = (200, free_port().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let server = format!("server {{ listen 127.0.0.1:{port}; client_max_body_size 1k; }}");
    let arguments = nginx::arguments(directory.path(), 2, "", &server).unwrap();
    let body = directory.path().join("body");
    std::fs::write(&body, vec![b'x'; 1_000_000]).unwrap();
    let service = Service::start_in(Command::new("nginx").args(arguments), port, directory).unwrap();
    let recording = record(&service).start().unwrap();
    for _ in 0..requests {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--upload-file"]).arg(&body);
        assert_eq!(run(curl.arg(format!("http://127.0.0.1:{port}/x"))).unwrap(), "413");
    }
    let report = recording.stop().unwrap();
    report.assert_exact("service", requests);
    assert_eq!(fates(&report), [0; 4], "{}", report.service("service")["fates"]);
}

#[test]
fn health_checks_of_haproxy_are_no_requests() {
    need_root();
    const PINGS: u64 = 1_000;
    let (redis, port) = (redis::start().unwrap(), free_port().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("haproxy.cfg");
    let configuration = format!(
        "global\n maxconn 64\ndefaults\n mode tcp\n timeout connect 1s\n timeout client 10s\n timeout server 10s\n\
         listen redis\n bind 127.0.0.1:{port}\n option tcp-check\n server one 127.0.0.1:{} check inter 50ms\n",
        redis.port
    );
    std::fs::write(&file, configuration).unwrap();
    let pings = || {
        let mut stream = connect(&redis);
        for _ in 0..PINGS {
            stream.write_all(b"PING\r\n").unwrap();
            stream.read_exact(&mut [0; 7]).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
    };
    one_of_three(|_| {
        let recording = record(&redis).start().unwrap();
        pings();
        let without = recording.stop().unwrap();
        let mut command = Command::new("haproxy");
        let haproxy = Service::start(command.arg("-db").arg("-f").arg(&file), port).unwrap();
        let recorder = record(&redis).arg("--service").arg(&format!("haproxy=port:{port}"));
        let recording = recorder.start().unwrap();
        pings();
        let with = recording.stop().unwrap();
        drop(haproxy);
        for report in [&without, &with] {
            report.assert_exact("service", PINGS);
            assert_eq!(fates(report), [0; 4], "{}", report.service("service")["fates"]);
        }
        let tcp = &with.service("haproxy")["tcp"];
        println!("haproxy has opened {} connections", tcp["opened"]);
        assert!(tcp["opened"].as_u64().unwrap() >= 15 && tcp["connect_failures"] == 0, "{tcp}");
        assert_eq!((with.requests("haproxy"), with.integer("haproxy", "/fates/in_service/count")), (0, 0));
        let p99 = |report: &Report| report.spread("service", "/requests/latency").get("p99_ns");
        let (without, with) = (p99(&without), p99(&with));
        near(with < 2 * without + MILLISECOND, || format!("p99 {with} ns with checks, {without} ns without"))
    });
}
