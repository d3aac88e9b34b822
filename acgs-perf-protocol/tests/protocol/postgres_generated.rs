//! PostgreSQL: generated statements and conversations, of which the truth is known.
//!
//! The truth of a statement is made from its tokens by two regular expressions, not by the rules of the parser.

use std::collections::HashMap;
use std::sync::LazyLock;

use acgs_perf_protocol::Protocol;
use acgs_perf_protocol::name::NAME;
use regex::Regex;

use super::drive::{however_cut, replies_by_rule, requests};
use super::exchange::{exchange, resolve};
use super::postgres::{bind, done, error, execute, message, parse, query, ready, sync};
use super::random::Random;

/// No name may have it: it stands in every string and comment.
const SECRET: &str = "s3cret";

/// A value as a client writes it.
fn value(random: &mut Random) -> String {
    let odd = random.text("ab \t?(),;$\"/*-", 0..20);
    match random.below(11) {
        0 => format!("'{odd}{SECRET}'"),
        1 => format!("'{odd}''{SECRET}''{odd}'"),
        2 => format!("E'{SECRET}\\'{odd}\\\\'"),
        3 => format!("e'\\\\{odd}{SECRET}\\n'"),
        4 => format!("$${}{SECRET}'$$", odd.replace('$', "#")),
        5 => format!("$tag_1${odd}$x {SECRET} $tag_$tag_1$"),
        6 => format!("${}", 1 + random.below(99)),
        7 => format!("{}", random.next()),
        8 => format!("{}.{}e-{}", random.below(99), random.below(99), random.below(9)),
        9 => format!("-{}", random.below(1000)),
        _ => format!("0x{:X}", random.next()),
    }
}

/// What may stand between two tokens.
fn blank(random: &mut Random) -> String {
    match random.below(9) {
        0 => format!("/* {SECRET} ' * / \" */"),
        1 => format!(" -- {SECRET} ' $$ \" /*\n"),
        2 => "\r\n\t ".into(),
        3 => " ".repeat(1 + random.below(20)),
        _ => " ".into(),
    }
}

/// A token as it is written, and in the name.
fn token(random: &mut Random) -> (String, String) {
    match random.below(10) {
        0..3 => (value(random), "?".into()),
        3 => {
            let text = random.pick(&["=", "<>", "::", "||", "->>", "*", "+", "[", "]", "."]);
            (text.into(), text.into())
        }
        4 => {
            let text = format!("\"{}\"", random.text("aB c'1$?", 1..20));
            (text.clone(), text)
        }
        5 => {
            let text = random.text("abcdefghijklmnopqrstuvwxyz_é", 1..3) + &random.text("abcxyz_$0123456789", 0..30);
            (random.cased(&text), text)
        }
        _ => {
            let text = random.pick(&[
                "select",
                "from",
                "where",
                "and",
                "insert into",
                "values",
                "users",
                "order by",
                "e",
                "is null",
            ]);
            (random.cased(text), text.into())
        }
    }
}

/// A list of values, or of rows.
fn list(random: &mut Random) -> (String, String) {
    let comma = |random: &mut Random| random.pick(&[",", ", ", " , ", ",\n", ",/* x */"]).to_owned();
    let mut text = String::new();
    for row in 0..=random.below(4) {
        text += &if row == 0 { String::new() } else { comma(random) };
        text += random.pick(&["(", "( "]);
        for at in 0..=random.below(5) {
            text += &if at == 0 { String::new() } else { comma(random) };
            text += &if random.once_in(8) { random.cased("null") } else { value(random) };
        }
        text += random.pick(&[")", " )"]);
    }
    (text, "(?)".into())
}

/// A statement and its name.
fn statement(random: &mut Random) -> (String, String) {
    let mut text = String::from(random.pick(&["", " ", "/* x */\n"]));
    let mut name = String::new();
    let last = random.below(16);
    for at in 0..=last {
        let (written, named) = if random.once_in(5) { list(random) } else { token(random) };
        // Blanks on both sides: then a sign is a sign, and no two tokens are one.
        text += &if at == 0 { String::new() } else { blank(random) };
        text += &written;
        let (comma, gap) =
            if at != last && random.once_in(6) { (blank(random) + ",", ",") } else { (String::new(), "") };
        text += &comma;
        name += &format!("{}{named}{gap}", if at == 0 { "" } else { " " });
    }
    text += random.pick(&["", ";", " ; ", "\n"]);
    if text.len() >= 512 {
        return statement(random);
    }
    (text, collapse(&name))
}

static VALUES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\?(, \?)+").expect("an expression"));
static ROWS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\(\?\)(, \(\?\))+").expect("an expression"));
/// A sign behind an operand: an operator, perhaps.
static DIFFERENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?i)[\w)\]"é$']\s*(--[^\n]*\n|/\*.*?\*/|\s)*-\d"#).expect("an expression"));

fn collapse(name: &str) -> String {
    let name = VALUES.replace_all(name, "?");
    ROWS.replace_all(&name, "(?)").into_owned()
}

/// As much as is kept as text.
fn shown(name: &str) -> String {
    let bytes = &name.as_bytes()[..name.len().min(NAME)];
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn statements_have_the_names_that_they_were_made_of() {
    let mut random = Random(4);
    let mut seen_names = HashMap::new();
    let mut count = 0;
    while count < 12_000 {
        let (text, name) = statement(&mut random);
        if DIFFERENCE.is_match(&text) {
            continue;
        }
        let bytes = query(&text);
        let seen = if bytes.len() < 80 {
            however_cut(&bytes, |pieces| requests(Protocol::Postgres, pieces))
        } else {
            let seen = requests(Protocol::Postgres, &[&bytes]);
            assert_eq!(requests(Protocol::Postgres, &random.cut(&bytes)), seen, "{text}");
            seen
        };
        assert!(!seen.lost && seen.between && seen.found.len() == 1, "{text}: {seen:?}");
        assert_eq!(seen.found[0].name, shown(&name), "{text}");
        assert_eq!(*seen_names.entry(name.clone()).or_insert(seen.hashes[0]), seen.hashes[0], "two hashes of {name}");
        count += 1;
    }
    let mut hashes: Vec<u64> = seen_names.values().copied().collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), seen_names.len(), "one hash of two names");
}

#[test]
fn no_name_has_a_value_however_broken_the_statement() {
    let mut random = Random(5);
    let (mut named, mut cut) = (0, 0);
    for _ in 0..20_000 {
        let (text, _) = statement(&mut random);
        // Quotes and tags stay as they are: a broken one makes a word of a value for the server, too.
        if text.contains("$tag") {
            continue;
        }
        let mut characters: Vec<char> = text.chars().collect();
        for _ in 0..=random.below(8) {
            let at = random.below(characters.len());
            if characters[at].is_alphanumeric() {
                characters[at] =
                    random.pick(&["a", "E", "é", "0", "_", " ", ",", "(", ")", ";"]).chars().next().unwrap_or('a');
            }
        }
        let broken: String = characters.into_iter().collect();
        let seen = requests(Protocol::Postgres, &[&query(&broken)]);
        assert_eq!(seen.found.len(), 1, "{broken}");
        assert!(!seen.found[0].name.contains(SECRET), "{broken}: {}", seen.found[0].name);
        named += 1;
        cut += usize::from(seen.found[0].name.ends_with('…'));
    }
    assert!(named > 5_000, "{named} of which {cut} were cut");
}

/// One exchange: what the client sends, what the server does, and of each request its name, whether it fails, whether it is skipped.
type Part = (Vec<u8>, Vec<u8>, Vec<(String, bool, bool)>);

fn simple(random: &mut Random) -> Part {
    let (text, _) = statement(random);
    let name = requests(Protocol::Postgres, &[&query(&text)]).found[0].name.clone();
    let mut server = Vec::new();
    let fails = random.once_in(4);
    for _ in 0..random.below(3) {
        server.extend(message(b'T', b"\0\x01a\0"));
        (0..random.below(40)).for_each(|_| server.extend(message(b'D', random.text("abcdZ", 0..40).as_bytes())));
        server.extend(done("SELECT 5"));
    }
    server.extend(if fails { error("23505") } else { done("BEGIN") });
    server.extend(ready());
    (query(&text), server, vec![(name, fails, false)])
}

fn extended(random: &mut Random) -> Part {
    let (mut client, mut server, mut truth) = (Vec::new(), Vec::new(), Vec::new());
    let mut has_failed = false;
    for _ in 0..=random.below(4) {
        let text = format!("select {} from t", random.text("abcdefgh", 1..12));
        let statement = random.pick(&["", "s1", "a longer name of a statement"]);
        client.extend(parse(statement, &text));
        client.extend(bind(statement, SECRET));
        client.extend(if random.once_in(2) { message(b'D', b"P\0") } else { Vec::new() });
        client.extend(execute());
        let fails = !has_failed && random.once_in(6);
        truth.push((text, fails, has_failed));
        if fails {
            server.extend(if random.once_in(2) { message(b'1', b"") } else { Vec::new() });
            server.extend(error("42P01"));
        } else if !has_failed {
            server.extend([message(b'1', b""), message(b'2', b""), message(b'T', b"\0\x01a\0")].concat());
            (0..random.below(30)).for_each(|_| server.extend(message(b'D', random.text("abcdZ", 0..40).as_bytes())));
            server.extend(if random.once_in(5) { message(b's', b"") } else { done("SELECT 1") });
        }
        has_failed |= fails;
    }
    client.extend(sync());
    server.extend(ready());
    (client, server, truth)
}

/// A statement that is prepared, and not run; as libpq asks for it, or as asyncpg does.
fn prepared(random: &mut Random) -> Part {
    let text = format!("select {} from t", random.text("abcdefgh", 1..12));
    let (mut client, mut server) = (parse(random.pick(&["", "s2"]), &text), Vec::new());
    let (fails, is_flushed) = (random.once_in(3), random.once_in(2));
    let is_described = is_flushed || random.once_in(2);
    client.extend(if is_described { message(b'D', b"Ss2\0") } else { Vec::new() });
    client.extend(if is_flushed { message(b'H', b"") } else { Vec::new() });
    if fails {
        server.extend(error("42P01"));
    } else {
        server.extend(message(b'1', b""));
        let description = random.pick(&[&b"T\0\0\0\x0a\0\x01aa\0\0"[..], b"n\0\0\0\x04"]);
        let parameters = message(b't', b"\0\x01\0\0\0\x17");
        server.extend(if is_described { [&parameters, description].concat() } else { Vec::new() });
    }
    if fails || !is_flushed {
        client.extend(sync());
        server.extend(ready());
    }
    (client, server, vec![("PREPARE".into(), fails, false)])
}

#[test]
fn conversations_end_where_they_were_made_to() {
    let mut random = Random(6);
    let mut messages = 0;
    for _ in 0..4_000 {
        let (mut client, mut server, mut truth) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..=random.below(4) {
            let part = match random.below(5) {
                0 => prepared(&mut random),
                1 | 2 => simple(&mut random),
                _ => extended(&mut random),
            };
            client.extend(part.0);
            server.extend(part.1);
            truth.extend(part.2);
        }
        let seen = exchange(Protocol::Postgres, &client, &random.cut(&server));
        let found: Vec<(String, bool, bool)> =
            seen.answers.iter().map(|answer| (answer.name.clone(), answer.failed, answer.skipped)).collect();
        assert_eq!(found, truth);
        assert!(!seen.lost && seen.between);
        messages += truth.len();
        let whole = requests(Protocol::Postgres, &[&client]);
        assert_eq!(requests(Protocol::Postgres, &random.cut(&client)), whole);
        assert_eq!(resolve(&whole.found).iter().filter(|one| !one.name.is_empty()).count(), truth.len());
        // Broken ones: whatever is found does not depend on the cut.
        let broken = random.mutate(&client);
        assert_eq!(
            requests(Protocol::Postgres, &random.cut(&broken)),
            requests(Protocol::Postgres, &[&broken]),
            "{:?}",
            String::from_utf8_lossy(&broken)
        );
        let (broken, rule) = (random.mutate(&server), random.below(8) as u8);
        assert_eq!(
            replies_by_rule(Protocol::Postgres, rule, &random.cut(&broken)),
            replies_by_rule(Protocol::Postgres, rule, &[&broken]),
            "by {rule}: {:?}",
            String::from_utf8_lossy(&broken)
        );
    }
    assert!(messages > 10_000, "{messages}");
}
