//! The pages as clients see them, and what is refused.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;
use crate::analysis::sample::{self, assessed};
use crate::report::seal;
use crate::snapshot::{Context, ServiceContext};

/// Runs `test` against a server that knows one service and has been told of an interval.
fn with_server(test: impl FnOnce(std::net::SocketAddr) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asks, mut asked) = mpsc::channel::<Query>(4);
        let server = Server::new(Gate::default(), asks);
        let service = ServiceContext { name: "api".into(), ..ServiceContext::default() };
        server.take(News::Context(Box::new(Context { services: vec![service], ..Context::default() })));
        server.take(News::Interval(Box::default()));
        let answering = server.clone();
        let sealed = seal(&mut assessed(sample::whole())).unwrap();
        tokio::task::spawn_local(async move {
            while let Some(query) = asked.recv().await {
                let of_page = query.from == "10m";
                let body = if of_page { sealed.clone() } else { format!("{query:?}") };
                answering.take(News::Answer { id: query.id, status: 200, body });
            }
        });
        let accepting = server.clone();
        tokio::task::spawn_local(async move { accepting.accept(listener).await });
        let test = tokio::task::spawn_blocking(move || test(address));
        test.await.unwrap();
    });
}

fn exchange(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A server that refuses may close before it has read all.
    let _ = stream.write_all(request.as_bytes());
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

fn get(address: std::net::SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

#[test]
fn the_pages_are_there() {
    with_server(|address| {
        let metrics = get(address, "/metrics");
        assert!(
            metrics.starts_with("HTTP/1.1 200") && metrics.contains("acgs_perf_requests_total{service=\"api\"} 0\n"),
            "{metrics}"
        );
        let page = get(address, "/");
        assert!(page.contains("text/html") && page.contains("refresh: 15") && page.ends_with("</html>\n"), "{page}");
        assert!(page.contains("/?from=10m&amp;paused") || page.contains("/?from=10m&#38;paused"));
        assert!(get(address, "/healthz").ends_with("\r\n\r\nok\n"));
        assert!(get(address, "/readyz").ends_with("\r\n\r\nrecording\n"));
        let report = get(address, "/api/v1/report?from=2026-11-29T03%3A05&to=now&service=a+b");
        assert!(
            report.contains("application/json")
                && report.contains(r#"from: "2026-11-29T03:05", to: Some("now"), service: Some("a b")"#),
            "{report}"
        );
        let head =
            exchange(address, &format!("HEAD /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    });
}

#[test]
fn what_is_none_of_the_pages_is_refused() {
    with_server(|address| {
        for (path, status) in [
            ("/?x=1", 400),
            ("/../etc/passwd", 404),
            ("/metrics/../api", 404),
            ("/%2e%2e/metrics", 404),
            ("//metrics", 404),
            ("/api/v1/report", 400),
            ("/api/v1/report?from=", 400),
            ("/api/v1/report?from=1m&x=1", 400),
            ("/api/v1/report?from=%zz", 400),
            ("/api/v1/report?from=%00", 400),
            (&format!("/api/v1/report?from={}", "1".repeat(200)), 400),
        ] {
            let reply = get(address, path);
            assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {reply}");
        }
        let post =
            exchange(address, &format!("POST /metrics HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1000000\r\n\r\n"));
        assert!(post.starts_with("HTTP/1.1 405"), "{post}");
        let rebound = exchange(address, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        assert!(rebound.starts_with("HTTP/1.1 421"), "{rebound}");
        for request in [
            "nonsense\r\n\r\n".to_owned(),
            "GET /metrics HTTP/9.9\r\n\r\n".to_owned(),
            format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)),
            format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(500)),
            "\u{16}\u{3}\u{1}\0\0".repeat(40),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        ] {
            let reply = exchange(address, &request);
            let status = reply.get(9..10).unwrap_or("-").to_owned();
            assert!(reply.is_empty() || status == "4" || status == "5", "{reply}");
        }
        assert!(get(address, "/healthz").contains("200 OK"));
    });
}

#[test]
fn clients_that_say_nothing_are_closed_and_hold_nobody_up() {
    with_server(|address| {
        let slow: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        let began = Instant::now();
        // All places are taken until their time is over.
        while !get(address, "/healthz").contains("200 OK") {
            std::thread::sleep(Duration::from_millis(100));
            assert!(began.elapsed() < HEADERS_WITHIN * 3, "nobody gets through");
        }
        drop(slow);
        assert!(get(address, "/metrics").contains("acgs_perf_http_connections_refused_total"));
    });
}

#[test]
fn hosts_are_addresses() {
    for host in ["", "localhost", "LOCALHOST:9", "127.0.0.1", "127.0.0.1:9187", "[::1]:80", "::1", "10.0.0.1"] {
        assert!(names_an_address(host), "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "local host", "x:1:2"] {
        assert!(!names_an_address(host), "{host}");
    }
}

#[test]
fn without_news_it_is_not_ready() {
    let server = Server::new(Gate::default(), mpsc::channel(1).0);
    assert_eq!(server.ready().status(), StatusCode::SERVICE_UNAVAILABLE);
    server.take(News::Interval(Box::default()));
    assert_eq!(server.ready().status(), StatusCode::OK);
}
