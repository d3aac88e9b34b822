//! The few pages that are served over HTTP.
//!
//! In: connections of anybody who reaches the address, and what the agent tells. Out: `/`, `/metrics`, `/healthz`, `/readyz`,
//! `/api/v1/report`. Connections, handshakes, headers and times are bounded, and a client that keeps to none of it is closed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, AUTHORIZATION, HOST, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::access::Gate;
use super::metrics::{Exposition, OfServer};
use super::native;
use super::page;
use super::query::parse_query;
use super::reply::{PLAIN, Text, plain, response};
use super::text::{self, Dialect};
use super::totals::Totals;
use super::wire::{News, Query};

/// Connections at a time; the next ones are closed at once.
const MAX_CONNECTIONS: usize = 128;
/// A client has so long for its headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// And a connection lives so long in all, requests of a keep-alive connection included.
const CONNECTION_WITHIN: Duration = Duration::from_secs(120);
/// A reply that a client does not read blocks nobody but its own connection, and that for so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const MAX_HEADERS: usize = 64;
/// The least that the library takes.
const MAX_HEADER_BYTES: usize = 8192;
/// Reports that are being made at a time.
const MAX_QUERIES: usize = 4;
/// An agent that says nothing for so long does not work.
const SILENCE: Duration = Duration::from_secs(10);

/// What is known here.
#[derive(Default)]
struct State {
    totals: Totals,
    exposition: Exposition,
    server: OfServer,
    connections: usize,
    /// When the last interval came.
    heard: Option<Instant>,
    queries: HashMap<u64, oneshot::Sender<(u16, String)>>,
    next_query: u64,
    gate: Gate,
}

/// The server's part that all connections share.
#[derive(Clone)]
pub struct Server {
    state: Rc<RefCell<State>>,
    asks: mpsc::Sender<Query>,
}

impl Server {
    /// Nothing known yet; clients pass the gate, queries go to `asks`.
    #[must_use]
    pub fn new(gate: Gate, asks: mpsc::Sender<Query>) -> Self {
        Self { state: Rc::new(RefCell::new(State { gate, ..State::default() })), asks }
    }

    /// Takes what the agent tells.
    pub fn take(&self, news: News) {
        let mut state = self.state.borrow_mut();
        match news {
            News::Context(context) => state.totals.set_context(*context),
            News::Interval(interval) => {
                state.totals.add(&interval);
                state.heard = Some(Instant::now());
            }
            News::Answer { id, status, body } => {
                if let Some(waiting) = state.queries.remove(&id) {
                    // The client may have gone.
                    drop(waiting.send((status, body)));
                }
            }
            // The agent has looked at it before; connections that stand go on as they are.
            News::Access(access) => {
                if let Ok(gate) = access.gate() {
                    state.gate = gate;
                }
            }
            News::Export(export) => state.server.export = Some(*export),
        }
    }

    /// Accepts connections, for ever.
    pub async fn accept(&self, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Too many descriptors, or a client that has left already.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let tls = {
                let mut state = self.state.borrow_mut();
                if state.connections >= MAX_CONNECTIONS {
                    state.server.refused += 1;
                    continue;
                }
                state.connections += 1;
                state.gate.tls.clone()
            };
            let server = self.clone();
            tokio::task::spawn_local(async move {
                match tls {
                    None => server.connection(TokioIo::new(stream), false).await,
                    // Who is slow with it is closed as who is slow with headers.
                    Some(tls) => match timeout(HEADERS_WITHIN, tls.accept(stream)).await {
                        Ok(Ok(stream)) => server.connection(TokioIo::new(stream), true).await,
                        _ => server.state.borrow_mut().server.handshakes_failed += 1,
                    },
                }
                server.state.borrow_mut().connections -= 1;
            });
        }
    }

    async fn connection<I: hyper::rt::Read + hyper::rt::Write + Unpin>(&self, io: I, is_tls: bool) {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_headers(MAX_HEADERS);
        http.max_buf_size(MAX_HEADER_BYTES).half_close(false);
        let service = service_fn(|request: Request<Incoming>| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(&request, is_tls).await) }
        });
        // What goes wrong on a connection is its client's affair.
        drop(timeout(CONNECTION_WITHIN, http.serve_connection(io, service)).await);
    }

    async fn answer<B>(&self, request: &Request<B>, is_tls: bool) -> Response<Text> {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.state.borrow_mut().server.answered += 1;
        if !self.state.borrow().gate.admits(header(AUTHORIZATION)) {
            self.state.borrow_mut().server.unauthorized += 1;
            let mut response = plain(StatusCode::UNAUTHORIZED, "want the token: Authorization: Bearer …\n");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        // A page in a browser of this host must not reach us under a name that it controls. With TLS its browser sees to that: there is
        // no certificate for us under such a name.
        if !is_tls && !names_an_address(header(HOST)) {
            return plain(StatusCode::MISDIRECTED_REQUEST, "name this host by its address, or localhost\n");
        }
        match request.uri().path() {
            "/metrics" => self.metrics(header(ACCEPT)),
            "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(),
            "/" => self.page(request.uri().query().unwrap_or_default()).await,
            "/api/v1/report" => self.report(request.uri().query().unwrap_or_default()).await,
            _ => plain(
                StatusCode::NOT_FOUND,
                "here are /, /metrics, /healthz, /readyz and /api/v1/report?from=&to=&service=\n",
            ),
        }
    }

    fn metrics(&self, accept: &str) -> Response<Text> {
        let state = &mut *self.state.borrow_mut();
        let families = state.exposition.families(&state.totals, state.server);
        if accept.contains(PROTOBUF_NAME) {
            return response(StatusCode::OK, PROTOBUF, native::render(&families));
        }
        let (dialect, kind) = match accept.contains(OPEN_METRICS_NAME) {
            true => (Dialect::OpenMetrics, OPEN_METRICS),
            false => (Dialect::Prometheus, TEXT),
        };
        response(StatusCode::OK, kind, text::render(&families, dialect))
    }

    fn ready(&self) -> Response<Text> {
        match self.state.borrow().heard {
            Some(heard) if heard.elapsed() < SILENCE => plain(StatusCode::OK, "recording\n"),
            Some(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "no interval has come for 10 s\n"),
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "not recording yet\n"),
        }
    }

    async fn report(&self, query: &str) -> Response<Text> {
        let query = match parse_query(query) {
            Ok(query) => query,
            Err(why) => return not_understood(&why),
        };
        match self.ask(query).await {
            Ok(json) => response(StatusCode::OK, "application/json", json),
            Err(refused) => refused,
        }
    }

    async fn page(&self, query: &str) -> Response<Text> {
        let (query, live) = match page::parse(query) {
            Ok(parsed) => parsed,
            Err(why) => return not_understood(&why),
        };
        match self.ask(query).await {
            Ok(json) => page::page(&json, live),
            Err(refused) => refused,
        }
    }

    /// The agent's report, or what is said in its place.
    async fn ask(&self, query: Query) -> Result<String, Response<Text>> {
        let busy = || plain(StatusCode::SERVICE_UNAVAILABLE, "other reports are being made; try again\n");
        let (waiting, answer) = oneshot::channel();
        let id = {
            let mut state = self.state.borrow_mut();
            // Those whose client has gone count no more.
            state.queries.retain(|_, waiting| !waiting.is_closed());
            if state.queries.len() >= MAX_QUERIES {
                return Err(busy());
            }
            state.next_query += 1;
            let id = state.next_query;
            state.queries.insert(id, waiting);
            id
        };
        if self.asks.try_send(Query { id, ..query }).is_err() {
            self.state.borrow_mut().queries.remove(&id);
            return Err(busy());
        }
        match timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok((200, body))) => Ok(body),
            Ok(Ok((status, body))) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Err(response(status, PLAIN, body))
            }
            _ => Err(plain(StatusCode::GATEWAY_TIMEOUT, "the report is not made within 20 s\n")),
        }
    }
}

/// What is said to a client whose question is none.
fn not_understood(why: &str) -> Response<Text> {
    plain(StatusCode::BAD_REQUEST, &format!("{why}; want ?from=15m&to=now&service=NAME\n"))
}

/// How a client says that it takes native histograms, and how they are then said to be.
const PROTOBUF_NAME: &str = "application/vnd.google.protobuf";
const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
/// The same of OpenMetrics.
const OPEN_METRICS_NAME: &str = "application/openmetrics-text";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What Prometheus has always read.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Whether a `Host` is an address or `localhost`, with or without a port; also if there is none, as in HTTP/1.0.
fn names_an_address(host: &str) -> bool {
    let has_port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let is_address = |name: &str| {
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        name.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
    };
    host.is_empty() || is_address(host) || has_port.is_some_and(|(name, _)| is_address(name))
}

/// Runs a future on the thread's own set of tasks.
pub fn block_on(runtime: &tokio::runtime::Runtime, future: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().block_on(runtime, future);
}

#[cfg(test)]
mod tests {
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
                metrics.starts_with("HTTP/1.1 200")
                    && metrics.contains("acgs_perf_requests_total{service=\"api\"} 0\n"),
                "{metrics}"
            );
            let page = get(address, "/");
            assert!(
                page.contains("text/html") && page.contains("refresh: 15") && page.ends_with("</html>\n"),
                "{page}"
            );
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
            let post = exchange(
                address,
                &format!("POST /metrics HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1000000\r\n\r\n"),
            );
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
}
