//! PostgreSQL under `pgbench -S`: one simple query per transaction, a process per connection.
//!
//! In: the bench's context. Out: a running victim.

use std::process::Command;
use std::time::Duration;

use acgs_perf_tests::harness::{free_port, run_within};
use acgs_perf_tests::postgres;
use anyhow::Result;

use super::Victim;
use crate::cost::Context;
use crate::cost::load::{self, Done};
use crate::cost::open_loop::OpenLoop;
use crate::cost::rivals::Target;
use crate::cost::service::Service;

struct Postgres {
    service: Service,
    context: Context,
}

/// Starts it with the tables of pgbench at scale 1.
pub fn start(context: &Context) -> Result<Box<dyn Victim>> {
    let limit = Duration::from_secs(60);
    let port = free_port()?;
    let (server, directory) = postgres::prepare(port)?;
    let service = Service::start(&server, port, directory, libc::SIGINT)?;
    let victim = Postgres { service, context: context.clone() };
    run_within(victim.pgbench(&["-i", "-s", "1", "-q"])?.arg("postgres"), limit)?;
    Ok(Box::new(victim))
}

impl Postgres {
    fn pgbench(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = load::command(postgres::programs()?.join("pgbench"));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.service.port().to_string()]).args(arguments);
        Ok(command)
    }
}

impl Victim for Postgres {
    fn target(&self) -> Target {
        Target { selector: format!("port:{}", self.service.port()), pid: self.service.pid(), comm: Some("postgres") }
    }

    fn saturate(&mut self) -> Result<Done> {
        let seconds = self.context.seconds.to_string();
        let mut pgbench = self.pgbench(&["-S", "-n", "-c", "4", "-T", &seconds])?;
        let limit = Duration::from_secs(u64::from(self.context.seconds) + 30);
        load::parse_pgbench(&run_within(pgbench.arg("postgres"), limit)?)
    }

    fn begin(&self, rate: f64, seconds: f64) -> Result<Option<OpenLoop>> {
        OpenLoop::begin_pgbench(self.pgbench(&[])?, rate, seconds).map(Some)
    }

    fn cpu_time(&self) -> Option<Duration> {
        self.service.cpu_time()
    }
}
