//! Delivers a message to the collector, over a connection that it was handed.
//!
//! In: a connection, a message. Out: what the collector says to it: taken, refused, or not now. HTTP/1.1 with protobuf, or gRPC over
//! HTTP/2, each as the specification of OTLP has it. What the collector says is a stranger's: bounded, and shown cleaned.

use std::future::Future;
use std::net::TcpStream as Connection;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, TE, USER_AGENT};
use hyper::rt::{Executor, Read, Write};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::protobuf::{Field, fields};
use super::super::reply::Text;
use super::endpoint::Endpoint;

/// The collector has so long for a handshake, and so long for a message.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// An answer that is longer is none.
const MAX_ANSWER: usize = 64 << 10;
/// A collector may ask for so much patience.
const MAX_PATIENCE: Duration = Duration::from_secs(300);
/// What is said of an answer.
const MAX_WORDS: usize = 200;
/// Before a message of gRPC: not compressed, and its length.
const GRPC_HEAD: usize = 5;

/// What a message is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Metrics.
    Metrics,
    /// Spans.
    Traces,
}

/// What the collector says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has taken the message, but for so many points or spans, for which it may give a reason.
    Taken {
        /// Points or spans that it has refused.
        rejected: u64,
        /// Why.
        why: String,
    },
    /// It will never take it.
    Refused(String),
    /// It may take it later, perhaps after some time that it names.
    NotNow(String, Option<Duration>),
    /// It fails on it, and may do so for ever.
    Fails(String),
}

/// How messages are delivered.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Where to.
    pub endpoint: Endpoint,
    /// Whom to believe; `None` without TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// What `Authorization` says.
    pub authorization: Option<HeaderValue>,
}

/// A connection that stands.
pub enum Line {
    /// Of HTTP/1.1.
    Http(http1::SendRequest<Text>),
    /// Of HTTP/2.
    Grpc(http2::SendRequest<Text>),
}

/// Runs what belongs to a connection on the thread that asks for it.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future<Output = ()> + 'static> Executor<F> for Here {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl Manner {
    /// What a TLS connection is to speak.
    pub fn protocol(endpoint: &Endpoint) -> &'static [u8] {
        if endpoint.is_grpc { b"h2" } else { b"http/1.1" }
    }

    /// Makes a line of a connection.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn open(&self, connection: Connection) -> Result<Line, String> {
        let stream = TcpStream::from_std(connection).map_err(|error| error.to_string())?;
        let opening = async {
            match &self.tls {
                None => self.speak(TokioIo::new(stream)).await,
                Some(tls) => {
                    let name = ServerName::try_from(self.endpoint.host.clone()).map_err(|error| error.to_string())?;
                    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
                    self.speak(TokioIo::new(stream.map_err(|error| format!("TLS: {error}"))?)).await
                }
            }
        };
        timeout(ANSWERS_WITHIN, opening).await.unwrap_or_else(|_| Err("no handshake within 10 s".to_owned()))
    }

    async fn speak<I: Read + Write + Unpin + 'static>(&self, io: I) -> Result<Line, String> {
        if !self.endpoint.is_grpc {
            let mut http = http1::Builder::new();
            http.max_buf_size(MAX_ANSWER);
            let (line, connection) = http.handshake(io).await.map_err(|error| error.to_string())?;
            tokio::task::spawn_local(connection);
            return Ok(Line::Http(line));
        }
        let mut http = http2::Builder::new(Here);
        http.timer(TokioTimer::new()).max_header_list_size(MAX_ANSWER as u32);
        http.initial_connection_window_size(MAX_ANSWER as u32).initial_stream_window_size(MAX_ANSWER as u32);
        let (line, connection) = http.handshake(io).await.map_err(|error| error.to_string())?;
        tokio::task::spawn_local(connection);
        Ok(Line::Grpc(line))
    }

    /// Delivers a message. A line on which that fails is of no more use.
    pub async fn deliver(&self, line: &mut Line, signal: Signal, message: &Bytes) -> Outcome {
        let request = match self.request(signal, message) {
            Ok(request) => request,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let answering = async {
            let response = match line {
                Line::Http(line) => {
                    line.ready().await?;
                    line.send_request(request).await?
                }
                Line::Grpc(line) => {
                    line.ready().await?;
                    line.send_request(request).await?
                }
            };
            Ok::<_, hyper::Error>(read(response).await)
        };
        match timeout(ANSWERS_WITHIN, answering).await {
            Ok(Ok(answer)) if self.endpoint.is_grpc => of_grpc(&answer),
            Ok(Ok(answer)) => of_http(&answer),
            Ok(Err(error)) => Outcome::NotNow(words(error.to_string().as_bytes()), None),
            Err(_) => Outcome::NotNow("no answer within 10 s".to_owned(), None),
        }
    }

    fn request(&self, signal: Signal, message: &Bytes) -> hyper::http::Result<Request<Text>> {
        let Endpoint { is_grpc, is_tls, path, .. } = &self.endpoint;
        let authority = self.endpoint.authority();
        let agent = concat!("acgs-perf/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::builder().method(Method::POST).header(USER_AGENT, agent);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if !is_grpc {
            let of = if signal == Signal::Metrics { "metrics" } else { "traces" };
            let request = request.uri(format!("{path}/v1/{of}")).header(HOST, authority);
            return request.header(CONTENT_TYPE, "application/x-protobuf").body(Text::of(message.clone()));
        }
        let of = match signal {
            Signal::Metrics => "metrics.v1.MetricsService",
            Signal::Traces => "trace.v1.TraceService",
        };
        let scheme = if *is_tls { "https" } else { "http" };
        let uri = format!("{scheme}://{authority}/opentelemetry.proto.collector.{of}/Export");
        let mut framed = vec![0; GRPC_HEAD];
        framed[1..].copy_from_slice(&(message.len() as u32).to_be_bytes());
        framed.extend_from_slice(message);
        request.uri(uri).header(CONTENT_TYPE, "application/grpc").header(TE, "trailers").body(Text::of(framed))
    }
}

impl Line {
    /// Whether it can be used no more.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Http(line) => line.is_closed(),
            Self::Grpc(line) => line.is_closed(),
        }
    }
}

/// An answer, read to its end.
#[derive(Debug, Default)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
    /// Whether it ended where it should not.
    is_broken: bool,
}

async fn read(response: Response<Incoming>) -> Answer {
    let (head, mut body) = response.into_parts();
    let mut answer = Answer { status: head.status, headers: head.headers, ..Answer::default() };
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(frame) = frame else {
            answer.is_broken = true;
            break;
        };
        match frame.into_data() {
            Ok(data) if answer.body.len() + data.len() > MAX_ANSWER => {
                answer.is_broken = true;
                break;
            }
            Ok(data) => answer.body.extend_from_slice(&data),
            Err(frame) => answer.trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    answer
}

fn of_http(answer: &Answer) -> Outcome {
    let why = || format!("{} {}", answer.status, words(status_message(&answer.body).unwrap_or(&answer.body)));
    match answer.status.as_u16() {
        // It has answered, so that sending it again would count it twice.
        200..=299 => taken(&answer.body),
        429 | 502..=504 => Outcome::NotNow(why(), patience(&answer.headers)),
        408 => Outcome::NotNow(why(), None),
        500.. => Outcome::Fails(why()),
        _ => Outcome::Refused(why()),
    }
}

fn of_grpc(answer: &Answer) -> Outcome {
    let text = |name: &str| answer.trailers.get(name).or_else(|| answer.headers.get(name)).map(HeaderValue::as_bytes);
    let status: Option<u32> = text("grpc-status").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let why = || {
        let status = status.map_or_else(|| format!("HTTP {}", answer.status), |status| format!("gRPC status {status}"));
        format!("{status} {}", words(text("grpc-message").unwrap_or_default()))
    };
    match status {
        Some(0) => taken(answer.body.get(GRPC_HEAD..).unwrap_or_default()),
        // Cancelled, too late, aborted, out of range, unavailable, data lost: the specification has these sent again.
        Some(1 | 4 | 10 | 11 | 14 | 15) => Outcome::NotNow(why(), None),
        // Exhausted: unknown whether for now or for ever. Unknown, internal.
        Some(8 | 2 | 13) => Outcome::Fails(why()),
        Some(_) => Outcome::Refused(why()),
        // A proxy before it, or the answer broke off.
        None if answer.is_broken || matches!(answer.status.as_u16(), 200 | 429 | 502..=504) => {
            Outcome::NotNow(why(), None)
        }
        None if answer.status.is_server_error() => Outcome::Fails(why()),
        None => Outcome::Refused(why()),
    }
}

/// `Export…ServiceResponse`: what of it was refused.
fn taken(body: &[u8]) -> Outcome {
    let (mut rejected, mut why) = (0, String::new());
    for (at, field) in fields(body) {
        let (1, Field::Bytes(partial)) = (at, field) else { continue };
        for (at, field) in fields(partial) {
            match (at, field) {
                (1, Field::Number(count)) => rejected = u64::try_from(count as i64).unwrap_or(0),
                (2, Field::Bytes(text)) => why = words(text),
                _ => {}
            }
        }
    }
    Outcome::Taken { rejected, why }
}

/// The message of a `google.rpc.Status`.
fn status_message(body: &[u8]) -> Option<&[u8]> {
    fields(body).find_map(|(at, field)| match field {
        Field::Bytes(text) if at == 2 => Some(text),
        _ => None,
    })
}

/// What a collector says, short and on one line.
fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect();
    text.trim().to_owned()
}

fn patience(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, trailers: &[(&'static str, &'static str)], body: &[u8]) -> Answer {
        let mut answer =
            Answer { status: StatusCode::from_u16(status).unwrap(), body: body.to_vec(), ..Answer::default() };
        for (name, value) in trailers {
            answer.trailers.insert(*name, HeaderValue::from_static(value));
        }
        answer
    }

    #[test]
    fn each_answer_means_what_the_specification_says() {
        let http = |status| of_http(&answer(status, &[], b""));
        assert_eq!(http(200), Outcome::Taken { rejected: 0, why: String::new() });
        for status in [429, 502, 503, 504, 408] {
            assert!(matches!(http(status), Outcome::NotNow(..)), "{status}");
        }
        for status in [500, 501, 507] {
            assert!(matches!(http(status), Outcome::Fails(_)), "{status}");
        }
        for status in [301, 400, 401, 404, 413] {
            assert!(matches!(http(status), Outcome::Refused(_)), "{status}");
        }
        let grpc = |status| of_grpc(&answer(200, &[("grpc-status", status)], b""));
        assert!(matches!(grpc("0"), Outcome::Taken { .. }));
        assert!(matches!(grpc("14"), Outcome::NotNow(..)) && matches!(grpc("x"), Outcome::NotNow(..)));
        assert!(matches!(grpc("8"), Outcome::Fails(_)) && matches!(grpc("3"), Outcome::Refused(_)));
        assert!(matches!(of_grpc(&answer(503, &[], b"")), Outcome::NotNow(..)));
        let mut busy = answer(503, &[], b"\x12\x04bus\n");
        busy.headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        let wanted = Outcome::NotNow("503 Service Unavailable bus".into(), Some(Duration::from_secs(7)));
        assert_eq!(of_http(&busy), wanted);
    }

    #[test]
    fn what_was_refused_of_a_message_is_counted() {
        let body = b"\x0a\x06\x08\x05\x12\x02no";
        let wanted = Outcome::Taken { rejected: 5, why: "no".into() };
        assert_eq!(taken(body), wanted);
        assert_eq!(of_grpc(&answer(200, &[("grpc-status", "0")], &[b"\0\0\0\0\x08", &body[..]].concat())), wanted);
        assert_eq!(taken(b"nonsense"), Outcome::Taken { rejected: 0, why: String::new() });
    }
}
