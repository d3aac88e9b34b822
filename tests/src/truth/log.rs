//! The truth log: when each request was read and answered, and where its time went.
//!
//! In: records from the server's threads, which keep their own. Out: a file: one line of JSON that names the words, then
//! little-endian u64, and quantiles of it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use acgs_perf_common::attribution::{COMPONENT_NAMES, COMPONENTS, Component};
use serde_json::{Value, json};

/// Peers that a server may call.
pub const MAX_PEERS: usize = 8;
/// Words of a record.
const WORDS: usize = 6 + COMPONENTS + MAX_PEERS;
/// Records that are given memory at a time: to grow one long vector would delay a request by milliseconds.
const CHUNK: usize = 1024;
/// Reading the clocks of a request takes no longer than this, unless the thread lost its CPU meanwhile.
const CLOCKS_NS: u64 = 8_000;

/// One request; times on CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Number that the client gave it; 0 without.
    pub id: u64,
    /// When the kernel received its bytes; 0 where it did not say.
    pub arrived_ns: u64,
    /// After `recv` returned the last byte of the request.
    pub read_ns: u64,
    /// After the first `send` of the reply returned.
    pub first_sent_ns: u64,
    /// After its last `send` returned.
    pub sent_ns: u64,
    /// Thread that sent the reply.
    pub thread: u64,
    /// Where the time from `read_ns` to `sent_ns` went, by the index of the report's component.
    pub component_ns: [u64; COMPONENTS],
    /// Of `downstream`, by peer.
    pub peer_ns: [u64; MAX_PEERS],
}

impl Record {
    /// Adds time to a component.
    pub fn add(&mut self, component: Component, ns: u64) {
        self.component_ns[component as usize] += ns;
    }

    /// From read to the last byte of the reply.
    pub fn service_ns(&self) -> u64 {
        self.sent_ns.saturating_sub(self.read_ns)
    }

    /// Makes the components add up. Every wait was measured, so what is left is on-CPU time between the readings of two
    /// clocks, unless it is more than those take: then it is `other`. What is too much is a delay after the last stamp.
    pub fn close(&mut self) {
        let known: u64 = self.component_ns.iter().sum();
        let service = self.service_ns();
        let left = service.saturating_sub(known);
        self.add(if left <= CLOCKS_NS { Component::OnCpu } else { Component::Other }, left);
        let mut excess = known.saturating_sub(service);
        let order = if excess <= CLOCKS_NS {
            [Component::OnCpu, Component::RunQueue]
        } else {
            [Component::RunQueue, Component::OnCpu]
        };
        for component in order {
            let ns = &mut self.component_ns[component as usize];
            let taken = excess.min(*ns);
            (*ns, excess) = (*ns - taken, excess - taken);
        }
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let head = [self.id, self.arrived_ns, self.read_ns, self.first_sent_ns, self.sent_ns, self.thread];
        head.into_iter().chain(self.component_ns).chain(self.peer_ns)
    }

    fn from_words(words: &[u64; WORDS]) -> Self {
        let mut words = words.iter().copied();
        let mut next = || words.next().unwrap_or(0);
        let mut record = Self {
            id: next(),
            arrived_ns: next(),
            read_ns: next(),
            first_sent_ns: next(),
            sent_ns: next(),
            thread: next(),
            ..Self::default()
        };
        record.component_ns.fill_with(&mut next);
        record.peer_ns.fill_with(next);
        record
    }
}

/// The records of one thread. The lock is only ever waited for at the end of the program.
#[derive(Clone, Debug, Default)]
pub struct Buffer(Arc<Mutex<Vec<Vec<Record>>>>);

impl Buffer {
    /// Adds a record.
    pub fn push(&self, record: Record) {
        let mut chunks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(record),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(record);
                chunks.push(chunk);
            }
        }
    }
}

/// The buffers of all threads.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Mutex<Vec<Buffer>>>);

impl Shared {
    /// A buffer for one more thread.
    pub fn buffer(&self) -> Buffer {
        let buffer = Buffer::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer.clone());
        buffer
    }

    /// All records until now.
    pub fn collect(&self, peers: Vec<String>) -> Log {
        let buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = buffers.iter().flat_map(|buffer| {
            let chunks = buffer.0.lock().unwrap_or_else(PoisonError::into_inner);
            chunks.iter().flatten().copied().collect::<Vec<_>>()
        });
        Log { peers, records: all.collect() }
    }
}

/// All requests of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Names of the peers, by index.
    pub peers: Vec<String>,
    /// In no particular order.
    pub records: Vec<Record>,
}

impl Log {
    /// Writes the log; it appears in one piece.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let names: Vec<&str> = COMPONENT_NAMES.iter().map(|(name, _)| *name).collect();
        let mut bytes = json!({ "truth_log": 2, "components": names, "peers": self.peers }).to_string().into_bytes();
        bytes.push(b'\n');
        bytes.extend(self.records.iter().flat_map(Record::words).flat_map(u64::to_le_bytes));
        let partial = path.with_extension("partial");
        fs::write(&partial, bytes)?;
        fs::rename(&partial, path)
    }

    /// Reads a log.
    pub fn read(path: &Path) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        let bytes = fs::read(path)?;
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| wrong("no truth log"))?;
        let head: Value = serde_json::from_slice(&bytes[..end])?;
        let same = |(name, (want, _)): (&Value, &(&str, &str))| name == want;
        let names = head["components"].as_array().filter(|names| names.len() == COMPONENTS);
        if !names.is_some_and(|names| names.iter().zip(&COMPONENT_NAMES).all(same)) {
            return Err(wrong("components of another build"));
        }
        let peers = head["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let peers = peers.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let (words, rest) = bytes[end + 1..].as_chunks::<8>();
        let words: Vec<u64> = words.iter().copied().map(u64::from_le_bytes).collect();
        let (records, more) = words.as_chunks::<WORDS>();
        if !rest.is_empty() || !more.is_empty() {
            return Err(wrong("truncated"));
        }
        Ok(Self { peers, records: records.iter().map(Record::from_words).collect() })
    }

    /// Service times in ascending order.
    pub fn service_times(&self) -> Vec<u64> {
        let mut times: Vec<u64> = self.records.iter().map(Record::service_ns).collect();
        times.sort_unstable();
        times
    }

    /// Sum of a component over all requests.
    pub fn total(&self, component: Component) -> u64 {
        self.records.iter().map(|record| record.component_ns[component as usize]).sum()
    }
}

/// The `quantile` of values in ascending order, by the rank that HdrHistogram uses too: the smallest value that at least
/// this share of all values does not exceed.
pub fn quantile(sorted: &[u64], quantile: f64) -> u64 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_survives_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let shared = Shared::default();
        let mut record = Record { id: 9, read_ns: 1, first_sent_ns: 2, sent_ns: 3, thread: 5, ..Record::default() };
        record.add(Component::Lock, 7);
        record.peer_ns[1] = 8;
        for _ in 0..=CHUNK {
            shared.buffer().push(record);
        }
        shared.buffer().push(Record { read_ns: u64::MAX - 2, sent_ns: u64::MAX - 1, ..record });
        let log = shared.collect(vec!["db".into()]);
        log.write(&path).unwrap();
        assert_eq!(Log::read(&path).unwrap(), log);
        assert_eq!((log.records.len(), log.total(Component::Lock)), (CHUNK + 2, 7 * (CHUNK as u64 + 2)));
        assert_eq!(log.service_times()[..2], [1, 2]);
    }

    #[test]
    fn a_truncated_or_foreign_log_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        Log { peers: Vec::new(), records: vec![Record::default()] }.write(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        for wrong in [&bytes[..bytes.len() - 1], &bytes[..bytes.len() - 8], &bytes[..9], b"{}\n"] {
            fs::write(&path, wrong).unwrap();
            assert!(Log::read(&path).is_err());
        }
    }

    #[test]
    fn a_closed_record_adds_up() {
        let closed = |service: u64, on_cpu: u64, run_queue: u64| {
            let mut record = Record { read_ns: 100, sent_ns: 100 + service, ..Record::default() };
            record.add(Component::Lock, 30_000);
            record.add(Component::OnCpu, on_cpu);
            record.add(Component::RunQueue, run_queue);
            record.close();
            assert_eq!(record.component_ns.iter().sum::<u64>(), service);
            [Component::OnCpu, Component::RunQueue, Component::Other]
                .map(|component| record.component_ns[component as usize])
        };
        assert_eq!(closed(90_000, 50_000, 5_000), [55_000, 5_000, 0]);
        assert_eq!(closed(190_000, 50_000, 5_000), [50_000, 5_000, 105_000]);
        assert_eq!(closed(84_000, 50_000, 5_000), [49_000, 5_000, 0]);
        assert_eq!(closed(50_000, 12_000, 60_000), [12_000, 8_000, 0]);
        assert_eq!(closed(35_000, 50_000, 5_000), [5_000, 0, 0]);
    }

    #[test]
    fn quantiles_by_rank() {
        let values: Vec<u64> = (1..=1000).collect();
        assert_eq!(quantile(&values, 0.5), 500);
        assert_eq!(quantile(&values, 0.99), 990);
        assert_eq!(quantile(&values, 0.999), 999);
        assert_eq!(quantile(&values, 1.0), 1000);
        assert_eq!(quantile(&values, 0.0), 1);
        assert_eq!(quantile(&[], 0.5), 0);
    }
}
