//! The probe `attribution`: where the time of requests went. It has no hooks of its own, but works in those of others.

use acgs_perf_common::attribution::{ATTRIBUTION_ROWS, ATTRIBUTION_WORDS, PEER_SLOTS, attribution_row};
use acgs_perf_common::exemplar::{GATE_WORDS, Gate};
use acgs_perf_common::maps::{
    DOWNSTREAM_PEERS, DOWNSTREAM_WORDS, DownstreamPeer, PARKED_REQUESTS, PARKING_PLACES, PeerKey, STOPPED_ATTRIBUTION,
    UNIX_PORT, WORKERS, downstream_base,
};

use super::{MapSpec, ProbeSpec, Stop};
use crate::live::maps::Maps;
use crate::live::workers;
use crate::sums::{Key, Row, Section, Sections, Sums, counted};

/// Rows of the attribution histogram, by bucket.
pub const ROWS: &str = "attribution";
/// Downstream peers, by slot, address and port, laid out as the kernel side keeps them; the others are slot 0 and have no address.
/// The label is the path of a UNIX socket.
pub const DOWNSTREAM: &str = "downstream";
/// Exemplars that were not sent, a word by service.
pub const DROPPED: &str = "exemplars_dropped";

/// Downstream peers of a service that are known: beyond the slots, so that the others are known too.
const PEERS_PER_SERVICE: u32 = 64;

/// Works in the hooks of `request` and `sched`.
pub static PROBE: ProbeSpec = ProbeSpec {
    name: "attribution",
    purpose: "where the time of each request went, downstream calls, the slowest requests one by one",
    hooks: &[],
    default: true,
    needs: &["request", "sched"],
    global: Some("ATTRIBUTION_ACTIVE"),
    fields: None,
    maps: &[
        MapSpec { name: "ATTRIBUTION", entries: |s| attribution_row(s.shards, s.services, 0, 0) },
        MapSpec { name: "DOWNSTREAM", entries: |s| downstream_base(s.services, 0) },
        MapSpec { name: "DOWNSTREAM_SLOTS_USED", entries: |s| s.services },
        MapSpec { name: "DOWNSTREAM_PEER", entries: |s| (s.services * PEERS_PER_SERVICE).min(DOWNSTREAM_PEERS) },
        MapSpec { name: "DOWNSTREAM_CLAIMS", entries: |s| (s.services * PEERS_PER_SERVICE).min(DOWNSTREAM_PEERS) },
        MapSpec { name: "PARKING", entries: |s| s.if_active(PARKING_PLACES) },
        MapSpec { name: "PARKED", entries: |s| s.if_active(PARKED_REQUESTS) },
        MapSpec { name: "WORKER", entries: |s| s.services * WORKERS },
        MapSpec { name: "EXEMPLAR_GATE", entries: |s| s.services * GATE_WORDS },
    ],
    iterators: None,
    sockets: None,
    read,
    read_often: None,
    read_recording: None,
    tables: &[workers::TABLE],
    others: &[(workers::SECTION, workers::others)],
    // Nobody knows what it costs, because its work is in the hooks of others.
    stop: Stop::InOrder { place: 1, switches: STOPPED_ATTRIBUTION },
};

fn read(maps: &Maps, service: u32, sections: &mut Sections) {
    workers::read(maps, service, sections);
    let array = maps.array("ATTRIBUTION");
    let shards = maps.shards();
    let rows = (0..ATTRIBUTION_ROWS).map(|bucket| {
        let copies =
            (0..shards).map(|shard| attribution_row(shards, service, bucket, shard) as usize * ATTRIBUTION_WORDS);
        (vec![bucket], Row { sums: array.sums(copies, ATTRIBUTION_WORDS), ..Row::default() })
    });
    let rows = counted(rows, sections.get(ROWS));
    sections.insert(ROWS.into(), rows);
    sections.insert(DOWNSTREAM.into(), downstream(maps, service));
    let dropped = Sums::dense([maps.gate(service as usize, Gate::Dropped) as i64]);
    sections.insert(DROPPED.into(), Section::from([(Vec::new(), Row { sums: dropped, ..Row::default() })]));
}

fn downstream(maps: &Maps, service: u32) -> Section {
    let array = maps.array("DOWNSTREAM");
    let sums = |slot: u32| array.sums([downstream_base(service, slot) as usize].into_iter(), DOWNSTREAM_WORDS as usize);
    let others = (vec![0], Row { sums: sums(0), ..Row::default() });
    let own = peers(maps, service).into_iter();
    own.map(|(key, label)| (key.clone(), Row { sums: sums(key[0]), latest: Vec::new(), label }))
        .chain([others])
        .collect()
}

/// The peers of a service that have slots: slot, address and port of each, and the path of a UNIX socket.
pub fn peers(maps: &Maps, service: u32) -> Vec<(Key, String)> {
    let peers = maps.entries::<PeerKey, DownstreamPeer>("DOWNSTREAM_PEER", "downstream peers");
    let slot = |peer: &DownstreamPeer| u32::try_from(peer.slot.checked_sub(1)?).ok();
    let own = peers.iter().filter(|(key, _)| key.service == service).filter_map(|(key, peer)| {
        let slot = slot(peer).filter(|slot| (1..PEER_SLOTS as u32).contains(slot))?;
        Some((key, peer, slot))
    });
    let named = own.map(|(key, peer, slot)| {
        // The address of a UNIX socket is a pointer of the kernel's, which is nobody's business.
        let is_unix = key.port == UNIX_PORT;
        let address = if is_unix { [0; 4] } else { key.address };
        let label = if is_unix { unix_path(&peer.path) } else { String::new() };
        ([&[slot], &address[..], &[key.port]].concat(), label)
    });
    named.collect()
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

#[cfg(test)]
mod tests {
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
}
