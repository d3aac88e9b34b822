//! Drives a stream as the kernel side does: pieces of any size, through a window, with what a step was short of carried over.

use acgs_perf_protocol::name::{Key, NAME};
use acgs_perf_protocol::walk::{self, TOKEN};
use acgs_perf_protocol::window::{SCAN, WINDOW};
use acgs_perf_protocol::{Found, Kind, Name, Protocol, Stream, Window};

const KEY: Key = Key { start: 0x1234_5678_9abc_def0, factor: 0x8765_4321_0fed_cba9 };

/// Tokens that follow each other in one step at most.
const TOKENS: u32 = 4;
/// Scans in one step at most: lines of a header, and the rest of the one before.
const SCANS: u32 = 7;
/// Bytes that one step takes at most.
const MOST: u32 = SCANS * SCAN + TOKENS * TOKEN;

/// A request that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub name: String,
    pub kind: Kind,
    /// Behind how many bytes of the stream it was known.
    pub known_at: usize,
    pub left: bool,
    /// How its reply is read.
    pub reply_rule: u8,
    /// What the step found, and the number with it: a statement that is prepared or bound is no request.
    pub what: Found,
    pub value: u32,
}

/// A reply that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// At which byte it began, and behind which it ended.
    pub from: usize,
    pub to: usize,
    pub failed: bool,
    pub pushed: bool,
}

/// What a direction came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    pub found: Vec<T>,
    /// It was not understood from here on.
    pub lost: bool,
    /// It ended between two messages.
    pub between: bool,
    /// Hash of each name.
    pub hashes: Vec<u64>,
}

/// One direction of a connection, which takes its bytes in pieces.
pub struct Direction {
    protocol: Protocol,
    pub stream: Stream,
    window: Window,
    name: Name,
    taken: usize,
    pub lost: bool,
}

impl Direction {
    pub fn new(protocol: Protocol) -> Self {
        let (window, name) = (Window::new(), Name::new(KEY));
        Self { protocol, stream: Stream::default(), window, name, taken: 0, lost: false }
    }

    /// Takes a piece; tells each step's find and behind how many bytes of the stream it came.
    pub fn take(&mut self, piece: &[u8], is_reply: bool, mut tell: impl FnMut(&mut Self, Found, usize)) {
        let mut rest = piece;
        while !self.lost {
            let carried = walk::put_rest(&mut self.stream, &mut self.window) as usize;
            let bytes = rest.len().min(WINDOW - TOKEN as usize);
            self.window.bytes[carried..carried + bytes].copy_from_slice(&rest[..bytes]);
            self.window.end += bytes as u32;
            rest = &rest[bytes..];
            self.taken += bytes;
            loop {
                walk::skip(&mut self.stream, &mut self.window);
                let before = (self.stream, self.window.left());
                let found = if is_reply {
                    walk::reply_step(self.protocol, &mut self.stream, &mut self.window)
                } else {
                    walk::request_step(self.protocol, &mut self.stream, &mut self.window, &mut self.name)
                };
                assert!(before.1 - self.window.left() <= MOST, "a step took more than it may look at");
                assert!(found != Found::NOTHING || before != (self.stream, self.window.left()), "a step did nothing");
                let behind = self.taken - self.window.left() as usize;
                if found.has(Found::LOST) {
                    self.lost = true;
                    return;
                }
                if found.has(Found::SHORT) {
                    assert!(walk::keep_rest(&mut self.stream, &mut self.window), "a token longer than {TOKEN} bytes");
                    break;
                }
                tell(self, found, behind);
            }
            if rest.is_empty() {
                return;
            }
        }
    }

    /// The name of the request that was found last.
    pub fn name(&self) -> String {
        let length = usize::from(self.stream.length).min(NAME);
        String::from_utf8_lossy(&self.name.bytes[..length]).into_owned()
    }
}

/// The requests in a stream that comes in `pieces`.
pub fn requests(protocol: Protocol, pieces: &[&[u8]]) -> Seen<Request> {
    let mut direction = Direction::new(protocol);
    let (mut found, mut hashes) = (Vec::new(), Vec::new());
    for piece in pieces {
        direction.take(piece, false, |direction, what, behind| {
            if what.has(Found::REQUEST.and(Found::DEFINED).and(Found::BINDS)) {
                let (name, kind) = (direction.name(), direction.stream.kind());
                let known_at = behind + direction.stream.skip as usize;
                let (reply_rule, value) = (direction.stream.reply_rule, direction.stream.value);
                // The name may be whole a step before, or in the same.
                let what = Found(what.0 & !Found::NAMED.0);
                found.push(Request { name, kind, known_at, left: what.has(Found::LEFT), reply_rule, what, value });
                hashes.push(direction.stream.hash);
            }
        });
    }
    Seen { found, lost: direction.lost, between: direction.stream.is_between(), hashes }
}

/// The replies in a stream that comes in `pieces`.
pub fn replies(protocol: Protocol, pieces: &[&[u8]]) -> Seen<Reply> {
    replies_by_rule(protocol, 0, pieces)
}

/// The same, all read by one rule.
pub fn replies_by_rule(protocol: Protocol, rule: u8, pieces: &[&[u8]]) -> Seen<Reply> {
    let mut direction = Direction::new(protocol);
    direction.stream.reply_rule = rule;
    let mut found = Vec::new();
    let (mut from, mut ended) = (0, 0);
    for piece in pieces {
        direction.take(piece, true, |direction, what, behind| {
            if what.has(Found::BEGAN) {
                from = ended;
            }
            if what.has(Found::ENDED) || what.has(Found::PUSH) {
                let to = behind + direction.stream.skip as usize;
                let (failed, pushed) = (what.has(Found::FAILED), what.has(Found::PUSH));
                found.push(Reply { from: if pushed { ended } else { from }, to, failed, pushed });
                ended = to;
            }
        });
    }
    Seen { found, lost: direction.lost, between: direction.stream.is_between(), hashes: Vec::new() }
}

/// The same in one piece, cut in two at every byte, and byte by byte: what is found must not depend on it.
pub fn however_cut<T: PartialEq + core::fmt::Debug>(bytes: &[u8], see: impl Fn(&[&[u8]]) -> Seen<T>) -> Seen<T> {
    let whole = see(&[bytes]);
    for at in 0..=bytes.len() {
        let (one, two) = bytes.split_at(at);
        assert_eq!(see(&[one, two]), whole, "cut at {at} of {:?}", String::from_utf8_lossy(bytes));
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(see(&single), whole, "byte by byte: {:?}", String::from_utf8_lossy(bytes));
    whole
}
