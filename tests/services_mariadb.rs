//! MariaDB under `sysbench`: each command is a request, a statement by its name; a login and what a client says as it leaves are none. The
//! truth is what the server counts.
//!
//! Both, which few have at hand, run with `ACGS_PERF_LONG` in the environment.

use std::process::Command;

use acgs_perf_tests::endpoints::{Counts, Named, assert_named, endpoints, requests};
use acgs_perf_tests::harness::{Service, free_port, is_long, need_root, run};
use acgs_perf_tests::recording::{Recorder, Recording};
use acgs_perf_tests::report::Report;

const THREADS: u64 = 4;
const EVENTS: u64 = 20_000;

/// A server in a directory of its own, that lets anyone on this host in.
fn mariadb() -> Service {
    let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    run(Command::new("chown").arg("mysql:mysql").arg(directory.path())).unwrap();
    let data = format!("--datadir={}", directory.path().join("data").display());
    let mut install = Command::new("mariadb-install-db");
    install.args([
        "--no-defaults",
        "--user=mysql",
        "--skip-test-db",
        "--auth-root-authentication-method=normal",
        &data,
    ]);
    run(&mut install).expect("needs `apt-get install mariadb-server sysbench`");
    let mut server = Command::new("mariadbd");
    server.args(["--no-defaults", "--user=mysql", "--bind-address=127.0.0.1", &data, &format!("--port={port}")]);
    server.arg(format!("--socket={}", directory.path().join("socket").display()));
    Service::start_in(&mut server, port, directory).unwrap()
}

fn ask(service: &Service, statement: &str) -> String {
    let mut client = Command::new("mariadb");
    client.args([
        "--no-defaults",
        "-h",
        "127.0.0.1",
        "-P",
        &service.port.to_string(),
        "-u",
        "root",
        "-N",
        "-e",
        statement,
    ]);
    run(&mut client).unwrap()
}

/// A counter of the server.
fn status(service: &Service, name: &str) -> u64 {
    let text = ask(service, &format!("show global status like '{name}'"));
    text.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn record(service: &Service) -> Recording {
    Recorder::new("mariadb", &format!("port:{}", service.port)).start().unwrap()
}

/// One with a table for `sysbench`.
fn prepared() -> Service {
    let service = mariadb();
    ask(&service, "create database sbtest; create user bench@'127.0.0.1'; grant all on *.* to bench@'127.0.0.1'");
    sysbench(&service, "oltp_point_select", &["prepare"]);
    service
}

fn sysbench(service: &Service, script: &str, task: &[&str]) -> String {
    let mut command = Command::new("sysbench");
    command.args([script, "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=bench"]);
    command.args([
        &format!("--mysql-port={}", service.port),
        "--tables=1",
        "--table-size=1000",
        &format!("--threads={THREADS}"),
    ]);
    run(command.args(task)).unwrap()
}

/// Requests, and how many of them failed.
fn of(requests: u64, failed: u64) -> Counts {
    Counts { requests, failed }
}

/// So many logged in and left, and nobody waited in vain.
#[track_caller]
fn assert_clients(report: &Report, clients: u64) {
    let count = |pointer: &str| report.service("mariadb").pointer(pointer).map_or(0, |count| count.as_u64().unwrap());
    let fates = ["unread", "in_service", "abandoned"].map(|fate| count(&format!("/fates/{fate}/count")));
    assert_eq!((fates, count("/fates/cut_off")), ([0; 3], 0));
    assert_eq!((count("/kinds/farewell"), count("/kinds/handshake")), (clients, clients));
}

#[test]
fn statements_are_requests_and_farewells_are_none() {
    if !is_long() {
        return;
    }
    need_root();
    let service = prepared();
    let executed = status(&service, "Com_stmt_execute");
    let recording = record(&service);
    let text = sysbench(&service, "oltp_point_select", &[&format!("--events={EVENTS}"), "--time=0", "run"]);
    let report = recording.stop().unwrap();
    assert!(text.contains(&format!("total number of events:              {EVENTS}\n")), "{text}");
    assert_eq!(status(&service, "Com_stmt_execute") - executed, EVENTS);
    // Each thread prepares its statement before.
    let truth =
        [("SELECT c FROM sbtest1 WHERE id=?".to_lowercase(), of(EVENTS, 0)), ("PREPARE".into(), of(THREADS, 0))];
    assert_named(&report, "mariadb", &Named::from(truth));
    report.assert_exact("mariadb", EVENTS + THREADS);
    assert_clients(&report, THREADS);
}

/// What the server counts of these, by the first word of a statement.
const COUNTED: [(&str, &str); 7] = [
    ("select", "Com_select"),
    ("update", "Com_update"),
    ("delete", "Com_delete"),
    ("insert", "Com_insert"),
    ("begin", "Com_begin"),
    ("commit", "Com_commit"),
    ("PREPARE", "Com_stmt_prepare"),
];

/// Transactions of twenty statements, which are prepared before, or sent as text.
#[test]
fn each_statement_of_a_transaction_is_counted_as_the_server_counts_it() {
    if !is_long() {
        return;
    }
    need_root();
    let service = prepared();
    for mode in ["auto", "disable"] {
        let before = COUNTED.map(|(_, counter)| status(&service, counter));
        // What is asked to know how much was asked counts, too.
        let own = status(&service, "Questions");
        let asked = status(&service, "Questions");
        let own = asked - own;
        let recording = record(&service);
        let mode_ = format!("--db-ps-mode={mode}");
        sysbench(&service, "oltp_read_write", &["--events=3000", "--time=0", &mode_, "run"]);
        let report = recording.stop().unwrap();
        let asked = status(&service, "Questions") - asked - own;
        let rows = requests(&endpoints(&report, "mariadb"));
        println!("{mode}: {asked} questions, {rows:?}");
        let first = |name: &str| name.split_whitespace().next().unwrap_or_default().to_owned();
        for ((word, counter), before) in COUNTED.into_iter().zip(before) {
            let counted = status(&service, counter) - before;
            let seen: u64 = rows.iter().filter(|(name, _)| first(name) == word).map(|row| row.1.requests).sum();
            assert_eq!(seen, counted, "{mode}: {word}: {rows:?}");
        }
        let all: u64 = rows.values().map(|counts| counts.requests).sum();
        let prepares = rows.get("PREPARE").map_or(0, |counts| counts.requests);
        // To leave is a question to the server, to prepare is none.
        assert_eq!(all - prepares + THREADS, asked, "{rows:?}");
        assert!(all >= 60_000, "{all}");
        assert_named(&report, "mariadb", &rows);
        assert_clients(&report, THREADS);
    }
}

/// Results that follow each other, errors, commands without a statement, a file from the client; on a connection from before.
#[test]
fn commands_of_the_servers_own_client_are_counted() {
    if !is_long() {
        return;
    }
    need_root();
    let service = prepared();
    let file = service.directory.path().join("rows");
    std::fs::write(&file, (0..100_000).map(|row| format!("{row}\ttext of row {row}\n")).collect::<String>()).unwrap();
    ask(&service, "create table sbtest.t (id int primary key, text varchar(100))");
    ask(&service, "create procedure sbtest.ids() select id from sbtest.sbtest1");
    let recording = record(&service);
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "--force", "--local-infile=1", "-N"]);
    client.args(["-P", &service.port.to_string(), "sbtest", "-e"]);
    let load = format!("load data local infile '{}' into table t;", file.display());
    let statements = format!(
        "{load} call ids(); select `text` from t where id in (1, 2, 3); select count(*) from t; call ids();
         select nothing from t where id = 'secret';"
    );
    // It ends with an error, of its last statement.
    let _status = client.arg(statements).output().unwrap();
    assert_eq!(ask(&service, "select count(*) from sbtest.t").trim(), "100000");
    let report = recording.stop().unwrap();
    let rows = requests(&endpoints(&report, "mariadb"));
    println!("{rows:?}");
    let wanted = [
        ("load data local infile ? into table t", of(1, 0)),
        ("call ids()", of(2, 0)),
        ("select nothing from t where id = ?", of(1, 1)),
        ("select `text` from t where id in (?)", of(1, 0)),
        ("select count(*) from t", of(1, 0)),
        ("select count(*) from sbtest.t", of(1, 0)),
    ];
    for (name, counts) in wanted {
        assert_eq!(rows.get(name), Some(&counts), "{name} of {rows:?}");
    }
    assert_named(&report, "mariadb", &rows);
    assert_clients(&report, 2);
}
