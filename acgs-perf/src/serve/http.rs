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
mod tests;
