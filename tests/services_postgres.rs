//! PostgreSQL under `pgbench`: exact by difference.
//!
//! A `pgbench` connection begins with some messages of its own (start-up, authentication, questions to the catalogue),
//! which are the same for every run with as many connections. So two runs over C connections, with T and 2T transactions
//! of one simple query each, must differ by exactly C × T requests.

use std::process::Command;

use acgs_perf_tests::harness::{Service, need_root, run};
use acgs_perf_tests::postgres::{programs, start};
use acgs_perf_tests::recording::Recorder;

const CONNECTIONS: u64 = 4;
const TRANSACTIONS: u64 = 5_000;

fn pgbench(port: u16, arguments: &[&str]) -> String {
    let mut command = Command::new(programs().unwrap().join("pgbench"));
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
    let service = start().unwrap();
    pgbench(service.port, &["-i", "-s", "1", "-q"]);
    let (once, twice) = (recorded(&service, TRANSACTIONS), recorded(&service, 2 * TRANSACTIONS));
    assert_eq!(twice - once, CONNECTIONS * TRANSACTIONS, "{once} and {twice} requests");
    let handshake = once - CONNECTIONS * TRANSACTIONS;
    assert!((1..=40).contains(&handshake), "{handshake} requests beside the transactions");
}
