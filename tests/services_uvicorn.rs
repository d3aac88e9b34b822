//! FastAPI on uvicorn, with asyncio's loop and with uvloop's: every request counted, none invented.

use std::process::Command;
use std::time::Duration;

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::harness::{Service, fixture, free_port, need_root, python, run};
use acgs_perf_tests::recording::Recorder;

/// What `wrk` may take; it takes all of it, also when its threads have stopped before.
const SECONDS: &str = "5";

fn uvicorn(event_loop: &str) -> Service {
    let port = free_port().unwrap();
    let mut command = Command::new(python("uvicorn").unwrap());
    command.arg("app:app").arg("--app-dir").arg(fixture("")).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--loop", event_loop, "--http", "httptools", "--no-access-log", "--log-level", "warning"]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Service::start(&mut command, port).unwrap()
}

fn record(service: &Service) -> Recorder {
    Recorder::new("uvicorn", &format!("port:{}", service.port))
}

fn wrk_is_counted(event_loop: &str) {
    need_root();
    let service = uvicorn(event_loop);
    let recording = record(&service).start().unwrap();
    let (script, url) = (fixture("exact.lua"), format!("http://127.0.0.1:{}/", service.port));
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", "4", "-c", "4", "-d", SECONDS, "-s"]).arg(script).args([&url, "--", "600"]);
    let text = run(&mut wrk).unwrap();
    assert!(text.contains("exact requests=2400 errors=0"), "{text}");
    recording.stop().unwrap().assert_exact("uvicorn", 2_400);
}

#[test]
fn asyncio_counts_what_wrk_completed() {
    wrk_is_counted("asyncio");
}

#[test]
fn uvloop_counts_what_wrk_completed() {
    wrk_is_counted("uvloop");
}

fn held_connections_are_counted(event_loop: &str) {
    need_root();
    let service = uvicorn(event_loop);
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let reply = reply_length(&service, request);
    let mut client = Client::connect(service.address(), 10, request, reply).unwrap();
    let plan = Plan { rate: None, requests: 100, limit: Duration::from_secs(60) };
    client.run(plan).unwrap();
    let recording = record(&service).start().unwrap();
    client.run(Plan { requests: 4_000, ..plan }).unwrap();
    recording.stop().unwrap().assert_exact("uvicorn", 4_000);
}

/// Replies differ in nothing but their date, so that all have the length of the first.
fn reply_length(service: &Service, request: &[u8]) -> usize {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(service.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(request).unwrap();
    let (mut buffer, mut length) = ([0; 4096], 0);
    while let Ok(count) = stream.read(&mut buffer) {
        length += count;
    }
    assert!(length > 0, "no reply");
    length
}

#[test]
fn asyncio_counts_on_connections_opened_before_it_attached() {
    held_connections_are_counted("asyncio");
}

#[test]
fn uvloop_counts_on_connections_opened_before_it_attached() {
    held_connections_are_counted("uvloop");
}
