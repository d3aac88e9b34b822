//! A PostgreSQL server of the tests' own, on loopback, in a directory that goes away with it.
//!
//! In: the programs of the Debian package. Out: a running service that lets anyone on this host in.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::harness::{Service, free_port, run};

/// Where the newest PostgreSQL lives.
pub fn programs() -> Result<PathBuf> {
    let missing = "PostgreSQL is missing; run `cargo xtask setup --tests`";
    let entries = fs::read_dir("/usr/lib/postgresql").context(missing)?;
    let mut versions: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    versions.retain(|path| path.join("initdb").exists());
    versions.sort();
    versions.pop().context(missing)
}

/// A command as the user whom PostgreSQL insists on; it and its kin refuse to run as root.
pub fn as_postgres(program: &str) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(programs()?.join(program));
    command.current_dir("/");
    Ok(command)
}

/// A new database in a directory of its own, and the command that serves it on this port. SIGINT is PostgreSQL's fast shutdown.
pub fn prepare(port: u16) -> Result<(Command, TempDir)> {
    let directory = tempfile::tempdir()?;
    run(Command::new("chown").arg("postgres:postgres").arg(directory.path()))?;
    let data = directory.path().join("data");
    let mut create = as_postgres("initdb")?;
    run(create.args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"]).arg(&data))?;
    let mut server = as_postgres("postgres")?;
    server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    server.args(["-c", "fsync=off", "-c", "autovacuum=off", "-k"]).arg(directory.path());
    Ok((server, directory))
}

/// Starts one.
pub fn start() -> Result<Service> {
    let port = free_port()?;
    let (mut server, directory) = prepare(port)?;
    Ok(Service::start_in(&mut server, port, directory)?.ends_on(libc::SIGINT))
}
