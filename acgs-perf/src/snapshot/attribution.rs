//! Turns the maps of the probe `attribution` into its section of a `Capture`: rows and downstream peers.
//!
//! In: the maps, and who listens where. Out: `AttributionRow`s without empty ones, `Downstream`s by slot.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use acgs_perf_common::attribution::{
    ALL, ATTRIBUTION_ROWS, ATTRIBUTION_WORDS, CALLS_WORD, COUNT_WORD, LATENCY_WORD, MANY_CALLS_WORD, ONE_CALL_WORD,
    PEER_SLOTS, PEER_WORD, SHARED_WORD, component_word,
};
use acgs_perf_common::histogram::BUCKETS;
use acgs_perf_common::maps::{DOWNSTREAM_HEADER, DownstreamPeer, DownstreamWord, PeerKey, UNIX_PORT};

use super::maps::Maps;
use crate::capture::{AttributionRow, Counts, Downstream};

/// Rows that hold requests, by rising bucket.
#[must_use]
pub fn rows(maps: &Maps, service: usize) -> Vec<AttributionRow> {
    (0..ATTRIBUTION_ROWS as usize)
        .map(|bucket| row(bucket, &maps.attribution_row(service, bucket)))
        .filter(|row| row.count as i64 > 0)
        .collect()
}

/// A row from its words.
#[must_use]
pub fn row(bucket: usize, words: &[u64; ATTRIBUTION_WORDS]) -> AttributionRow {
    AttributionRow {
        bucket,
        count: words[COUNT_WORD],
        latency_ns: words[LATENCY_WORD],
        component_ns: ALL.map(|component| words[component_word(component)]),
        shared_ns: words[SHARED_WORD],
        calls: words[CALLS_WORD],
        one_call_ns: words[ONE_CALL_WORD],
        many_calls_ns: words[MANY_CALLS_WORD],
        peer_ns: std::array::from_fn(|slot| words[PEER_WORD + slot]),
    }
}

/// Who listens where, to name downstream peers.
pub trait Directory {
    /// Name of the service that listens at a TCP address.
    fn tcp(&self, address: SocketAddr) -> Option<String>;
    /// Name of the service that listens at a UNIX socket.
    fn unix(&self, path: &str) -> Option<String>;
}

/// Downstream peers of a service that were called, by slot.
#[must_use]
pub fn downstream(maps: &Maps, service: usize, directory: &dyn Directory) -> Vec<Downstream> {
    let mut peers: Vec<Downstream> = maps
        .downstream_peers()
        .iter()
        .filter(|(key, peer)| key.service as usize == service && peer.slot != 0)
        .map(|(key, peer)| {
            let (address, name) = describe(key, peer, directory);
            figures(maps, service, peer.slot as usize, address, name)
        })
        .collect();
    let others = figures(maps, service, 0, "others".into(), None);
    if others.sent > 0 || others.connects > 0 {
        peers.push(others);
    }
    peers.retain(|peer| peer.slot < PEER_SLOTS);
    peers.sort_by_key(|peer| peer.slot);
    peers
}

fn figures(maps: &Maps, service: usize, slot: usize, address: String, name: Option<String>) -> Downstream {
    let word = |word: DownstreamWord| maps.downstream(service, slot, word as u32);
    let buckets = (0..BUCKETS as u32).map(|bucket| maps.downstream(service, slot, DOWNSTREAM_HEADER + bucket));
    Downstream {
        slot,
        address,
        service: name,
        sent: word(DownstreamWord::Sent),
        connects: word(DownstreamWord::Connects),
        multiplexed: word(DownstreamWord::Multiplexed),
        latency: Counts {
            buckets: buckets.collect(),
            sum_ns: Some(word(DownstreamWord::LatencySum)),
            over_range: word(DownstreamWord::OverRange),
        },
    }
}

/// Address of a peer, and the name of the service that listens there.
fn describe(key: &PeerKey, peer: &DownstreamPeer, directory: &dyn Directory) -> (String, Option<String>) {
    if key.port == UNIX_PORT {
        let path = unix_path(&peer.path);
        return (format!("unix:{path}"), directory.unix(&path));
    }
    let address = SocketAddr::new(ip(key.address), key.port as u16);
    (address.to_string(), directory.tcp(address))
}

/// A path as the kernel keeps it; abstract ones begin with a zero, which people write as `@`.
fn unix_path(path: &[u8]) -> String {
    let (prefix, rest) = match path.split_first() {
        Some((0, rest)) => ("@", rest),
        _ => ("", path),
    };
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    format!("{prefix}{}", String::from_utf8_lossy(&rest[..end]))
}

/// An address from the kernel's four words in network byte order; IPv4 is shown as such.
#[must_use]
pub fn ip(words: [u32; 4]) -> IpAddr {
    let mut octets = [0; 16];
    for (bytes, word) in octets.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(octets).to_canonical()
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::attribution::Component;

    use super::*;

    #[test]
    fn paths_are_read_as_the_kernel_keeps_them() {
        let mut bytes = [0u8; 112];
        bytes[..9].copy_from_slice(b"/run/x.so");
        assert_eq!(unix_path(&bytes), "/run/x.so");
        let mut bytes = [0u8; 112];
        bytes[1..5].copy_from_slice(b"abst");
        assert_eq!(unix_path(&bytes), "@abst");
    }

    #[test]
    fn a_row_is_read_word_by_word() {
        let words = std::array::from_fn(|at| at as u64 * 10);
        let row = row(3, &words);
        let component = |component: Component| row.component_ns[component as usize];
        assert_eq!((row.count, row.latency_ns, component(Component::QueueAccept)), (0, 10, 50));
        assert_eq!(
            (component(Component::OnCpu), component(Component::LoopWait), component(Component::Reply)),
            (20, 30, 40)
        );
        assert_eq!((component(Component::QueueOther), component(Component::RunQueue)), (140, 150));
        assert_eq!(
            (component(Component::Other), component(Component::PoolWait), component(Component::Unknown)),
            (220, 230, 240)
        );
        assert_eq!((row.peer_ns[0], row.peer_ns[15]), (290, 440));
    }
}
