//! The probe `endpoints`: what a service is asked for, by name: route, command, statement.
//!
//! In: what the kernel side has counted by the hash of each name, and the names. Out: a section, which is a table of the report. Its rows
//! are known by their names, not by the numbers of this recording: so recordings can be added.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use acgs_perf_common::endpoint::{
    BUCKETS, ENDPOINT_WORDS, ENDPOINTS, EndpointName, FAILED, FIRST_NAMED, LATENCY, LATENCY_SUM, NAME_BYTES,
    OTHER_ENDPOINT, OVER_RANGE, POWER, PREPARED_STATEMENTS, REFUSED, REQUESTS, SLOTS, STREAMED, figures_base,
    name_index,
};
use acgs_perf_common::maps::STOPPED_ENDPOINTS;
use acgs_perf_protocol::{Kind as RequestKind, Protocol};
use sha2::{Digest as _, Sha256};

use super::{MapSpec, ProbeSpec, Stop};
use crate::live::array::Array;
use crate::live::maps::Maps;
use crate::live::table::{Column, Histogram, Kind, Name, Scope, TableSpec};
use crate::sums::{Difference as _, Key, Row, Section};

/// By protocol, kind and name; without a key those that have no figures of their own. Words as in `acgs_perf_common::endpoint`.
pub const SECTION: &str = "endpoints";
/// What the row of those without figures of their own is called.
pub const OTHERS: &str = "others";
/// Of which the kernel side knows only the hash.
pub const UNNAMED: &str = "(name not seen whole)";
const KINDS: [&str; RequestKind::ALL.len()] = ["request", "one_way", "wait_by_design", "handshake", "farewell", "mark"];

/// The latency in a row.
pub const LATENCY_HISTOGRAM: Histogram =
    Histogram { first: LATENCY, buckets: BUCKETS, power: POWER, over_range: OVER_RANGE, sum: LATENCY_SUM };

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
        MapSpec { name: "ENDPOINT_NAMES", entries: |s| name_index(s.services, 0) },
        MapSpec { name: "ENDPOINT_NUMBERS", entries: |s| s.services },
        MapSpec { name: "ENDPOINT_SLOTS", entries: |s| s.if_active(SLOTS) },
        MapSpec { name: "PREPARED", entries: |s| s.if_active(PREPARED_STATEMENTS) },
    ],
    iterators: None,
    sockets: None,
    read: |maps, service, sections| drop(sections.insert(SECTION.into(), rows(maps, service))),
    read_often: None,
    read_recording: None,
    tables: &[TableSpec {
        section: SECTION,
        title: "endpoints",
        meaning: "What the service was asked for, most requests first",
        scope: Scope::Service,
        names: &[
            Name { name: "protocol", meaning: "Protocol; empty in the row of all that have none of their own" },
            Name { name: "kind", meaning: "request, or wait_by_design if the answer comes when something happens" },
            Name { name: "name", meaning: "Method and route, command, or statement, without values" },
        ],
        row_names: |key, row| match key[..] {
            [protocol, kind, ..] => vec![
                Protocol::from_number(protocol as u8).name().to_owned(),
                KINDS.get(kind as usize).copied().unwrap_or_default().to_owned(),
                row.label.clone(),
            ],
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
    }],
    others: &[(SECTION, |_| Key::new())],
    stop: Stop::InOrder { place: 3, switches: STOPPED_ENDPOINTS },
};

/// The kind of a row's requests; `None` in the row of the others.
#[must_use]
pub fn kind_of(key: &Key) -> Option<RequestKind> {
    RequestKind::ALL.get(*key.get(1)? as usize).copied()
}

/// As the report has it.
#[must_use]
pub fn kind_name(kind: RequestKind) -> &'static str {
    KINDS[kind as usize]
}

/// The kind of this name.
#[must_use]
pub fn kind_named(name: &str) -> Option<RequestKind> {
    let at = KINDS.iter().position(|known| *known == name)?;
    RequestKind::ALL.get(at).copied()
}

/// What an endpoint of this name is known by in every recording.
#[must_use]
pub fn key_of(protocol: u32, kind: RequestKind, name: &str) -> Key {
    let digest = Sha256::digest(name.as_bytes());
    let part = |at: usize| u32::from_be_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]]);
    vec![protocol, kind as u32, part(0), part(4)]
}

fn rows(maps: &Maps, service: u32) -> Section {
    let (figures, numbers) = (maps.array("ENDPOINT_FIGURES"), maps.array("ENDPOINT_NUMBERS"));
    let names = maps.array("ENDPOINT_NAMES");
    let given = numbers.get(service as usize).saturating_add(u64::from(FIRST_NAMED)).min(u64::from(ENDPOINTS)) as u32;
    let mut section = Section::new();
    for endpoint in u32::from(OTHER_ENDPOINT)..given {
        let base = |shard| figures_base(maps.shards(), service, endpoint, shard) as usize;
        let sums = figures.sums((0..maps.shards()).map(base), ENDPOINT_WORDS as usize);
        if sums.count(REQUESTS) == 0 && sums.count(FAILED) == 0 {
            continue;
        }
        let (key, label) = if endpoint == u32::from(OTHER_ENDPOINT) {
            (Key::new(), String::new())
        } else {
            name(names, service, endpoint)
        };
        let row = section.entry(key).or_insert(Row { label, ..Row::NOTHING });
        // Long names may differ only in what is not kept of them.
        row.sums.add(&sums);
    }
    section
}

/// What an endpoint is known by in every recording, and its name.
fn name(names: &Array, service: u32, endpoint: u32) -> (Key, String) {
    const WORDS: usize = size_of::<EndpointName>() / 8;
    const HEADER: usize = WORDS - NAME_BYTES / 8;
    let first = name_index(service, endpoint) as usize * WORDS;
    let [length_low, length_high, protocol, kind, ..] = names.get(first + 1).to_le_bytes();
    let length = usize::from(u16::from_le_bytes([length_low, length_high])).min(NAME_BYTES);
    let kind = RequestKind::ALL.get(usize::from(kind)).copied().unwrap_or(RequestKind::Request);
    if length == 0 {
        return (vec![protocol.into(), kind as u32, 0, endpoint], UNNAMED.to_owned());
    }
    let bytes: Vec<u8> = (0..NAME_BYTES / 8).flat_map(|word| names.get(first + HEADER + word).to_le_bytes()).collect();
    let label = label(&bytes[..length]);
    (key_of(protocol.into(), kind, &label), label)
}

/// The text of a name. One that has all the room there is may go on.
fn label(bytes: &[u8]) -> String {
    if bytes.len() < NAME_BYTES {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    // The last letter may be cut in two.
    let whole = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let text = if bytes.len() - whole.len() < 4 { whole.into() } else { String::from_utf8_lossy(bytes) };
    if text.ends_with('…') { text.into_owned() } else { format!("{text}…") }
}

/// A key for the hashes of names that nobody outside knows.
#[must_use]
pub fn random_key() -> [u64; 2] {
    // What the standard library keeps hash tables with against the same attack.
    let word = || RandomState::new().build_hasher().finish();
    [word(), word() | 1]
}

#[cfg(test)]
mod tests {
    use super::{NAME_BYTES, label};

    #[test]
    fn a_name_that_fills_its_room_is_marked_as_cut() {
        let text = "x".repeat(NAME_BYTES);
        assert_eq!(label(&text.as_bytes()[1..]), text[1..]);
        assert_eq!(label(text.as_bytes()), format!("{text}…"));
        let (letters, broken) = (format!("{}é", &text[2..]), [&text.as_bytes()[1..], "é".as_bytes()].concat());
        assert_eq!(label(letters.as_bytes()), format!("{letters}…"));
        assert_eq!(label(&broken[..NAME_BYTES]), format!("{}…", &text[1..]));
    }

    #[test]
    fn bytes_that_are_no_text_stay_to_be_seen() {
        assert_eq!(label(b"GET /\xff"), "GET /\u{fffd}");
        let (mut long, marks) = ([b'x'; NAME_BYTES], |text: &str| text.matches('\u{fffd}').count());
        long[3] = 0xff;
        assert_eq!(marks(&label(&long)), 1);
    }
}
