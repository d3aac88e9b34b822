//! What a service asks its peers for, by peer and name: a part of the probe `endpoints`, where `attribution` follows downstream calls.
//!
//! In: what the kernel side has counted by the number of each name, the names, the peers. Out: a section, which is a table of the report.
//! Its rows are known by the peers' addresses and the names.

use std::collections::BTreeMap;

use acgs_perf_common::endpoint::{
    CALLED_ENDPOINTS, ENDPOINT_WORDS, FAILED, FIRST_NAMED, OTHER_ENDPOINT, REPEATED, REQUESTS, called_base, numbering,
};
use acgs_perf_protocol::{Kind as RequestKind, Protocol};

use super::attribution;
use crate::live::endpoint_names::{BEFORE, LATENCY_HISTOGRAM, OTHERS, kind_name, named, numbers_given};
use crate::live::maps::Maps;
use crate::live::table::{Column, Kind, Name, Scope, TableSpec};
use crate::sums::{Difference as _, Row, Section};
use crate::units::downstream_address;

/// By protocol, kind, peer and name; without a key those that have no figures of their own. Words as in `acgs_perf_common::endpoint`.
pub const SECTION: &str = "downstream_endpoints";
/// Between the peer's address and the name, in the label of a row: in neither of them.
const BETWEEN: char = '\0';

/// The table of the report.
pub const TABLE: TableSpec = TableSpec {
    section: SECTION,
    title: "calls",
    meaning: "What the service asked its peers for, most calls first",
    scope: Scope::Service,
    also_needs: Some(attribution::PROBE.name),
    names: &[
        Name { name: "peer", meaning: "Address of the peer; empty in the row of all that have none of their own" },
        Name { name: "protocol", meaning: "Protocol" },
        Name { name: "kind", meaning: "request, or wait_by_design if the answer comes when something happens" },
        Name { name: "name", meaning: "Method and route, command, or statement, without values" },
    ],
    row_names: |key, row| match (&key[..], row.label.split_once(BETWEEN)) {
        ([protocol, kind, ..], Some((peer, name))) => {
            let protocol = Protocol::from_number(*protocol as u8).name();
            vec![peer.to_owned(), protocol.to_owned(), kind_name(*kind).to_owned(), name.to_owned()]
        }
        ([_], _) => vec![String::new(), String::new(), String::new(), BEFORE.to_owned()],
        _ => vec![String::new(), String::new(), String::new(), OTHERS.to_owned()],
    },
    columns: &[
        Column { name: "calls", meaning: "Calls answered", kind: Kind::Count(REQUESTS) },
        Column { name: "failed", meaning: "Of these, those whose answer is an error", kind: Kind::Count(FAILED) },
        Column {
            name: "repeated",
            meaning: "Calls that followed one for the same, on the same connection and for the same request of the service",
            kind: Kind::Count(REPEATED),
        },
        Column {
            name: "latency",
            meaning: "From the end of the send to the arrival of the first bytes of the answer, failed calls included",
            kind: Kind::Distribution(LATENCY_HISTOGRAM),
        },
    ],
};

/// Calls that are counted by name, by the address of the peer. That it is encrypted is no name, and how a connection is opened is no call.
#[must_use]
pub fn named_calls(section: &Section) -> BTreeMap<&str, u64> {
    let mut named = BTreeMap::new();
    for (key, row) in section {
        let ([protocol, kind, ..], Some((peer, _))) = (&key[..], row.label.split_once(BETWEEN)) else { continue };
        let is_call = [RequestKind::Request, RequestKind::WaitByDesign].iter().any(|of| *of as u32 == *kind);
        if is_call && *protocol != Protocol::Tls as u32 {
            let calls: &mut u64 = named.entry(peer).or_default();
            *calls = calls.saturating_add(row.sums.count(REQUESTS));
        }
    }
    named
}

/// What was counted for a service.
pub fn rows(maps: &Maps, service: u32) -> Section {
    let figures = maps.array("ENDPOINT_FIGURES");
    let numbering = numbering(service, true);
    let end = numbers_given(maps, numbering, CALLED_ENDPOINTS);
    let has_others = (u32::from(OTHER_ENDPOINT)..FIRST_NAMED)
        .any(|endpoint| figures.get(called_base(maps.shards(), service, endpoint) as usize) != 0);
    if end == FIRST_NAMED && !has_others {
        // Nothing was called, or nobody follows calls.
        return Section::new();
    }
    let peers: BTreeMap<u32, String> = attribution::peers(maps, service)
        .into_iter()
        .filter_map(|(key, path)| Some((*key.first()?, downstream_address(&key, &path)?)))
        .collect();
    let mut section = Section::new();
    for endpoint in u32::from(OTHER_ENDPOINT)..end {
        let base = called_base(maps.shards(), service, endpoint) as usize;
        let sums = figures.sums([base].into_iter(), ENDPOINT_WORDS as usize);
        if sums.count(REQUESTS) == 0 && sums.count(FAILED) == 0 {
            continue;
        }
        let address = |slot: u32| peers.get(&slot).map_or(OTHERS, String::as_str);
        let (key, label) = named(maps, numbering, endpoint, |slot| format!("{}{BETWEEN}", address(slot)));
        section.entry(key).or_insert(Row { label, ..Row::NOTHING }).sums.add(&sums);
    }
    section
}
