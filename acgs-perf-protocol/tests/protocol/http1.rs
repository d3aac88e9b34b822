//! HTTP/1: names, bodies, replies.

use acgs_perf_protocol::{Protocol, http1};

use super::drive::{Direction, Seen, however_cut, requests};
use super::exchange::{Exchange, exchange_however_cut};

fn seen(bytes: &[u8]) -> Seen<super::drive::Request> {
    however_cut(bytes, |pieces| requests(Protocol::Http1, pieces))
}

fn names(bytes: &[u8]) -> Vec<String> {
    let seen = seen(bytes);
    assert!(!seen.lost && seen.between, "{}", String::from_utf8_lossy(bytes));
    seen.found.into_iter().map(|request| request.name).collect()
}

fn is_lost(bytes: &[u8]) -> bool {
    seen(bytes).lost
}

fn name(line: &str) -> String {
    let mut names = names(format!("{line}\r\nHost: a\r\n\r\n").as_bytes());
    assert_eq!(names.len(), 1, "{line}");
    names.remove(0)
}

fn answers(client: &str, server: &str) -> Exchange {
    exchange_however_cut(Protocol::Http1, client.as_bytes(), server.as_bytes())
}

/// Where the replies end.
fn ends(exchange: &Exchange) -> Vec<usize> {
    exchange.answers.iter().filter_map(|answer| answer.ended).collect()
}

#[test]
fn words_of_a_path_are_its_name_and_values_are_not() {
    let long = "x".repeat(32);
    let sixteen: String = "/a".repeat(16);
    let wanted = [
        ("GET / HTTP/1.1", "GET /".into()),
        ("GET /users/42/orders?limit=10 HTTP/1.1", "GET /users/{}/orders".into()),
        ("POST /api/v1/login HTTP/1.0", "POST /api/v1/login".into()),
        ("POST /api/v2024010199/login HTTP/1.1", "POST /api/v2024010199/login".into()),
        ("GET /api/v1a/vv1/1v HTTP/1.1", "GET /api/{}/{}/{}".into()),
        ("DELETE /a%20b/x@y/b/ HTTP/1.1", "DELETE /{}/{}/b/".into()),
        ("PATCH //a/./..~_-#b HTTP/1.1", "PATCH //a/./..~_-".into()),
        ("PUT /3fa85f64-5717-4562-b3fc-2c963f66afa6/x HTTP/1.1", "PUT /{}/x".into()),
        ("GET /\u{e9}t\u{e9} HTTP/1.1", "GET /{}".into()),
        (&format!("HEAD /{long}/{long}x/ab HTTP/1.1"), format!("HEAD /{long}/{{}}/ab")),
        (&format!("GET {sixteen} HTTP/1.1"), format!("GET {sixteen}")),
        (&format!("GET {sixteen}/b/c HTTP/1.1"), format!("GET {sixteen}/…")),
        ("OPTIONS * HTTP/1.1", "OPTIONS *".into()),
        ("CONNECT example.org:443 HTTP/1.1", "CONNECT".into()),
        ("GET http://user:1@example.org:8080/a/1?b HTTP/1.1", "GET /a/{}".into()),
        ("GET HTTPS://example.org HTTP/1.1", "GET /".into()),
        ("GET http://example.org?a=/b HTTP/1.1", "GET /".into()),
        ("PROPFIND /dav/1 HTTP/1.1", "OTHER".into()),
        ("BASELINE-CONTROL /dav HTTP/1.1", "OTHER".into()),
        ("get /a HTTP/1.1", "OTHER".into()),
    ];
    for (line, wanted) in wanted {
        assert_eq!(name(line), wanted, "{line}");
    }
}

#[test]
fn a_hash_is_of_the_name_alone() {
    let hash = |line: &str| seen(format!("{line}\r\n\r\n").as_bytes()).hashes[0];
    assert_eq!(hash("GET /user/1 HTTP/1.1"), hash("GET /user/1234567890abcdefgh?a=b HTTP/1.0"));
    assert_eq!(hash("GET /user/1 HTTP/1.1"), hash("GET http://a/user/%20 HTTP/1.0"));
    assert_ne!(hash("GET /user HTTP/1.1"), hash("GET /user/ HTTP/1.1"));
    assert_ne!(hash("GET /user HTTP/1.1"), hash("POST /user HTTP/1.1"));
    assert_ne!(hash("GET /a/b HTTP/1.1"), hash("GET /a/c HTTP/1.1"));
}

#[test]
fn what_is_no_request_is_lost() {
    let lines = [
        "GET /a",
        "GET /a HTTP/1.1 x",
        "GET /a b HTTP/1.1",
        "GET /a HTTP/2.0",
        "GET a HTTP/1.1",
        "GET  HTTP/1.1",
        "GET",
        "(GET) /a HTTP/1.1",
        "GET\0 /a HTTP/1.1",
        "GET\0\0\0\0\0 /a HTTP/1.1",
        "GET ftp://a/b HTTP/1.1",
        "METHOD-THAT-IS-LONGER-THAN-ANY-OTHER-IS / HTTP/1.1",
    ];
    for line in lines {
        let seen = seen(format!("{line}\r\nHost: example.org\r\n\r\n").as_bytes());
        assert!(seen.lost && seen.found.is_empty(), "{line}: {seen:?}");
    }
}

#[test]
fn bodies_are_passed_over() {
    let line = |number: u32| format!("GET /{} HTTP/1.1\r\n", ["a", "b", "c", "d"][number as usize % 4]);
    let mut bytes = line(0) + "CONTENT-length:5\r\n\r\nGET /" + &line(1);
    bytes +=
        "Content-Type: text/plain\r\nContent-Lengthy: 7\r\nA:b\r\ncontent-length: \t 3 \nExpect: 100-continue\n\nabc";
    bytes += "\r\n";
    bytes += &line(2);
    bytes += "transfer-Encoding: gzip , Chunked\r\nContent-Length: 3\r\n\r\n";
    bytes += "5\r\nGET /\r\n00000a;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\nTransfer-Encoding: z\r\n\r\n";
    bytes += &line(3);
    bytes += "Transfer-Encoding: chunked\r\n\r\n3 \nabc\n0\n\n";
    bytes += &line(0);
    bytes += "Content-Length:\r\n  2\r\nContent-Length: 2\r\nTransfer-Encoding: identity\r\nX:\r\n\ty\r\n\r\nab";
    bytes += &line(1);
    bytes += "Upgrade: h2c\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(names(bytes.as_bytes()), ["GET /a", "GET /b", "GET /c", "GET /d", "GET /a", "GET /b"]);
}

#[test]
fn a_request_is_known_before_its_body() {
    let line = "POST /a HTTP/1.1\r\n";
    let bytes = format!("{line}Content-Length: 100000000000\r\n\r\nab");
    let seen = seen(bytes.as_bytes());
    assert_eq!((seen.found[0].known_at, seen.between, seen.lost), (line.len(), false, false));
}

#[test]
fn a_body_that_servers_understand_differently_is_lost() {
    let headers = [
        "Content-Length: 5, 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length : 5",
        "Content-Length: 5\r\n 6",
        "Content-Length:",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: 123456789012345678901234567890",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\0",
    ];
    for header in headers {
        assert!(is_lost(format!("POST /a HTTP/1.1\r\n{header}\r\n\r\n").as_bytes()), "{header}");
    }
    for chunk in ["x\r\n", "\r\n", "1\r\nabc\r\n", "1g\r\n", "123456789abcdef01234\r\n"] {
        let head = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(is_lost(format!("{head}{chunk}0123456789abcdef").as_bytes()), "{chunk}");
    }
}

#[test]
fn replies_end_by_their_rule() {
    let client = "GET /a HTTP/1.1\r\n\r\nHEAD /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\nPOST /d HTTP/1.1\r\n\r\nGET /e HTTP/1.1\r\n\r\n";
    let replies = [
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 9\r\n\r\nHTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 503\r\ncontent-length: 0\r\n\r\n",
    ];
    let seen = answers(client, &replies.concat());
    let mut to = 0;
    let wanted: Vec<usize> = replies.iter().map(|reply| (to += reply.len(), to).1).collect();
    assert_eq!(ends(&seen), wanted);
    let names: Vec<&str> = seen.answers.iter().map(|answer| answer.name.as_str()).collect();
    assert_eq!(names, ["GET /a", "HEAD /b", "GET /c", "POST /d", "GET /e"]);
    let classes: Vec<(bool, u32)> = seen.answers.iter().map(|answer| (answer.failed, answer.class)).collect();
    assert_eq!(classes, [(false, 2), (false, 2), (false, 3), (true, 4), (true, 5)]);
    // The reply begins with a status that is none of the class 1.
    let status = replies.concat().find("HTTP/1.1 404").unwrap();
    assert_eq!(seen.answers[3].began, Some(status + "HTTP/1.1 404".len()));
    assert!(seen.between && !seen.lost && !seen.left);
}

#[test]
fn a_reply_without_a_length_ends_with_the_connection() {
    for header in ["", "Transfer-Encoding: gzip\r\nContent-Length: 2\r\n"] {
        let seen =
            answers("GET /a HTTP/1.1\r\n\r\n", &format!("HTTP/1.0 200 OK\r\n{header}\r\nHTTP/1.0 200 OK\r\n\r\n"));
        assert_eq!((ends(&seen).len(), seen.answers.len(), seen.lost, seen.between), (0, 1, false, false));
        assert_eq!(seen.answers[0].began, Some(12));
    }
}

#[test]
fn what_becomes_another_protocol_leaves() {
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    let seen = answers("GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", upgrade);
    assert!(seen.left && ends(&seen) == [upgrade.len()]);
    let seen = answers("CONNECT a:1 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    assert!(seen.left && ends(&seen).len() == 1);
    let refused = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 1\r\n\r\nx";
    let seen = answers("CONNECT a:1 HTTP/1.1\r\n\r\n", refused);
    assert!(!seen.left && ends(&seen) == [refused.len()] && seen.answers[0].failed);
}

#[test]
fn events_are_a_stream() {
    let get = "GET /events HTTP/1.1\r\n\r\n";
    let seen = answers(get, "HTTP/1.1 200 OK\r\nContent-type: Text/Event-Stream; charset=utf-8\r\n\r\ndata: 1\n\n");
    assert_eq!((seen.streams, seen.answers[0].ended), (1, None));
    let head = answers("HEAD /events HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-type: text/event-stream\r\n\r\n");
    assert_eq!((head.streams, ends(&head).len()), (0, 1));
    let seen = answers(get, "HTTP/1.1 200 OK\r\nContent-type: text/event-log\r\nContent-length: 0\r\n\r\n");
    assert_eq!((seen.streams, ends(&seen).len()), (0, 1));
}

#[test]
fn a_pause_between_chunks_can_be_seen() {
    let mut direction = Direction::new(Protocol::Http1);
    let pieces: [(&[u8], bool); 7] = [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        (b"5\r\nhel", false),
        (b"lo", false),
        (b"\r\n", true),
        (b"2", false),
        (b"\r\nhi\r\n", true),
        (b"0\r\n\r\n", false),
    ];
    for (piece, wanted) in pieces {
        direction.take(piece, true, |_, _, _| {});
        assert_eq!(http1::is_between_chunks(&direction.stream), wanted, "{}", String::from_utf8_lossy(piece));
    }
    assert!(direction.stream.is_between() && !direction.lost);
}

#[test]
fn what_is_no_reply_is_lost() {
    let replies = [
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/2 200 OK \r\n\r\n",
        "hello, you there\r\n",
    ];
    for reply in replies {
        let seen = answers("GET /a HTTP/1.1\r\n\r\n", reply);
        assert!(seen.lost && seen.answers.is_empty(), "{reply}: {seen:?}");
    }
}
