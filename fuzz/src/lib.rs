//! Any bytes, as both sides of a connection.
//!
//! The first byte says how they are cut and what the other side has told, the second how a reply is read. What is found must not depend on
//! the cut, each step takes something and not too much, no token is longer than what is carried over, and nothing overflows.

pub mod pending;

use acgs_perf_protocol::name::Key;
use acgs_perf_protocol::walk::{self, TOKEN};
use acgs_perf_protocol::window::{SCAN, WINDOW};
use acgs_perf_protocol::{Found, Name, Protocol, Stream, Window, detect};

const KEY: Key = Key { start: 0x1234_5678_9abc_def0, factor: 0x8765_4321_0fed_cba9 };

/// Bytes that one step takes at most: tokens that follow each other, lines of a header and the rest of the one before.
const MOST: u32 = 4 * TOKEN + 7 * SCAN;

/// What a step found, behind how many bytes with those that are skipped, and the name and number that it has with it.
type Find = (Found, u64, Stream, Vec<u8>);

/// Tries them.
pub fn try_both_sides(protocol: Protocol, bytes: &[u8]) {
    let [cut, rule, rest @ ..] = bytes else { return };
    let pieces: Vec<&[u8]> = rest.chunks(usize::from(*cut % 64) + 1).collect();
    let other = *cut & Stream::TOLD;
    for rule in [None, Some(*rule % 8)] {
        assert_eq!(finds(protocol, rule, other, &pieces), finds(protocol, rule, other, &[rest]));
    }
    let mut window = Window::new();
    let end = rest.len().min(WINDOW - TOKEN as usize);
    window.bytes[..end].copy_from_slice(&rest[..end]);
    window.end = end as u32;
    if end != 0 {
        assert!(detect::detect(&window).is_ok() || end < TOKEN as usize);
    }
}

/// What is found in requests, or by this rule in replies.
fn finds(protocol: Protocol, rule: Option<u8>, other: u8, pieces: &[&[u8]]) -> Vec<Find> {
    let (mut stream, mut window, mut name) = (Stream::default(), Window::new(), Name::new(KEY));
    let (mut finds, mut taken) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let carried = walk::put_rest(&mut stream, &mut window) as usize;
            let (now, later) = rest.split_at(rest.len().min(WINDOW - TOKEN as usize));
            window.bytes[carried..carried + now.len()].copy_from_slice(now);
            window.end += now.len() as u32;
            (rest, taken) = (later, taken + now.len());
            loop {
                walk::skip(&mut stream, &mut window);
                stream.reply_rule = rule.unwrap_or(stream.reply_rule);
                stream.other = rule.unwrap_or(other);
                let before = (stream, window.left());
                let found = match rule {
                    None => walk::request_step(protocol, &mut stream, &mut window, &mut name),
                    Some(_) => walk::reply_step(protocol, &mut stream, &mut window),
                };
                assert!(before.1 - window.left() <= MOST, "a step took too much");
                if found.has(Found::SHORT) {
                    assert!(walk::keep_rest(&mut stream, &mut window), "a token is too long");
                    break;
                }
                if found.has(Found::LOST) {
                    // How much of what is not understood was looked at may depend on the cut.
                    finds.push((Found::LOST, 0, Stream::default(), Vec::new()));
                    return finds;
                }
                // That a name is whole may be found with the request, or a step before.
                let found_more = Found(found.0 & !Found::NAMED.0);
                if found_more != Found::NOTHING {
                    let text = name.bytes[..usize::from(stream.length).min(name.bytes.len())].to_vec();
                    let behind = (taken - window.left() as usize) as u64 + stream.skip;
                    finds.push((found_more, behind, told(&stream), text));
                } else if found == Found::NOTHING {
                    assert!(before != (stream, window.left()), "a step did nothing");
                }
            }
        }
    }
    finds
}

/// What a find tells: the rest is how the parser keeps its place.
fn told(stream: &Stream) -> Stream {
    let Stream { hash, value, length, kind, .. } = *stream;
    Stream { hash, value, length, kind, ..Stream::default() }
}
