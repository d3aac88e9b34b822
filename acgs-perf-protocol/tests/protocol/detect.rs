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
fn what_is_not_http() {
    let others: [&[u8]; 7] = [
        b"GET key\r\nnext line of it",
        b"get /key\r\nnext line of it",
        b"EHLO example.org\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaa",
        b"OPTIONS rtsp://example.org RTSP/1.0\r\n",
        b"REGISTER sip:example.org SIP/2.0\r\n",
        b"POST\t/a HTTP/1.1\r\n",
    ];
    for other in others {
        assert_eq!(detected(other), Protocol::Unparsed, "{other:?}");
    }
    assert_eq!(detected(b"*1\r\n$4\r\nPING\r\n..."), Protocol::Resp);
}
