//! Spans: the slowest requests of a piece with what they went through, as a message of OTLP.
//!
//! In: an interval and its context. Out: spans, and `ExportTraceServiceRequest` of them. A request is a span of its service; its segments,
//! which follow one another from its arrival on, are the spans below it. Ids are made from what a request is, so that a request that is
//! sent again is the same one.

use std::net::SocketAddr;

use acgs_perf_common::attribution::COMPONENT_NAMES;
use sha2::{Digest as _, Sha256};

use super::super::protobuf::Message;
use super::words::{Value, attribute, resource, scope};
use crate::snapshot::exemplar::{Exemplar, Segment};
use crate::snapshot::{Context, Interval, Subject};

/// `SPAN_KIND_INTERNAL`, `SPAN_KIND_SERVER`, `SPAN_KIND_CLIENT`.
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// A request as a span, with those below it.
#[derive(Clone, Debug)]
pub struct Span {
    /// Name of its service.
    pub service: String,
    /// Id of the trace that it is.
    pub trace: [u8; 16],
    /// Its id.
    pub id: [u8; 8],
    /// Its begin, since 1970.
    pub start_ns: u64,
    /// Its end.
    pub end_ns: u64,
    /// Itself, and those below it.
    messages: Vec<Message>,
}

/// The spans of an interval that ended at this time of day.
pub fn of(run: &str, context: &Context, interval: &Interval, unix_end_ns: u64) -> Vec<Span> {
    let ahead_ns = unix_end_ns.wrapping_sub(interval.end_ns());
    let mut spans = Vec::new();
    for (subject, exemplars) in interval.slowest.0.iter().filter(|(subject, _)| subject.endpoint.is_none()) {
        let Some(service) = context.services.get(subject.service as usize) else { continue };
        for exemplar in exemplars {
            let known = Some(exemplar.endpoint.as_str()).filter(|name| !name.is_empty());
            let name = known.or_else(|| endpoint(interval, subject, exemplar)).unwrap_or("request");
            spans.push(span(run, &service.name, name, exemplar, ahead_ns));
        }
    }
    spans
}

/// `ExportTraceServiceRequest`, and how many spans are in it.
pub fn message(context: &Context, spans: &[Span]) -> (Message, u64) {
    let scope = scope(context);
    let mut request = Message::default();
    let mut count = 0;
    for service in &context.services {
        let mut of_scope = Message::default();
        of_scope.message(1, &scope);
        let messages: Vec<&Message> =
            spans.iter().filter(|span| span.service == service.name).flat_map(|span| &span.messages).collect();
        if messages.is_empty() {
            continue;
        }
        count += messages.len() as u64;
        messages.into_iter().for_each(|span| of_scope.message(2, span));
        let mut of_resource = Message::default();
        of_resource.message(1, &resource(&service.name, context));
        of_resource.message(2, &of_scope);
        request.message(1, &of_resource);
    }
    (request, count)
}

/// The endpoint among whose slowest a request is too.
fn endpoint<'a>(interval: &'a Interval, of: &Subject, exemplar: &Exemplar) -> Option<&'a str> {
    let of_service = interval.slowest.0.iter().filter(|(subject, _)| subject.service == of.service);
    let of_endpoint = of_service.filter_map(|(subject, exemplars)| Some((subject.endpoint.as_deref()?, exemplars)));
    let is_it = |other: &Exemplar| other.arrived_ns == exemplar.arrived_ns && other.client == exemplar.client;
    of_endpoint.filter(|(_, exemplars)| exemplars.iter().any(is_it)).map(|(name, _)| name).next()
}

fn span(run: &str, service: &str, name: &str, exemplar: &Exemplar, ahead_ns: u64) -> Span {
    let request = format!("{run}\n{service}\n{}\n{}\n{}", exemplar.arrived_ns, exemplar.client, exemplar.queue_ns);
    let hash = Sha256::digest(request.as_bytes());
    let (mut trace, mut id) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&hash[..16]);
    id.copy_from_slice(&hash[16..24]);
    let start_ns = exemplar.arrived_ns.wrapping_add(ahead_ns);
    let end_ns = start_ns.saturating_add(exemplar.latency_ns());
    let mut root = begin(&trace, &id, None, (name, SERVER), (start_ns, end_ns));
    let mut put = |key: &str, value: Value<'_>| root.message(9, &attribute(key, value));
    match exemplar.client.parse::<SocketAddr>() {
        Ok(client) => {
            put("client.address", Value::Text(&client.ip().to_string()));
            put("client.port", Value::Number(client.port().into()));
        }
        Err(_) => put("client.address", Value::Text(&exemplar.client)),
    }
    put("process.pid", Value::Number(exemplar.pid.into()));
    put("thread.id", Value::Number(exemplar.thread.into()));
    put("thread.name", Value::Text(&exemplar.comm));
    put("acgs_perf.request.size", Value::Number(exemplar.bytes_in));
    put("acgs_perf.reply.size", Value::Number(exemplar.bytes_out));
    for (part, ns) in [("queue", exemplar.queue_ns), ("service", exemplar.service_ns), ("reply", exemplar.reply_ns)] {
        put(&format!("acgs_perf.{part}_time_ns"), Value::Number(ns));
    }
    for ((component, _), ns) in COMPONENT_NAMES.iter().zip(&exemplar.component_ns).filter(|(_, ns)| **ns > 0) {
        put(&format!("acgs_perf.component.{component}_ns"), Value::Number(*ns));
    }
    if exemplar.truncated {
        put("acgs_perf.truncated", Value::Number(1));
    }
    let mut messages = vec![root];
    let mut at_ns = start_ns;
    for (index, segment) in exemplar.segments.iter().enumerate() {
        // What does not fit into the latency would be outside of the request.
        let until_ns = at_ns.saturating_add(segment.duration_ns).min(end_ns);
        if until_ns > at_ns {
            messages.push(below(&request, (&trace, &id), index, segment, (at_ns, until_ns)));
        }
        at_ns = until_ns;
    }
    Span { service: service.to_owned(), trace, id, start_ns, end_ns, messages }
}

fn below(
    request: &str,
    (trace, parent): (&[u8; 16], &[u8; 8]),
    index: usize,
    segment: &Segment,
    time: (u64, u64),
) -> Message {
    let mut id = [0; 8];
    id.copy_from_slice(&Sha256::digest(format!("{request}\n{index}").as_bytes())[..8]);
    let component = COMPONENT_NAMES.get(segment.component as usize).map_or("unknown", |(name, _)| name);
    let kind = if component == "downstream" { CLIENT } else { INTERNAL };
    let mut span = begin(trace, &id, Some(parent), (component, kind), time);
    span.message(9, &attribute("acgs_perf.component", Value::Text(component)));
    if let Some(by) = &segment.by {
        let (pid, comm) = if component.ends_with("run_queue") {
            ("acgs_perf.ran_instead.pid", "acgs_perf.ran_instead.name")
        } else {
            ("acgs_perf.woken_by.pid", "acgs_perf.woken_by.name")
        };
        span.message(9, &attribute(pid, Value::Number(by.pid.into())));
        span.message(9, &attribute(comm, Value::Text(&by.comm)));
    }
    span
}

/// `Span` without attributes.
fn begin(
    trace: &[u8],
    id: &[u8],
    parent: Option<&[u8; 8]>,
    (name, kind): (&str, u64),
    (start_ns, end_ns): (u64, u64),
) -> Message {
    let mut span = Message::default();
    span.bytes(1, trace);
    span.bytes(2, id);
    if let Some(parent) = parent {
        span.bytes(4, parent);
    }
    span.bytes(5, name.as_bytes());
    span.unsigned(6, kind);
    span.fixed(7, start_ns);
    span.fixed(8, end_ns);
    span
}

#[cfg(test)]
mod tests {
    use super::super::super::protobuf::{Field, fields};
    use super::*;
    use crate::snapshot::ServiceContext;
    use crate::snapshot::exemplar::Slowest;

    #[test]
    fn segments_follow_one_another_within_their_request() {
        let segment = |duration_ns| Segment { component: 11, duration_ns, ..Segment::default() };
        let exemplar = Exemplar {
            arrived_ns: 1_000,
            queue_ns: 10,
            service_ns: 20,
            reply_ns: 5,
            client: "[::1]:80".into(),
            segments: vec![segment(10), segment(0), segment(20), segment(50)],
            ..Exemplar::default()
        };
        let slowest = Slowest([(Subject::service(0), vec![exemplar])].into());
        let interval = Interval { start_ns: 900, len_ns: 200, slowest, ..Interval::default() };
        let service = ServiceContext { name: "api".into(), ..ServiceContext::default() };
        let context = Context { services: vec![service], ..Context::default() };
        let spans = of("run", &context, &interval, 5_000);
        assert_eq!((spans.len(), spans[0].start_ns, spans[0].end_ns), (1, 4_900, 4_935));
        let times: Vec<(u64, u64)> = spans[0]
            .messages
            .iter()
            .map(|span| {
                let number = |wanted: u64| {
                    fields(&span.0).find_map(|(at, field)| match field {
                        Field::Number(number) if at == wanted => Some(number),
                        _ => None,
                    })
                };
                (number(7).unwrap(), number(8).unwrap())
            })
            .collect();
        assert_eq!(times, [(4_900, 4_935), (4_900, 4_910), (4_910, 4_930), (4_930, 4_935)]);
        assert_eq!(message(&context, &spans).1, 4);
        // The same request is the same trace.
        assert_eq!(of("run", &context, &interval, 5_000)[0].trace, spans[0].trace);
        assert_ne!(of("another", &context, &interval, 5_000)[0].trace, spans[0].trace);
    }
}
