//! memcached: commands, values, and what gets no reply.

use acgs_perf_protocol::{Kind, Protocol};

use super::drive::{however_cut, requests};
use super::exchange::{Exchange, exchange_however_cut};
use super::random::Random;

fn found(bytes: &str) -> Vec<(String, Kind)> {
    let seen = however_cut(bytes.as_bytes(), |pieces| requests(Protocol::Memcached, pieces));
    assert!(!seen.lost && seen.between, "{bytes}");
    seen.found.into_iter().map(|request| (request.name, request.kind)).collect()
}

fn is_lost(bytes: &str) -> bool {
    however_cut(bytes.as_bytes(), |pieces| requests(Protocol::Memcached, pieces)).lost
}

fn answers(client: &str, server: &str) -> Exchange {
    exchange_however_cut(Protocol::Memcached, client.as_bytes(), server.as_bytes())
}

#[test]
fn commands_and_what_gets_no_reply() {
    use Kind::{Farewell, OneWay, Request, WaitByDesign};
    let commands = [
        ("get a b c\r\n", "get", Request),
        ("gets  noreply noreply\n", "gets", Request),
        ("gat 100 key\r\n", "gat", Request),
        ("set noreply 0 0 5\r\nget \r\r\n", "set", Request),
        ("set key 1 0 0 noreply\r\n\r\n", "set", OneWay),
        ("cas key 0 0 3 12345678901234 noreply\r\nabc\r\n", "cas", OneWay),
        ("prepend a-very-long-key-of-an-item 0 0 12 \r\nget a\r\nget b\r\n", "prepend", Request),
        ("delete key noreply\r\n", "delete", OneWay),
        ("incr key 5\r\n", "incr", Request),
        ("flush_all 0 noreply\r\n", "flush_all", Request),
        ("verbosity 1\r\n", "verbosity", Request),
        ("version\r\n", "version", Request),
        ("stats items\r\n", "stats", Request),
        ("ms key 2 T90 q\r\nab\r\n", "ms", OneWay),
        ("mg key v q k\r\n", "mg", OneWay),
        ("mn\r\n", "mn", Request),
        ("mg q v Oq\r\n", "mg", Request),
        ("quit\r\n", "quit", Farewell),
        ("watch fetchers\r\n", "watch", WaitByDesign),
    ];
    let bytes: String = commands.iter().map(|command| command.0).collect();
    let wanted: Vec<(String, Kind)> = commands
        .iter()
        .map(|(text, name, kind)| ((*name).to_owned(), if text.starts_with("flush") { OneWay } else { *kind }))
        .collect();
    assert_eq!(found(&bytes), wanted);
}

#[test]
fn what_is_no_command_is_lost() {
    for bytes in [
        "GET a\r\n",
        "\r\n......",
        "put key\r\n",
        "get\0 a\r\n",
        "set a 0 0 x\r\n",
        "set a 0 0\r\n",
        "set a 0 0 123456789\r\n",
        "get a\rb\r\n",
        "flush_alx\r\n",
    ] {
        assert!(is_lost(bytes), "{bytes:?}");
    }
    // Whose the next reply is, nobody can tell.
    assert!(is_lost("mg a v q\r\nmg b v\r\n"));
    assert!(is_lost("mg a v q\r\nget b\r\n"));
}

#[test]
fn replies_of_every_kind() {
    let parts = [
        ("get a b\r\n", "VALUE a 0 5\r\nEND\r\n\r\nVALUE b 7 0 99\r\n\r\nEND\r\n", false),
        ("get c\r\n", "END\r\n", false),
        ("set a 0 0 1\r\nx\r\n", "STORED\r\n", false),
        ("set a 0 0 1\r\nx\r\n", "SERVER_ERROR out of memory storing object\r\n", true),
        ("incr a 1\r\n", "12345678901\r\n", false),
        ("delete a\r\n", "NOT_FOUND\r\n", false),
        ("bogus-free\r\n", "", false),
        ("stats\r\n", "STAT pid 1\r\nSTAT uptime END\r\nEND\r\n", false),
        ("stats reset\r\n", "RESET\r\n", false),
        ("get\r\n", "ERROR\r\n", true),
        ("mg a v t\r\n", "VA 4 t-1\r\nHD\r\n\r\n", false),
        ("mg a\r\n", "EN\r\n", false),
        ("ms a 1\r\nx\r\n", "HD\r\n", false),
        ("version\r\n", "VERSION 1.6.21\r\n", false),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.1.is_empty()).collect();
    let (client, server): (String, String) = parts.iter().map(|part| (part.0, part.1)).unzip();
    let seen = answers(&client, &server);
    let mut to = 0;
    let wanted: Vec<(Option<usize>, bool)> =
        parts.iter().map(|part| (to += part.1.len(), (Some(to), part.2)).1).collect();
    let ends: Vec<(Option<usize>, bool)> = seen.answers.iter().map(|answer| (answer.ended, answer.failed)).collect();
    assert_eq!(ends, wanted);
    assert!(seen.between && !seen.lost);
}

#[test]
fn a_quiet_batch_ends_with_its_mark() {
    let client = "mg a v q\r\nms b 1 q\r\nx\r\nmg c v q\r\nmn\r\nget a\r\n";
    let server = "VA 2\r\nMN\r\nNS\r\nMN\r\nEND\r\n";
    let seen = answers(client, server);
    let names: Vec<(&str, Option<usize>)> = seen.answers.iter().map(|one| (one.name.as_str(), one.ended)).collect();
    assert_eq!(names, [("mn", Some(18)), ("get", Some(23))]);
    assert!(seen.between && !seen.lost);
}

#[test]
fn what_is_no_reply_is_lost() {
    for reply in ["STORED\r\n", "VALUE a 0\r\n", "VALUE a 0 x\r\n", "hello\r\n", "VALUE a 0 123456789\r\n"] {
        assert!(answers("get a\r\n", reply).lost, "{reply}");
    }
}

#[test]
fn conversations_end_where_they_were_made_to() {
    let mut random = Random(12);
    let mut count = 0;
    while count < 10_000 {
        let (mut client, mut server, mut wanted) = (String::new(), String::new(), Vec::new());
        for _ in 0..=random.below(8) {
            let key = random.text("abc:/_VALUEnoreply0123456789", 1..60);
            let data = random.text("END\r\n VALUE a 0 5", 0..120);
            match random.below(5) {
                0 => {
                    client += &format!("{} {key} {key}\r\n", random.pick(&["get", "gets"]));
                    let cas = random.pick(&["", " 123"]);
                    (0..random.below(3))
                        .for_each(|_| server += &format!("VALUE {key} 1 {}{cas}\r\n{data}\r\n", data.len()));
                    server += "END\r\n";
                }
                1 | 2 => {
                    let (command, is_silent) = (random.pick(&["set", "add", "append", "replace"]), random.once_in(3));
                    let end = if is_silent { " noreply" } else { "" };
                    client += &format!("{command} {key} 0 -1 {}{end}\r\n{data}\r\n", data.len());
                    if is_silent {
                        continue;
                    }
                    server += random.pick(&["STORED\r\n", "NOT_STORED\r\n"]);
                }
                3 => {
                    client += &format!("mg {key} v f\r\n");
                    server += &format!("VA {} f0\r\n{data}\r\n", data.len());
                }
                _ => {
                    client += &format!("incr {key} 1\r\n");
                    server += random.pick(&["5\r\n", "18446744073709551615\r\n", "NOT_FOUND\r\n"]);
                }
            }
            wanted.push(Some(server.len()));
        }
        let seen = super::exchange::exchange(Protocol::Memcached, client.as_bytes(), &random.cut(server.as_bytes()));
        let ends: Vec<Option<usize>> = seen.answers.iter().map(|answer| answer.ended).collect();
        assert_eq!(ends, wanted, "{client} {server}");
        assert!(seen.between && !seen.lost);
        let whole = requests(Protocol::Memcached, &[client.as_bytes()]);
        assert_eq!(requests(Protocol::Memcached, &random.cut(client.as_bytes())), whole);
        count += whole.found.len();
    }
}
