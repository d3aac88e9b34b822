//! MySQL: messages as clients and servers write them, and both sides of a connection.

use std::collections::HashMap;

use acgs_perf_protocol::pending::{Pending, Reading};
use acgs_perf_protocol::{Found, Kind, Protocol};

use super::drive::Direction;

/// A packet.
pub fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    [&length[..3], &[number], body].concat()
}

/// A message in as many packets as it takes.
pub fn packets(mut number: u8, body: &[u8]) -> Vec<u8> {
    const FULL: usize = (1 << 24) - 1;
    let mut bytes = Vec::new();
    for piece in body.chunks(FULL) {
        bytes.extend(packet(number, piece));
        number = number.wrapping_add(1);
    }
    if body.len().is_multiple_of(FULL) {
        bytes.extend(packet(number, &[]));
    }
    bytes
}

pub fn query(text: &str) -> Vec<u8> {
    packets(0, format!("\x03{text}").as_bytes())
}

pub fn prepare(text: &str) -> Vec<u8> {
    packet(0, format!("\x16{text}").as_bytes())
}

pub fn execute(statement: u32, values: &[u8]) -> Vec<u8> {
    packet(0, &[&[0x17][..], &statement.to_le_bytes(), &[0, 1, 0, 0, 0], values].concat())
}

/// A client that logs in; what it can do besides.
pub fn login(can: u32) -> Vec<u8> {
    let can = (can | 0x000f_a205).to_le_bytes();
    packet(1, &[&can[..], &[0, 0, 0, 1, 45], &[0; 23], b"root\0\x14aaaaaaaaaaaaaaaaaaaashop\0"].concat())
}

/// A number as the server writes it.
pub fn number(value: u64) -> Vec<u8> {
    let bytes = value.to_le_bytes();
    match value {
        0..=250 => vec![bytes[0]],
        251..=0xffff => [&[0xfc], &bytes[..2]].concat(),
        0x1_0000..=0xff_ffff => [&[0xfd], &bytes[..3]].concat(),
        _ => [&[0xfe], &bytes[..]].concat(),
    }
}

/// It worked, and the state of the server is this.
pub fn ok(at: u8, changed: u64, given: u64, state: u16) -> Vec<u8> {
    packet(at, &[&[0][..], &number(changed), &number(given), &state.to_le_bytes(), &[0, 0], b"Rows matched"].concat())
}

pub fn error(at: u8, code: &str) -> Vec<u8> {
    packet(
        at,
        format!("\u{7f}\x48\x04#{code}No such thing")
            .as_bytes()
            .iter()
            .map(|byte| if *byte == 0x7f { 0xff } else { *byte })
            .collect::<Vec<u8>>()
            .as_slice(),
    )
}

/// How results are written.
#[derive(Clone, Copy)]
pub struct Form {
    /// Definitions end with a packet of their own.
    pub is_old: bool,
    /// Values have types.
    pub is_binary: bool,
}

/// The number of the next packet, and those so far.
pub struct Reply {
    pub bytes: Vec<u8>,
    pub at: u8,
}

impl Reply {
    pub fn new() -> Self {
        Self { bytes: Vec::new(), at: 1 }
    }

    pub fn add(&mut self, body: &[u8]) {
        self.bytes.extend(packets(self.at, body));
        self.at = self.at.wrapping_add((body.len() / 0xff_ffff) as u8 + 1);
    }

    pub fn end(&mut self, form: Form, state: u16) {
        if form.is_old {
            self.add(&[&[0xfe, 0, 0][..], &state.to_le_bytes()].concat());
        } else {
            self.add(&[&[0xfe, 0, 0][..], &state.to_le_bytes(), &[0, 0]].concat());
        }
    }

    pub fn definitions(&mut self, many: usize, form: Form) {
        for _ in 0..many {
            self.add(b"\x03def\x04shop\x01t\x01t\x01a\x01a\x0c\x3f\0\x0b\0\0\0\x03\x03\x42\0\0\0");
        }
        if many != 0 && form.is_old {
            self.add(&[0xfe, 0, 0, 2, 0]);
        }
    }

    /// A result of such rows, behind which the server is in this state.
    pub fn result(&mut self, columns: usize, rows: &[Vec<u8>], form: Form, state: u16) {
        self.add(&number(columns as u64));
        self.definitions(columns, form);
        for row in rows {
            let head: &[u8] = if form.is_binary { &[0, 0] } else { &[] };
            self.add(&[head, row].concat());
        }
        self.end(form, state);
    }

    pub fn prepared(&mut self, statement: u32, columns: u16, parameters: u16, form: Form) {
        let head = [&[0][..], &statement.to_le_bytes(), &columns.to_le_bytes(), &parameters.to_le_bytes(), &[0; 3]];
        self.add(&head.concat());
        self.definitions(parameters.into(), form);
        self.definitions(columns.into(), form);
    }
}

pub const FORMS: [Form; 4] = [
    Form { is_old: false, is_binary: false },
    Form { is_old: false, is_binary: true },
    Form { is_old: true, is_binary: false },
    Form { is_old: true, is_binary: true },
];

/// What a connection came to, request by request.
#[derive(Debug, PartialEq, Eq)]
pub struct Talk {
    /// Name, kind, whether it failed; of those that are answered, when they are.
    pub answers: Vec<(String, bool, u32)>,
    /// Names and kinds of the others.
    pub others: Vec<(String, Kind)>,
    pub pushes: usize,
    pub lost: bool,
    /// Nothing waits, and both sides are between two messages.
    pub between: bool,
}

/// Drives both sides as the kernel side does: what a client sends, then what the server answers, in pieces.
pub fn talk(parts: &[(Vec<u8>, Vec<u8>)], mut cut: impl FnMut(&[u8]) -> Vec<Vec<u8>>) -> Talk {
    let (mut client, mut server) = (Direction::new(Protocol::MySql), Direction::new(Protocol::MySql));
    let (mut pending, mut statements, mut names) = (Pending::EMPTY, HashMap::new(), Vec::<String>::new());
    let mut talk = Talk { answers: Vec::new(), others: Vec::new(), pushes: 0, lost: false, between: false };
    for (asked, answered) in parts {
        for piece in cut(asked) {
            client.stream.other = server.stream.tells();
            client.take(&piece, false, |client, what, _| {
                if what.has(Found::DEFINED) {
                    statements.insert(client.stream.value, client.name());
                }
                if !what.has(Found::REQUEST) {
                    return;
                }
                let bound = statements.get(&client.stream.value).cloned();
                let name = if what.has(Found::BOUND) { bound.unwrap_or_default() } else { client.name() };
                let kind = client.stream.kind();
                if kind.is_answered() {
                    let number = names.iter().position(|known| *known == name).unwrap_or(names.len());
                    names.extend((number == names.len()).then_some(name));
                    assert!(pending.push(number as u8, kind, client.stream.reply_rule, Reading::default()));
                } else {
                    talk.others.push((name, kind));
                }
            });
        }
        let mut began = false;
        server.stream.reply_rule = pending.reply_rule();
        for piece in cut(answered) {
            server.take(&piece, true, |server, what, _| {
                assert!(!what.has(Found::BEGAN) || !began, "it began twice");
                began |= what.has(Found::BEGAN);
                talk.pushes += usize::from(what.has(Found::PUSH));
                if what.has(Found::DEFINED) {
                    let name = statements.get(&u32::MAX).cloned().unwrap_or_default();
                    statements.insert(server.stream.value, name);
                }
                if what.has(Found::ENDED) {
                    assert!(began, "it ended, and has not begun");
                    began = false;
                    let (front, _) = pending.front().expect("an answer to nobody");
                    let class = if what.has(Found::FAILED) { server.stream.value } else { 0 };
                    talk.answers.push((names[usize::from(front.endpoint)].clone(), what.has(Found::FAILED), class));
                    pending.pop();
                }
                server.stream.reply_rule = pending.reply_rule();
            });
        }
    }
    talk.lost = client.lost || server.lost;
    talk.between = pending.is_empty() && client.stream.is_between() && server.stream.is_between();
    talk
}

/// The same in one piece, and in two at every byte.
pub fn talk_however_cut(parts: &[(Vec<u8>, Vec<u8>)]) -> Talk {
    let whole = talk(parts, |bytes| vec![bytes.to_vec()]);
    let longest = parts.iter().map(|part| part.0.len().max(part.1.len())).max().unwrap_or(0);
    for at in 0..=longest {
        let two = |bytes: &[u8]| {
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            vec![one.to_vec(), two.to_vec()]
        };
        assert_eq!(talk(parts, two), whole, "cut at {at}");
    }
    assert_eq!(talk(parts, |bytes| bytes.chunks(1).map(<[u8]>::to_vec).collect()), whole, "byte by byte");
    whole
}
