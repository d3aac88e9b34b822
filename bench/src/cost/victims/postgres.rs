//! PostgreSQL under `pgbench -S`: one simple query per transaction, a process per connection.
//!
//! In: the bench's context. Out: a running victim.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::Victim;
use crate::cost::Context;
use crate::cost::load::{self, Done, Steady};
use crate::cost::rivals::Target;
use crate::cost::service::{Service, free_port};

struct Postgres {
    service: Service,
    context: Context,
}

fn program(name: &str) -> Result<PathBuf> {
    let missing = "PostgreSQL is missing; run `cargo xtask setup --tests`";
    let entries = fs::read_dir("/usr/lib/postgresql").context(missing)?;
    let mut versions: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    versions.retain(|path| path.join("initdb").exists());
    versions.sort();
    Ok(versions.pop().context(missing)?.join(name))
}

/// A command as the user whom PostgreSQL insists on; it refuses to run as root.
fn as_postgres(name: &str) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program(name)?).current_dir("/");
    Ok(command)
}

/// Starts it with the tables of pgbench at scale 1.
pub fn start(context: &Context) -> Result<Box<dyn Victim>> {
    let limit = Duration::from_secs(60);
    let port = free_port()?;
    let directory = tempfile::tempdir()?;
    load::run(Command::new("chown").arg("postgres:postgres").arg(directory.path()), limit)?;
    let data = directory.path().join("data");
    let mut create = as_postgres("initdb")?;
    load::run(create.args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"]).arg(&data), limit)?;
    let mut server = as_postgres("postgres")?;
    server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    server.args(["-c", "fsync=off", "-c", "autovacuum=off", "-k"]).arg(directory.path());
    // SIGINT is PostgreSQL's fast shutdown.
    let service = Service::start(&server, port, directory, libc::SIGINT)?;
    let postgres = Postgres { service, context: context.clone() };
    load::run(postgres.pgbench(&["-i", "-s", "1", "-q"])?.arg("postgres"), limit)?;
    Ok(Box::new(postgres))
}

impl Postgres {
    fn pgbench(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = load::command(program("pgbench")?);
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.service.port.to_string()]).args(arguments);
        Ok(command)
    }
}

impl Victim for Postgres {
    fn target(&self) -> Target {
        Target { selector: format!("port:{}", self.service.port), pid: self.service.pid(), comm: Some("postgres") }
    }

    fn saturate(&mut self) -> Result<Done> {
        let seconds = self.context.seconds.to_string();
        let mut pgbench = self.pgbench(&["-S", "-n", "-c", "4", "-T", &seconds])?;
        let limit = Duration::from_secs(u64::from(self.context.seconds) + 30);
        load::parse_pgbench(&load::run(pgbench.arg("postgres"), limit)?)
    }

    fn steady(&mut self, rate: f64, seconds: f64) -> Result<Option<Steady>> {
        let logs: TempDir = tempfile::tempdir()?;
        let prefix = logs.path().join("log");
        let (rate, seconds) = (format!("{rate:.0}"), (seconds.ceil() as u32).to_string());
        let mut pgbench = self.pgbench(&["-S", "-n", "-c", "4", "-T", &seconds, "--rate", &rate, "--log"])?;
        pgbench.arg("--log-prefix").arg(&prefix).arg("postgres");
        let done = load::parse_pgbench(&load::run(&mut pgbench, Duration::from_secs(60))?)?;
        let mut log = String::new();
        for entry in fs::read_dir(logs.path())? {
            log.push_str(&fs::read_to_string(entry?.path())?);
        }
        Ok(Some(Steady { count: done.count, rate: done.rate, p99_ns: load::pgbench_p99(&log)? }))
    }

    fn cpu_time(&self) -> Option<Duration> {
        self.service.cpu_time()
    }
}
