//! PostgreSQL under `pgbench`: exact by difference.
//!
//! A `pgbench` connection begins with some messages of its own (start-up, authentication, questions to the catalogue),
//! which are the same for every run with as many connections. So two runs over C connections, with T and 2T transactions
//! of one simple query each, must differ by exactly C × T requests.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use acgs_perf_tests::harness::{Service, free_port, need_root, run};
use acgs_perf_tests::recording::Recorder;

const CONNECTIONS: u64 = 4;
const TRANSACTIONS: u64 = 5_000;

fn programs() -> PathBuf {
    let entries = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is missing; run `cargo xtask setup --tests`");
    let mut versions: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path().join("bin")).collect();
    versions.retain(|path| path.join("initdb").exists());
    versions.sort();
    versions.pop().expect("initdb is missing; run `cargo xtask setup --tests`")
}

/// A command as the user whom PostgreSQL insists on; it refuses to run as root.
fn as_postgres(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(programs().join(program));
    command.current_dir("/");
    command
}

fn postgres() -> Service {
    let port = free_port().unwrap();
    let directory = tempfile::tempdir().unwrap();
    run(Command::new("chown").arg("postgres:postgres").arg(directory.path())).unwrap();
    let data = directory.path().join("data");
    run(as_postgres("initdb").args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"]).arg(&data))
        .unwrap();
    let mut server = as_postgres("postgres");
    server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    server.args(["-c", "fsync=off", "-c", "autovacuum=off", "-k"]).arg(directory.path());
    // SIGINT is PostgreSQL's fast shutdown.
    let service = Service::start_in(&mut server, port, directory).unwrap().ends_on(libc::SIGINT);
    pgbench(port, &["-i", "-s", "1", "-q"]);
    service
}

fn pgbench(port: u16, arguments: &[&str]) -> String {
    let mut command = Command::new(programs().join("pgbench"));
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres"]).args(arguments).arg("postgres");
    run(&mut command).unwrap()
}

fn recorded(service: &Service, transactions: u64) -> u64 {
    let recording = Recorder::new("postgres", &format!("port:{}", service.port)).start().unwrap();
    let (clients, each) = (CONNECTIONS.to_string(), transactions.to_string());
    let text = pgbench(service.port, &["-S", "-n", "-M", "simple", "-c", &clients, "-t", &each]);
    let wanted = format!("{0}/{0}", transactions * CONNECTIONS);
    assert!(text.contains(&wanted), "{text}");
    let report = recording.stop().unwrap();
    assert!(report.losses().is_empty(), "{:?}", report.losses());
    report.requests("postgres")
}

#[test]
fn twice_the_transactions_are_exactly_as_many_requests_more() {
    need_root();
    let service = postgres();
    let (once, twice) = (recorded(&service, TRANSACTIONS), recorded(&service, 2 * TRANSACTIONS));
    assert_eq!(twice - once, CONNECTIONS * TRANSACTIONS, "{once} and {twice} requests");
    let handshake = once - CONNECTIONS * TRANSACTIONS;
    assert!((1..=40).contains(&handshake), "{handshake} requests beside the transactions");
}
