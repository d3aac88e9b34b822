//! RESP: names, kinds and boundaries.

use acgs_perf_protocol::{Kind, Protocol};

use super::drive::{Reply, Request, however_cut, replies, requests};

fn commands(bytes: &[u8]) -> Vec<(String, Kind)> {
    let seen = however_cut(bytes, |pieces| requests(Protocol::Resp, pieces));
    assert!(!seen.lost && seen.between, "{}", String::from_utf8_lossy(bytes));
    seen.found.into_iter().map(|Request { name, kind, .. }| (name, kind)).collect()
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

#[test]
fn commands_are_named_and_their_words_are_not() {
    let long = "x".repeat(5000);
    let mut bytes = command(&["get", "key:1"]);
    bytes.extend(command(&["SET", "key:1", &long]));
    bytes.extend(command(&["zrangebyscore", "z", "-inf", "+inf"]));
    bytes.extend(command(&["CONFIG", "get", "maxmemory-policy"]));
    bytes.extend(b"\r\nping\r\nECHO hello you\r\n");
    let names: Vec<String> = commands(&bytes).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["GET", "SET", "ZRANGEBYSCORE", "CONFIG GET", "PING", "ECHO"]);
}

#[test]
fn what_waits_and_what_is_not_answered() {
    let kinds = |words: &[&str]| commands(&command(words)).into_iter().map(|(_, kind)| kind).collect::<Vec<_>>();
    assert_eq!(kinds(&["BLPOP", "queue", "1"]), [Kind::WaitByDesign]);
    assert_eq!(kinds(&["brpoplpush", "a", "b", "0"]), [Kind::WaitByDesign]);
    assert_eq!(kinds(&["BRPOPLPUX", "a", "b", "0"]), [Kind::Request]);
    assert_eq!(kinds(&["XREAD", "COUNT", "2", "STREAMS", "s", "0"]), [Kind::Request]);
    assert_eq!(kinds(&["XREAD", "COUNT", "2", "block", "0", "STREAMS", "s", "0"]), [Kind::WaitByDesign]);
    assert_eq!(kinds(&["REPLCONF", "ACK", "0"]), [Kind::OneWay]);
    assert_eq!(kinds(&["REPLCONF", "capa", "eof"]), [Kind::Handshake]);
    assert_eq!(kinds(&["SUBSCRIBE", "news"]), [Kind::OneWay]);
    assert_eq!(kinds(&["MONITOR"]), [Kind::WaitByDesign]);
}

#[test]
fn a_client_may_want_no_replies() {
    let mut bytes = command(&["CLIENT", "REPLY", "OFF"]);
    bytes.extend(command(&["SET", "a", "1"]));
    bytes.extend(command(&["CLIENT", "REPLY", "ON"]));
    bytes.extend(command(&["GET", "a"]));
    bytes.extend(command(&["CLIENT", "REPLY", "SKIP"]));
    bytes.extend(command(&["SET", "a", "2"]));
    bytes.extend(command(&["GET", "a"]));
    let kinds: Vec<Kind> = commands(&bytes).into_iter().map(|(_, kind)| kind).collect();
    use Kind::{OneWay, Request};
    assert_eq!(kinds, [OneWay, OneWay, Request, Request, OneWay, OneWay, Request]);
}

#[test]
fn replies_of_every_type() {
    let values: [&[u8]; 14] = [
        b"+OK\r\n",
        b"-ERR unknown command 'x'\r\n",
        b":1000\r\n",
        b"$5\r\nhello\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n",
        b"%1\r\n+a\r\n*1\r\n:1\r\n",
        b"~2\r\n:1\r\n#t\r\n",
        b"_\r\n",
        b",3.14\r\n",
        b"!21\r\nSYNTAX invalid syntax\r\n",
        b"=15\r\ntxt:Some string\r\n",
    ];
    let bytes = values.concat();
    let seen = however_cut(&bytes, |pieces| replies(Protocol::Resp, pieces));
    assert!(!seen.lost && seen.between);
    let mut from = 0;
    let wanted: Vec<Reply> = values
        .iter()
        .map(|value| {
            let reply = Reply { from, to: from + value.len(), failed: matches!(value[0], b'-' | b'!'), pushed: false };
            from = reply.to;
            reply
        })
        .collect();
    assert_eq!(seen.found, wanted);
}

#[test]
fn a_push_is_no_reply_and_an_attribute_belongs_to_one() {
    let bytes = b">3\r\n+message\r\n+news\r\n$2\r\nhi\r\n|1\r\n+ttl\r\n:3600\r\n$2\r\nok\r\n";
    let seen = however_cut(bytes, |pieces| replies(Protocol::Resp, pieces));
    let pushed: Vec<(bool, usize)> = seen.found.iter().map(|reply| (reply.pushed, reply.to)).collect();
    assert_eq!(pushed, [(true, 29), (false, bytes.len())]);
}

#[test]
fn long_numbers_and_no_numbers() {
    let mut bytes = b"*2\r\n$4\r\nECHO\r\n$123456789\r\n".to_vec();
    let seen = requests(Protocol::Resp, &[&bytes]);
    assert_eq!(seen.found[0].known_at, bytes.len() + 123_456_789 + 2);
    for digits in 1..=12 {
        let number = "123456789012"[..digits].to_owned();
        bytes = format!("*2\r\n$4\r\nECHO\r\n${number}\r\n").into_bytes();
        let seen = however_cut(&bytes, |pieces| requests(Protocol::Resp, pieces));
        assert_eq!(seen.found[0].known_at, bytes.len() + number.parse::<usize>().unwrap() + 2);
    }
    assert!(however_cut(b"*2\r\n$4\r\nECHO\r\n$1234567890123\r\n....", |pieces| requests(Protocol::Resp, pieces)).lost);
    bytes = b"*2\r\n$4\r\nECHO\r\n$12x\r\n".to_vec();
    assert!(requests(Protocol::Resp, &[&bytes]).lost);
    assert!(requests(Protocol::Resp, &[b"\x16\x03\x01"]).lost);
}

#[test]
fn a_hash_is_of_the_name_alone() {
    let hash = |words: &[&str]| requests(Protocol::Resp, &[&command(words)]).hashes[0];
    assert_eq!(hash(&["GET", "a"]), hash(&["get", "something else"]));
    assert_ne!(hash(&["GET", "a"]), hash(&["SET", "a"]));
    assert_ne!(hash(&["CONFIG", "GET", "a"]), hash(&["CONFIG", "SET", "a"]));
}
