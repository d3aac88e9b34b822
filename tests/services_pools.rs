//! pgbouncer with a pool of two connections and forty clients: what its clients wait for is a connection, as long as it says itself.
//!
//! pgbouncer, which few have at hand, runs with `ACGS_PERF_LONG` in the environment.

use std::fs;
use std::process::Command;

use acgs_perf_tests::harness::{Service, free_port, is_long, need_root, run};
use acgs_perf_tests::postgres::{as_postgres, programs, start};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::tries::{near, one_of_three};

const CLIENTS: u64 = 40;
const EACH: u64 = 25;

fn pgbouncer(postgres: &Service) -> Service {
    let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    let file = directory.path().join("pgbouncer.ini");
    let configuration = format!(
        "[databases]\npostgres = host=127.0.0.1 port={} dbname=postgres user=postgres\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = transaction\ndefault_pool_size = 2\nadmin_users = postgres\ntcp_defer_accept = 0\n",
        postgres.port
    );
    fs::write(&file, configuration).unwrap();
    run(Command::new("chown").arg("-R").arg("postgres:postgres").arg(directory.path())).unwrap();
    let mut command = as_postgres("/usr/sbin/pgbouncer").unwrap();
    Service::start_in(command.arg(file), port, directory).expect("needs `apt-get install pgbouncer`")
}

/// For how long its clients have waited for a connection, as it says.
fn waited_ns(pgbouncer: &Service) -> u64 {
    let mut psql = Command::new(programs().unwrap().join("psql"));
    psql.args(["-h", "127.0.0.1", "-p", &pgbouncer.port.to_string(), "-U", "postgres", "-A", "-F", " ", "pgbouncer"]);
    let text = run(psql.args(["-c", "SHOW STATS"])).unwrap();
    let mut lines = text.lines().map(|line| line.split(' '));
    let at = lines.next().unwrap().position(|name| name == "total_wait_time").expect("a column");
    let mut postgres = lines.find(|line| line.clone().next() == Some("postgres")).expect("a line");
    postgres.nth(at).unwrap().parse::<u64>().unwrap() * 1_000
}

#[test]
fn who_waits_for_a_connection_of_the_pool_is_told_so() {
    if !is_long() {
        return;
    }
    need_root();
    let postgres = start().unwrap();
    let pgbouncer = pgbouncer(&postgres);
    let script = pgbouncer.directory.path().join("script");
    fs::write(&script, "select pg_sleep(0.005);\n").unwrap();
    let pgbench = || {
        let mut command = Command::new(programs().unwrap().join("pgbench"));
        command
            .args(["-n", "-h", "127.0.0.1", "-U", "postgres", "-p", &pgbouncer.port.to_string()])
            .arg("-f")
            .arg(&script);
        run(command.args(["-c", &CLIENTS.to_string(), "-t", &EACH.to_string(), "postgres"])).unwrap()
    };
    pgbench(); // which fills the pool
    one_of_three(|_| {
        let before = waited_ns(&pgbouncer);
        let recording = Recorder::new("pool", &format!("port:{}", pgbouncer.port)).start().unwrap();
        pgbench();
        let report = recording.stop().unwrap();
        let truth = waited_ns(&pgbouncer) - before;
        report.assert_nothing_lost(CLIENTS * EACH);
        let rows = report.service("pool")["attribution"]["rows"].as_array().unwrap();
        let said: u64 = rows.iter().filter_map(|row| row["component_ns"]["connection_wait"].as_u64()).sum();
        println!("pgbouncer {truth} ns, said {said} ns, {} requests", report.requests("pool"));
        assert!(truth > 10_000_000_000, "there was always a connection: {truth}");
        let peers = &report.service("pool")["downstream"];
        assert!(peers[0]["calls"].as_u64() >= Some(CLIENTS * EACH), "{peers}");
        near(said.abs_diff(truth) * 10 < truth, || format!("said {said} ns, pgbouncer {truth} ns"))?;
        let tail = report.service("pool")["tail"]["sentence"].as_str().unwrap();
        near(tail.contains("waiting for a free connection to a peer"), || tail.to_owned())?;
        near(report.found("tail_connection_wait"), || format!("{:?}", report.0["findings"].as_array().map(Vec::len)))
    });
}
