//! The two logs of the same requests put together.
//!
//! In: the server's records and the client's entries. Out: latency, queue time and service time of each request, and the
//! sum of each component.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use acgs_perf_common::attribution::COMPONENT_NAMES;
use acgs_perf_load::log::{self, Entry};
use anyhow::{Context, Result, ensure};

use crate::truth::{Log, Record};

/// Name of what is compared as one: the components of the queue time.
pub const QUEUE: &str = "queue time";

/// From the kernel's receive time stamp until the socket is readable, at most: the packet is queued for the soft interrupt
/// and goes through IP and TCP. Measured: 4 to 5 µs on a virtual machine, without tracing.
const STACK_NS: u64 = 10_000;

/// Times in ascending order; the true one lies between `low` and `high` of the same rank.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Lower ends.
    pub low: Vec<u64>,
    /// Upper ends.
    pub high: Vec<u64>,
}

/// What really happened.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// From the arrival to the last byte of the reply.
    pub latency: Bounds,
    /// From the arrival to the read.
    pub queue: Bounds,
    /// From the read to the first byte of the reply.
    pub service: Bounds,
    /// Sum per component, queue time as one.
    pub component_ns: BTreeMap<String, u64>,
}

impl Truth {
    /// From the files.
    pub fn read(server: &Path, client: &Path) -> Result<Self> {
        let records = Log::read(server).with_context(|| format!("read {}", server.display()))?;
        let entries = log::read(client).with_context(|| format!("read {}", client.display()))?;
        Self::join(&records, &entries)
    }

    /// Joins by the requests' numbers; each must be in both logs, once.
    pub fn join(server: &Log, client: &[Entry]) -> Result<Self> {
        let mut by_id: HashMap<u64, &Entry> = client.iter().map(|entry| (entry.id, entry)).collect();
        ensure!(by_id.len() == client.len(), "the client's log has a number twice");
        let mut truth = Self::default();
        let mut sums = [0u64; COMPONENT_NAMES.len()];
        let mut queue_ns = 0;
        for record in &server.records {
            let entry =
                by_id.remove(&record.id).with_context(|| format!("the client does not know request {}", record.id))?;
            let (early, late) = arrival(record, entry);
            for (bounds, end) in [(&mut truth.latency, record.sent_ns), (&mut truth.queue, record.read_ns)] {
                bounds.low.push(end.saturating_sub(late));
                bounds.high.push(end.saturating_sub(early));
            }
            let service = record.first_sent_ns.saturating_sub(record.read_ns);
            truth.service.low.push(service);
            truth.service.high.push(service);
            queue_ns += record.read_ns.saturating_sub(early.midpoint(late));
            for (sum, ns) in sums.iter_mut().zip(record.component_ns) {
                *sum += ns;
            }
        }
        ensure!(by_id.is_empty(), "{} requests are not in the server's log", by_id.len());
        for bounds in [&mut truth.latency, &mut truth.queue, &mut truth.service] {
            bounds.low.sort_unstable();
            bounds.high.sort_unstable();
        }
        let named = COMPONENT_NAMES.iter().zip(sums).map(|((name, _), ns)| ((*name).to_owned(), ns));
        truth.component_ns = named.filter(|(_, ns)| *ns > 0).collect();
        truth.component_ns.insert(QUEUE.to_owned(), queue_ns);
        Ok(truth)
    }

    /// Number of requests.
    pub fn count(&self) -> u64 {
        self.latency.low.len() as u64
    }
}

/// The earliest and the latest moment in which the request's bytes can have been ready.
fn arrival(record: &Record, entry: &Entry) -> (u64, u64) {
    let (early, most) = if record.arrived_ns > 0 { (record.arrived_ns, STACK_NS) } else { (entry.sent_ns, u64::MAX) };
    let late = entry.delivered_ns.min(record.read_ns).min(early.saturating_add(most));
    (early, late.max(early))
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::attribution::Component;

    use super::*;

    fn logs() -> (Log, Vec<Entry>) {
        let mut record = Record { id: 2, read_ns: 130, first_sent_ns: 190, sent_ns: 200, ..Record::default() };
        record.add(Component::Lock, 40);
        record.add(Component::Reply, 10);
        let other = Record { id: 1, read_ns: 1015, first_sent_ns: 1030, sent_ns: 1030, ..Record::default() };
        // The second send returned only after the server had read the request.
        let entry = Entry { id: 2, sent_ns: 100, delivered_ns: 110, ..Entry::default() };
        let late = Entry { id: 1, sent_ns: 1010, delivered_ns: 1020, ..Entry::default() };
        (Log { peers: Vec::new(), records: vec![record, other] }, vec![late, entry])
    }

    #[test]
    fn requests_are_joined_by_number() {
        let (server, client) = logs();
        let truth = Truth::join(&server, &client).unwrap();
        assert_eq!((truth.latency.low, truth.latency.high), (vec![15, 90], vec![20, 100]));
        assert_eq!((truth.queue.low, truth.queue.high), (vec![0, 20], vec![5, 30]));
        assert_eq!(truth.service.low, [15, 60]);
        let want = [("lock", 40), (QUEUE, 25 + 3), ("reply", 10)].map(|(name, ns)| (name.to_owned(), ns));
        assert_eq!(truth.component_ns, want.into());
    }

    #[test]
    fn the_kernels_stamp_narrows_the_arrival() {
        let record = |arrived_ns| Record { arrived_ns, read_ns: 90_000, ..Record::default() };
        let entry = Entry { sent_ns: 10_000, delivered_ns: 70_000, ..Entry::default() };
        assert_eq!(arrival(&record(0), &entry), (10_000, 70_000));
        assert_eq!(arrival(&record(20_000), &entry), (20_000, 30_000));
        assert_eq!(arrival(&record(65_000), &entry), (65_000, 70_000));
        assert_eq!(arrival(&record(71_000), &entry), (71_000, 71_000));
    }

    #[test]
    fn a_request_that_is_in_one_log_only_is_an_error() {
        let (mut server, client) = logs();
        assert!(Truth::join(&server, &client[..1]).is_err());
        server.records.pop();
        assert!(Truth::join(&server, &client).is_err());
        assert!(Truth::join(&server, &[client[0], client[0]]).is_err());
    }
}
