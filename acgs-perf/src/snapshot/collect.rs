//! Turns the final state of the maps into the sections of a `Capture`.

use std::net::SocketAddr;

use acgs_perf_common::maps::{BLOCKED_HISTOGRAM, Counter, Histogram, PeerKey, PeerStats, STATE_COUNTER};
use acgs_perf_common::state::{BLOCKED_CLASSES, STATES};

use super::attribution::ip;
use super::maps::Maps;
use crate::capture::{Counts, Peer, RanInstead, Requests, Scheduler, Syscall, Tcp};
use crate::probe::calls;

/// Rows of the table of commands that ran instead.
const RAN_INSTEAD_ROWS: usize = 20;

/// Requests of a service.
#[must_use]
pub fn requests(maps: &Maps, service: usize) -> Requests {
    let counter = |c| maps.counter(service, c);
    let timed = |histogram, sum| Counts { sum_ns: Some(counter(sum)), ..counts(maps, service, histogram as u32) };
    let count = counter(Counter::Requests);
    Requests {
        count,
        unanswered: counter(Counter::Read).saturating_sub(count),
        unsolicited_sends: counter(Counter::UnsolicitedSends),
        bytes_in: counter(Counter::BytesIn),
        bytes_out: counter(Counter::BytesOut),
        latency: timed(Histogram::Latency, Counter::LatencySum),
        queue_time: timed(Histogram::QueueTime, Counter::QueueTimeSum),
        service_time: timed(Histogram::ServiceTime, Counter::ServiceTimeSum),
    }
}

/// A histogram without a sum.
fn counts(maps: &Maps, service: usize, histogram: u32) -> Counts {
    let over_range = maps.over_range(service, histogram);
    Counts { buckets: maps.histogram(service, histogram), sum_ns: None, over_range }
}

/// Scheduler figures of a service.
#[must_use]
pub fn scheduler(maps: &Maps, service: usize) -> Scheduler {
    let plain = |histogram| counts(maps, service, histogram);
    let mut ran_instead: Vec<_> = maps
        .preemptors()
        .into_iter()
        .filter(|(of, _, _)| *of == service)
        .map(|(_, pid, who)| RanInstead { comm: text(&who.comm), pid, waits: who.waits, wait_ns: who.wait_ns })
        .collect();
    ran_instead.sort_by_key(|who| std::cmp::Reverse(who.wait_ns));
    ran_instead.truncate(RAN_INSTEAD_ROWS);
    Scheduler {
        state_ns: (0..STATES as u32).map(|state| maps.counter_at(service, STATE_COUNTER + state)).collect(),
        run_queue: plain(Histogram::RunQueue as u32),
        blocked: (0..BLOCKED_CLASSES as u32).map(|class| plain(BLOCKED_HISTOGRAM + class)).collect(),
        voluntary_switches: maps.counter(service, Counter::VoluntarySwitches),
        involuntary_switches: maps.counter(service, Counter::InvoluntarySwitches),
        ran_instead,
    }
}

/// System calls of a service, most time first.
#[must_use]
pub fn syscalls(maps: &Maps, service: usize) -> Vec<Syscall> {
    let errnos = maps.errnos();
    let mut calls: Vec<_> = maps
        .syscalls(service)
        .into_iter()
        .map(|record| {
            let mut by_errno: Vec<_> = errnos
                .iter()
                .filter(|(of, nr, _, _)| *of == service && *nr == record.nr)
                .map(|(_, _, errno, count)| (calls::errno_name(*errno), *count))
                .collect();
            by_errno.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let latency =
                Counts { buckets: record.buckets, sum_ns: Some(record.sum_ns), over_range: record.over_range };
            Syscall {
                name: calls::name(record.nr),
                count: record.count,
                errors: record.errors,
                errnos: by_errno,
                latency,
            }
        })
        .collect();
    calls.sort_by_key(|call| std::cmp::Reverse(call.latency.sum_ns));
    calls
}

/// TCP figures of a service. `accept_wait` tells whether the hooks that measure it were attached.
#[must_use]
pub fn tcp(maps: &Maps, service: usize, accept_wait: bool) -> Tcp {
    let counter = |c| maps.counter(service, c);
    let plain = |histogram: Histogram| counts(maps, service, histogram as u32);
    let mut peers: Vec<_> = maps
        .peers()
        .into_iter()
        .filter(|(key, _)| key.service as usize == service)
        .map(|(key, stats)| peer(address(&key), key.port != 0, &stats))
        .collect();
    peers.sort_by(|a, b| b.connections.cmp(&a.connections).then_with(|| a.address.cmp(&b.address)));
    let others = [false, true].map(|outgoing| (outgoing, maps.other_peers(service, outgoing)));
    let others = others.iter().filter(|(_, stats)| *stats != PeerStats::default());
    peers.extend(others.map(|(outgoing, stats)| peer("others".into(), *outgoing, stats)));
    Tcp {
        accepted: counter(Counter::ConnectionsAccepted),
        opened: counter(Counter::ConnectionsOpened),
        connect_failures: counter(Counter::ConnectFailures),
        retransmits: counter(Counter::Retransmits),
        resets_received: counter(Counter::ResetsReceived),
        resets_sent: counter(Counter::ResetsSent),
        connect: plain(Histogram::Connect),
        accept_wait: accept_wait.then(|| plain(Histogram::AcceptWait)),
        srtt: plain(Histogram::Srtt),
        peers,
    }
}

fn peer(address: String, outgoing: bool, stats: &PeerStats) -> Peer {
    Peer {
        address,
        outgoing,
        connections: stats.connections,
        failures: stats.failures,
        mean_connect_ns: (outgoing && stats.connections > 0).then(|| stats.connect_ns / stats.connections),
        retransmits: stats.retransmits,
        resets: stats.resets,
        srtt_ns: (stats.srtt_us > 0).then_some(stats.srtt_us * 1000),
    }
}

fn address(key: &PeerKey) -> String {
    let address = ip(key.address);
    match u16::try_from(key.port) {
        Ok(port) if port != 0 => SocketAddr::new(address, port).to_string(),
        _ => address.to_string(),
    }
}

/// A command name as the kernel keeps it: bytes up to the first zero.
pub(super) fn text(comm: &[u8]) -> String {
    String::from_utf8_lossy(comm.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn mapped_addresses_are_shown_as_ipv4() {
        let key = |address: [u8; 16], port| PeerKey { address: bytemuck_words(address), port, service: 0 };
        let v4 = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1).octets();
        assert_eq!(address(&key(v4, 6379)), "127.0.0.1:6379");
        assert_eq!(address(&key(v4, 0)), "127.0.0.1");
        let v6 = Ipv6Addr::LOCALHOST.octets();
        assert_eq!(address(&key(v6, 80)), "[::1]:80");
    }

    #[test]
    fn what_was_not_measured_is_absent() {
        let unmeasured = peer("10.0.0.1:80".into(), true, &PeerStats::default());
        assert_eq!((unmeasured.srtt_ns, unmeasured.mean_connect_ns), (None, None));
    }

    fn bytemuck_words(octets: [u8; 16]) -> [u32; 4] {
        std::array::from_fn(|i| {
            u32::from_ne_bytes([octets[4 * i], octets[4 * i + 1], octets[4 * i + 2], octets[4 * i + 3]])
        })
    }
}
