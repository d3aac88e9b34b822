//! Bytes that nobody should send: no panic, no token that is too long, no step that does nothing (all of which `Direction::take` checks),
//! and the same finds however they are cut.

use acgs_perf_protocol::{Protocol, Window, detect};

use super::drive::{replies_by_rule, requests};
use super::random::Random;

const FOLLOWED: [Protocol; 7] = [
    Protocol::Resp,
    Protocol::Http1,
    Protocol::Postgres,
    Protocol::Memcached,
    Protocol::FastCgi,
    Protocol::MySql,
    Protocol::Tls,
];

const PARTS: [&str; 68] = [
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0",
    "*",
    "$",
    "-",
    "+",
    ":",
    "%",
    "|",
    ">",
    "0",
    "1",
    "16\r\n",
    "*2\r\n",
    "$4\r\n",
    "PING",
    "GET ",
    "POST /a",
    " HTTP/1.1\r\n",
    "HTTP/1.1 200 OK\r\n",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "chunked",
    "content-type: text/event-stream",
    "Q\0\0\0\x20",
    "P\0\0\0\x20s\0",
    "B\0\0\0\x09\0s\0",
    "E\0\0\0\x30",
    "Z\0\0\0\x05I",
    "D\0\0\0\x0a",
    "select '",
    "\\'",
    "$a$",
    "/*",
    "--",
    "(1, 2), (",
    "get a",
    "set a 0 0 5 ",
    "mg a v q\r\n",
    "mn\r\n",
    "VALUE a 0 5",
    "END\r\n",
    "VA 3\r\n",
    "noreply",
    "\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0",
    "\x01\x04\0\x01\0\x20\0\0",
    "\x01\x04\0\x01\0\0\0\0",
    "\x01\x05\0\x01\0\0\0\0",
    "\x0b\x05REQUEST_URI/a/b1",
    "\x0e\x03REQUEST_METHODGET",
    "\x20\0\0\0\x03select `a` /*! */ \"",
    "\x0a\0\0\0\x16select ? #",
    "\x0a\0\0\0\x17\x01\0\0\0\0\x01\0\0\0",
    "\x01\0\0\0\x0e",
    "\x07\0\0\x01\0\0\0\x02\0\0\0",
    "\x07\0\0\x05\x7e\0\0\x02\0\0\0",
    "\x05\0\0\x04\x7e\0\0\x0a\0",
    "\x01\0\0\x01\x02",
    "\x0c\0\0\x01\0\x01\0\0\0\x01\0\x01\0\0\0\0",
    "\x20\0\0\x01\x05\x02\x0f\0",
    "\x16\x03\x01\0\x05",
    "\x14\x03\x03\0\x01\x01",
    "\x17\x03\x03\0\x13",
    "\x17\x03\x03\0\x35",
];

fn bytes(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(60) {
        if random.once_in(4) {
            (0..random.below(20)).for_each(|_| bytes.push(random.next() as u8));
        } else {
            bytes.extend(random.pick(&PARTS).bytes());
        }
    }
    bytes
}

#[test]
fn nothing_breaks_a_parser() {
    let mut random = Random(10);
    for _ in 0..6_000 {
        let bytes = bytes(&mut random);
        for protocol in FOLLOWED {
            let pieces = random.cut(&bytes);
            assert_eq!(requests(protocol, &pieces), requests(protocol, &[&bytes]), "{protocol:?} {bytes:?}");
            let rule = random.below(8) as u8;
            assert_eq!(
                replies_by_rule(protocol, rule, &pieces),
                replies_by_rule(protocol, rule, &[&bytes]),
                "{protocol:?} by {rule} {bytes:?}"
            );
        }
    }
}

#[test]
fn what_is_detected_is_never_taken_back() {
    let mut random = Random(11);
    for _ in 0..100_000 {
        let mut window = Window::new();
        let bytes = bytes(&mut random);
        let end = bytes.len().min(500);
        window.bytes[..end].copy_from_slice(&bytes[..end]);
        window.end = end as u32;
        let found = (end != 0).then(|| detect::detect(&window));
        assert!(end < 16 || found.is_some_and(|found| found.is_ok()), "sixteen bytes suffice: {bytes:?}");
    }
}

/// A pipeline of requests that never end, in pieces of one byte.
#[test]
fn what_never_ends_takes_no_memory_and_few_steps() {
    for (protocol, byte) in
        [(Protocol::Http1, b'a'), (Protocol::Http1, b'/'), (Protocol::Postgres, b'Q'), (Protocol::Resp, b'*')]
    {
        let seen = requests(protocol, &[&vec![byte; 100_000]]);
        assert!(seen.lost || seen.found.is_empty(), "{protocol:?} {byte}");
    }
    let line = [b"GET /".as_slice(), &[b'/'; 100_000], b" HTTP/1.1\r\n"].concat();
    let seen = requests(Protocol::Http1, &[&line]);
    assert_eq!(seen.found[0].name, format!("GET {}/…", "/".repeat(16)));
}
