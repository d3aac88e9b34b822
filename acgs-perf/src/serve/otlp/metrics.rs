//! Metrics of a piece, as a message of OTLP.
//!
//! In: an interval, its context, what is owed, the spans that it comes with. Out: `ExportMetricsServiceRequest`, and how many data points
//! are in it. Sums and histograms are deltas: of the interval, and of nothing before it. Names are those of the semantic conventions where
//! these have one for what is meant: none of ours has, because theirs for a server's requests want a method and a scheme.

use acgs_perf_common::attribution::{ALL, COMPONENT_NAMES, component_word};
use acgs_perf_common::fates::{ABANDONED, CUT_OFF};
use acgs_perf_common::maps::{Counter, Histogram as Kind};

use super::super::protobuf::Message;
use super::delta::{Owed, within};
use super::endpoints;
pub use super::points::Time;
use super::points::{Metrics, SEPARATOR, list};
use super::spans::Span;
use super::words::{resource, scope};
use crate::live::probes::attribution::ROWS;
use crate::live::probes::request::{COUNTERS, FATES, LATENCY, TIMES};
use crate::snapshot::fates::REFUSED;
use crate::snapshot::interval::{row, section};
use crate::snapshot::{Context, Interval, ServiceContext, Subject};
use crate::sums::{Difference as _, Sections, Sums};

/// `ExportMetricsServiceRequest`, and its data points.
pub fn message(context: &Context, interval: &Interval, time: Time, owed: &mut Owed, spans: &[Span]) -> (Message, u64) {
    let scope = scope(context);
    let mut all = Metrics::new(time, owed);
    let mut request = Message::default();
    for (index, service) in context.services.iter().enumerate() {
        all.service = &service.name;
        let subject = Subject::service(index);
        of_service(&mut all, service, interval.of(&subject), spans);
        of_open(&mut all, interval, &subject);
        endpoints::of_service(&mut all, service, interval.of(&subject));
        request.message(1, &all.take(&resource(&service.name, context), &scope));
    }
    all.service = "";
    of_agent(&mut all, context, interval);
    request.message(1, &all.take(&resource("acgs-perf", context), &scope));
    let points = all.points;
    owed.retain(|key| {
        let name = key.split(SEPARATOR).next().unwrap_or_default();
        name.is_empty() || context.services.iter().any(|service| service.name == name)
    });
    (request, points)
}

fn of_service(all: &mut Metrics<'_>, service: &ServiceContext, of: Option<&Sections>, spans: &[Span]) {
    let counters = &row(of, COUNTERS, &[]).sums;
    let latency = &row(of, LATENCY, &[Kind::Latency as u32]).sums;
    let limit_ns = service.objective.p99.as_nanos() as u64;
    let counts = [
        ("acgs_perf.requests", "Requests answered.", "{request}", counters.get(Counter::Requests as u32)),
        (
            "acgs_perf.requests.within_objective",
            "Requests answered within the objective's P99.",
            "{request}",
            within(latency, limit_ns),
        ),
        ("acgs_perf.request.size", "Bytes read from clients.", "By", counters.get(Counter::BytesIn as u32)),
        ("acgs_perf.reply.size", "Bytes sent to clients.", "By", counters.get(Counter::BytesOut as u32)),
        (
            "acgs_perf.requests.abandoned",
            "Requests whose client left.",
            "{request}",
            row(of, FATES, &[]).sums.get(ABANDONED),
        ),
        (
            "acgs_perf.requests.cut_off",
            "Requests whose connection the service closed instead of answering.",
            "{request}",
            row(of, FATES, &[]).sums.get(CUT_OFF),
        ),
        (
            "acgs_perf.connections.refused",
            "What listeners dropped because their queues were full: tries, not clients.",
            "{connection}",
            section(of, REFUSED).values().map(|row| row.sums.get(0)).sum(),
        ),
    ];
    let is_known = |name: &str| name != "acgs_perf.connections.refused" || !section(of, REFUSED).is_empty();
    // What was not looked at is not 0.
    for (name, what, unit, difference) in counts.into_iter().filter(|(name, ..)| is_known(name)) {
        let point = all.count(name, &[], difference);
        all.sum(name, what, unit, vec![point]);
    }
    let mut components = Sums::default();
    section(of, ROWS).values().for_each(|row| components.add(&row.sums));
    let name = "acgs_perf.request.component_time";
    let points = ALL.into_iter().filter_map(|component| {
        let component_name = COMPONENT_NAMES[component as usize].0;
        let difference = components.get(component_word(component) as u32);
        (difference != 0).then(|| all.seconds(name, &[("acgs_perf.component", component_name)], difference))
    });
    let points: Vec<Message> = points.collect();
    all.sum(name, "Time of the answered requests, by what it went to.", "s", points);
    let spans: Vec<&Span> = spans.iter().filter(|span| span.service == service.name).collect();
    for (name, what, section, kind, sum) in [
        (
            "acgs_perf.request.latency",
            "Time from the arrival of a request to the last byte of its reply.",
            LATENCY,
            Kind::Latency,
            Counter::LatencySum,
        ),
        (
            "acgs_perf.request.queue_time",
            "Time from the arrival of a request to its read.",
            TIMES,
            Kind::QueueTime,
            Counter::QueueTimeSum,
        ),
        (
            "acgs_perf.request.service_time",
            "Time from the read of a request to the first byte of its reply.",
            TIMES,
            Kind::ServiceTime,
            Counter::ServiceTimeSum,
        ),
    ] {
        let differences = &row(of, section, &[kind as u32]).sums;
        let exemplars = if kind == Kind::Latency { &spans[..] } else { &[] };
        all.histogram((name, what), differences, counters.get(sum as u32), exemplars);
    }
    let point = all.gauge(&[], limit_ns as f64 / 1e9);
    all.metric("acgs_perf.objective.latency", "The P99 of the latency must be below this.", "s", 5, &list(&[point]));
}

fn of_open(all: &mut Metrics<'_>, interval: &Interval, subject: &Subject) {
    let Some(look) = &interval.look else { return };
    let open = look.open.get(subject).cloned().unwrap_or_default();
    let stages: Vec<_> = ["unread", "in_service", "undelivered"].into_iter().zip(open.stages()).collect();
    let key = "acgs_perf.stage";
    let counts: Vec<Message> =
        stages.iter().map(|(stage, open)| all.gauge(&[(key, stage)], open.count as f64)).collect();
    all.metric(
        "acgs_perf.requests.open",
        "Requests without a whole reply at the last look.",
        "{request}",
        5,
        &list(&counts),
    );
    let ages: Vec<Message> =
        stages.iter().map(|(stage, open)| all.gauge(&[(key, stage)], open.oldest_ns as f64 / 1e9)).collect();
    all.metric("acgs_perf.requests.open.oldest", "Age of the oldest of them.", "s", 5, &list(&ages));
}

fn of_agent(all: &mut Metrics<'_>, context: &Context, interval: &Interval) {
    let name = "acgs_perf.lost";
    let lost = context.ledger.iter().enumerate();
    let lost: Vec<Message> = lost
        .map(|(at, reason)| all.count(name, &[("acgs_perf.reason", reason)], interval.ledger.get(at as u32)))
        .collect();
    all.sum(name, "What was lost, by reason: the loss ledger.", "{event}", lost);
    let name = "acgs_perf.agent.cpu_time";
    let cpu = all.seconds(name, &[], i64::try_from(interval.agent_cpu_ns).unwrap_or(i64::MAX));
    all.sum(name, "CPU time of the agent, without its kernel programs.", "s", vec![cpu]);
    for (name, what, bytes) in [
        ("acgs_perf.agent.memory.max", "Largest resident set of the agent.", context.cost.agent_max_rss_bytes),
        ("acgs_perf.agent.kernel_maps", "Memory of the kernel maps.", context.cost.map_bytes),
    ] {
        if bytes == 0 {
            continue;
        }
        let point = all.gauge(&[], bytes as f64);
        all.metric(name, what, "By", 5, &list(&[point]));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::protobuf::fields;
    use super::*;
    use crate::analysis::sample;

    #[test]
    fn each_service_and_the_agent_are_resources() {
        let capture = sample::capture();
        let mut owed = Owed::default();
        let time = Time { start_ns: 5, end_ns: 9 };
        let (message, points) = message(&capture.context, &capture.intervals.whole(), time, &mut owed, &[]);
        assert_eq!(fields(&message.0).count(), capture.context.services.len() + 1);
        assert!(points >= 15, "{points}");
    }
}
