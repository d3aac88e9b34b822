//! MySQL and MariaDB: commands, statements, and where replies end.

use acgs_perf_protocol::{Found, Kind, Protocol};

use super::drive::{Direction, however_cut, requests};
use super::mysql_talk::{
    FORMS, Form, Reply, error, execute, login, ok, packet, prepare, query, talk, talk_however_cut,
};

fn found(bytes: &[u8]) -> Vec<(String, Kind)> {
    let seen = however_cut(bytes, |pieces| requests(Protocol::MySql, pieces));
    assert!(!seen.lost && seen.between, "{bytes:?}");
    let named = seen.found.into_iter().filter(|one| one.what.has(Found::REQUEST));
    named.map(|one| (one.name, one.kind)).collect()
}

fn name(text: &str) -> String {
    let found = found(&query(text));
    assert_eq!(found.len(), 1, "{text}");
    found[0].0.clone()
}

#[test]
fn a_statement_is_named_without_its_values() {
    for (text, wanted) in [
        ("SELECT c FROM sbtest1 WHERE id=501", "select c from sbtest1 where id=?"),
        (
            "select `Odd Name`, 'it''s' from t where a=\"a 'b'\" and b = 0x1f",
            "select `Odd Name`, ? from t where a=? and b = ?",
        ),
        ("insert into t values (1, 'a', null), (2, \"b\", default)", "insert into t values (?)"),
        ("select a from t where b in (?, ?, ?)", "select a from t where b in (?)"),
        ("select a # where x = 'secret'\nfrom t", "select a from t"),
        ("select a -- 'secret'\n from t", "select a from t"),
        ("select a--1 from t", "select a-? from t"),
        ("select 5--", "select ?"),
        ("select a /* it's */ from/**/t", "select a from t"),
        ("select @a, @@global.b, a->'$.c' from t", "select @a, @@global.b, a->? from t"),
        ("select e'x'", "select e?"),
        ("SET NAMES utf8mb4;", "set names utf8mb4"),
        ("commit", "commit"),
        ("select 'unclosed", "select ?"),
        ("select \"", "select ?"),
        ("", ";"),
        (" ", ";"),
        ("#", ";"),
        ("/*", ";"),
        ("select a from `t", "select a from `t"),
        ("select '\u{e9}' from caf\u{e9}", "select ? from caf\u{e9}"),
    ] {
        assert_eq!(name(text), wanted, "{text}");
    }
}

#[test]
fn where_a_text_could_be_read_in_two_ways_its_name_ends() {
    for (text, wanted) in [
        ("select 'it\\'s' and secret", "select ?…"),
        ("select 'a\\\\' and secret", "select ?…"),
        ("select \"a\\\" and secret\"", "select ?…"),
        ("select /*!40001 SQL_NO_CACHE */ * from t", "select…"),
        ("select /*M! a */ * from t", "select…"),
        ("select $a$ secret $a$", "select…"),
        ("select a\0b", "select a…"),
        ("select 'a\0b'", "select ?…"),
    ] {
        assert_eq!(name(text), wanted, "{text}");
    }
    // What a backslash makes of any other byte.
    assert_eq!(name("select 'a\\n', 5"), "select ?");
}

/// The names of these texts to a server that has said that it is in this state.
fn names_in(state: u16, texts: &[&str]) -> Vec<String> {
    let login = (login(0), [packet(2, b"\xfecaching_sha2_password\0aaaa"), ok(3, 0, 0, state)].concat());
    let parts: Vec<_> = [login].into_iter().chain(texts.iter().map(|text| (query(text), ok(1, 0, 0, state)))).collect();
    let seen = talk_however_cut(&parts);
    assert!(!seen.lost && seen.between, "{texts:?}");
    seen.answers.into_iter().skip(1).map(|answer| answer.0).collect()
}

/// `NO_BACKSLASH_ESCAPES` in the state of a server.
const NO_ESCAPES: u16 = 1 << 9;

#[test]
fn a_backslash_is_what_the_server_says() {
    let texts = [
        ("select 'it\\'s' and a", "select ? and a", "select ?…"),
        ("select 'a\\\\' and a, 'b\\\\\\'c'", "select ? and a, ?", "select ?…"),
        ("select \"a\\\"b\\'\", c", "select ?, c", "select ?…"),
        ("select '\\'', \"\\\"\" from t", "select ? from t", "select ?…"),
        ("select 'a\\nb', c", "select ?, c", "select ?, c"),
        ("select 'unclosed\\'", "select ?", "select ?…"),
        ("select 'unclosed\\", "select ?", "select ?"),
        // A letter of two bytes may end with one.
        ("select '\u{e9}\\'', a", "select ?…", "select ?…"),
        ("select '\\'\u{e9}' from t", "select ? from t", "select ?…"),
        ("select \"\\\"\u{e9}\\\"\", a", "select ?…", "select ?…"),
        // What another statement of the text makes of it is not known.
        ("set a = '\\''; select '\\''", "set a = ?; select ?…", "set a = ?…"),
    ];
    for (text, wanted, unknown) in texts {
        assert_eq!(names_in(2, &[text]), [wanted], "{text}");
        assert_eq!(names_in(2 | NO_ESCAPES, &[text]), [unknown], "{text}");
        assert_eq!(name(text), unknown, "{text}");
    }
}

/// A connection that was there before: known from the first reply on that tells.
#[test]
fn what_a_backslash_is_may_change() {
    let text = "select 'it\\'s' from t";
    let prepare = |state| {
        let mut reply = Reply::new();
        reply.prepared(1, 1, 1, FORMS[2]);
        [(prepare(text), reply.bytes), (execute(1, b""), ok(1, 0, 0, state))]
    };
    let ask = |state| [(query(text), ok(1, 0, 0, state))];
    let (known, unknown) = ("select ? from t", "select ?…");
    let parts = [
        &ask(2)[..],
        &prepare(2),
        &ask(2 | NO_ESCAPES),
        &prepare(2 | NO_ESCAPES),
        // Another user; a connection that begins anew.
        &[(packet(0, b"\x11root\0"), ok(1, 0, 0, 2))],
        &ask(2),
        &[(packet(0, b"\x1f"), ok(1, 0, 0, 2 | NO_ESCAPES))],
        &[(query(text), error(1, "42000"))],
        &[(packet(0, b"\x0e"), ok(1, 0, 0, 2))],
        &ask(2),
    ]
    .concat();
    let names: Vec<String> = talk_however_cut(&parts).answers.into_iter().map(|answer| answer.0).collect();
    let wanted = [
        unknown,
        "PREPARE",
        known,
        known,
        "PREPARE",
        unknown,
        "CHANGE USER",
        known,
        "RESET CONNECTION",
        unknown,
        "PING",
        known,
    ];
    assert_eq!(names, wanted);
}

#[test]
fn a_long_text_is_cut() {
    for length in 500..530 {
        let text = format!("select '{}", "x".repeat(length));
        let wanted = if text.len() < 512 { "select ?" } else { "select ?…" };
        assert_eq!(name(&text), wanted, "{length}");
    }
    assert_eq!(name(&"select a, ".repeat(200)), format!("{}…", "select a, ".repeat(26).trim_end())[..256].to_owned());
}

#[test]
fn commands_of_every_kind() {
    use Kind::{Farewell, Handshake, OneWay, Request, WaitByDesign};
    let commands: [(Vec<u8>, &str, Kind); 14] = [
        (login(0), "LOGIN", Handshake),
        (packet(3, b"a proof that the server has asked for"), "", Request),
        (packet(0, b"\x0e"), "PING", Request),
        (packet(0, b"\x02shop"), "INIT DB", Request),
        (packet(0, b"\x1f"), "RESET CONNECTION", Request),
        (packet(0, b"\x09"), "STATISTICS", Request),
        (packet(0, b"\x18\x01\0\0\0\0\0some data"), "SEND LONG DATA", OneWay),
        (packet(0, b"\x19\x01\0\0\0"), "CLOSE STATEMENT", OneWay),
        (packet(0, b"\x1c\x01\0\0\0\x64\0\0\0"), "FETCH", Request),
        (packet(0, b"\x03\0\x01select 1"), "select ?", Request),
        (packet(0, b"\x03\x01\x01\0\x01\xfe\0\x01asecretselect 1"), "QUERY …", Request),
        (packet(0, b"\x11root\0\0shop\0"), "CHANGE USER", Handshake),
        (packet(0, b"\x01"), "QUIT", Farewell),
        (packet(0, b"\x12\x04\0\0\0\0\0\x01\0\0\0log"), "BINLOG DUMP", WaitByDesign),
    ];
    let bytes: Vec<u8> = commands.iter().flat_map(|command| command.0.clone()).collect();
    let wanted: Vec<(String, Kind)> = commands
        .iter()
        .filter(|command| !command.1.is_empty())
        .map(|command| (command.1.to_owned(), command.2))
        .collect();
    assert_eq!(found(&bytes), wanted);
}

#[test]
fn what_is_no_command_is_lost() {
    for bytes in [
        packet(0, b""),
        packet(0, b"\x20aaaa"),
        packet(0, b"\x17\x01\0"),
        packet(1, b"too short for one that logs in"),
        packet(1, &[0; 40]),
        // Compressed from here on.
        login(0x20),
    ] {
        let seen = however_cut(&bytes, |pieces| requests(Protocol::MySql, pieces));
        assert!(seen.lost && seen.found.is_empty(), "{bytes:?}");
    }
}

#[test]
fn encryption_turns_the_connection() {
    let hello = packet(1, &[&[0x05, 0xae, 0x0f, 0, 0, 0, 0, 1, 45][..], &[0; 23]].concat());
    for cut in 1..=hello.len() {
        let (mut direction, mut turned) = (Direction::new(Protocol::MySql), Vec::new());
        for piece in hello.chunks(cut) {
            direction.take(piece, false, |direction, what, behind| {
                turned.push((what, behind as u64 + direction.stream.skip));
            });
        }
        assert_eq!(turned, [(Found::TURNS, hello.len() as u64)], "{cut}");
    }
}

#[test]
fn a_message_may_take_many_packets() {
    let long = format!("insert into t values ('{}')", "x".repeat(17 << 20));
    let exact = format!("insert into t values ('{}')", "x".repeat((1 << 24) - 27));
    let bytes = [query(&long), query("commit"), query(&exact), query("commit")].concat();
    assert_eq!(exact.len() + 1, (1 << 24) - 1);
    let seen = requests(Protocol::MySql, &[&bytes]);
    let names: Vec<&str> = seen.found.iter().map(|one| one.name.as_str()).collect();
    let (cut, whole) = ("insert into t values (?…", "commit");
    assert_eq!(names, [cut, whole, cut, whole]);
    let mut reply = Reply::new();
    reply.result(1, &[vec![b'a'; 17 << 20], b"\x01a".to_vec()], FORMS[0], 2);
    let seen = talk(&[(query("select a"), reply.bytes), (packet(0, b"\x0e"), ok(1, 0, 0, 2))], |b| vec![b.to_vec()]);
    assert_eq!(seen.answers.len(), 2);
    assert!(seen.between && !seen.lost);
}

#[test]
fn statements_are_named_when_they_run() {
    for form in FORMS {
        let mut prepared = [Reply::new(), Reply::new(), Reply::new()];
        prepared[0].prepared(1, 2, 1, form);
        prepared[1].prepared(2, 0, 3, form);
        prepared[2].prepared(3, 0, 0, form);
        let [select, insert, commit] = prepared.map(|reply| reply.bytes);
        let mut rows = Reply::new();
        rows.result(2, &[b"\x01a\x01b".to_vec()], Form { is_binary: true, ..form }, 2);
        let parts = [
            (prepare("select a, b from t where c = ?"), select),
            (execute(1, &[0, 1, 3, 0, 5, 0, 0, 0]), rows.bytes.clone()),
            (prepare("insert into t values (?, ?, ?)"), insert),
            (execute(2, b"secret"), ok(1, 3, 0, 2)),
            (execute(1, b"secret"), rows.bytes.clone()),
            (prepare("nonsense"), error(1, "42000")),
            (prepare("commit"), commit),
            (execute(3, b""), ok(1, 0, 0, 2)),
            (packet(0, b"\x19\x01\0\0\0"), Vec::new()),
            // To MariaDB this is the one that was prepared last. The other one is from before.
            (execute(u32::MAX, b""), ok(1, 0, 0, 2)),
            (execute(77, b""), error(1, "HY000")),
        ];
        let seen = talk_however_cut(&parts);
        let names: Vec<(&str, bool)> = seen.answers.iter().map(|answer| (answer.0.as_str(), answer.1)).collect();
        let select = "select a, b from t where c = ?";
        assert_eq!(
            names,
            [
                ("PREPARE", false),
                (select, false),
                ("PREPARE", false),
                ("insert into t values (?)", false),
                (select, false),
                ("PREPARE", true),
                ("PREPARE", false),
                ("commit", false),
                ("commit", false),
                ("", true),
            ]
        );
        assert!(seen.between && !seen.lost && seen.pushes == 0);
        assert_eq!(seen.others, [("CLOSE STATEMENT".to_owned(), Kind::OneWay)]);
    }
}

#[test]
fn replies_of_every_kind() {
    for form in FORMS {
        let reply = |fill: &dyn Fn(&mut Reply)| {
            let mut reply = Reply::new();
            fill(&mut reply);
            reply.bytes
        };
        let many = reply(&|reply| {
            reply.result(1, &[b"\x01a".to_vec()], form, 2 | 8);
            reply.bytes.extend(ok(reply.at, 5, 70_000, 2 | 8));
            reply.at = reply.at.wrapping_add(1);
            reply.result(300, &[], form, 2);
        });
        let broken = reply(&|reply| {
            reply.result(1, &[b"\x01a".to_vec()], form, 2);
            let length = if form.is_old { 9 } else { 11 };
            reply.bytes.truncate(reply.bytes.len() - length);
            reply.bytes.extend(error(reply.at, "70100"));
        });
        let null = reply(&|reply| reply.result(2, &[b"\xfb\xfb".to_vec(), b"\x01\xfb\xfb".to_vec()], form, 2));
        let progress = [packet(1, b"\xff\xff\xff\x01\x01\x03\0\0\0"), ok(2, 0, 0, 2)].concat();
        let cursor = reply(&|reply| {
            reply.add(&[1]);
            reply.definitions(1, Form { is_old: false, ..form });
            reply.end(form, 2 | 64);
        });
        let fetched = reply(&|reply| {
            reply.add(b"\0\0\x01a");
            reply.end(form, 2 | 128);
        });
        let known = reply(&|reply| {
            reply.add(&[2, 0]);
            reply.definitions(0, form);
            reply.end(Form { is_old: true, ..form }, 2);
            reply.add(b"\0\0\x01a");
            reply.end(form, 2);
        });
        let parts = [
            (
                login(0),
                [packet(2, b"\xfecaching_sha2_password\0aaaa"), packet(4, b"\x01\x03"), ok(5, 0, 0, 2)].concat(),
                false,
            ),
            (query("call p()"), many, false),
            (query("select 1"), broken, true),
            (query("select 2"), null, false),
            (query("alter table t"), progress, false),
            (query("update t"), ok(1, 1 << 20, 1 << 40, 2), false),
            (query("update t"), ok(1, 250, 251, 2), false),
            (query("nonsense"), error(1, "42000"), true),
            (packet(0, b"\x09"), packet(1, b"Uptime: 5  Threads: 1"), false),
            (
                packet(0, b"\x04t\0"),
                reply(&|reply| {
                    reply.definitions(3, Form { is_old: false, ..form });
                    reply.end(form, 2);
                }),
                false,
            ),
            (packet(0, b"\x1b\0\0"), packet(1, b"\xfe\0\0\x02\0"), false),
            (execute(1, b""), cursor, false),
            (packet(0, b"\x1c\x01\0\0\0\x64\0\0\0"), fetched, false),
            (execute(1, b""), known, false),
            (packet(0, b"\x11root\0"), ok(1, 0, 0, 2), false),
        ];
        let failed: Vec<bool> = parts.iter().map(|part| part.2).collect();
        let parts = parts.map(|part| (part.0, part.1));
        let seen = talk_however_cut(&parts);
        assert_eq!(seen.answers.iter().map(|answer| answer.1).collect::<Vec<_>>(), failed);
        assert_eq!(seen.answers[7].2, u32::from(u16::from_le_bytes(*b"42")));
        assert!(seen.between && !seen.lost && seen.pushes == 0, "{seen:?}");
    }
}

#[test]
fn a_file_that_the_client_sends_is_part_of_its_request() {
    let mut pieces = Vec::new();
    for number in 0..600_u32 {
        // Among its packets are some that look like commands.
        pieces.extend(packet((number + 2) as u8, b"\x0e"));
    }
    pieces.extend(packet(602_u32 as u8, b""));
    let parts = [
        (query("load data local infile 'a' into table t"), packet(1, b"\xfba")),
        (pieces, ok(603_u32 as u8, 600, 0, 2)),
        (packet(0, b"\x0e"), ok(1, 0, 0, 2)),
    ];
    let seen = talk(&parts, |bytes| bytes.chunks(7).map(<[u8]>::to_vec).collect());
    let names: Vec<&str> = seen.answers.iter().map(|answer| answer.0.as_str()).collect();
    assert_eq!(names, ["load data local infile ? into table t", "PING"], "{seen:?}");
    assert!(seen.between && !seen.lost);
}

#[test]
fn what_nobody_asked_for_is_a_push() {
    let parts = [(packet(0, b"\x0e"), [ok(1, 0, 0, 2), error(0, "HY000")].concat())];
    let seen = talk_however_cut(&parts);
    assert_eq!((seen.answers.len(), seen.pushes), (1, 1));
}

#[test]
fn what_is_no_reply_is_lost() {
    for (asked, reply) in [
        (packet(0, b"\x0e"), packet(1, b"\x05")),
        (query("select 1"), packet(1, b"\x01aaaaaa")),
        (query("select 1"), packet(1, b"\xfd\x01\0\0")),
        (query("select 1"), packet(1, b"\0\0\0")),
        (query("select 1"), packet(1, b"")),
        (prepare("select 1"), packet(1, b"\0\x01\0\0\0")),
    ] {
        assert!(talk_however_cut(&[(asked, reply.clone())]).lost, "{reply:?}");
    }
}
