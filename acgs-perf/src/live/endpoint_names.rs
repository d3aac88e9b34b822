//! The names of endpoints: those of a service, and those of its peers.
//!
//! In: the maps in which the kernel side puts them down, and the numbers that it has given out. Out: names, and the keys by which endpoints
//! are known in every recording.

use acgs_perf_common::endpoint::{
    BUCKETS, ENDPOINTS, EndpointName, FIRST_NAMED, LATENCY, LATENCY_SUM, NAME_BYTES, OTHER_ENDPOINT, OVER_RANGE, POWER,
    name_index,
};
use acgs_perf_protocol::Kind as RequestKind;
use sha2::{Digest as _, Sha256};

use super::maps::Maps;
use super::table::Histogram;
use crate::sums::Key;

/// Stands for those that have no figures of their own.
pub const OTHERS: &str = "others";
/// Stands for statements of which the text was said before anybody listened.
pub const BEFORE: &str = "(prepared before the recording)";
/// Of which the kernel side knows only the hash.
const UNNAMED: &str = "(name not seen whole)";
const KINDS: [&str; RequestKind::ALL.len()] = ["request", "one_way", "wait_by_design", "handshake", "farewell", "mark"];

/// The latency in a row.
pub const LATENCY_HISTOGRAM: Histogram =
    Histogram { first: LATENCY, buckets: BUCKETS, power: POWER, over_range: OVER_RANGE, sum: LATENCY_SUM };

/// The name of a kind.
#[must_use]
pub fn kind_name(kind: u32) -> &'static str {
    KINDS.get(kind as usize).copied().unwrap_or_default()
}

/// The first number that a numbering has not given out, of `limit`.
pub fn numbers_given(maps: &Maps, numbering: u32, limit: u32) -> u32 {
    let given = maps.array("ENDPOINT_NUMBERS").get(numbering as usize);
    given.saturating_add(u64::from(FIRST_NAMED)).min(u64::from(limit)) as u32
}

/// What an endpoint is known by in every recording, and its name behind what `before` says of the slot of its peer.
pub fn named(maps: &Maps, numbering: u32, endpoint: u32, before: impl Fn(u32) -> String) -> (Key, String) {
    if endpoint == u32::from(OTHER_ENDPOINT) {
        return (Key::new(), String::new());
    }
    if endpoint < FIRST_NAMED {
        return (vec![endpoint], String::new());
    }
    let (head, slot, name) = entry(maps, numbering, endpoint);
    let Some(name) = name else {
        return (vec![head[0], head[1], 0, endpoint], before(slot) + UNNAMED);
    };
    let label = before(slot) + &name;
    let digest = Sha256::digest(label.as_bytes());
    let part = |at: usize| u32::from_be_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]]);
    (vec![head[0], head[1], part(0), part(4)], label)
}

/// The name of an endpoint by its number; empty for those that have none.
#[must_use]
pub fn name(maps: &Maps, numbering: u32, endpoint: u32) -> String {
    if !(FIRST_NAMED..ENDPOINTS).contains(&endpoint) {
        return String::new();
    }
    entry(maps, numbering, endpoint).2.unwrap_or_default()
}

/// Protocol and kind, the slot of the peer, and the name if it is known.
fn entry(maps: &Maps, numbering: u32, endpoint: u32) -> ([u32; 2], u32, Option<String>) {
    const WORDS: usize = size_of::<EndpointName>() / 8;
    const HEADER: usize = WORDS - NAME_BYTES / 8;
    let names = maps.array("ENDPOINT_NAMES");
    let first = name_index(numbering, endpoint) as usize * WORDS;
    let [length_low, length_high, protocol, kind, slot @ ..] = names.get(first + 1).to_le_bytes();
    let length = usize::from(u16::from_le_bytes([length_low, length_high])).min(NAME_BYTES);
    let bytes = (0..NAME_BYTES / 8).flat_map(|word| names.get(first + HEADER + word).to_le_bytes());
    let name = (length != 0).then(|| label(&bytes.take(length).collect::<Vec<u8>>()));
    ([u32::from(protocol), u32::from(kind)], u32::from_le_bytes(slot), name)
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
