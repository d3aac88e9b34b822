//! RESP: generated values and commands, and what `redis-protocol` makes of them, also of broken ones.

use acgs_perf_protocol::Protocol;
use redis_protocol::resp2::decode::decode as decode2;
use redis_protocol::resp2::types::OwnedFrame;
use redis_protocol::resp3::decode::complete::decode as decode3;

use super::drive::{however_cut, replies, requests};
use super::random::Random;

fn value(random: &mut Random, depth: usize) -> String {
    let text = random.text("ab\r\n$5*", 0..40);
    let line = random.text("abc $*:-", 0..40);
    let values = |random: &mut Random, count: usize| (0..count).map(|_| value(random, depth + 1)).collect::<String>();
    match random.below(if depth < 3 { 13 } else { 9 }) {
        0 => format!("+{line}\r\n"),
        1 if depth == 0 => format!("-ERR {line}\r\n"),
        2 => format!(":{}\r\n", random.next() as i64),
        3 => "_\r\n".into(),
        4 => "#t\r\n".into(),
        5 => ",1.5\r\n".into(),
        6 => "(34928903284092385094538509438504385\r\n".into(),
        7 => "=15\r\ntxt:Some string\r\n".into(),
        9 => {
            let count = random.below(4);
            format!("*{count}\r\n{}", values(random, count))
        }
        10 => {
            // Keys have to be different.
            let count = random.below(4);
            let pairs: String = (0..count).map(|at| format!("+{at}\r\n{}", value(random, depth + 1))).collect();
            format!("%{count}\r\n{pairs}")
        }
        11 => format!("~2\r\n:{}\r\n+a\r\n", random.below(9)),
        _ => format!("${}\r\n{text}\r\n", text.len()),
    }
}

/// Where the values end that `redis-protocol` finds from the beginning on, and which are errors; whether something is left.
fn by_redis_protocol(bytes: &[u8]) -> (Vec<(usize, bool)>, bool) {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Ok(Some((_, length))) = decode3(&bytes[at..]) else { break };
        let fails = matches!(bytes[at], b'-' | b'!');
        at += length;
        found.push((at, fails));
    }
    (found, at < bytes.len())
}

#[test]
fn replies_end_where_redis_protocol_says() {
    let mut random = Random(7);
    let mut count = 0;
    while count < 12_000 {
        let bytes: String = (0..=random.below(5)).map(|_| value(&mut random, 0)).collect();
        let bytes = bytes.as_bytes();
        let (wanted, is_more) = by_redis_protocol(bytes);
        assert!(!is_more, "{}", String::from_utf8_lossy(bytes));
        let seen = if bytes.len() < 60 {
            however_cut(bytes, |pieces| replies(Protocol::Resp, pieces))
        } else {
            replies(Protocol::Resp, &random.cut(bytes))
        };
        let ours: Vec<(usize, bool)> = seen.found.iter().map(|reply| (reply.to, reply.failed)).collect();
        assert_eq!(ours, wanted, "{}", String::from_utf8_lossy(bytes));
        assert!(!seen.lost && seen.between);
        count += ours.len();
    }
}

fn command(random: &mut Random) -> (String, String) {
    let (name, second) = random.pick::<(&str, &str)>(&[
        &("get", ""),
        &("SET", ""),
        &("HGETALL", ""),
        &("zrevrangebyscore", ""),
        &("config", "get"),
        &("XGROUP", "CREATE"),
        &("mget", ""),
    ]);
    let mut words = vec![(*name).to_owned()];
    words.extend((!second.is_empty()).then(|| (*second).to_owned()));
    words.extend((0..random.below(5)).map(|_| random.text("ab\r\n $*12", 0..50)));
    let bytes: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    (format!("*{}\r\n{bytes}", words.len()), format!("{name} {second}").trim().to_uppercase())
}

/// The words of commands that `redis-protocol` finds, and where each ends.
fn commands_by_redis_protocol(bytes: &[u8]) -> Vec<(Vec<String>, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Ok(Some((OwnedFrame::Array(words), length))) = decode2(&bytes[at..]) else { break };
        at += length;
        let words = words.into_iter().map(|word| match word {
            OwnedFrame::BulkString(word) => Some(String::from_utf8_lossy(&word).into_owned()),
            _ => None,
        });
        let Some(words) = words.collect::<Option<Vec<String>>>() else { break };
        if !words.is_empty() {
            found.push((words, at));
        }
    }
    found
}

#[test]
fn commands_are_what_redis_protocol_finds() {
    let mut random = Random(8);
    let (mut same, mut lost) = (0, 0);
    while same < 12_000 {
        let commands: Vec<(String, String)> = (0..=random.below(5)).map(|_| command(&mut random)).collect();
        let bytes: String = commands.iter().map(|command| command.0.as_str()).collect();
        let seen = requests(Protocol::Resp, &random.cut(bytes.as_bytes()));
        let names: Vec<&str> = seen.found.iter().map(|request| request.name.as_str()).collect();
        assert_eq!(names, commands.iter().map(|command| command.1.as_str()).collect::<Vec<_>>(), "{bytes}");
        let broken = random.mutate(bytes.as_bytes());
        let theirs = commands_by_redis_protocol(&broken);
        let seen = requests(Protocol::Resp, &[&broken]);
        assert_eq!(requests(Protocol::Resp, &random.cut(&broken)), seen, "{:?}", String::from_utf8_lossy(&broken));
        for (ours, (words, end)) in seen.found.iter().zip(&theirs) {
            assert_eq!(ours.known_at, *end, "{:?}", String::from_utf8_lossy(&broken));
            let first = words[0].to_uppercase();
            assert!(
                ours.name == first || ours.name == format!("{first} {}", words[1].to_uppercase()),
                "{ours:?} {words:?}"
            );
        }
        same += theirs.len();
        lost += usize::from(seen.lost);
    }
    assert!(lost > 300, "{lost} lost");
}

#[test]
fn broken_replies_end_where_redis_protocol_says_or_are_lost() {
    let mut random = Random(9);
    let (mut same, mut lost) = (0, 0);
    for _ in 0..10_000 {
        let bytes = value(&mut random, 0) + &value(&mut random, 0);
        let broken = random.mutate(bytes.as_bytes());
        let (theirs, _) = by_redis_protocol(&broken);
        let seen = replies(Protocol::Resp, &[&broken]);
        assert_eq!(replies(Protocol::Resp, &random.cut(&broken)), seen, "{:?}", String::from_utf8_lossy(&broken));
        for (ours, theirs) in seen.found.iter().zip(&theirs) {
            assert_eq!((ours.to, ours.failed), *theirs, "{:?}", String::from_utf8_lossy(&broken));
            same += 1;
        }
        lost += usize::from(seen.lost);
    }
    assert!(same > 3_000 && lost > 300, "{same} the same, {lost} lost");
}
