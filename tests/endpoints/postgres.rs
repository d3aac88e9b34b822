//! PostgreSQL: each statement by its text without values; the truth is `pg_stat_statements`, and the client where that counts no errors.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use acgs_perf_tests::endpoints::{Named, assert_named};
use acgs_perf_tests::harness::{Service, free_port, need_root, run};
use acgs_perf_tests::postgres::{prepare, programs};
use acgs_perf_tests::recording::{Recorder, Recording};

/// Longer names are cut.
const LONGEST_NAME: usize = 240;

/// One with a hundred thousand accounts that counts statements.
pub fn start() -> Service {
    let port = free_port().unwrap();
    let (mut server, directory) = prepare(port).unwrap();
    server.args(["-c", "shared_preload_libraries=pg_stat_statements", "-c", "pg_stat_statements.track=top"]);
    let service = Service::start_in(&mut server, port, directory).unwrap().ends_on(libc::SIGINT);
    psql(&service, &["-c", "CREATE EXTENSION pg_stat_statements", "-c", "CREATE TABLE copied (n int, t text)"]);
    pgbench(&service, &["-i", "-s", "1", "-q", "-I", "dtg"]);
    psql(&service, &["-c", "CREATE INDEX ON pgbench_accounts (aid)"]);
    service
}

fn tool(service: &Service, program: &str) -> Command {
    let mut command = Command::new(programs().unwrap().join(program));
    command.args(["-h", "127.0.0.1", "-p", &service.port.to_string(), "-U", "postgres"]);
    command
}

fn psql(service: &Service, arguments: &[&str]) -> String {
    run(tool(service, "psql").args(["-X", "-q", "-A", "-t", "-d", "postgres"]).args(arguments)).unwrap()
}

fn pgbench(service: &Service, arguments: &[&str]) -> String {
    run(tool(service, "pgbench").args(arguments).arg("postgres")).unwrap()
}

/// Begins to count anew.
pub fn forget(service: &Service) {
    psql(service, &["-c", "SELECT pg_stat_statements_reset()"]);
}

/// Begins to count, on both sides.
fn record(service: &Service) -> Recording {
    forget(service);
    Recorder::new("postgres", &format!("port:{}", service.port)).start().unwrap()
}

/// What the server has counted, by names as the report is to have them; a name that the report cuts is cut here too.
pub fn counted(service: &Service) -> Named {
    let query =
        "SELECT calls || chr(1) || query || chr(2) FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'";
    let mut counts = Named::new();
    for row in psql(service, &["-c", query]).split('\u{2}').filter(|row| !row.trim().is_empty()) {
        let (calls, text) = row.trim().split_once('\u{1}').unwrap();
        counts.entry(name(text)).or_default().add(calls.parse().unwrap(), 0);
    }
    counts
}

/// A statement as `pg_stat_statements` has it, in the report's form: `$1`, numbers and strings are `?`, lists of them one `?`.
fn name(text: &str) -> String {
    let (mut name, mut rest) = (String::new(), text.trim().trim_end_matches(';'));
    while let Some(first) = rest.chars().next() {
        let in_word = name.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let number = rest.trim_start_matches('$').find(|c: char| !c.is_ascii_digit() && c != '.');
        let digits = number.unwrap_or(rest.len()) + usize::from(first == '$');
        let (token, length) = match first {
            '\'' => ("?".to_owned(), 2 + rest[1..].find('\'').unwrap()),
            '$' | '0'..='9' if !in_word => ("?".to_owned(), digits.min(rest.len())),
            c if c.is_whitespace() => (" ".to_owned(), rest.len() - rest.trim_start().len()),
            c => (c.to_lowercase().to_string(), c.len_utf8()),
        };
        name.push_str(&token);
        rest = &rest[length..];
    }
    while name.contains("?, ?") {
        name = name.replace("?, ?", "?");
    }
    if name.len() > LONGEST_NAME {
        name.truncate(LONGEST_NAME);
        name.push('…');
    }
    name
}

#[track_caller]
fn is_as_counted(service: &Service, recording: Recording, beside: &[(&str, u64, u64)]) {
    let report = recording.stop().unwrap();
    let mut truth = counted(service);
    // Of a prepared BEGIN or END the server counts the first one alone; each transaction of pgbench has one insert.
    if let Some(&transactions) =
        truth.keys().find(|name| name.starts_with("insert into pgbench_history")).map(|i| &truth[i])
    {
        ["begin", "end"].into_iter().for_each(|name| _ = truth.insert(name.to_owned(), transactions));
    }
    for (name, requests, failed) in beside {
        truth.entry((*name).to_owned()).or_default().add(*requests, *failed);
    }
    assert_named(&report, "postgres", &truth);
}

#[test]
fn statements_are_counted_in_each_protocol() {
    need_root();
    let service = start();
    for mode in ["simple", "extended", "prepared"] {
        let recording = record(&service);
        let text =
            pgbench(&service, &["-n", "-M", mode, "-c", "4", "-t", "500", "-b", "tpcb-like@1", "-b", "select-only@1"]);
        assert!(text.contains("number of failed transactions: 0 "), "{text}");
        // Each of four clients prepares the seven statements of the one script, and that of the other.
        let prepared = [("PREPARE", 4 * 8, 0)];
        is_as_counted(&service, recording, if mode == "prepared" { &prepared } else { &[] });
    }
}

#[test]
fn statements_of_a_pipeline_are_counted() {
    need_root();
    let service = start();
    let script = service.directory.path().join("pipeline.sql");
    let select = "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n";
    let insert = "INSERT INTO copied VALUES (:aid, 'text');\n";
    let statements = [select, insert, select, select, "SELECT 'a', 'b', 3;\n"].concat();
    let script_text = format!("\\set aid random(1, 1000)\n\\startpipeline\n{}\\endpipeline\n", statements.repeat(5));
    fs::write(&script, script_text).unwrap();
    for mode in ["extended", "prepared"] {
        let recording = record(&service);
        pgbench(&service, &["-n", "-M", mode, "-c", "2", "-t", "200", "-f", &script.display().to_string()]);
        // Each client prepares its 25 statements before the pipeline begins.
        let prepared = [("PREPARE", 2 * 25, 0)];
        is_as_counted(&service, recording, if mode == "prepared" { &prepared } else { &[] });
    }
}

#[test]
fn copies_and_errors_are_counted() {
    need_root();
    let service = start();
    let file = service.directory.path().join("rows");
    let rows: String = (0..50_000).map(|n| format!("{n}\tsome text that is not short\n")).collect();
    fs::write(&file, rows).unwrap();
    let recording = record(&service);
    let (from, to) =
        (format!("\\copy copied from '{}'", file.display()), format!("\\copy copied to '{}'", file.display()));
    psql(&service, &["-c", &from, "-c", "SELECT count(*) FROM copied", "-c", &to, "-c", "TRUNCATE copied"]);
    let mut wrong = tool(&service, "psql");
    wrong.args(["-X", "-q", "-d", "postgres"]);
    for _ in 0..10 {
        wrong.args([
            "-c",
            "SELECT 1 / 0",
            "-c",
            "SELECT nothing FROM nowhere",
            "-c",
            "SELEC 1",
            "-c",
            "SELECT 2, 'two'",
        ]);
    }
    run(&mut wrong).unwrap();
    let errors = [("select ? / ?", 10, 10), ("select nothing from nowhere", 10, 10), ("selec ?", 10, 10)];
    is_as_counted(&service, recording, &errors);
}

/// A client of the extended protocol that pipelines as deep as it likes.
pub struct Extended(pub TcpStream);

pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// Parse, Bind, Execute and Sync of one statement without parameters.
fn run_once(text: &str) -> Vec<u8> {
    let parse = message(b'P', &[b"\0", text.as_bytes(), b"\0\0\0"].concat());
    [parse, message(b'B', &[0; 8]), message(b'E', &[0; 5]), message(b'S', b"")].concat()
}

impl Extended {
    pub fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let body = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
        stream.write_all(&[&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()).unwrap();
        let mut client = Self(stream);
        client.ready(1);
        client
    }

    /// Reads until the server was ready so many times.
    pub fn ready(&mut self, times: usize) {
        (0..times).for_each(|_| self.until(b'Z'));
    }

    /// Reads until a message of this kind has come.
    fn until(&mut self, kind: u8) {
        let mut head = [0; 5];
        while head[0] != kind {
            self.0.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            self.0.read_exact(&mut vec![0; length - 4]).unwrap();
        }
    }
}

/// As asyncpg does: what is wrong fails when it is prepared, and so never runs.
#[test]
fn what_fails_when_it_is_prepared_is_counted() {
    need_root();
    let service = start();
    let mut client = Extended::connect(service.address());
    let recording = record(&service);
    let prepare = |text: &str, end: u8| {
        let parse = message(b'P', &[b"s\0", text.as_bytes(), b"\0\0\0"].concat());
        [parse, message(b'D', b"Ss\0"), message(end, b"")].concat()
    };
    let run = [message(b'B', b"\0s\0\0\0\0\0\0\0"), message(b'E', &[0; 5]), message(b'C', b"Ss\0"), message(b'S', b"")];
    for _ in 0..50 {
        // By `Flush`, behind which the client runs it; by `Flush`, behind the error of which it sends `Sync`; by `Sync`.
        client.0.write_all(&prepare("SELECT 6 + 1", b'H')).unwrap();
        client.until(b'T');
        client.0.write_all(&run.concat()).unwrap();
        client.ready(1);
        client.0.write_all(&prepare("SELECT nothing FROM nowhere", b'H')).unwrap();
        client.until(b'E');
        client.0.write_all(&message(b'S', b"")).unwrap();
        client.ready(1);
        client.0.write_all(&prepare("SELEC 1", b'S')).unwrap();
        client.ready(1);
    }
    is_as_counted(&service, recording, &[("PREPARE", 150, 100)]);
}

/// An error makes the server skip what comes up to the next Sync, and only that.
#[test]
fn what_is_skipped_behind_an_error_is_no_request_that_waits() {
    need_root();
    let service = start();
    let mut client = Extended::connect(service.address());
    let recording = record(&service);
    let without_sync = |text: &str| {
        let mut bytes = run_once(text);
        bytes.truncate(bytes.len() - 5);
        bytes
    };
    for _ in 0..100 {
        // Of the three behind one Sync the second one fails when it runs, and the third is skipped.
        client
            .0
            .write_all(&[without_sync("SELECT 1"), without_sync("SELECT 1/0"), run_once("SELECT 2, 3")].concat())
            .unwrap();
        client.0.write_all(&run_once("SELECT 4 + 5")).unwrap();
        client.ready(2);
    }
    is_as_counted(&service, recording, &[("select ?/?", 100, 100)]);
}

/// A Sync behind each of a hundred: more marks than the kernel side keeps apart.
#[test]
fn a_deep_pipeline_with_a_sync_behind_each_is_counted() {
    need_root();
    let service = start();
    let mut client = Extended::connect(service.address());
    let recording = record(&service);
    for _ in 0..20 {
        client.0.write_all(&run_once("SELECT 1 AS one").repeat(100)).unwrap();
        client.ready(100);
    }
    let report = recording.stop().unwrap();
    assert_eq!(counted(&service)["select ? as one"].requests, 2_000);
    assert_eq!(report.requests("postgres"), 2_000, "{}", report.service("postgres")["endpoints"]);
    report.assert_nothing_lost(2_000);
}
