//! Servers that a library hides: one that computes between its header and its body, one whose reply ends with the connection, one that
//! pushes behind its reply.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use acgs_perf_tests::delivery::Losing;
use acgs_perf_tests::endpoints::{Counts, Named, assert_named, endpoints, find};
use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;

use super::http::{self, Http};

const MS: u64 = 1_000_000;
const REQUESTS: u64 = 3;

/// Answers requests of one client, one after the other, by `answer`, while they are recorded.
fn recorded(answer: fn(&mut TcpStream), client: impl FnOnce(SocketAddr)) -> Report {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let recording = Recorder::new("bare", &format!("port:{}", address.port())).start().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            // Each request comes in one piece.
            let mut request = [0; 4096];
            while stream.read(&mut request).unwrap_or(0) > 0 {
                answer(&mut stream);
            }
        });
        client(address);
    });
    recording.stop().unwrap()
}

fn truth() -> Named {
    Named::from([("GET /items/{}".to_owned(), Counts { requests: REQUESTS, failed: 0 })])
}

fn belongs_to_the_reply(answer: fn(&mut TcpStream)) {
    need_root();
    let report = recorded(answer, |address| {
        let mut client = Http::connect(address);
        (0..REQUESTS).for_each(|number| assert_eq!(client.ask("GET", &format!("/items/{number}")), 200));
    });
    assert_named(&report, "bare", &truth());
    let rows = endpoints(&report, "bare");
    for latency in [report.spread("bare", "/requests/latency"), find(&rows, "GET /items/{}").latency] {
        // Percentiles are not below the true value, the minimum not above.
        let (median, longest) = (latency.get("p50_ns"), latency.get("max_ns"));
        assert!(median >= 300 * MS && longest < 1_000 * MS && latency.get("min_ns") > 280 * MS, "{median} {longest}");
    }
}

#[test]
fn a_pause_between_header_and_body_belongs_to_the_reply() {
    belongs_to_the_reply(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(300));
        stream.write_all(b"hello").unwrap();
    });
}

#[test]
fn a_pause_before_the_first_chunk_belongs_to_the_reply() {
    belongs_to_the_reply(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(300));
        stream.write_all(b"5\r\nhello\r\n0\r\n\r\n").unwrap();
    });
}

#[test]
fn what_is_sent_behind_a_whole_reply_is_a_push() {
    need_root();
    let answer = |stream: &mut TcpStream| {
        thread::sleep(Duration::from_millis(1));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        thread::sleep(Duration::from_secs(1));
        stream.write_all(b"ping").unwrap();
    };
    let report = recorded(answer, |address| {
        let mut client = Http::connect(address);
        for number in 0..REQUESTS {
            assert_eq!(client.ask("GET", &format!("/items/{number}")), 200);
            assert_eq!(client.more(), 4);
            client.take();
        }
    });
    assert_named(&report, "bare", &truth());
    let longest = report.spread("bare", "/requests/latency").get("max_ns");
    assert!(longest < 500 * MS, "{longest}");
    assert_eq!(report.integer("bare", "/kinds/push/count"), REQUESTS);
}

#[test]
fn a_push_that_is_lost_is_no_part_of_the_reply_before_it() {
    need_root();
    let answer = |stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        thread::sleep(Duration::from_millis(100));
        stream.write_all(b"ping").unwrap();
    };
    let report = recorded(answer, |address| {
        let mut client = Http::connect(address);
        for number in 0..REQUESTS {
            assert_eq!(client.ask("GET", &format!("/items/{number}")), 200);
            client.loses(Losing::Payload);
            thread::sleep(Duration::from_millis(150));
            client.loses(Losing::Nothing);
            assert_eq!(client.more(), 4);
            client.take();
        }
    });
    assert_named(&report, "bare", &truth());
    assert!(report.integer("bare", "/tcp/retransmits") >= REQUESTS);
    let longest = report.spread("bare", "/requests/latency").get("max_ns");
    assert!(longest < 50 * MS, "{longest}");
}

#[test]
fn a_reply_that_does_not_say_its_length_ends_with_the_connection() {
    need_root();
    let answer = |stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello").unwrap();
        thread::sleep(Duration::from_millis(300));
        stream.shutdown(Shutdown::Write).unwrap();
    };
    let report = recorded(answer, |address| {
        let mut client = Http::connect(address);
        client.send(&http::request("GET", "/items/0"));
        while client.more() > 0 {}
    });
    assert_named(&report, "bare", &Named::from([("GET /items/{}".to_owned(), Counts { requests: 1, failed: 0 })]));
    let endpoint = find(&endpoints(&report, "bare"), "GET /items/{}").latency.get("max_ns");
    for longest in [report.spread("bare", "/requests/latency").get("max_ns"), endpoint] {
        assert!((300 * MS..1_000 * MS).contains(&longest), "{longest}");
    }
}

#[test]
fn a_reply_that_says_its_length_ends_before_the_connection() {
    need_root();
    let answer = |stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        thread::sleep(Duration::from_millis(300));
        stream.shutdown(Shutdown::Write).unwrap();
    };
    let report = recorded(answer, |address| {
        let mut client = Http::connect(address);
        assert_eq!(client.ask("GET", "/items/0"), 200);
        while client.more() > 0 {}
    });
    let longest = report.spread("bare", "/requests/latency").get("max_ns");
    assert!(longest < 100 * MS, "{longest}");
}
