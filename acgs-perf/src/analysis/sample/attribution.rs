//! A service with an attribution for tests: single requests, gathered into rows as the kernel does.
//!
//! In: requests. Out: rows, or a whole service whose tail waits for its database.

use std::collections::BTreeMap;

use acgs_perf_common::attribution::{COMPONENTS, Component, PEER_SLOTS, attribution_bucket};

use super::counts;
use crate::analysis::figures::{Attribution, AttributionRow, Downstream, Requests, SeriesPoint, Service};
use crate::discover::Objective;
use crate::snapshot::Process;
use crate::snapshot::exemplar::{Actor, Exemplar, Kept, Segment};

/// Slot of PostgreSQL.
pub const POSTGRES: usize = 1;
/// Slot of Redis.
pub const REDIS: usize = 2;
/// When the window began.
const START_NS: u64 = 1_000_000_000;
/// Requests of the sample; one in fifty is slow.
const REQUESTS: u64 = 20_000;

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Its components.
    pub components: Vec<(Component, u64)>,
    /// Peers that it waited for; part of `downstream`, which is their sum.
    pub peers: Vec<(usize, u64)>,
    /// Downstream calls.
    pub calls: u64,
    /// Time shared with other requests.
    pub shared_ns: u64,
    /// Time with two or more calls outstanding; the other downstream time had one.
    pub many_calls_ns: u64,
}

impl Request {
    fn downstream_ns(&self) -> u64 {
        self.peers.iter().map(|(_, ns)| ns).sum()
    }

    /// Its components by index.
    pub fn component_ns(&self) -> [u64; COMPONENTS] {
        let mut all = [0; COMPONENTS];
        all[Component::Downstream as usize] = self.downstream_ns();
        for (component, ns) in &self.components {
            all[*component as usize] += ns;
        }
        all
    }

    /// Its latency.
    pub fn latency_ns(&self) -> u64 {
        self.component_ns().iter().sum()
    }
}

/// Rows of the attribution histogram, by rising bucket.
pub fn rows<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Vec<AttributionRow> {
    let mut rows = BTreeMap::<usize, AttributionRow>::new();
    for request in requests {
        let bucket = attribution_bucket(request.latency_ns());
        let row = rows.entry(bucket).or_insert_with(|| AttributionRow { bucket, ..AttributionRow::default() });
        row.count += 1;
        row.latency_ns += request.latency_ns();
        row.shared_ns += request.shared_ns;
        row.calls += request.calls;
        row.many_calls_ns += request.many_calls_ns;
        row.one_call_ns += request.downstream_ns() - request.many_calls_ns;
        for (sum, ns) in row.component_ns.iter_mut().zip(request.component_ns()) {
            *sum += ns;
        }
        for (slot, ns) in &request.peers {
            row.peer_ns[*slot] += ns;
        }
    }
    rows.into_values().collect()
}

fn fast(i: u64) -> Request {
    Request {
        components: vec![
            (Component::QueueOnCpu, 200_000 + i % 100 * 1_000),
            (Component::OnCpu, 900_000),
            (Component::Reply, 20_000),
        ],
        peers: vec![(POSTGRES, 500_000 + i % 50 * 2_000), (REDIS, 150_000)],
        calls: 3,
        ..Request::default()
    }
}

/// Twenty-one calls one after the other.
fn slow(i: u64) -> Request {
    Request {
        components: vec![
            (Component::QueueOnCpu, 700_000),
            (Component::RunQueue, 400_000),
            (Component::OnCpu, 1_100_000),
            (Component::LoopWait, 600_000),
            (Component::Reply, 20_000),
        ],
        peers: vec![(POSTGRES, 40_000_000 + i % 1_000 * 15_000), (REDIS, 150_000)],
        calls: 21,
        ..Request::default()
    }
}

fn requests() -> Vec<Request> {
    (0..REQUESTS).map(|i| if i % 50 == 49 { slow(i) } else { fast(i) }).collect()
}

fn downstream(slot: usize, address: &str, service: Option<&str>, all: &[Request]) -> Downstream {
    let of = |request: &Request| request.peers.iter().find(|(at, _)| *at == slot).map(|(_, ns)| *ns).unwrap_or(0);
    let times: Vec<_> = all.iter().map(of).filter(|ns| *ns > 0).collect();
    Downstream {
        slot,
        address: address.into(),
        service: service.map(Into::into),
        sent: times.len() as u64 + 1,
        connects: 4,
        multiplexed: 0,
        latency: counts(times),
    }
}

/// The `number`th exemplar: a slow request with its history.
fn exemplar(number: u64, request: &Request) -> Exemplar {
    let of = |component: Component| request.component_ns()[component as usize];
    let segment =
        |component: Component, duration_ns| Segment { component: component as u32, duration_ns, peer: None, by: None };
    let by = |pid, comm: &str| Some(Actor { pid, comm: comm.into() });
    let mut peer_ns = [0; PEER_SLOTS];
    for (slot, ns) in &request.peers {
        peer_ns[*slot] = *ns;
    }
    Exemplar {
        // The first of them arrived before the window began.
        arrived_ns: START_NS + number * 1_300_000_000 - 5_000_000,
        queue_ns: of(Component::QueueOnCpu),
        service_ns: request.latency_ns() - of(Component::QueueOnCpu) - of(Component::Reply),
        reply_ns: of(Component::Reply),
        client: format!("10.0.0.7:{}", 51_000 + number),
        thread: 5_001,
        pid: 5_001,
        comm: "uvicorn".into(),
        bytes_in: 220,
        bytes_out: 1_480,
        component_ns: request.component_ns(),
        shared_ns: 0,
        peer_ns,
        segments: vec![
            segment(Component::QueueOnCpu, of(Component::QueueOnCpu)),
            segment(Component::OnCpu, of(Component::OnCpu) / 2),
            Segment {
                peer: Some(POSTGRES as u32),
                by: by(812, "postgres"),
                ..segment(Component::Downstream, peer_ns[POSTGRES])
            },
            Segment { by: by(99, "stress-ng"), ..segment(Component::RunQueue, of(Component::RunQueue)) },
            segment(Component::OnCpu, of(Component::OnCpu) - of(Component::OnCpu) / 2),
            Segment {
                peer: Some(REDIS as u32),
                by: by(4_711, "redis-server"),
                ..segment(Component::Downstream, peer_ns[REDIS])
            },
            segment(Component::LoopWait, of(Component::LoopWait)),
            segment(Component::Reply, of(Component::Reply)),
        ],
        truncated: number == 3,
    }
}

/// A service that misses its objective because its database does.
pub fn api() -> Service {
    let requests = requests();
    let sum = |part: fn(&Request) -> u64| counts(requests.iter().map(part));
    let queue = |request: &Request| request.component_ns()[Component::QueueOnCpu as usize];
    Service {
        name: "api".into(),
        selector: "port:8000".into(),
        processes: vec![Process { pid: 5_001, comm: "uvicorn".into(), exited: false }],
        objective: Objective::default(),
        requests: Some(Requests {
            count: REQUESTS,
            bytes_in: 220 * REQUESTS,
            bytes_out: 1_480 * REQUESTS,
            latency: sum(Request::latency_ns),
            queue_time: counts(requests.iter().map(queue)),
            service_time: counts(requests.iter().map(|r| r.latency_ns() - queue(r) - 20_000)),
            ..Requests::default()
        }),
        attribution: Some(Attribution {
            rows: rows(&requests),
            downstream: vec![
                downstream(POSTGRES, "127.0.0.1:5432", Some("postgres"), &requests),
                downstream(REDIS, "unix:/run/redis/redis-server.sock", None, &requests),
            ],
            exemplars: {
                let exemplar = |n: u64| exemplar(n, &requests[(999 - n as usize * 50) % 20_000]);
                Kept { slowest: (0..3).map(exemplar).collect(), sample: vec![exemplar(3)], sampled: 1 }
            },
            start_ns: START_NS,
            exemplars_dropped: 0,
        }),
        series: (0..10)
            .map(|i| SeriesPoint {
                offset_ns: i * 1_000_000_000,
                duration_ns: 1_000_000_000,
                requests: 2_000,
                p50_ns: Some(1_870_000),
                p99_ns: Some(47_000_000 + i * 100_000),
                ..SeriesPoint::default()
            })
            .collect(),
        ..Service::default()
    }
}
