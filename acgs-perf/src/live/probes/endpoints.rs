//! The probe `endpoints`: what a service is asked for, by name: route, command, statement.
//!
//! In: what the kernel side has counted by the hash of each name, and the names. Out: a section, which is a table of the report. Its rows
//! are known by their names, not by the numbers of this recording: so recordings can be added.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use acgs_perf_common::endpoint::{
    ENDPOINT_WORDS, ENDPOINTS, FAILED, OTHER_ENDPOINT, PREPARED_STATEMENTS, REFUSED, REQUESTS, SLOTS, STREAMED,
    figures_base, name_index, numbering,
};
use acgs_perf_common::maps::STOPPED_ENDPOINTS;
use acgs_perf_protocol::{Kind as RequestKind, Protocol};

use super::{MapSpec, ProbeSpec, Stop, called_endpoints};
pub use crate::live::endpoint_names::{BEFORE, LATENCY_HISTOGRAM, OTHERS, UNNAMED, key_of, kind_name, kind_named};
use crate::live::endpoint_names::{named, numbers_given};
use crate::live::maps::Maps;
use crate::live::table::{Column, Kind, Name, Scope, TableSpec};
use crate::sums::{Difference as _, Key, Row, Section, Sections};

/// By protocol, kind and name; without a key those that have no figures of their own. Words as in `acgs_perf_common::endpoint`.
pub const SECTION: &str = "endpoints";
/// It has no hooks of its own: the request clock's programs look at what is said.
pub static PROBE: ProbeSpec = ProbeSpec {
    name: "endpoints",
    purpose: "requests by name: HTTP routes, Redis commands, SQL statements",
    hooks: &[],
    default: true,
    needs: &["request"],
    global: Some("ENDPOINTS_ACTIVE"),
    fields: None,
    maps: &[
        MapSpec { name: "ENDPOINT_FIGURES", entries: |s| figures_base(s.shards, s.services, 0, 0) },
        MapSpec { name: "ENDPOINT_NAMES", entries: |s| name_index(numbering(s.services, false), 0) },
        MapSpec { name: "ENDPOINT_NUMBERS", entries: |s| numbering(s.services, false) },
        MapSpec { name: "ENDPOINT_SLOTS", entries: |s| s.if_active(SLOTS) },
        MapSpec { name: "PREPARED", entries: |s| s.if_active(PREPARED_STATEMENTS) },
    ],
    iterators: None,
    sockets: None,
    read,
    read_often: None,
    read_recording: None,
    tables: &[TABLE, called_endpoints::TABLE],
    others: &[(SECTION, |_| Key::new()), (called_endpoints::SECTION, |_| Key::new())],
    stop: Stop::InOrder { place: 3, switches: STOPPED_ENDPOINTS },
};

const TABLE: TableSpec = TableSpec {
    section: SECTION,
    title: "endpoints",
    meaning: "What the service was asked for, most requests first",
    scope: Scope::Service,
    also_needs: None,
    names: &[
        Name { name: "protocol", meaning: "Protocol; empty in the row of all that have none of their own" },
        Name { name: "kind", meaning: "request, or wait_by_design if the answer comes when something happens" },
        Name { name: "name", meaning: "Method and route, command, or statement, without values" },
    ],
    row_names: |key, row| match key[..] {
        [protocol, kind, ..] => {
            vec![Protocol::from_number(protocol as u8).name().to_owned(), kind_name(kind).to_owned(), row.label.clone()]
        }
        [_] => vec![String::new(), String::new(), BEFORE.to_owned()],
        _ => vec![String::new(), String::new(), OTHERS.to_owned()],
    },
    columns: &[
        Column { name: "requests", meaning: "Requests answered", kind: Kind::Count(REQUESTS) },
        Column { name: "failed", meaning: "Of these, those whose reply is an error", kind: Kind::Count(FAILED) },
        Column {
            name: "refused",
            meaning: "Of the failed ones, those that the reply calls the client's fault (HTTP 4xx)",
            kind: Kind::Count(REFUSED),
        },
        Column {
            name: "streamed",
            meaning: "Requests whose reply went on as a stream: their latency is that of its beginning",
            kind: Kind::Count(STREAMED),
        },
        Column {
            name: "latency",
            meaning: "Latency, failed requests included",
            kind: Kind::Distribution(LATENCY_HISTOGRAM),
        },
    ],
};

fn read(maps: &Maps, service: u32, sections: &mut Sections) {
    let rows = rows(maps, service, sections.get(SECTION));
    sections.insert(SECTION.into(), rows);
    sections.insert(called_endpoints::SECTION.into(), called_endpoints::rows(maps, service));
}

/// The kind of a row's requests; `None` in the row of the others.
#[must_use]
pub fn kind_of(key: &Key) -> Option<RequestKind> {
    RequestKind::ALL.get(*key.get(1)? as usize).copied()
}

fn rows(maps: &Maps, service: u32, before: Option<&Section>) -> Section {
    let figures = maps.array("ENDPOINT_FIGURES");
    let numbering = numbering(service, false);
    let mut section = Section::new();
    for endpoint in u32::from(OTHER_ENDPOINT)..numbers_given(maps, numbering, ENDPOINTS) {
        let base = |shard| figures_base(maps.shards(), service, endpoint, shard) as usize;
        let sums = figures.sums((0..maps.shards()).map(base), ENDPOINT_WORDS as usize);
        let (key, label) = named(maps, numbering, endpoint, |_| String::new());
        let is_asked_for = sums.count(REQUESTS) != 0 || sums.count(FAILED) != 0;
        // Its only request may have been taken back.
        if !is_asked_for && before.is_none_or(|before| !before.contains_key(&key)) {
            continue;
        }
        let row = section.entry(key).or_insert(Row { label, ..Row::NOTHING });
        // Long names may differ only in what is not kept of them.
        row.sums.add(&sums);
    }
    section
}

/// A key for the hashes of names that nobody outside knows.
#[must_use]
pub fn random_key() -> [u64; 2] {
    // What the standard library keeps hash tables with against the same attack.
    let word = || RandomState::new().build_hasher().finish();
    [word(), word() | 1]
}
