//! MySQL: generated statements and conversations, of which the truth is known.

use acgs_perf_protocol::Protocol;
use acgs_perf_protocol::name::NAME;

use super::drive::{however_cut, replies_by_rule, requests};
use super::mysql_talk::{Form, Reply, error, execute, login, ok, packet, prepare, query, talk};
use super::random::Random;

/// No name may have it: it stands in every string and comment.
const SECRET: &str = "s3cret";

fn value(random: &mut Random) -> String {
    let odd = random.text("ab \t?(),;`/*-#", 0..20);
    match random.below(7) {
        0 => format!("'{odd}\"{SECRET}'"),
        1 => format!("\"{odd}{SECRET}''\"\"{odd}\""),
        2 => format!("'{odd}''{SECRET}''{odd}\\n'"),
        3 => "?".into(),
        4 => format!("{}.{}e-{}", random.below(99), random.below(99), random.below(9)),
        5 => format!("0x{:X}", random.next()),
        _ => format!("{}", random.next()),
    }
}

fn blank(random: &mut Random) -> String {
    match random.below(9) {
        0 => format!("/* {SECRET} ' * / \" */"),
        1 => format!(" -- {SECRET} ' \" /*\n"),
        2 => format!("# {SECRET} ' ` /*\n"),
        3 => " ".repeat(1 + random.below(20)),
        _ => " ".into(),
    }
}

/// A token as it is written, and in the name.
fn token(random: &mut Random) -> (String, String) {
    match random.below(8) {
        0..2 => (value(random), "?".into()),
        2 => {
            let text = random.pick(&["=", "<>", "<=>", "||", "->", "*", "+", ":=", "."]);
            (text.into(), text.into())
        }
        3 => {
            let text = format!("`{}`", random.text("aB c'1\"?", 1..20));
            (text.clone(), text)
        }
        4 => {
            let text = random.text("abcdefghijklmnopqrstuvwxyz_é", 1..3) + &random.text("abcxyz_$0123456789", 0..30);
            (random.cased(&text), text)
        }
        _ => {
            let text = random.pick(&["select", "from", "where", "and", "users", "order by", "e", "is null"]);
            (random.cased(text), text.into())
        }
    }
}

/// A statement and its name. No two values stand side by side with a comma between, which is the other dialect's test.
fn statement(random: &mut Random) -> (String, String) {
    let (mut text, mut name) = (String::from(random.pick(&["", " ", "/* x */\n"])), String::new());
    for at in 0..=random.below(12) {
        let (written, named) = token(random);
        text += &if at == 0 { String::new() } else { blank(random) };
        text += &written;
        name += &format!("{}{named}", if at == 0 { "" } else { " " });
    }
    text += random.pick(&["", ";", " ", "\n", " -- ", " #"]);
    if text.len() >= 512 { statement(random) } else { (text, name) }
}

fn shown(name: &str) -> String {
    String::from_utf8_lossy(&name.as_bytes()[..name.len().min(NAME)]).into_owned()
}

#[test]
fn statements_have_the_names_that_they_were_made_of() {
    let mut random = Random(20);
    for _ in 0..12_000 {
        let (text, name) = statement(&mut random);
        let bytes = query(&text);
        let seen = if bytes.len() < 80 {
            however_cut(&bytes, |pieces| requests(Protocol::MySql, pieces))
        } else {
            let seen = requests(Protocol::MySql, &[&bytes]);
            assert_eq!(requests(Protocol::MySql, &random.cut(&bytes)), seen, "{text}");
            seen
        };
        assert!(!seen.lost && seen.between && seen.found.len() == 1, "{text}: {seen:?}");
        assert_eq!(seen.found[0].name, shown(&name), "{text}");
    }
}

#[test]
fn no_name_has_a_value_however_broken_the_statement() {
    let mut random = Random(21);
    for _ in 0..20_000 {
        let (text, _) = statement(&mut random);
        let mut characters: Vec<char> = text.chars().collect();
        for _ in 0..=random.below(8) {
            let at = random.below(characters.len());
            if characters[at].is_alphanumeric() {
                let other = random.pick(&["a", "E", "é", "0", "_", " ", ",", "(", ")", ";", "$"]);
                characters[at] = other.chars().next().unwrap_or('a');
            }
        }
        let broken: String = characters.into_iter().collect();
        let seen = requests(Protocol::MySql, &[&query(&broken)]);
        assert_eq!(seen.found.len(), 1, "{broken}");
        assert!(!seen.found[0].name.contains(SECRET), "{broken}: {}", seen.found[0].name);
    }
}

/// A string as a client writes it that puts a backslash in front of what is odd, and as one does that does not.
fn escaped(random: &mut Random) -> (String, String) {
    let quote = random.pick(&["'", "\""]);
    let text = random.text("ab \t?(),;`/*-#'\"\\\\\\é", 0..12) + SECRET + &random.text("ab'\"\\,", 0..6);
    let with = text.replace('\\', "\\\\").replace('\'', "\\'").replace('"', "\\\"");
    (format!("{quote}{with}{quote}"), format!("{quote}{}{quote}", text.replace(quote, &quote.repeat(2))))
}

/// To a server to which a backslash is an escape, and to one to which it is a byte like others: the same name, or one that ends where it is
/// not known, and never a value.
#[test]
fn strings_with_backslashes_are_values() {
    let (mut random, mut whole, mut cut) = (Random(23), 0, 0);
    let (login, done) = (login(0), |state| [packet(2, b"\x01\x04"), ok(3, 0, 0, state)].concat());
    for _ in 0..10_000 {
        let (mut with, mut without, mut name) = (String::new(), String::new(), String::new());
        for _ in 0..=random.below(4) {
            let (word, operator) = (random.text("abcxyz", 1..12), random.pick(&["=", " = ", " and "]));
            let (escaped, doubled) = escaped(&mut random);
            with += &format!("{word}{operator}{escaped} ");
            without += &format!("{word}{operator}{doubled} ");
            name += &format!("{word}{operator}? ");
        }
        for (text, state) in [(&with, 2), (&without, 2 | 1 << 9)] {
            let parts = [(login.clone(), done(state)), (query(text), ok(1, 0, 0, state))];
            let seen = talk(&parts, |bytes| random.cut(bytes).into_iter().map(<[u8]>::to_vec).collect());
            let found = &seen.answers[1].0;
            assert!(!found.contains("s3c") && seen.between && !seen.lost, "{text}: {found}");
            let is_whole = found == name.trim_end();
            let begins = found.strip_suffix('…').is_some_and(|begin| name.starts_with(begin));
            assert!(is_whole || begins, "{text}: {found}, is {name}");
            whole += usize::from(is_whole && text.contains("\\'"));
            cut += usize::from(begins);
        }
    }
    assert!(whole > 1_000 && cut > 1_000, "{whole} whole with an escaped quote, {cut} cut");
}

/// Rows of any length, which begin with anything that a row may begin with.
fn rows(random: &mut Random) -> Vec<Vec<u8>> {
    (0..random.below(20))
        .map(|_| {
            let text = random.text("abc\0\u{1}", 0..300);
            if random.once_in(5) { vec![0xfb] } else { [&[text.len().min(250) as u8][..], text.as_bytes()].concat() }
        })
        .collect()
}

fn result(random: &mut Random, reply: &mut Reply, form: Form) -> bool {
    let results = random.below(3);
    for at in 0..=results {
        let state = if at == results { 2 } else { 2 | 8 };
        match random.below(6) {
            0 => {
                reply.bytes.extend(error(reply.at, "42S02"));
                return true;
            }
            1 => {
                let (changed, given) = (random.next() >> random.below(64), random.next() >> random.below(64));
                reply.bytes.extend(ok(reply.at, changed, given, state));
                reply.at = reply.at.wrapping_add(1);
            }
            _ => {
                let (columns, rows) = (1 + random.below(300), rows(random));
                reply.result(columns, &rows, form, state);
            }
        }
    }
    false
}

#[test]
fn conversations_end_where_they_were_made_to() {
    let (mut random, mut messages) = (Random(22), 0);
    while messages < 12_000 {
        let form = Form { is_old: random.once_in(2), is_binary: false };
        let (mut parts, mut wanted, mut prepared) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..=random.below(12) {
            let mut reply = Reply::new();
            match random.below(5) {
                0 => {
                    let text = format!("select {} from t", random.text("abcdefgh", 1..12));
                    let statement = 1 + prepared.len() as u32;
                    reply.prepared(statement, random.below(4) as u16, random.below(4) as u16, form);
                    parts.push((prepare(&text), reply.bytes));
                    wanted.push(("PREPARE".to_owned(), false));
                    prepared.push(text);
                }
                1 if !prepared.is_empty() => {
                    let which = random.below(prepared.len());
                    let fails = result(&mut random, &mut reply, Form { is_binary: true, ..form });
                    parts.push((execute(1 + which as u32, SECRET.as_bytes()), reply.bytes));
                    wanted.push((prepared[which].clone(), fails));
                }
                2 => {
                    parts.push((packet(0, b"\x0e"), ok(1, 0, 0, 2)));
                    wanted.push(("PING".to_owned(), false));
                }
                _ => {
                    let (text, _) = statement(&mut random);
                    let name = requests(Protocol::MySql, &[&query(&text)]).found[0].name.clone();
                    let fails = result(&mut random, &mut reply, form);
                    parts.push((query(&text), reply.bytes));
                    wanted.push((name, fails));
                }
            }
        }
        let seen = talk(&parts, |bytes| random.cut(bytes).into_iter().map(<[u8]>::to_vec).collect());
        let answers: Vec<(String, bool)> = seen.answers.into_iter().map(|answer| (answer.0, answer.1)).collect();
        assert_eq!(answers, wanted);
        assert!(seen.between && !seen.lost && seen.pushes == 0);
        messages += wanted.len();
        // Broken ones: whatever is found does not depend on the cut.
        let (client, server): (Vec<Vec<u8>>, Vec<Vec<u8>>) = parts.into_iter().unzip();
        let (client, server) = (random.mutate(&client.concat()), random.mutate(&server.concat()));
        let whole = requests(Protocol::MySql, &[&client]);
        assert_eq!(requests(Protocol::MySql, &random.cut(&client)), whole, "{client:?}");
        let rule = random.below(7) as u8;
        let whole = replies_by_rule(Protocol::MySql, rule, &[&server]);
        assert_eq!(replies_by_rule(Protocol::MySql, rule, &random.cut(&server)), whole, "by {rule}: {server:?}");
    }
}
