//! HTTP/1: generated messages, and what `httparse` makes of them, also of broken ones.

use acgs_perf_protocol::Protocol;
use httparse::{EMPTY_HEADER, Status};

use super::drive::{Seen, however_cut, replies_by_rule, requests};
use super::exchange::exchange;
use super::random::Random;

/// The name by the rules of the documentation, a segment at a time.
pub fn name(method: &str, target: &str) -> String {
    if !["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"].contains(&method) {
        return "OTHER".into();
    }
    if method == "CONNECT" {
        return method.into();
    }
    let path = match target.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            if rest[end..].starts_with('/') { &rest[end..] } else { "/" }
        }
        _ => target,
    };
    let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    if path == "*" {
        return format!("{method} *");
    }
    let mut name = format!("{method} ");
    for (at, segment) in path.split('/').skip(1).enumerate() {
        if at == 16 {
            name.push_str("/…");
            break;
        }
        let is_version =
            segment.len() > 1 && segment.starts_with('v') && segment[1..].bytes().all(|b| b.is_ascii_digit());
        let is_word = segment.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-._~".contains(&byte));
        let is_kept = segment.len() <= 32 && (is_word || is_version);
        name.push('/');
        name.push_str(if is_kept { segment } else { "{}" });
    }
    name
}

fn segment(random: &mut Random) -> String {
    match random.below(9) {
        0 => random.text("0123456789", 1..12),
        1 => format!("v{}", random.text("0123456789", 0..12)),
        2 => random.text("abcdef0123456789-", 30..37),
        3 => random.text("abc%20@:é", 1..12),
        4 => random.text("abcXYZ-._~", 25..40),
        5 => String::new(),
        _ => random.text("abcdefghijklmnopqrstuvwxyz-_", 1..18),
    }
}

pub fn target(random: &mut Random) -> String {
    let mut target = match random.below(8) {
        0 => random.pick(&["http://", "HTTPS://"]).to_owned() + &random.text("abc.:8[]", 1..40),
        _ => String::new(),
    };
    let segments = if random.once_in(10) { 20 } else { 5 };
    for _ in 0..=random.below(segments) {
        target = target + "/" + &segment(random);
    }
    match random.below(4) {
        0 => target + "?" + &random.text("abc=&/?%0123456789{}", 0..60),
        1 if random.once_in(3) => target + "#" + &random.text("abc/", 0..9),
        _ => target,
    }
}

/// Lines of a header that nobody reads.
fn noise(random: &mut Random, end: &str) -> String {
    let mut lines = String::new();
    for _ in 0..random.below(5) {
        let names = [
            "Host",
            "A",
            "Content-Typ",
            "Content-Length-X",
            "Transfer",
            "Transfer-Encod",
            "content-",
            "X-Content-Length",
            "TransferX",
        ];
        let value = random.text("abc, ;:=0123456789chunked", 0..70);
        lines += &format!("{}:{}{value}{end}", random.pick(&names), random.pick(&["", " ", "  ", "\t"]));
    }
    lines
}

/// A header's end and a body, by length, in chunks, or none.
fn body(random: &mut Random, end: &str) -> String {
    let text = |random: &mut Random| random.text("GET / HTP1.\r\nabc0", 0..90);
    match random.below(5) {
        0 => {
            let body = text(random);
            let blanks = random.pick(&["", " ", " \t "]);
            let zeros = random.pick(&["", "0", "00000000"]);
            format!(
                "{}:{blanks}{zeros}{}{blanks}{end}{}{end}{body}",
                random.cased("content-length"),
                body.len(),
                noise(random, end)
            )
        }
        1 => {
            let codings =
                random.pick(&["chunked", "gzip, chunked", "gzip,Chunked", "identity , CHUNKED ", "\tx;q=1 ,\tchunked"]);
            let mut bytes = format!("{}: {codings}{end}{}{end}", random.cased("transfer-encoding"), noise(random, end));
            for _ in 0..random.below(4) {
                let chunk = text(random) + "x";
                let extension = random.pick(&["", ";a=b", ";x=\"y z\""]);
                let zeros = random.pick(&["", "0", "00"]);
                bytes += &format!("{zeros}{}{extension}\r\n{chunk}\r\n", random.cased(&format!("{:x}", chunk.len())));
            }
            bytes + &format!("0\r\n{}{end}", noise(random, end))
        }
        _ => end.into(),
    }
}

fn request(random: &mut Random) -> String {
    let methods =
        ["GET", "GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "X"];
    let end = if random.once_in(5) { "\n" } else { "\r\n" };
    let line = match random.below(20) {
        0 => "OPTIONS *".into(),
        1 => "CONNECT example.org:443".into(),
        _ => format!("{} {}", random.pick(&methods), target(random)),
    };
    let empty = if random.once_in(10) { end } else { "" };
    format!("{empty}{line} HTTP/1.{}{end}{}{}", random.below(2), noise(random, end), body(random, end))
}

/// How the body that follows a header is framed, as `httparse` reads that header.
enum Body {
    Length(usize),
    Chunks,
    /// Servers do not agree.
    Unclear,
}

fn framing(headers: &[httparse::Header]) -> Body {
    let values = |name: &str| -> Vec<String> {
        let of_name = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        of_name.map(|header| String::from_utf8_lossy(header.value).into_owned()).collect()
    };
    let codings = values("transfer-encoding").join(",");
    let codings: Vec<&str> = codings.split(',').map(|one| one.split(';').next().unwrap_or(one).trim()).collect();
    let codings: Vec<&&str> =
        codings.iter().filter(|one| !one.is_empty() && !one.eq_ignore_ascii_case("identity")).collect();
    if let Some(last) = codings.last() {
        return if last.eq_ignore_ascii_case("chunked") { Body::Chunks } else { Body::Unclear };
    }
    let mut lengths: Vec<Option<usize>> =
        values("content-length").iter().map(|value| value.trim().parse().ok()).collect();
    lengths.dedup();
    match lengths[..] {
        [] => Body::Length(0),
        [Some(length)] => Body::Length(length),
        _ => Body::Unclear,
    }
}

/// The length of a body in chunks, with its trailer.
fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let Ok(Status::Complete((head, length))) = httparse::parse_chunk_size(&bytes[at..]) else { return None };
        at += head;
        if length == 0 {
            let mut headers = [EMPTY_HEADER; 32];
            let Ok(Status::Complete((trailer, _))) = httparse::parse_headers(&bytes[at..], &mut headers) else {
                return None;
            };
            return Some(at + trailer);
        }
        at += length as usize;
        at += if bytes.get(at..)?.starts_with(b"\r\n") { 2 } else { return None };
        bytes.get(at..)?;
    }
}

/// Names, and behind how many bytes each first line ends, of the requests that `httparse` finds from `bytes` on; whether all are whole.
fn by_httparse(bytes: &[u8]) -> (Vec<(String, usize)>, bool) {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let mut headers = [EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let Ok(Status::Complete(head)) = request.parse(&bytes[at..]) else { return (found, false) };
        let (Some(method), Some(target)) = (request.method, request.path) else { return (found, false) };
        let empty_lines = bytes[at..].iter().take_while(|byte| **byte == b'\r' || **byte == b'\n').count();
        let line = bytes[at + empty_lines..].iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        found.push((name(method, target), at + empty_lines + line));
        let length = match framing(request.headers) {
            Body::Length(length) => Some(length),
            Body::Chunks => chunks(&bytes[at + head..]),
            Body::Unclear => None,
        };
        match length.and_then(|length| at.checked_add(head)?.checked_add(length)) {
            Some(end) => at = end,
            None => return (found, false),
        }
    }
    (found, at == bytes.len())
}

fn ours(seen: &Seen<super::drive::Request>) -> Vec<(String, usize)> {
    seen.found.iter().map(|request| (request.name.clone(), request.known_at)).collect()
}

/// What of a name is kept as text.
fn shown((name, at): &(String, usize)) -> (String, usize) {
    let bytes = &name.as_bytes()[..name.len().min(acgs_perf_protocol::name::NAME)];
    (String::from_utf8_lossy(bytes).into_owned(), *at)
}

#[test]
fn requests_are_what_httparse_finds() {
    let mut random = Random(1);
    let mut messages = 0;
    while messages < 12_000 {
        let count = 1 + random.below(5);
        let bytes: String = (0..count).map(|_| request(&mut random)).collect();
        let bytes = bytes.as_bytes();
        let (wanted, is_whole) = by_httparse(bytes);
        assert!(is_whole && wanted.len() == count, "{}", String::from_utf8_lossy(bytes));
        let seen = if bytes.len() < 100 {
            however_cut(bytes, |pieces| requests(Protocol::Http1, pieces))
        } else {
            let seen = requests(Protocol::Http1, &[bytes]);
            assert_eq!(requests(Protocol::Http1, &random.cut(bytes)), seen);
            seen
        };
        let wanted: Vec<(String, usize)> = wanted.iter().map(shown).collect();
        assert_eq!(ours(&seen), wanted, "{}", String::from_utf8_lossy(bytes));
        assert!(!seen.lost && seen.between, "{}", String::from_utf8_lossy(bytes));
        messages += count;
    }
}

#[test]
fn broken_requests_have_no_other_name_than_httparse_gives_them() {
    let mut random = Random(2);
    let (mut same, mut lost) = (0, 0);
    for _ in 0..20_000 {
        let bytes = request(&mut random) + &request(&mut random);
        let bytes = random.mutate(bytes.as_bytes());
        let (wanted, _) = by_httparse(&bytes);
        let seen = requests(Protocol::Http1, &[&bytes]);
        assert_eq!(requests(Protocol::Http1, &random.cut(&bytes)), seen, "{}", String::from_utf8_lossy(&bytes));
        for (ours, theirs) in ours(&seen).iter().zip(&wanted) {
            assert_eq!(*ours, shown(theirs), "{:?}", String::from_utf8_lossy(&bytes));
            same += 1;
        }
        lost += usize::from(seen.lost);
    }
    assert!(same > 10_000 && lost > 1_000, "{same} the same, {lost} lost");
}

/// A reply, whether its connection goes on, whether it fails.
fn reply(random: &mut Random, method: &str) -> (String, bool) {
    let end = if random.once_in(5) { "\n" } else { "\r\n" };
    let mut bytes = String::new();
    for _ in 0..random.below(3) {
        bytes += &format!(
            "HTTP/1.1 {}{end}{}{end}",
            random.pick(&["100 Continue", "103 Early Hints", "102"]),
            noise(random, end)
        );
    }
    let status =
        random.pick(&["200 OK", "200", "204 No Content", "304 Not Modified", "404 Not Found", "500 ", "302 Found"]);
    bytes += &format!("HTTP/1.1 {status}{end}{}", noise(random, end));
    if method == "HEAD" || status.starts_with("204") || status.starts_with("304") {
        bytes += &format!("{}{end}", random.pick(&["", "Content-Length: 77\r\n", "Transfer-Encoding: chunked\r\n"]));
    } else {
        let body = body(random, end);
        bytes += if body == end { "Content-Length: 0\r\n" } else { "" };
        bytes += &body;
    }
    (bytes, status.starts_with('4') || status.starts_with('5'))
}

#[test]
fn replies_end_where_they_were_made_to() {
    let mut random = Random(3);
    for _ in 0..4_000 {
        let count = 1 + random.below(6);
        let (mut client, mut server) = (String::new(), String::new());
        let mut wanted = Vec::new();
        for _ in 0..count {
            let method = random.pick(&["GET", "HEAD", "POST"]);
            client += &format!("{method} /a HTTP/1.1\r\n\r\n");
            let (bytes, fails) = reply(&mut random, method);
            server += &bytes;
            wanted.push((Some(server.len()), fails));
        }
        let pieces = random.cut(server.as_bytes());
        let seen = exchange(Protocol::Http1, client.as_bytes(), &pieces);
        let ends: Vec<(Option<usize>, bool)> =
            seen.answers.iter().map(|answer| (answer.ended, answer.failed)).collect();
        assert_eq!(ends, wanted, "{server}");
        assert!(!seen.lost && seen.between);
        // Broken ones: whatever is found does not depend on the cut.
        let broken = random.mutate(server.as_bytes());
        let rule = random.below(3) as u8;
        let whole = replies_by_rule(Protocol::Http1, rule, &[&broken]);
        assert_eq!(
            replies_by_rule(Protocol::Http1, rule, &random.cut(&broken)),
            whole,
            "{}",
            String::from_utf8_lossy(&broken)
        );
    }
}
