//! FastCGI: parameters, bodies, replies.

use acgs_perf_protocol::{Found, Kind, Protocol};

use super::drive::{Direction, however_cut, replies_by_rule, requests};
use super::exchange::{exchange, exchange_however_cut};
use super::http1_generated::{name, target};
use super::random::Random;

fn record(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
    let mut bytes = vec![1, kind, 0, 1];
    bytes.extend((content.len() as u16).to_be_bytes());
    bytes.extend([padding, 0]);
    bytes.extend(content);
    bytes.extend(vec![b'!'; padding.into()]);
    bytes
}

fn length(length: usize, is_long: bool) -> Vec<u8> {
    if is_long || length > 127 { (length as u32 | 1 << 31).to_be_bytes().to_vec() } else { vec![length as u8] }
}

fn pair(name: &str, value: &str, is_long: bool) -> Vec<u8> {
    [length(name.len(), is_long), length(value.len(), is_long), name.as_bytes().to_vec(), value.as_bytes().to_vec()]
        .concat()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    pairs.iter().flat_map(|(name, value)| pair(name, value, false)).collect()
}

fn request(parameters: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = record(1, &[0, 1, 1, 0, 0, 0, 0, 0], 0);
    bytes.extend(record(4, parameters, 3));
    bytes.extend(record(4, b"", 0));
    bytes.extend(if body.is_empty() { Vec::new() } else { record(5, body, 7) });
    bytes.extend(record(5, b"", 0));
    bytes
}

fn end(status: u8) -> Vec<u8> {
    record(3, &[0, 0, 0, 9, status, 0, 0, 0], 0)
}

#[test]
fn a_request_has_the_name_that_it_has_in_http() {
    let all = [
        pairs(&[
            ("QUERY_STRING", "a=1"),
            ("REQUEST_METHOD", "POST"),
            ("REQUEST_URI", "/users/42/orders?a=1"),
            ("SCRIPT_NAME", "/index.php"),
        ]),
        pairs(&[("REQUEST_METHOD", "GET"), ("SERVER_NAME_1X", "GET"), ("REQUEST_URX", "/b"), ("REQUEST_URI", "/")]),
        pairs(&[("REQUEST_URI", "/abcdefg"), ("REQUEST_METHOD", "GET")]),
        pairs(&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/abcdefgh"), ("REQUEST_URI", "/b")]),
        pairs(&[("REQUEST_METHOD", "get"), ("REQUEST_URI", "")]),
        pairs(&[("REQUEST_METHOD", "VERSION-CONTROL"), ("REQUEST_URI", "http://a/b")]),
        pairs(&[("A", "")]),
    ];
    let bytes: Vec<u8> = all.iter().flat_map(|parameters| request(parameters, b"\x01\x01body")).collect();
    let seen = however_cut(&bytes, |pieces| requests(Protocol::FastCgi, pieces));
    let names: Vec<&str> = seen.found.iter().map(|request| request.name.as_str()).collect();
    assert_eq!(names, ["POST /users/{}/orders", "GET /", "/abcdefg", "GET /abcdefgh", "OTHER", "OTHER", "REQUEST"]);
    assert!(seen.between && !seen.lost && seen.found.iter().all(|request| request.kind == Kind::Request));
    // It is known before its body.
    let first = request(&all[0], b"");
    assert_eq!(seen.found[0].known_at, first.len() - 8);
}

#[test]
fn replies_end_with_their_record() {
    let client: Vec<u8> =
        (0..4).flat_map(|_| request(&pairs(&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/a")]), b"")).collect();
    let parts = [
        [record(6, b"Content-type: text/html\r\n\r\nhello", 7), record(6, b"", 0), end(0)].concat(),
        [
            record(7, b"PHP message: Status: 500", 0),
            record(6, b"Status: 404 Not Found\r\n\r\n", 1),
            record(6, b"Status: 500", 0),
            end(0),
        ]
        .concat(),
        [record(10, b"abc", 1), record(6, b"", 0), end(0)].concat(),
        end(2),
    ];
    let seen = exchange_however_cut(Protocol::FastCgi, &client, &parts.concat());
    let mut to = 0;
    let ends: Vec<Option<usize>> = parts.iter().map(|part| (to += part.len(), Some(to)).1).collect();
    let found: Vec<(Option<usize>, bool, u32)> =
        seen.answers.iter().map(|one| (one.ended, one.failed, one.class)).collect();
    assert_eq!(found, [(ends[0], false, 0), (ends[1], true, 4), (ends[2], false, 0), (ends[3], true, 5)]);
    assert!(seen.between && !seen.lost);
}

#[test]
fn what_is_no_record_is_lost() {
    let begin = record(1, &[0, 1, 1, 0, 0, 0, 0, 0], 0);
    let wrong = [
        b"\x02\x01\0\x01\0\0\0\0".to_vec(),
        record(5, b"", 0),
        record(6, b"", 0),
        [begin.clone(), record(5, b"", 0)].concat(),
        [begin.clone(), begin.clone()].concat(),
        [begin.clone(), record(4, b"\x05\x05abc", 0)].concat(),
        [begin, record(4, b"\xff\xff\xff\xff\xff\xff\xff\xffabc", 0)].concat(),
    ];
    for bytes in wrong {
        let bytes = [bytes, vec![b' '; 20]].concat();
        let seen = however_cut(&bytes, |pieces| requests(Protocol::FastCgi, pieces));
        assert!(seen.lost && seen.found.is_empty(), "{bytes:?}: {seen:?}");
    }
    for bytes in [record(1, b"", 0), record(3, b"", 0), b"HTTP/1.1 200 OK".to_vec()] {
        assert!(however_cut(&bytes, |pieces| replies_by_rule(Protocol::FastCgi, 0, pieces)).lost, "{bytes:?}");
    }
}

#[test]
fn conversations_end_where_they_were_made_to() {
    let mut random = Random(13);
    let mut count = 0;
    while count < 10_000 {
        let (mut client, mut server, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..=random.below(3) {
            let (method, uri) = (random.pick(&["GET", "POST", "PUT"]), target(&mut random));
            let mut all = Vec::new();
            let noise = |random: &mut Random, all: &mut Vec<u8>| {
                for _ in 0..random.below(6) {
                    let (key, is_long) = (random.text("REQUEST_URIMETHOD", 1..20), random.once_in(9));
                    if key != "REQUEST_URI" && key != "REQUEST_METHOD" {
                        all.extend(pair(&key, &random.text("/abc123 =%", 0..200), is_long));
                    }
                }
            };
            noise(&mut random, &mut all);
            all.extend(pair("REQUEST_METHOD", method, random.once_in(9)));
            noise(&mut random, &mut all);
            all.extend(pair("REQUEST_URI", &uri, random.once_in(9)));
            noise(&mut random, &mut all);
            client.extend(request(&all, random.text("abc\u{1}\u{5}", 0..200).as_bytes()));
            for _ in 0..random.below(4) {
                server.extend(record(6, random.text("abc\r\n: Status: 404", 0..300).as_bytes(), random.below(8) as u8));
            }
            server.extend(end(0));
            // With a scheme it is not what servers pass on.
            let wanted_name = if uri.starts_with('/') { name(method, &uri) } else { method.to_owned() };
            wanted.push((wanted_name.chars().take(256).collect::<String>(), Some(server.len())));
        }
        let seen = exchange(Protocol::FastCgi, &client, &random.cut(&server));
        let found: Vec<(String, Option<usize>)> =
            seen.answers.iter().map(|one| (one.name.clone(), one.ended)).collect();
        assert_eq!(found.len(), wanted.len());
        for ((name, ended), (wanted_name, wanted_end)) in found.iter().zip(&wanted) {
            assert!(ended == wanted_end && (name == wanted_name || name.len() >= 256), "{name} {wanted_name}");
        }
        assert!(seen.between && !seen.lost);
        let whole = requests(Protocol::FastCgi, &[&client]);
        assert_eq!(requests(Protocol::FastCgi, &random.cut(&client)), whole);
        let broken = random.mutate(&client);
        assert_eq!(
            requests(Protocol::FastCgi, &random.cut(&broken)),
            requests(Protocol::FastCgi, &[&broken]),
            "{broken:?}"
        );
        count += found.len();
    }
}

/// Servers read each record by itself, and the empty one at the end last: a name is whole before that.
#[test]
fn a_name_is_whole_with_its_parameters() {
    let parameters = b"\x0e\x03REQUEST_METHODGET\x0b\x08REQUEST_URI/items/1";
    let head = [1, 4, 0, 1, 0, parameters.len() as u8, 0, 0];
    let mut direction = Direction::new(Protocol::FastCgi);
    let mut found = Vec::new();
    let pieces: [&[u8]; 5] =
        [b"\x01\x01\0\x01\0\x08\0\0", b"\0\x01\0\0\0\0\0\0", &head, parameters, b"\x01\x04\0\x01\0\0\0\0"];
    for (number, piece) in pieces.into_iter().enumerate() {
        direction.take(piece, false, |direction, what, _| found.push((number, what, direction.name())));
    }
    let name = || "GET /items/{}".to_owned();
    found.retain(|(_, what, _)| *what != Found::NOTHING);
    assert_eq!(found, [(3, Found::NAMED, name()), (4, Found::REQUEST, name())]);
}
