//! PostgreSQL: statements by name, replies of both protocols, errors.

use acgs_perf_protocol::word::text;
use acgs_perf_protocol::{Found, Kind, Protocol};

use super::drive::{Request, Seen, however_cut, requests};
use super::exchange::{Exchange, exchange_however_cut, resolve};

/// A message: its type and its rest.
pub fn message(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((rest.len() as u32 + 4).to_be_bytes());
    bytes.extend(rest);
    bytes
}

pub fn query(text: &str) -> Vec<u8> {
    message(b'Q', &[text.as_bytes(), b"\0"].concat())
}

pub fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', &[name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"].concat())
}

pub fn bind(name: &str, value: &str) -> Vec<u8> {
    let length = (value.len() as u32).to_be_bytes();
    message(b'B', &[b"\0", name.as_bytes(), b"\0\0\0\0\x01", &length, value.as_bytes(), b"\0\0"].concat())
}

pub fn execute() -> Vec<u8> {
    message(b'E', b"\0\0\0\0\0")
}

pub fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn opening(code: u32, rest: &[u8]) -> Vec<u8> {
    [&(rest.len() as u32 + 8).to_be_bytes(), &code.to_be_bytes(), rest].concat()
}

pub fn done(tag: &str) -> Vec<u8> {
    message(b'C', &[tag.as_bytes(), b"\0"].concat())
}

pub fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

pub fn error(state: &str) -> Vec<u8> {
    message(b'E', &[b"SERROR\0VERROR\0C", state.as_bytes(), b"\0Msomething is wrong with C42\0P15\0\0"].concat())
}

fn seen(bytes: &[u8]) -> Seen<Request> {
    however_cut(bytes, |pieces| requests(Protocol::Postgres, pieces))
}

fn found(bytes: &[u8]) -> Vec<(String, Kind)> {
    let seen = seen(bytes);
    assert!(!seen.lost && seen.between, "{}", String::from_utf8_lossy(bytes));
    resolve(&seen.found).into_iter().map(|request| (request.name, request.kind)).collect()
}

fn name(statement: &str) -> String {
    let found = found(&query(statement));
    assert_eq!(found.len(), 1);
    found[0].0.clone()
}

fn answers(client: &[Vec<u8>], server: &[Vec<u8>]) -> Exchange {
    exchange_however_cut(Protocol::Postgres, &client.concat(), &server.concat())
}

#[test]
fn a_statement_is_named_without_its_values() {
    let wanted = [
        ("SELECT * FROM Users WHERE Id = 42", "select * from users where id = ?"),
        ("select  a\n\t,b from t -- 'x'\nwhere /* 5 */ c='it''s' ;", "select a, b from t where c=?"),
        ("SELECT E'it\\'s' , e'\\\\', 'a\\b' x, E'", "select ? x, ?"),
        ("select $$it's $ 5$$, $tag1$ $$ $tag2$ $tag1$ as x, $a", "select ? as x, $a"),
        ("select \"Quoted 1\".\"a\"\"b\" from \"T 2\"", "select \"Quoted 1\".\"a\"\"b\" from \"T 2\""),
        ("select * from t where a IN (1, 2,3 , $4)", "select * from t where a in (?)"),
        ("select * from t where a IN('x','y')", "select * from t where a in(?)"),
        ("insert into t (a, b) values (1, 'a'), (2, null), (-3,DEFAULT)", "insert into t (a, b) values (?)"),
        ("insert into t values (1,2),(3,4) on conflict do nothing", "insert into t values (?) on conflict do nothing"),
        ("insert into t values (1,2),(now(),4)", "insert into t values (?), (now(), ?)"),
        ("values (1), (2, a), (3", "values (?), (?, a), (?"),
        ("values (1), ( a), (1,a), (1),a", "values (?), (a), (?, a), (?), a"),
        ("values (1),(2,a)", "values (?), (?, a)"),
        ("values (1), (2, (3))", "values (?), (?, (?))"),
        ("values (1), x, (2), (3)", "values (?), x, (?)"),
        ("select 1.5e-10, .5, 0x1F, 1_000, 2E+3::float8", "select ?::float8"),
        ("select a-1, a - 1, -1, (-1), b*-2 from t1", "select a-?, a - ?, (?), b*? from t1"),
        (
            "select a->'x'->>1, b::text[] from t limit $1 offset $2",
            "select a->?->>?, b::text[] from t limit ? offset ?",
        ),
        ("select array[1,2,3], col1, col_2, a$1", "select array[?], col1, col_2, a$1"),
        ("select b'101', X'1F', N'x', U&'d'", "select b?, x?, n?, u&?"),
        ("select a is null, true", "select a is null, true"),
        ("BEGIN", "begin"),
        ("", ";"),
        (" ; ", ";"),
        ("begin; select 1;; commit;", "begin; select ?; commit"),
        // No end of the string: the server refuses it.
        ("select E'abc\\", "select ?"),
        ("LISTEN channel", "listen channel"),
        ("ALTER USER u PASSWORD 'secret'", "alter user u password ?"),
        ("select /* a / b * c **/ 1 /*/ x */", "select ?"),
        (
            "SELECT Ärger FROM a_very_long_name_of_a_table, SIXTEEN_LETTERS_ where x",
            "select Ärger from a_very_long_name_of_a_table, sixteen_letters_ where x",
        ),
    ];
    for (statement, wanted) in wanted {
        assert_eq!(name(statement), wanted, "{statement}");
    }
}

#[test]
fn where_a_text_could_be_read_in_two_ways_its_name_ends() {
    assert_eq!(name("select 'it\\'s secret', 'x'"), "select ?…");
    assert_eq!(name("select 1$$ secret $$"), "select ?…");
    assert_eq!(name("select a /* b /* c */ d */ from t"), "select a…");
    assert_eq!(name("select $longer_tag$ secret $longer_tag$"), "select…");
}

#[test]
fn a_long_text_is_cut_and_never_shows_a_value() {
    for length in 480..540 {
        let secret = "s3cret".repeat(20);
        let text = format!("select {}", " ".repeat(length)) + &format!("'{secret}', ({secret:.9}) from t");
        let name = name(&text);
        assert!(!name.contains("s3cret'") && !name.contains("s3crets3cret"), "{name}");
        assert_eq!(name.ends_with('…'), text.len() >= 512, "{name}");
    }
    let rows = format!("insert into t values (1, 'a'){}", ", (2, 'b')".repeat(200));
    assert_eq!(name(&rows), "insert into t values (?)…");
}

#[test]
fn a_hash_is_of_the_name_alone() {
    let hash = |text: &str| seen(&query(text)).hashes[0];
    assert_eq!(hash("select  a from t where b in (1,2)"), hash("SELECT a FROM t WHERE b IN ($1, 'x', E'y', $$z$$)"));
    assert_eq!(hash("values (1), (2), (3), x"), hash("VALUES ('a') , (2),x;"));
    assert_ne!(hash("select a from t"), hash("select b from t"));
    assert_ne!(hash("select a from t"), hash("select \"a\" from t"));
    assert_eq!(hash("select a from t"), seen(&parse("s1", "select a  from t")).hashes[0]);
}

#[test]
fn what_opens_and_closes_a_connection() {
    let mut bytes = opening(80_877_103, b"");
    bytes.extend(opening(80_877_104, b""));
    bytes.extend(opening(0x0003_0000, b"user\0a\0database\0b\0\0"));
    bytes.extend(message(b'p', b"SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=abc"));
    bytes.extend(message(b'X', b""));
    let names = found(&bytes);
    let wanted = [
        ("SSL".into(), Kind::Handshake),
        ("GSSAPI".into(), Kind::Handshake),
        ("STARTUP".into(), Kind::Handshake),
        ("PASSWORD".into(), Kind::Handshake),
        (String::new(), Kind::Farewell),
    ];
    assert_eq!(names, wanted);
    assert_eq!(found(&opening(80_877_102, b"\0\0\0\x01\0\0\0\x02")), [("CANCEL".into(), Kind::OneWay)]);
}

#[test]
fn statements_that_are_prepared_are_named_when_they_run() {
    let mut bytes = parse("", "select 1");
    bytes.extend([bind("", "it's"), message(b'D', b"P\0"), execute(), sync()].concat());
    bytes.extend(parse("a statement with a long name", "select a from t where b = $1"));
    bytes.extend([bind("a statement with a long name", "x"), execute(), message(b'H', b"")].concat());
    bytes.extend([bind("", ""), execute(), bind("another", ""), execute(), sync()].concat());
    bytes.extend([message(b'F', b"\0\0\0\x01\0\0\0\0\0\0"), message(b'd', b"1\t2\n"), message(b'c', b"")].concat());
    let found = found(&bytes);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let wanted = ["select ?", "", "select a from t where b = ?", "select ?", "(prepared before)", "", "FUNCTION CALL"];
    assert_eq!(names, wanted);
    let kinds: Vec<Kind> = found.iter().map(|(_, kind)| *kind).collect();
    use Kind::{Mark, Request};
    assert_eq!(kinds, [Request, Mark, Request, Request, Request, Mark, Request]);
    let what = seen(&bytes).found.iter().filter(|one| one.what.has(Found::DEFINED)).count();
    assert_eq!(what, 2);
}

#[test]
fn what_is_no_message_is_lost() {
    let messages: [&[u8]; 10] = [
        b"y\0\0\0\x04",
        b"Q\0\0\0\x03",
        b"Q\0\0\0\x04",
        b"Q\0\0\0\x08abcd",
        b"Q\0\0\0\x08ab\0\0",
        b"Q\xff\0\0\x08ab\0\0",
        b"S\0\0\0\x05a",
        b"B\0\0\0\x06abc",
        b"P\0\0\0\x07a\0b",
        b"\0\0\0\x08\0\x02\0\0",
    ];
    for message in messages {
        let seen = seen(&[message, b"Q\0\0\0\x05\0......"].concat());
        assert!(seen.lost, "{message:?}: {seen:?}");
        assert!(seen.found.iter().all(|one| !one.what.has(Found::REQUEST)), "{message:?}: {seen:?}");
    }
}

/// Names, where the replies end, and which failed with what.
fn ended(exchange: &Exchange) -> Vec<(&str, Option<usize>, u32)> {
    assert!(!exchange.lost, "{exchange:?}");
    exchange.answers.iter().map(|answer| (answer.name.as_str(), answer.ended, answer.class)).collect()
}

fn class(text_: &str) -> u32 {
    text(text_) as u32
}

#[test]
fn a_simple_query_ends_when_the_server_is_ready() {
    let row = [message(b'T', b"\0\x01a\0..........."), message(b'D', b"\0\x01\0\0\0\x011"), done("SELECT 1")].concat();
    let first = [row.clone(), row.clone(), ready()].concat();
    let failed = [message(b'N', b"SNOTICE\0C00000\0\0"), error("42P01"), ready()].concat();
    let note = message(b'A', b"\0\0\0\x01channel\0\0");
    let client = [
        query("select 1; select 1"),
        query("select x"),
        query(""),
        query("copy t from stdin"),
        message(b'd', b"1\n"),
        message(b'c', b""),
    ];
    let empty = [message(b'I', b""), ready()].concat();
    let copy = [message(b'G', b"\0\0\0"), done("COPY 1"), ready()].concat();
    let server = [first.clone(), failed.clone(), note.clone(), empty.clone(), copy.clone()];
    let seen = answers(&client, &server);
    let mut to = 0;
    let ends: Vec<Option<usize>> = server.iter().map(|part| (to += part.len(), Some(to)).1).collect();
    let wanted = [
        ("select ?; select ?", ends[0], 0),
        ("select x", ends[1], class("42")),
        (";", ends[3], 0),
        ("copy t from stdin", ends[4], 0),
    ];
    assert_eq!(ended(&seen), wanted);
    assert_eq!((seen.pushes, seen.marks, seen.between), (1, 0, true));
    let failed: Vec<bool> = seen.answers.iter().map(|answer| answer.failed).collect();
    assert_eq!(failed, [false, true, false, false]);
    // The second reply begins with the error, not with the notice.
    let notice = ends[0].unwrap() + message(b'N', b"SNOTICE\0C00000\0\0").len();
    assert_eq!(seen.answers[1].began, Some(notice + 5));
}

#[test]
fn each_execution_ends_with_its_result() {
    let client = [
        parse("", "select 1"),
        bind("", ""),
        message(b'D', b"P\0"),
        execute(),
        bind("", ""),
        execute(),
        sync(),
        query("begin"),
    ];
    let prepared = [message(b'1', b""), message(b'2', b""), message(b'T', b"\0\0")].concat();
    let row = message(b'D', b"\0\0");
    let server = [
        prepared,
        [row.clone(), done("SELECT 1")].concat(),
        message(b'2', b""),
        [row, message(b's', b"")].concat(),
        ready(),
        done("BEGIN"),
        ready(),
    ];
    let seen = answers(&client, &server);
    let mut to = 0;
    let ends: Vec<Option<usize>> = server.iter().map(|part| (to += part.len(), Some(to)).1).collect();
    assert_eq!(ended(&seen), [("select ?", ends[1], 0), ("select ?", ends[3], 0), ("begin", ends[6], 0)]);
    assert_eq!((seen.marks, seen.between), (1, true));
    assert_eq!(seen.answers[0].began, Some(ends[0].unwrap() + 5));
}

#[test]
fn behind_an_error_nothing_is_answered_up_to_the_mark() {
    let batch = |name: &str| [parse("", name), bind("", ""), execute()].concat();
    let client = [batch("select a"), batch("select b"), batch("select c"), sync(), batch("select d"), sync()];
    let one = [message(b'1', b""), message(b'2', b""), done("SELECT 1")].concat();
    // The second statement cannot be prepared.
    let server = [one.clone(), error("42703"), ready(), one, ready()];
    let seen = answers(&client, &server);
    let wanted = [
        ("select a", false, false, 0),
        ("select b", true, false, class("42")),
        ("select c", false, true, 0),
        ("select d", false, false, 0),
    ];
    assert_eq!((states(&seen), seen.marks, seen.lost, seen.between), (wanted.to_vec(), 2, false, true));
}

/// Names, and of each whether it failed, was skipped, and with what class.
fn states(seen: &Exchange) -> Vec<(&str, bool, bool, u32)> {
    seen.answers.iter().map(|one| (one.name.as_str(), one.failed, one.skipped, one.class)).collect()
}

#[test]
fn what_is_only_prepared_is_a_request_of_its_own() {
    let (describe, flush) = (message(b'D', b"Ss\0"), message(b'H', b""));
    let bad = || parse("s", "select nothing");
    let run = [bind("s", ""), execute(), sync()].concat();
    let described = [message(b'1', b""), message(b't', b"\0\0"), message(b'T', b"\0\x01a\0")].concat();
    let nothing = [message(b'1', b""), message(b't', b"\0\0"), message(b'n', b"")].concat();
    let ran = [message(b'2', b""), done("SELECT 1"), ready()].concat();
    let (works, fails) = (("PREPARE", false, false, 0), ("PREPARE", true, false, class("42")));
    let select = ("select nothing", false, false, 0);
    // As libpq does, and as asyncpg does; behind an error that sends `Sync` by itself.
    let client = [bad(), sync(), run.clone()];
    let seen = answers(&client, &[message(b'1', b""), ready(), ran.clone()]);
    assert_eq!((states(&seen), seen.marks, seen.between, seen.lost), (vec![works, select], 1, true, false));
    let client = [bad(), describe.clone(), sync(), query("select 1")];
    let seen = answers(&client, &[error("42601"), ready(), done("SELECT 1"), ready()]);
    assert_eq!(states(&seen), [fails, ("select ?", false, false, 0)]);
    assert_eq!((seen.marks, seen.pushes, seen.between), (0, 0, true));
    for description in [described, nothing] {
        let client = [bad(), describe.clone(), flush.clone(), run.clone()];
        let seen = answers(&client, &[description.clone(), ran.clone()]);
        assert_eq!((states(&seen), seen.marks, seen.between, seen.lost), (vec![works, select], 1, true, false));
        assert_eq!(seen.answers[0].ended, Some(description.len()));
    }
    let client = [bad(), describe, flush.clone(), run.clone(), query("select 1")];
    let seen = answers(&client, &[error("42601"), ready(), done("SELECT 1"), ready()]);
    let skipped = ("select nothing", false, true, 0);
    assert_eq!((states(&seen), seen.marks), (vec![fails, skipped, ("select ?", false, false, 0)], 1));
    // Nobody has asked for a description; what is bound or run as well is the request.
    for client in [vec![bad(), flush.clone()], vec![bad(), run.clone(), sync(), flush]] {
        let found = found(&client.concat());
        assert!(found.iter().all(|(name, _)| name != "PREPARE"), "{found:?}");
    }
}

#[test]
fn an_error_of_what_is_no_request_fails_none() {
    let client = [bind("s", ""), sync(), query("select 1")];
    let server = [error("26000"), ready(), done("SELECT 1"), ready()];
    let seen = answers(&client, &server);
    assert_eq!((seen.answers.len(), seen.answers[0].failed, seen.marks, seen.pushes), (1, false, 1, 0));
    // Nobody waits: the server says why it closes the connection.
    let seen = answers(&[], &[error("57P01")]);
    assert_eq!((seen.answers.len(), seen.pushes, seen.lost), (0, 1, false));
}

#[test]
fn a_connection_is_opened_in_steps() {
    let auth = |code: u8, rest: &[u8]| message(b'R', &[&[0, 0, 0, code], rest].concat());
    let startup = opening(0x0003_0002, b"user\0a\0\0");
    let password = message(b'p', b"proof");
    let client = [opening(80_877_103, b""), startup.clone(), password.clone(), password.clone(), query("select 1")];
    let settings = [message(b'S', b"a\0b\0"), message(b'K', b"12345678"), ready()].concat();
    let last = [auth(12, b"v=abc"), auth(0, b""), settings].concat();
    let server = [b"N".to_vec(), auth(10, b"SCRAM-SHA-256\0\0"), auth(11, b"r=abc"), last, done("SELECT 1"), ready()];
    let seen = answers(&client, &server);
    let names: Vec<&str> = ended(&seen).iter().map(|answer| answer.0).collect();
    assert_eq!(names, ["SSL", "STARTUP", "PASSWORD", "PASSWORD", "select ?"]);
    assert!(seen.between && seen.marks == 0);
    let refused = answers(&[startup, password], &[auth(5, b"salt"), error("28P01")]);
    assert_eq!((refused.answers[1].failed, refused.answers[1].class), (true, class("28")));
}

#[test]
fn what_becomes_encrypted_turns_or_is_lost_and_a_replica_leaves() {
    let seen = answers(&[opening(80_877_103, b"")], &[b"S".to_vec()]);
    assert!(seen.turned && !seen.lost && seen.between && seen.answers[0].ended == Some(1));
    let seen = answers(&[opening(80_877_104, b"")], &[b"G\x16\x03\x01".to_vec()]);
    assert!(seen.lost && !seen.turned && seen.answers[0].ended == Some(1));
    let copy = message(b'W', b"\0\0\0");
    let seen = answers(&[query("START_REPLICATION SLOT s LOGICAL 0/0")], std::slice::from_ref(&copy));
    assert!(seen.left && seen.answers[0].ended == Some(copy.len()));
}

#[test]
fn what_is_no_reply_is_lost() {
    for reply in [
        &b"Q\0\0\0\x05\0"[..],
        b"Z\0\0\0\x06II",
        b"E\0\0\0\x08Sabc",
        b"E\0\0\0\x06C4",
        b"1\0\0\0\x05a",
        b"HTTP/1.1 200 OK",
    ] {
        let seen = answers(&[query("select 1")], &[reply.to_vec(), ready(), ready()]);
        assert!(seen.lost && seen.answers.iter().all(|answer| answer.ended.is_none()), "{reply:?}: {seen:?}");
    }
}
