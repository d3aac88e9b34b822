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
    assert_eq!(detected(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaa"), Protocol::Tls);
    assert!(!Protocol::Http2.is_followed() && !Protocol::Tls.is_followed() && Protocol::Http1.is_followed());
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
    // To MySQL: a packet of 81 bytes that prepares a statement. To Kafka. And nothing. The first is a query without its end.
    let others: [&[u8]; 5] = [
        b"Q\0\0\0\x0dselect 1;",
        &[&b"Q\0\0\0\x16"[..], &[b'a'; 80]].concat(),
        &[&b"P\0\0\0\x16"[..], &[b'a'; 79]].concat(),
        b"\0\0\0\x21\0\x03\0\x0a\0\0\0\x01\0\x07console",
        b"\0\0\0\0\0\0\0\0\0",
    ];
    for other in others {
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
