//! A service with an attribution for tests: single requests, gathered into rows as the kernel does.
//!
//! In: requests. Out: sections of a capture, rows of a report, or a whole service whose tail waits for its database.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use acgs_perf_common::attribution::{
    ALL, CALLS_WORD, COMPONENTS, COUNT_WORD, Component, LATENCY_WORD, MANY_CALLS_WORD, ONE_CALL_WORD, PEER_SLOTS,
    PEER_WORD, SHARED_WORD, attribution_bucket, component_word,
};
use acgs_perf_common::histogram::bucket_index;
use acgs_perf_common::maps::{DOWNSTREAM_HEADER, DownstreamWord, UNIX_PORT};

use super::{distribution, process, redis, series};
use crate::analysis::endpoints::sample::with_endpoints;
use crate::analysis::model::{
    AttributionRowReport, CoverageReport, DownstreamReport, EndpointObjectiveReport, ProcessState, RequestsReport,
    ServiceReport,
};
use crate::analysis::sections::attribution::attribution;
use crate::analysis::sections::downstream::{Peers, downstream};
use crate::analysis::sections::exemplars::exemplars;
use crate::live::probes::attribution::{DOWNSTREAM, ROWS};
use crate::snapshot::exemplar::{Actor, Exemplar, Kept, Segment};
use crate::sums::{Row, Sections, Sums};

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

/// A downstream peer.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its slot; 0 stands for the others.
    pub slot: usize,
    /// Its address, or `unix:` and its path.
    pub address: &'static str,
    /// Its port.
    pub port: u16,
    /// Calls sent.
    pub sent: u64,
    /// Connections opened.
    pub connects: u64,
    /// How long the answered ones took.
    pub times: Vec<u64>,
}

impl Peer {
    fn row(&self) -> (Vec<u32>, Row) {
        let path = self.address.strip_prefix("unix:");
        let ip: Ipv4Addr = self.address.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let octets = ip.to_ipv6_mapped().octets();
        let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
        let mut key = vec![self.slot as u32];
        if self.slot > 0 {
            key.extend(words.chain([path.map_or(u32::from(self.port), |_| UNIX_PORT)]));
        }
        let mut sums = BTreeMap::from([
            (DownstreamWord::Sent as u32, self.sent as i64),
            (DownstreamWord::Connects as u32, self.connects as i64),
            (DownstreamWord::LatencySum as u32, self.times.iter().sum::<u64>() as i64),
        ]);
        for ns in &self.times {
            *sums.entry(DOWNSTREAM_HEADER + bucket_index(*ns) as u32).or_default() += 1;
        }
        (key, Row { sums: Sums::sparse(sums), label: path.unwrap_or_default().into(), ..Row::default() })
    }
}

/// The sections of the probe `attribution` for these requests and peers.
pub fn sections(requests: &[Request], peers: &[Peer]) -> Sections {
    let mut rows = BTreeMap::<Vec<u32>, BTreeMap<u32, i64>>::new();
    for request in requests {
        let row = rows.entry(vec![attribution_bucket(request.latency_ns()) as u32]).or_default();
        let mut add = |word: usize, value: u64| *row.entry(word as u32).or_default() += value as i64;
        add(COUNT_WORD, 1);
        add(LATENCY_WORD, request.latency_ns());
        add(SHARED_WORD, request.shared_ns);
        add(CALLS_WORD, request.calls);
        add(MANY_CALLS_WORD, request.many_calls_ns);
        add(ONE_CALL_WORD, request.downstream_ns() - request.many_calls_ns);
        for (component, ns) in ALL.iter().zip(request.component_ns()) {
            add(component_word(*component), ns);
        }
        request.peers.iter().for_each(|(slot, ns)| add(PEER_WORD + slot, *ns));
    }
    let rows = rows.into_iter().map(|(key, words)| (key, Row { sums: Sums::sparse(words), ..Row::default() }));
    Sections::from([(ROWS.into(), rows.collect()), (DOWNSTREAM.into(), peers.iter().map(Peer::row).collect())])
}

/// The peers of [`Request::peers`] without calls.
fn silent_peers() -> [Peer; 2] {
    [(POSTGRES, 5432), (REDIS, 6379)].map(|(slot, port)| Peer { slot, address: "10.0.0.9", port, ..Peer::default() })
}

/// The rows of these requests as a report has them, whose peers are 10.0.0.9:5432 and 10.0.0.9:6379.
pub fn report_rows(requests: &[Request]) -> Vec<AttributionRowReport> {
    let sections = sections(requests, &silent_peers());
    attribution(Some(&sections), &Peers::new(Some(&sections))).rows
}

/// A request.
pub fn request(components: &[(Component, u64)], peers: &[(usize, u64)]) -> Request {
    Request { components: components.to_vec(), peers: peers.to_vec(), ..Request::default() }
}

/// `n` requests, the last `slow` of which are `tail`, the others `body`.
pub fn mixed(n: usize, slow: usize, body: &Request, tail: &Request) -> Vec<Request> {
    (0..n).map(|i| if i + slow < n { body.clone() } else { tail.clone() }).collect()
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

fn peer(slot: usize, address: &'static str, port: u16, all: &[Request]) -> Peer {
    let of = |request: &Request| request.peers.iter().find(|(at, _)| *at == slot).map(|(_, ns)| *ns).unwrap_or(0);
    let times: Vec<_> = all.iter().map(of).filter(|ns| *ns > 0).collect();
    Peer { slot, address, port, sent: times.len() as u64 + 1, connects: 4, times }
}

/// The `number`th exemplar: a slow request with its history.
fn exemplar(number: u64, request: &Request) -> Exemplar {
    let of = |component: Component| request.component_ns()[component as usize];
    let segment =
        |component: Component, duration_ns| Segment { component: component as u32, duration_ns, ..Segment::default() };
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
        endpoint: "GET /policies/{id}".into(),
        bytes_in: 220,
        bytes_out: 1_480,
        component_ns: request.component_ns().into(),
        shared_ns: 0,
        peer_ns,
        segments: vec![
            segment(Component::QueueOnCpu, of(Component::QueueOnCpu)),
            segment(Component::OnCpu, of(Component::OnCpu) / 2),
            Segment {
                peer: Some(POSTGRES as u32),
                call: "SELECT … FROM policies WHERE id = ?".into(),
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
pub fn api() -> ServiceReport {
    let requests = requests();
    let sections = sections(
        &requests,
        &[peer(POSTGRES, "127.0.0.1", 5432, &requests), peer(REDIS, "unix:/run/redis/redis-server.sock", 0, &requests)],
    );
    let directory = BTreeMap::from([("127.0.0.1:5432".to_owned(), "postgres".to_owned())]);
    let peers = Peers::new(Some(&sections));
    let mut called = downstream(Some(&sections), &directory, REQUESTS, false);
    let of_peer = |of: &DownstreamReport, unnamed: u64| CoverageReport { named: of.calls - unnamed, counted: of.calls };
    (called[0].coverage, called[1].coverage) = (Some(of_peer(&called[0], 300)), Some(of_peer(&called[1], 0)));
    let exemplar = |n: u64| exemplar(n, &requests[(999 - n as usize * 50) % 20_000]);
    let kept = Kept { slowest: (0..3).map(exemplar).collect(), sample: vec![exemplar(3)], sampled: 1 };
    let sum = |part: fn(&Request) -> u64| distribution(requests.iter().map(part));
    let queue = |request: &Request| request.component_ns()[Component::QueueOnCpu as usize];
    ServiceReport {
        name: "api".into(),
        selector: "port:8000".into(),
        processes: vec![process(5_001, "uvicorn", ProcessState::Running)],
        processes_forked: 0,
        processes_exited: 0,
        requests: Some(RequestsReport {
            count: REQUESTS,
            rate_per_s: Some(2_000.0),
            bytes_in: 220 * REQUESTS,
            bytes_out: 1_480 * REQUESTS,
            latency: sum(Request::latency_ns),
            queue_time: distribution(requests.iter().map(queue)),
            service_time: distribution(requests.iter().map(|r| r.latency_ns() - queue(r) - 20_000)),
            ..RequestsReport::default()
        }),
        attribution: Some(attribution(Some(&sections), &peers)),
        downstream: Some(called),
        exemplars: Some(exemplars(&kept, START_NS, &peers)),
        scheduler: None,
        syscalls: None,
        tcp: None,
        series: series(|second| (2_000, 1_870_000, 47_000_000 + second * 100_000)),
        coverage: Some(CoverageReport { named: REQUESTS - 500, counted: REQUESTS }),
        endpoint_objectives: vec![EndpointObjectiveReport {
            name: "GET /policies/{}".into(),
            p99_ns: 5_000_000,
            ..EndpointObjectiveReport::default()
        }],
        tables: endpoints(&requests),
        ..redis()
    }
}

/// The slow ones are reports; of some the name is not known.
fn endpoints(requests: &[Request]) -> BTreeMap<String, serde_json::Value> {
    let names = ["GET /report/{}", "POST /decisions", "GET /policies/{}"];
    let mut latencies = names.map(|_| Vec::new());
    for (at, request) in requests.iter().enumerate().filter(|(at, _)| at % 40 != 0) {
        let ns = request.latency_ns();
        latencies[if ns > 10_000_000 { 0 } else { 1 + usize::from(at % 40 > 9) }].push(ns);
    }
    let mut service = ServiceReport { tables: BTreeMap::new(), ..redis() };
    with_endpoints(&mut service, &names.into_iter().zip(latencies).collect::<Vec<_>>());
    service.tables
}
