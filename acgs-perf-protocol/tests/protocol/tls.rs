//! TLS: what may be a request or a reply, and what is none.

use acgs_perf_protocol::{Found, Kind, Protocol};

use super::drive::Direction;
use super::random::Random;

const CHANGE: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
/// The end of a handshake in version 1.3.
const FINISHED: (u8, usize) = (DATA, 53);
/// A close notice in that version.
const NOTICE: (u8, usize) = (DATA, 19);

fn records(records: &[(u8, usize)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, length) in records {
        bytes.extend([*kind, 3, 3, (length >> 8) as u8, *length as u8]);
        bytes.extend((0..*length).map(|at| at as u8));
    }
    bytes
}

/// What is sent in one flight, and what is found in it: `r`equests, `f`arewells, data of a `s`erver's.
#[derive(Clone, Copy)]
enum Part {
    Client(&'static [(u8, usize)], &'static str),
    Server(&'static [(u8, usize)], &'static str),
}
use Part::{Client, Server};

fn check(parts: &[Part]) {
    for cut in [1, 3, 5, 7, 100, 100_000] {
        let (mut client, mut server) = (Direction::new(Protocol::Tls), Direction::new(Protocol::Tls));
        for (number, part) in parts.iter().enumerate() {
            let (sent, wanted, is_reply) = match part {
                Client(sent, wanted) => (sent, wanted, false),
                Server(sent, wanted) => (sent, wanted, true),
            };
            let mut found = String::new();
            for piece in records(sent).chunks(cut) {
                let (one, other) = if is_reply { (&mut server, &client) } else { (&mut client, &server) };
                one.stream.other = other.stream.state;
                one.take(piece, is_reply, |direction, what, _| {
                    let is_farewell = direction.stream.kind() == Kind::Farewell;
                    if what.has(Found::BEGAN) || what.has(Found::REQUEST) {
                        found.push(if is_reply {
                            's'
                        } else if is_farewell {
                            'f'
                        } else {
                            'r'
                        });
                    }
                });
            }
            assert_eq!(found, *wanted, "flight {number} in pieces of {cut}");
        }
        assert!(!client.lost && !server.lost);
    }
}

#[test]
fn version_1_2() {
    let opening = [
        Client(&[(HANDSHAKE, 200)], ""),
        Server(&[(HANDSHAKE, 90), (HANDSHAKE, 3000), (HANDSHAKE, 4)], ""),
        Client(&[(HANDSHAKE, 70), (CHANGE, 1), (HANDSHAKE, 40)], ""),
        Server(&[(HANDSHAKE, 190), (CHANGE, 1), (HANDSHAKE, 40)], ""),
    ];
    let talk = [
        // As long as a close notice of the other version.
        Client(&[(DATA, 19)], "r"),
        Server(&[(DATA, 19), (DATA, 16_000), (DATA, 500)], "sss"),
        Client(&[(DATA, 53), (DATA, 100)], "rr"),
        Server(&[(DATA, 53)], "s"),
        Server(&[(ALERT, 26)], ""),
        Client(&[(ALERT, 26)], "f"),
    ];
    check(&[&opening[..], &talk].concat());
    // A session that goes on: the server is the first to finish.
    let opening = [
        Client(&[(HANDSHAKE, 400)], ""),
        Server(&[(HANDSHAKE, 90), (CHANGE, 1), (HANDSHAKE, 40)], ""),
        Client(&[(CHANGE, 1), (HANDSHAKE, 40)], ""),
    ];
    check(&[&opening[..], &talk].concat());
    // Other keys in the middle.
    let again = [
        Client(&[(HANDSHAKE, 230)], ""),
        Server(&[(HANDSHAKE, 120), (CHANGE, 1), (HANDSHAKE, 40)], ""),
        Client(&[(CHANGE, 1), (HANDSHAKE, 40)], ""),
    ];
    check(&[&opening[..], &talk[..4], &again, &talk].concat());
}

const TALK: [Part; 6] = [
    Client(&[(DATA, 53)], "r"),
    Server(&[(DATA, 16_401), (DATA, 53)], "ss"),
    Client(&[(DATA, 69), (DATA, 20)], "rr"),
    Server(&[(DATA, 100)], "s"),
    Server(&[NOTICE], ""),
    Client(&[NOTICE], "f"),
];

#[test]
fn version_1_3() {
    let hello = [Client(&[(HANDSHAKE, 512)], "")];
    let flight = [Server(&[(HANDSHAKE, 122), (CHANGE, 1), (DATA, 23), (DATA, 900), (DATA, 281), FINISHED], "")];
    let together = [Server(&[(HANDSHAKE, 122), (CHANGE, 1), (DATA, 1200)], "")];
    let tickets = [Server(&[(DATA, 250), (DATA, 250)], "")];
    let end = [Client(&[(CHANGE, 1), FINISHED], "")];
    check(&[&hello[..], &flight, &end, &tickets, &TALK].concat());
    check(&[&hello[..], &together, &end, &tickets, &TALK].concat());
    check(&[&hello[..], &flight, &end, &TALK].concat());
    // The client asks as it finishes: what comes then may be the reply.
    let asks = [Client(&[(CHANGE, 1), (DATA, 69), (DATA, 80)], "r"), Server(&[(DATA, 250)], "s")];
    check(&[&hello[..], &flight, &asks, &TALK].concat());
    // Another hello is asked for; one that shows a certificate; nobody pretends that it is the other version.
    let again = [Server(&[(HANDSHAKE, 88), (CHANGE, 1)], ""), Client(&[(CHANGE, 1), (HANDSHAKE, 512)], "")];
    let server = [Server(&[(HANDSHAKE, 155), (DATA, 23), (DATA, 900), (DATA, 281), (DATA, 69)], "")];
    let end_alone = [Client(&[(DATA, 69)], "")];
    check(&[&hello[..], &again, &server, &end_alone, &tickets, &TALK].concat());
    let certificate = [Client(&[(CHANGE, 1), (DATA, 1000), (DATA, 281), FINISHED], "")];
    check(&[&hello[..], &flight, &certificate, &tickets, &TALK].concat());
    check(&[&hello[..], &server, &end_alone, &tickets, &TALK].concat());
}

#[test]
fn data_may_come_before_the_end_of_the_handshake() {
    let parts = [
        Client(&[(HANDSHAKE, 512), (CHANGE, 1), (DATA, 100)], "r"),
        Server(&[(HANDSHAKE, 122), (CHANGE, 1), (DATA, 40), FINISHED], ""),
        Server(&[(DATA, 300)], "s"),
        Client(&[(DATA, 21), FINISHED], ""),
    ];
    check(&[&parts[..], &TALK].concat());
}

#[test]
fn a_connection_from_before() {
    check(&TALK);
}

#[test]
fn what_is_no_record_is_lost() {
    for bytes in [&b"\x17\x03\x03\0\0"[..], b"\x19\x03\x03\0\x10", b"\x17\x03\x04\0\x20", b"\x17\x03\x03\x50\0"] {
        for is_reply in [false, true] {
            let mut direction = Direction::new(Protocol::Tls);
            direction.take(bytes, is_reply, |_, what, _| assert_eq!(what, Found::NOTHING));
            assert!(direction.lost, "{bytes:?}");
        }
    }
}

/// Conversations of records: each of data behind the handshake is found, and nothing else.
#[test]
fn generated_conversations() {
    let mut random = Random(30);
    let mut found = 0;
    while found < 12_000 {
        let is_new = random.once_in(2);
        let mut client = vec![(HANDSHAKE, 300), (CHANGE, 1)];
        client.push(if is_new { (DATA, 53) } else { (HANDSHAKE, 40) });
        let (mut requests, mut farewells) = (0, 0);
        for _ in 0..random.below(20) {
            let most = if random.once_in(4) { 16_000 } else { 300 };
            client.push((DATA, 20 + random.below(most)));
            requests += 1;
        }
        if random.once_in(2) {
            client.push(if is_new && requests != 0 { NOTICE } else { (ALERT, 26) });
            farewells = 1;
        }
        let bytes = records(&client);
        let mut direction = Direction::new(Protocol::Tls);
        // The server has answered by then.
        direction.stream.other = 1;
        let (mut seen, mut left) = (0, 0);
        for piece in random.cut(&bytes) {
            direction.take(piece, false, |direction, what, _| match direction.stream.kind() {
                Kind::Farewell if what.has(Found::REQUEST) => left += 1,
                _ => seen += usize::from(what.has(Found::REQUEST)),
            });
        }
        assert_eq!((seen, left, direction.lost), (requests, farewells, false), "{client:?}");
        found += client.len();
    }
}
