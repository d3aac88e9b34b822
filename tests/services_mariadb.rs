//! MariaDB under `sysbench`: each statement is a request, and what a client says as it leaves is none.
//!
//! Both, which few have at hand, run with `ACGS_PERF_LONG` in the environment.

use std::process::Command;

use acgs_perf_tests::harness::{Service, free_port, is_long, need_root, run};
use acgs_perf_tests::recording::Recorder;

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

fn sysbench(service: &Service, task: &[&str]) -> String {
    let mut command = Command::new("sysbench");
    command.args(["oltp_point_select", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=bench"]);
    command.args([
        &format!("--mysql-port={}", service.port),
        "--tables=1",
        "--table-size=1000",
        &format!("--threads={THREADS}"),
    ]);
    run(command.args(task)).unwrap()
}

#[test]
fn statements_are_requests_and_farewells_are_none() {
    if !is_long() {
        return;
    }
    need_root();
    let service = mariadb();
    ask(&service, "create database sbtest; create user bench@'127.0.0.1'; grant all on *.* to bench@'127.0.0.1'");
    sysbench(&service, &["prepare"]);
    let executed = status(&service, "Com_stmt_execute");
    let recording = Recorder::new("mariadb", &format!("port:{}", service.port)).start().unwrap();
    let text = sysbench(&service, &[&format!("--events={EVENTS}"), "--time=0", "run"]);
    let report = recording.stop().unwrap();
    assert!(text.contains(&format!("total number of events:              {EVENTS}\n")), "{text}");
    assert_eq!(status(&service, "Com_stmt_execute") - executed, EVENTS);
    // Each thread logs in and prepares its statement before.
    report.assert_exact("mariadb", EVENTS + 2 * THREADS);
    let count = |pointer: &str| report.service("mariadb").pointer(pointer).map_or(0, |count| count.as_u64().unwrap());
    let farewells = count("/kinds/farewell");
    assert_eq!(farewells, THREADS);
    let fates = ["unread", "in_service", "abandoned"].map(|fate| count(&format!("/fates/{fate}/count")));
    assert_eq!((fates, count("/fates/cut_off")), ([0; 3], 0));
}
