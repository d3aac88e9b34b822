//! FastAPI on uvicorn: routes, streams, WebSockets, uploads; the truth is what the client has asked and waited for.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_tests::endpoints::{Endpoint, Named, assert_named, endpoints, find};
use acgs_perf_tests::harness::{Service, fixture, free_port, need_root, python, run};
use acgs_perf_tests::recording::{Recorder, Recording};
use acgs_perf_tests::report::Report;

use super::http::{Http, request};

const MS: u64 = 1_000_000;

fn start() -> Service {
    let port = free_port().unwrap();
    let mut command = Command::new(python("uvicorn").unwrap());
    command.arg("endpoints_app:app").arg("--app-dir").arg(fixture("")).args(["--host", "127.0.0.1"]);
    command.args([
        "--port",
        &port.to_string(),
        "--ws-ping-interval",
        "0.3",
        "--no-access-log",
        "--log-level",
        "warning",
    ]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Service::start(&mut command, port).unwrap()
}

fn record(service: &Service) -> Recording {
    Recorder::new("uvicorn", &format!("port:{}", service.port)).start().unwrap()
}

fn truth(counts: &[(&str, u64, u64)]) -> Named {
    let mut named = Named::new();
    counts
        .iter()
        .for_each(|(name, requests, failed)| named.entry((*name).to_owned()).or_default().add(*requests, *failed));
    named
}

fn rows(report: &Report) -> Vec<Endpoint> {
    endpoints(report, "uvicorn")
}

fn ask_items(service: &Service, times: u32, every: Duration) {
    let (mut client, start) = (Http::connect(service.address()), Instant::now());
    for number in 0..times {
        thread::sleep((every * number).saturating_sub(start.elapsed()));
        assert_eq!(client.ask("GET", &format!("/items/{number}")), 200);
    }
}

#[test]
fn routes_and_errors_are_counted() {
    need_root();
    let service = start();
    let recording = record(&service);
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| ask_items(&service, 500, Duration::ZERO)))));
    let mut client = Http::connect(service.address());
    for number in 0..200 {
        assert_eq!(client.ask("GET", "/broken"), 500);
        assert_eq!(client.ask("GET", "/items/no-number"), 422);
        assert_eq!(client.ask("GET", &format!("/nowhere/{number}")), 404);
    }
    let report = recording.stop().unwrap();
    let counts = [("GET /items/{}", 2_000, 0), ("GET /broken", 200, 200), ("GET /items/no-number", 200, 200)];
    assert_named(&report, "uvicorn", &truth(&[&counts[..], &[("GET /nowhere/{}", 200, 200)]].concat()));
    let refused: u64 = rows(&report).iter().map(|row| row.refused).sum();
    assert_eq!(refused, 400);
}

/// Of a stream only the beginning is waited for: of events by their type, and of a body in chunks with pauses between them.
#[test]
fn a_stream_is_answered_when_it_begins() {
    need_root();
    let service = start();
    let recording = record(&service);
    thread::scope(|scope| {
        for target in ["/events", "/chunks"] {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(Http::connect(service.address()).ask("GET", target), 200));
            }
        }
        scope.spawn(|| ask_items(&service, 100, Duration::from_millis(10)));
    });
    let report = recording.stop().unwrap();
    let counts = [("GET /events", 4, 0), ("GET /chunks", 4, 0), ("GET /items/{}", 100, 0)];
    assert_named(&report, "uvicorn", &truth(&counts));
    let rows = rows(&report);
    for name in ["GET /events", "GET /chunks", "GET /items/{}"] {
        let longest = find(&rows, name).latency.get("max_ns");
        assert!(longest < 500 * MS, "{name}: {longest}");
    }
    assert!(report.spread("uvicorn", "/requests/latency").get("max_ns") < 500 * MS);
}

/// Opens a WebSocket, and answers pings for so long; how many came.
fn idle(service: &Service, duration: Duration) -> usize {
    let mut client = Http::connect(service.address());
    let upgrade = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    client.send(upgrade.as_bytes());
    assert_eq!(client.reply(false), 101);
    let (start, mut pings) = (Instant::now(), 0);
    while start.elapsed() < duration {
        // A ping of the server's has four bytes of its own; the answer has them behind a mask of zeros.
        while client.more() < 6 {}
        let frame = client.take();
        assert_eq!(frame[0], 0x89, "{frame:?}");
        let payload = &frame[2..];
        client.send(&[&[0x8a, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat());
        pings += 1;
    }
    pings
}

#[test]
fn idle_websockets_are_no_slow_requests() {
    need_root();
    let service = start();
    let recording = record(&service);
    let pings: usize = thread::scope(|scope| {
        let sockets: Vec<_> = (0..50).map(|_| scope.spawn(|| idle(&service, Duration::from_secs(3)))).collect();
        ask_items(&service, 300, Duration::from_millis(10));
        sockets.into_iter().map(|socket| socket.join().unwrap()).sum()
    });
    assert!(pings >= 250, "{pings}");
    let report = recording.stop().unwrap();
    println!("{pings} pings, {}", report.service("uvicorn")["kinds"]);
    assert_named(&report, "uvicorn", &truth(&[("GET /ws", 50, 0), ("GET /items/{}", 300, 0)]));
    let longest = report.spread("uvicorn", "/requests/latency").get("max_ns");
    assert!(longest < 1_000 * MS, "{longest}");
}

/// The server's "go on" is no reply: the request lasts from its header to what follows its body.
#[test]
fn a_request_that_waits_for_the_servers_consent_is_one() {
    need_root();
    let service = start();
    let recording = record(&service);
    let body = service.directory.path().join("body");
    std::fs::write(&body, vec![b'x'; 2 << 20]).unwrap();
    let url = format!("http://127.0.0.1:{}/upload?[1-50]", service.port);
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}\n", "-H", "Expect: 100-continue", "--data-binary"]);
    let text = run(curl.arg(format!("@{}", body.display())).arg(&url)).unwrap();
    assert_eq!(text, "200\n".repeat(50));
    let mut client = Http::connect(service.address());
    for _ in 0..3 {
        let head = "POST /upload HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n";
        client.send(head.as_bytes());
        assert_eq!(client.reply(false), 100);
        thread::sleep(Duration::from_millis(300));
        client.send(&[b'x'; 1000]);
        assert_eq!(client.reply(false), 200);
        client.send(&request("GET", "/items/1"));
        assert_eq!(client.reply(false), 200);
    }
    let report = recording.stop().unwrap();
    assert_named(&report, "uvicorn", &truth(&[("POST /upload", 53, 0), ("GET /items/{}", 3, 0)]));
    let latency = report.spread("uvicorn", "/requests/latency");
    assert_eq!(latency.between(300 * MS, 10_000 * MS), 3, "{}", report.service("uvicorn")["requests"]);
}
