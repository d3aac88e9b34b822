//! The sections of a service, each with that of another report added.
//!
//! In: two sections. Out: that of both. Counts, sums and histograms add up; of states the later one counts.

use acgs_perf_common::endpoint::POWER;

use super::latency;
use crate::analysis::model::{
    AbandonedReport, AttributionReport, Blocked, ByRuleReport, CoverageReport, DownstreamReport,
    EndpointObjectiveReport, HeldReport, KindsReport, PeerReport, RefusedReport, RequestsReport, SchedulerReport,
    SyscallReport, TcpReport,
};
use crate::analysis::number::ratio4;
use crate::analysis::sections::scheduler::{OTHERS, longest};
use crate::analysis::sections::{calls_outstanding, syscalls as calls, tcp as connections};
use crate::analysis::tail::merge_rows;
use crate::merge::either;

/// Puts in what was not there, or adds what was.
pub fn fold<T>(own: &mut Option<T>, other: Option<T>, add: impl FnOnce(&mut T, T)) {
    match (own.as_mut(), other) {
        (Some(own), Some(other)) => add(own, other),
        (None, other) => *own = other,
        (Some(_), None) => {}
    }
}

fn sum(own: &mut u64, other: u64) {
    *own = own.saturating_add(other);
}

/// All but the latency and the rate, which are made at the end.
pub fn requests(own: &mut RequestsReport, other: RequestsReport) {
    sum(&mut own.count, other.count);
    latency::add(&mut own.queue_time, &other.queue_time);
    latency::add(&mut own.service_time, &other.service_time);
    fold(&mut own.delivery, other.delivery, |own, other| latency::add(own, &other));
    fold(&mut own.held_ns, other.held_ns, |own: &mut HeldReport, other| {
        sum(&mut own.nagle_ns, other.nagle_ns);
        sum(&mut own.window_ns, other.window_ns);
        sum(&mut own.network_ns, other.network_ns);
    });
    fold(&mut own.by_rule, other.by_rule, by_rule);
    sum(&mut own.unanswered, other.unanswered);
    sum(&mut own.unsolicited_sends, other.unsolicited_sends);
    sum(&mut own.bytes_in, other.bytes_in);
    sum(&mut own.bytes_out, other.bytes_out);
}

/// Requests whose client left.
pub fn abandoned(own: &mut AbandonedReport, other: AbandonedReport) {
    sum(&mut own.count, other.count);
    sum(&mut own.beyond_objective, other.beyond_objective);
    sum(&mut own.into_closed, other.into_closed);
    latency::add(&mut own.latency, &other.latency);
    own.oldest_ns = own.latency.max_ns;
}

/// What the listeners dropped.
pub fn refused(own: &mut RefusedReport, other: RefusedReport) {
    sum(&mut own.drops, other.drops);
    other.by_port.into_iter().for_each(|(port, drops)| sum(own.by_port.entry(port).or_default(), drops));
}

/// What is no request with a reply.
pub fn kinds(own: &mut KindsReport, other: KindsReport) {
    sum(&mut own.one_way, other.one_way);
    sum(&mut own.farewell, other.farewell);
    fold(&mut own.push, other.push, |own, other| {
        sum(&mut own.count, other.count);
        latency::add(&mut own.latency_before, &other.latency_before);
    });
    fold(&mut own.wait_by_design, other.wait_by_design, |own, other| {
        sum(&mut own.count, other.count);
        latency::add_wide(&mut own.latency, &other.latency, POWER);
    });
    sum(&mut own.handshake, other.handshake);
}

/// How many requests are counted by name.
pub fn coverage(own: &mut CoverageReport, other: CoverageReport) {
    sum(&mut own.named, other.named);
    sum(&mut own.counted, other.counted);
}

/// What endpoints are held against: each once, by the first report that says it; of the design effects the greatest counts.
pub fn endpoint_objectives(own: &mut Vec<EndpointObjectiveReport>, other: Vec<EndpointObjectiveReport>) {
    for objective in other {
        match own.iter_mut().find(|known| known.name == objective.name) {
            None => own.push(objective),
            Some(known) => {
                let effects = [known.design_effect, objective.design_effect].into_iter().flatten();
                known.design_effect = effects.max_by(f64::total_cmp);
            }
        }
    }
}

fn by_rule(own: &mut ByRuleReport, other: ByRuleReport) {
    sum(&mut own.excluded, other.excluded);
    sum(&mut own.included, other.included);
    sum(&mut own.unmatched, other.unmatched);
    own.endpoints.extend(other.endpoints);
    own.endpoints.sort();
    own.endpoints.dedup();
}

/// The attribution histogram.
pub fn attribution(own: &mut AttributionReport, other: AttributionReport) {
    own.rows = merge_rows(own.rows.iter().chain(&other.rows));
    own.calls_outstanding = calls_outstanding(&own.rows);
    sum(&mut own.exemplars_dropped, other.exemplars_dropped);
}

/// Downstream peers, without their order and what is per call or request.
pub fn downstream(own: &mut Vec<DownstreamReport>, other: Vec<DownstreamReport>) {
    for peer in other {
        let Some(known) = own.iter_mut().find(|known| known.address == peer.address) else {
            own.push(peer);
            continue;
        };
        fold(&mut known.service, peer.service, |own, other| *own = either(std::mem::take(own), &other));
        sum(&mut known.calls, peer.calls);
        sum(&mut known.unanswered, peer.unanswered);
        sum(&mut known.connects, peer.connects);
        sum(&mut known.multiplexed, peer.multiplexed);
        fold(&mut known.coverage, peer.coverage, coverage);
        latency::add(&mut known.latency, &peer.latency);
    }
}

/// Their order, and what is per call or per request, of which `requests` could have called.
pub fn settle_downstream(all: &mut [DownstreamReport], requests: u64) {
    for peer in all.iter_mut() {
        peer.connects_per_call = ratio4(peer.connects, peer.calls);
        peer.calls_per_request = ratio4(peer.calls, requests);
    }
    let time = |peer: &DownstreamReport| peer.latency.sum_ns.unwrap_or(0);
    all.sort_by(|a, b| time(b).cmp(&time(a)).then(b.calls.cmp(&a.calls)).then(a.address.cmp(&b.address)));
}

/// Scheduler figures.
pub fn scheduler(own: &mut SchedulerReport, other: SchedulerReport) {
    for (own, other) in [
        (&mut own.on_cpu_ns, other.on_cpu_ns),
        (&mut own.run_queue_ns, other.run_queue_ns),
        (&mut own.cpu_quota_ns, other.cpu_quota_ns),
    ] {
        fold(own, other, sum);
    }
    latency::add(&mut own.run_queue, &other.run_queue);
    for (class, Blocked { time_ns, waits }) in other.blocked {
        let known = own.blocked.entry(class).or_insert(Blocked { time_ns: None, waits: None });
        fold(&mut known.time_ns, time_ns, sum);
        fold(&mut known.waits, waits, |own, other| latency::add(own, &other));
    }
    sum(&mut own.switches.voluntary, other.switches.voluntary);
    sum(&mut own.switches.involuntary, other.switches.involuntary);
    for who in other.ran_instead {
        match own.ran_instead.iter_mut().find(|known| (known.pid, &known.comm) == (who.pid, &who.comm)) {
            None => own.ran_instead.push(who),
            Some(known) => {
                sum(&mut known.waits, who.waits);
                sum(&mut known.wait_ns, who.wait_ns);
            }
        }
    }
    longest(&mut own.ran_instead, |who| who.pid == 0 && who.comm == OTHERS);
}

/// System calls.
pub fn syscalls(own: &mut Vec<SyscallReport>, other: Vec<SyscallReport>) {
    for call in other {
        let Some(known) = own.iter_mut().find(|known| known.name == call.name) else {
            own.push(call);
            continue;
        };
        sum(&mut known.count, call.count);
        sum(&mut known.errors, call.errors);
        call.errnos.into_iter().for_each(|(name, count)| sum(known.errnos.entry(name).or_default(), count));
        known.time_ns = known.time_ns.zip(call.time_ns).map(|(a, b)| a.saturating_add(b));
        latency::add(&mut known.latency, &call.latency);
    }
    calls::in_order(own);
}

/// TCP figures.
pub fn tcp(own: &mut TcpReport, other: TcpReport) {
    for (own, other) in [
        (&mut own.accepted, other.accepted),
        (&mut own.opened, other.opened),
        (&mut own.connect_failures, other.connect_failures),
        (&mut own.retransmits, other.retransmits),
        (&mut own.resets_received, other.resets_received),
        (&mut own.resets_sent, other.resets_sent),
    ] {
        sum(own, other);
    }
    latency::add(&mut own.connect, &other.connect);
    fold(&mut own.accept_wait, other.accept_wait, |own, other| latency::add(own, &other));
    own.accept_wait_unmeasured =
        own.accept_wait_unmeasured.take().or(other.accept_wait_unmeasured).filter(|_| own.accept_wait.is_none());
    latency::add(&mut own.srtt, &other.srtt);
    for peer in other.peers {
        let is_same = |known: &&mut PeerReport| (&known.address, &known.direction) == (&peer.address, &peer.direction);
        match own.peers.iter_mut().find(is_same) {
            None => own.peers.push(peer),
            Some(known) => add_peer(known, peer),
        }
    }
    connections::in_order(&mut own.peers);
}

fn add_peer(own: &mut PeerReport, other: PeerReport) {
    let time = |peer: &PeerReport| peer.mean_connect_ns.map(|mean| u128::from(mean) * u128::from(peer.connections));
    let of_both = [time(own), time(&other)].into_iter().flatten().reduce(|a, b| a + b);
    sum(&mut own.connections, other.connections);
    own.mean_connect_ns = of_both.map(|time| (time / u128::from(own.connections.max(1))) as u64);
    sum(&mut own.failures, other.failures);
    sum(&mut own.retransmits, other.retransmits);
    sum(&mut own.resets, other.resets);
    own.srtt_ns = other.srtt_ns.or(own.srtt_ns);
}
