//! Healthy databases and caches.
//!
//! In: the programs of the tests. Out: a server on loopback in a directory of its own, and its load.

use std::process::Command;

use acgs_perf_load::{Messages, redis as protocol};
use acgs_perf_tests::harness::{Service, free_port, run};
use acgs_perf_tests::{postgres, redis};
use anyhow::{Context, Result};

use super::drive::Drive;
use super::running::Running;

/// Commands of a pipeline.
const PIPELINED: usize = 8;
/// The value of the key that is asked for.
const VALUE: &str = "0123456789abcdef";

fn sent(service: Service, messages: Messages) -> Running {
    let drive = Drive::Messages { target: service.address(), messages, is_closing: false };
    Running::new(drive, vec![service])
}

/// SET and GET in turn.
pub fn redis_get_set() -> Result<Running> {
    let commands = [protocol::command(&["SET", "key", VALUE]), protocol::command(&["GET", "key"])];
    Ok(sent(redis::start()?, Messages::rotating(commands.into(), protocol::Redis::default())))
}

/// Eight commands in one write.
pub fn redis_pipelined() -> Result<Running> {
    let commands = protocol::command(&["SET", "key", VALUE]).repeat(PIPELINED);
    Ok(sent(redis::start()?, Messages::fixed(commands, "+OK\r\n".len() * PIPELINED)))
}

/// One key, set again and again.
pub fn memcached() -> Result<Running> {
    let port = free_port()?;
    let mut command = Command::new("memcached");
    command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-u", "nobody", "-t", "2"]);
    let service = Service::start(&mut command, port)?;
    let request = format!("set key 0 0 {}\r\n{VALUE}\r\n", VALUE.len());
    Ok(sent(service, Messages::fixed(request.into_bytes(), "STORED\r\n".len())))
}

fn pgbench(port: u16, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(postgres::programs()?.join("pgbench"));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()]).args(arguments);
    Ok(command)
}

fn select(start: fn(u16) -> Result<Command>) -> Result<Running> {
    let service = postgres::start()?;
    run(pgbench(service.port, &["-i", "-s", "1", "-q"])?.arg("postgres"))?;
    Ok(Running::new(Drive::Pgbench(start, service.port), vec![service]))
}

/// `pgbench -S`, each statement as text.
pub fn pgbench_simple() -> Result<Running> {
    select(|port| pgbench(port, &["-S", "-M", "simple"]))
}

/// `pgbench -S` with prepared statements.
pub fn pgbench_prepared() -> Result<Running> {
    select(|port| pgbench(port, &["-S", "-M", "prepared"]))
}

/// `sysbench oltp_point_select`.
pub fn mariadb() -> Result<Running> {
    let (port, directory) = (free_port()?, tempfile::tempdir()?);
    run(Command::new("chown").arg("mysql:mysql").arg(directory.path()))?;
    let data = format!("--datadir={}", directory.path().join("data").display());
    let mut install = Command::new("mariadb-install-db");
    install.args([
        "--no-defaults",
        "--user=mysql",
        "--skip-test-db",
        "--auth-root-authentication-method=normal",
        &data,
    ]);
    run(&mut install).context("needs `apt-get install mariadb-server sysbench`")?;
    let mut server = Command::new("mariadbd");
    server.args(["--no-defaults", "--user=mysql", "--bind-address=127.0.0.1", &data, &format!("--port={port}")]);
    server.arg(format!("--socket={}", directory.path().join("socket").display()));
    let service = Service::start_in(&mut server, port, directory)?;
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "-h", "127.0.0.1", "-P", &port.to_string(), "-u", "root", "-e"]);
    let users = "create database sbtest; create user bench@'127.0.0.1'; grant all on *.* to bench@'127.0.0.1'";
    run(client.arg(users))?;
    run(sysbench(port).arg("prepare"))?;
    Ok(Running::new(Drive::Sysbench(sysbench, port), vec![service]))
}

fn sysbench(port: u16) -> Command {
    let mut command = Command::new("sysbench");
    command.args(["oltp_point_select", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=bench"]);
    command.args([&format!("--mysql-port={port}"), "--tables=1", "--table-size=1000"]);
    command
}
