//! Which protocol is spoken, by its first bytes.

use acgs_perf_protocol::{Found, Protocol, Window, detect};

fn of(bytes: &[u8]) -> Result<Protocol, Found> {
    let mut window = Window::new();
    // What is behind the end is from an earlier piece.
    window.bytes.fill(b'/');
    window.bytes[..bytes.len()].copy_from_slice(bytes);
    window.end = bytes.len() as u32;
    detect::detect(&window)
}

/// The protocol of `bytes`, which no beginning of them may be taken for another than.
pub fn detected(bytes: &[u8]) -> Protocol {
    let whole = of(bytes).expect("enough bytes");
    for end in 1..bytes.len() {
        let part = of(&bytes[..end]);
        assert!(part == Err(Found::SHORT) || part == Ok(whole), "{end} bytes of {bytes:?}: {part:?}");
        assert!(part.is_ok() || end < 16, "sixteen bytes are carried over, no more: {bytes:?}");
    }
    whole
}

#[test]
fn requests_of_http() {
    let requests = [
        "GET / HTTP/1.1\r\n",
        "POST /a HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "CONNECT example.org:443 HTTP/1.1\r\n",
        "CONNECT [::1]:443 HTTP/1.1\r\n",
        "GET http://example.org/ HTTP/1.1\r\n",
        "PROPFIND /dav HTTP/1.1\r\n",
        "MKCOL /dav HTTP/1.1\r\n",
    ];
    for request in requests {
        assert_eq!(detected(request.as_bytes()), Protocol::Http1, "{request}");
    }
    assert_eq!(detected(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Protocol::Http2);
    assert!(!Protocol::Http2.is_followed() && Protocol::Http1.is_followed());
}

#[test]
fn messages_to_postgres() {
    let messages: [&[u8]; 9] = [
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\0\0\0\x21\0\x03\0\0user\0postgres\0",
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
        b"Q\0\0\0\x0dselect 1\0",
        b"Q\0\0\x10\x0dselect 1, ...",
        b"P\0\0\0\x10\0select 1\0\0\0B\0\0\0\x0c",
        b"B\0\0\0\x0d\0a\0\0\0\0\0\0\0E\0\0\0\x09",
        b"D\0\0\0\x06S\0S\0\0\0\x04",
        b"S\0\0\0\x04",
    ];
    for message in messages {
        assert_eq!(detected(message), Protocol::Postgres, "{message:?}");
    }
    // To Kafka. And nothing. The first is a query without its end.
    let others: [&[u8]; 3] =
        [b"Q\0\0\0\x0dselect 1;", b"\0\0\0\x21\0\x03\0\x0a\0\0\0\x01\0\x07console", b"\0\0\0\0\0\0\0\0\0"];
    for other in others {
        assert_eq!(of(other), Ok(Protocol::Unparsed), "{other:?}");
    }
}

fn login(length: [u8; 2], can: [u8; 4], size: [u8; 4]) -> Vec<u8> {
    [&length[..], &[0, 1], &can, &size, &[45], &[0; 23], b"root\0\0"].concat()
}

#[test]
fn packets_to_mysql() {
    let packets: [&[u8]; 17] = [
        &login([0x50, 0], [0x85, 0xa2, 0x3e, 0x01], [0, 0, 0, 1]),
        &login([0x01, 1], [0x0d, 0xa6, 0x0f, 0x00], [0, 0, 0, 0]),
        &login([0, 1], [0x0d, 0xa6, 0x0f, 0x00], [0xff, 0xff, 0xff, 0]),
        &login([b'G', 1], [0x0d, 0xa6, 0x0f, 0x00], [0, 0, 0, 0xc0]),
        &login([b'Q', 0], [0x0d, 0xa6, 0x0f, 0x00], [0, 0, 0, 0xc0]),
        // It asks for encryption.
        &login([32, 0], [0x05, 0xae, 0x0f, 0x00], [0, 0, 0, 1]),
        b"\x09\0\0\0\x03select 1",
        b"\x0b\0\0\0\x03\0\x01select 1",
        b"Q\0\0\0\x03select 1 ........",
        b"G\x01\0\0\x03(select 1) ........",
        b"\0\x01\0\0\x03/* a */ select 1 ...",
        b"\x16\0\0\0\x16select a where b = ?",
        b"\x12\0\0\0\x17\x01\0\0\0\0\x01\0\0\0\0\x01\x03\0\x07\0\0\0",
        b"B\0\0\0\x17\x07\x01\0\0\0\x01\0\0\0\0\x01\x03\0\x07\0\0\0",
        b"\x01\0\0\0\x0e",
        &[&b"Q\0\0\0\x16"[..], &[b'a'; 80]].concat(),
        &[&b"P\0\0\0\x16"[..], &[b'a'; 79]].concat(),
    ];
    for (number, packet) in packets.into_iter().enumerate() {
        // Whether the last two are to PostgreSQL shows behind what would be its message.
        match number {
            15.. => assert_eq!(of(packet), Ok(Protocol::MySql)),
            _ => assert_eq!(detected(packet), Protocol::MySql, "{packet:?}"),
        }
    }
    let others: [&[u8]; 7] = [
        // MongoDB, a binary protocol with lengths, Kafka, and packets with what no server says.
        b"\x3a\0\0\0\x03\0\0\0\0\0\0\0\xd4\x07\0\0",
        b"\x08\0\0\0\x02\0\0\0\x05\0\0\0\0\0\0\0",
        b"\0\0\0\x21\0\x03\0\x0a\0\0\0\x01\0\x07con",
        b"\x12\0\0\0\x17\0\0\0\0\0\x01\0\0\0\0\x01",
        b"\x12\0\0\0\x17\x01\0\0\0\0\x02\0\0\0\0\x01",
        b"\x01\0\0\0\x01aaaaaaaaaa",
        &login([0x10, 1], [0x85, 0x20, 0x3e, 0x01], [0, 0, 0, 1]),
    ];
    for other in others {
        assert_eq!(of(other), Ok(Protocol::Unparsed), "{other:?}");
    }
    // To PostgreSQL, the lengths of which are the codes of MySQL's commands.
    assert_eq!(detected(b"B\0\0\0\x17\0s1\0\0\0\0\x01\0\0\0\x05"), Protocol::Postgres);
    assert_eq!(detected(b"Q\0\0\0\x16select 1 from abc\0"), Protocol::Postgres);
    assert_eq!(detected(b"P\0\0\0\x16\0select 1 where"), Protocol::Postgres);
}

#[test]
fn records_of_tls() {
    assert_eq!(detected(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaa"), Protocol::Tls);
    assert_eq!(detected(b"\x17\x03\x03\x01\x00aaaaaaaaaaaaa"), Protocol::Tls);
    for other in [
        &b"\x17\x03\x03\0\x05aaaaaaaaaaaaaa"[..],
        b"\x17\x03\x03\x7f\x05aaaaaaaaaaaaaa",
        b"\x17\x04\x03\x01\0aaaaaaaaaaa",
    ] {
        assert_eq!(of(other), Ok(Protocol::Unparsed), "{other:?}");
    }
}

#[test]
fn commands_of_memcached() {
    for command in
        ["get key another\r\n", "gets k\r\n", "set key 0 0 5\r\nhello\r\n", "prepend key 0 0 1\r\n", "mg key v\r\n"]
    {
        assert_eq!(detected(command.as_bytes()), Protocol::Memcached, "{command}");
    }
    for other in [
        "getkey another one",
        "get  another one......",
        "delete 12345678901234\r\n",
        "stats\r\n...........",
        "helo example.org\r\n",
    ] {
        assert_eq!(of(other.as_bytes()), Ok(Protocol::Unparsed), "{other}");
    }
}

#[test]
fn records_of_fastcgi() {
    assert_eq!(detected(b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0"), Protocol::FastCgi);
    assert_eq!(of(b"\x01\x01\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0"), Ok(Protocol::Unparsed));
    assert_eq!(of(b"\x01\0\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0"), Ok(Protocol::Unparsed));
}

#[test]
fn what_is_not_http() {
    let others: [&[u8]; 6] = [
        b"GET key\r\nnext line of it",
        b"EHLO example.org\r\n",
        b"\x16\x03\x01\x02\x00\x02\x00\x01\xfc\x03\x03aaaaaa",
        b"OPTIONS rtsp://example.org RTSP/1.0\r\n",
        b"REGISTER sip:example.org SIP/2.0\r\n",
        b"POST\t/a HTTP/1.1\r\n",
    ];
    for other in others {
        assert_eq!(detected(other), Protocol::Unparsed, "{other:?}");
    }
    assert_eq!(detected(b"*1\r\n$4\r\nPING\r\n..."), Protocol::Resp);
}
