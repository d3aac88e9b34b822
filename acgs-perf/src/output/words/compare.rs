//! What a comparison says, in words.
//!
//! In: figures of a comparison, as numbers. Out: phrases and sentences.

use super::endpoints::called;
use crate::analysis::compare::{Figure, MadeOf, Note, PartShift, ServiceComparison, Shift, Told, Unit};
use crate::units::{duration, grouped};

/// A part is named with the latency if it makes this share of the change.
const NAMED_SHARE: f64 = 0.25;

/// What a service has come to, in capitals.
#[must_use]
pub fn verdict(of: &ServiceComparison) -> &'static str {
    let is = |told: Told| of.figures.iter().any(|shift| shift.told == told);
    match of {
        _ if of.figures.iter().any(Shift::is_worse) => "WORSE",
        _ if of.figures.iter().any(|shift| shift.told == Told::Down && shift.figure.is_worse_up()) => "BETTER",
        _ if is(Told::Up) || is(Told::Down) => "CHANGED",
        _ if is(Told::Host) => "ANOTHER LOAD ON THE HOST",
        // What can be told of a rate is no answer for a latency.
        _ if p99(of).is_none_or(|shift| shift.told == Told::TooLittle) => "TOO LITTLE TO TELL",
        _ => "NO DIFFERENCE",
    }
}

/// What has changed, the components first; or how much would have been seen.
#[must_use]
pub fn sentence(of: &ServiceComparison) -> String {
    let told = |is: fn(&Figure) -> bool| {
        of.figures.iter().filter(move |shift| matches!(shift.told, Told::Up | Told::Down) && is(&shift.figure))
    };
    let mut parts = Vec::new();
    // Of the latencies, the P99 speaks for all if it has changed.
    let latencies: Vec<&Shift> = told(|figure| matches!(figure, Figure::Latency { .. })).collect();
    let main = latencies.iter().find(|shift| shift.figure == Figure::Latency { quantile: 9_900 }).or(latencies.last());
    if let Some(shift) = main {
        parts.push(format!("{}{}", change(shift), made_of(shift, of.made_of.as_ref())));
    }
    let mut components: Vec<&Shift> = told(|figure| matches!(figure, Figure::Component { .. })).collect();
    components.sort_by(|a, b| b.shift.abs().total_cmp(&a.shift.abs()));
    if let Some(first) = components.first() {
        parts.push(format!("a request on average {} {}", signed(first), of_figure(&first.figure, of)));
    }
    parts
        .extend(told(|figure| matches!(figure, Figure::Calls { .. } | Figure::Fate { .. } | Figure::Rate)).map(change));
    let mut endpoints: Vec<&Shift> = told(|figure| matches!(figure, Figure::EndpointLatency { .. })).collect();
    endpoints.sort_by(|a, b| b.shift.abs().total_cmp(&a.shift.abs()));
    parts.extend(endpoints.first().map(|shift| change(shift)));
    parts.extend(told(|figure| matches!(figure, Figure::EndpointShare { .. })).take(2).map(change));
    parts.extend(of_host(of));
    if parts.is_empty() { nothing(of) } else { parts.join("; ") }
}

/// What has changed together with the load of others.
fn of_host(of: &ServiceComparison) -> Option<String> {
    let all = || of.figures.iter().filter(|shift| shift.told == Told::Host);
    let main = all().find(|shift| shift.figure == Figure::Latency { quantile: 9_900 }).or_else(|| all().next_back())?;
    let [old, new] = of.contention?;
    let more = if new > old { "more" } else { "less" };
    Some(format!(
        "{}, while others used the CPUs {more}: its threads waited for them {} and then {} of the time that they ran; record again with the same load on the host",
        change(main),
        percent(old).trim_start_matches('+'),
        percent(new).trim_start_matches('+')
    ))
}

fn p99(of: &ServiceComparison) -> Option<&Shift> {
    of.figures.iter().find(|shift| shift.figure == Figure::Latency { quantile: 9_900 })
}

/// Why nothing is told.
fn nothing(of: &ServiceComparison) -> String {
    match p99(of).map(|shift| (shift, shift.would_be_seen)) {
        Some((shift, Some(seen))) => format!(
            "no difference that could be told ({} of the p99 would have been seen)",
            percent(seen / shift.old.max(1.0))
        ),
        Some((_, None)) => format!(
            "nothing can be told of the p99: {} and {} requests are too few for how much they vary",
            grouped(of.requests[0]),
            grouped(of.requests[1])
        ),
        None => "no requests on one side".into(),
    }
}

/// `p99 +1.8 ms (+36 %, between +1.2 ms and +2.4 ms)`.
#[must_use]
pub fn change(shift: &Shift) -> String {
    let share = shift.share().map(percent);
    let between = shift
        .interval
        .map(|[low, high]| format!("between {} and {}", amount(low, shift.unit), amount(high, shift.unit)));
    let detail: Vec<String> = share.into_iter().chain(between).collect();
    let detail = if detail.is_empty() { String::new() } else { format!(" ({})", detail.join(", ")) };
    format!("{} {}{detail}", figure(&shift.figure), signed(shift))
}

/// `, of it +1.6 ms waiting for postgres`: the parts that make most of a change.
fn made_of(shift: &Shift, made_of: Option<&MadeOf>) -> String {
    let Some(made_of) = made_of else { return String::new() };
    if shift.figure != (Figure::Latency { quantile: made_of.quantile }) {
        return String::new();
    }
    let is_named = |part: &&PartShift| {
        part.shift_ns as f64 * shift.shift > 0.0
            && part.shift_ns.unsigned_abs() as f64 >= shift.shift.abs() * NAMED_SHARE
    };
    let named: Vec<String> = made_of
        .parts
        .iter()
        .filter(is_named)
        .take(2)
        .map(|part| {
            let what = part_words(&part.component, part.peer.as_deref());
            format!("{} {what}", amount(part.shift_ns as f64, Unit::Ns))
        })
        .collect();
    if named.is_empty() { String::new() } else { format!(", of it {}", named.join(" and ")) }
}

/// What a component's time is spent with.
fn of_figure(figure: &Figure, of: &ServiceComparison) -> String {
    match figure {
        Figure::Component { name } if name == "downstream" => {
            let peers = of.figures.iter().filter(|shift| matches!(shift.figure, Figure::Downstream { .. }));
            let most = peers.max_by(|a, b| a.shift.abs().total_cmp(&b.shift.abs()));
            let peer = most.and_then(|shift| match &shift.figure {
                Figure::Downstream { peer } => Some(peer.as_str()),
                _ => None,
            });
            part_words(name, peer)
        }
        Figure::Component { name } => part_words(name, None),
        other => other.name(),
    }
}

/// A component in words that continue "+1.6 ms …".
#[must_use]
pub fn part_words(component: &str, peer: Option<&str>) -> String {
    let words = match component {
        "downstream" => return format!("waiting for {}", peer.unwrap_or("downstream peers")),
        "queue_accept" => "waiting to be accepted",
        "queue_on_cpu" => "queueing while its thread computes for others",
        "queue_run_queue" => "queueing while its thread waits for a CPU",
        "queue_cpu_quota" => "queueing while its thread is held back by the CPU quota",
        "queue_lock" => "queueing while its thread waits for a lock",
        "queue_disk" => "queueing while its thread waits for the disk",
        "queue_downstream" => "queueing while its thread waits for a call of another request",
        "queue_idle" => "queueing until its thread has woken",
        "queue_sleep" => "queueing while its thread sleeps",
        "queue_fault" => "queueing while its thread is in a page fault",
        "queue_other" => "queueing while its thread is blocked",
        "on_cpu" => "computing",
        "run_queue" => "waiting for a CPU",
        "cpu_quota" => "held back by the CPU quota",
        "lock" => "waiting for a lock",
        "disk" => "waiting for the disk",
        "request_body" => "waiting for the rest of the request",
        "idle" => "waiting for a timer, or for an event that is not known",
        "sleep" => "sleeping of its own accord",
        "fault" => "in page faults",
        "other" => "blocked in something that has no class of its own",
        "send_buffer" => "waiting for room to send",
        "loop_wait" => "waiting for its event loop",
        "pool_wait" => "waiting for a thread of the pool",
        "connection_wait" => "waiting for a connection of the pool",
        "unknown" => "that could not be attributed",
        "reply" => "sending the reply",
        "delivery_nagle" => "held back to go with more bytes (Nagle)",
        "delivery_window" => "waiting for the client to take the reply",
        "delivery_network" => "waiting for the network to take the reply",
        other => return format!("of {other}"),
    };
    words.into()
}

/// A figure for people.
#[must_use]
pub fn figure(figure: &Figure) -> String {
    match figure {
        Figure::Component { name } => name.clone(),
        Figure::Downstream { peer } => format!("waiting for {peer}"),
        Figure::Calls { peer } => format!("calls of {peer} per request"),
        Figure::Latency { .. } => figure.name(),
        Figure::Fate { name } => format!("{} per request", name.replace('_', " ")),
        Figure::Rate => "requests/s".into(),
        Figure::EndpointLatency { endpoint, quantile } => {
            format!("{} of {}", Figure::Latency { quantile: *quantile }.name(), called(endpoint))
        }
        Figure::EndpointShare { endpoint } => format!("share of {}", called(endpoint)),
    }
}

/// The value of a figure.
#[must_use]
pub fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Ns => duration(value.max(0.0).round() as u64),
        Unit::PerSecond if value >= 100.0 => grouped(value.round() as u64),
        Unit::PerSecond => format!("{value:.1}"),
        Unit::PerRequest => format!("{value:.4}"),
    }
}

/// The change of a figure, with its sign.
#[must_use]
pub fn signed(shift: &Shift) -> String {
    amount(shift.shift, shift.unit)
}

/// An amount with its sign.
#[must_use]
pub fn amount(by: f64, unit: Unit) -> String {
    let sign = if by < 0.0 { "−" } else { "+" };
    format!("{sign}{}", value(by.abs(), unit))
}

/// A share with its sign: `+4.2 %`, `−12 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let sign = if percent < 0.0 { "−" } else { "+" };
    match percent.abs() {
        p if p < 9.95 => format!("{sign}{p:.1} %"),
        p => format!("{sign}{} %", grouped(p.round() as u64)),
    }
}

/// What makes two recordings hard to compare.
#[must_use]
pub fn note(note: &Note) -> String {
    let cpus = |cpus: &Option<u32>| cpus.map_or_else(|| "an unknown number of".to_owned(), |cpus| cpus.to_string());
    match note {
        Note::Host { old, new } => format!("other hosts: {old}, then {new}"),
        Note::Kernel { old, new } => format!("other kernels: {old}, then {new}"),
        Note::Cpus { old, new } => format!("other hosts: {} CPUs, then {}", cpus(old), cpus(new)),
        Note::Objective { service } => format!("{service} was held against another objective"),
        Note::Swapped => "OLD was recorded after NEW; are they the wrong way round?".into(),
        Note::NoBlocks { name } => format!(
            "{name} is a report: its latencies have wider intervals, and its components none; `record --capture` saves what is better"
        ),
        Note::Lost { name, count } => format!("{name} has lost {} events, see its ledger", grouped(*count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shift(figure: Figure, old: f64, new: f64, told: Told) -> Shift {
        let by = new - old;
        let interval = Some([by * 0.5, by * 1.5]);
        Shift { figure, unit: Unit::Ns, old, new, shift: by, interval, would_be_seen: Some(old * 0.04), told }
    }

    #[test]
    fn a_change_is_said_with_its_cause() {
        let p99 = |new, told| shift(Figure::Latency { quantile: 9_900 }, 5e6, new, told);
        let part = |component: &str, peer: Option<&str>, shift_ns| PartShift {
            component: component.into(),
            peer: peer.map(Into::into),
            shift_ns,
            ..PartShift::default()
        };
        let parts = vec![part("downstream", Some("postgres"), 1_600_000), part("on_cpu", None, 200_000)];
        let mut service = ServiceComparison {
            figures: vec![p99(6.8e6, Told::Up)],
            made_of: Some(MadeOf { quantile: 9_900, parts, ..MadeOf::default() }),
            ..ServiceComparison::default()
        };
        assert_eq!(
            sentence(&service),
            "p99 +1.80 ms (+36 %, between +900 µs and +2.70 ms), of it +1.60 ms waiting for postgres"
        );
        assert_eq!(verdict(&service), "WORSE");
        service.figures = vec![p99(5e6, Told::Nothing)];
        assert_eq!(sentence(&service), "no difference that could be told (+4.0 % of the p99 would have been seen)");
        assert_eq!(verdict(&service), "NO DIFFERENCE");
        service.figures = vec![Shift { would_be_seen: None, ..p99(9e6, Told::TooLittle) }];
        assert!(sentence(&service).starts_with("nothing can be told of the p99: 0 and 0 requests are too few"));
        assert_eq!(verdict(&service), "TOO LITTLE TO TELL");
        service.figures.push(shift(Figure::Component { name: "sleep".into() }, 0.0, 2e5, Told::Up));
        assert_eq!(sentence(&service), "a request on average +200 µs sleeping of its own accord");
    }

    #[test]
    fn every_component_has_words() {
        for (name, _) in acgs_perf_common::attribution::COMPONENT_NAMES {
            assert!(!part_words(name, None).starts_with("of "), "{name}");
        }
    }
}
