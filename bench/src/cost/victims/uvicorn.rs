//! FastAPI on uvicorn with uvloop: the application of the service tests.
//!
//! In: the bench's context. Out: a running victim.

use std::process::Command;
use std::time::Duration;

use acgs_perf_tests::harness::{fixture, free_port, python};
use anyhow::Result;

use super::Victim;
use crate::cost::Context;
use crate::cost::load::{self, Done};
use crate::cost::open_loop::OpenLoop;
use crate::cost::rivals::Target;
use crate::cost::service::Service;

const MESSAGE: &[&str] = &["--http", "/"];

struct Uvicorn {
    service: Service,
    context: Context,
}

/// Starts it.
pub fn start(context: &Context) -> Result<Box<dyn Victim>> {
    let port = free_port()?;
    let mut command = Command::new(python("uvicorn")?);
    command.args(["app:app", "--app-dir"]).arg(fixture(""));
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--loop", "uvloop", "--http", "httptools"]);
    command.args(["--no-access-log", "--log-level", "warning"]);
    let service = Service::start(&command, port, tempfile::tempdir()?, libc::SIGTERM)?;
    Ok(Box::new(Uvicorn { service, context: context.clone() }))
}

impl Victim for Uvicorn {
    fn target(&self) -> Target {
        Target { selector: format!("port:{}", self.service.port()), pid: self.service.pid(), comm: None }
    }

    fn saturate(&mut self) -> Result<Done> {
        let done = load::wrk(&format!("http://{}/", self.service.address()), 16, self.context.seconds)?;
        let (more, slices) = load::sliced(&self.context, self.service.address(), MESSAGE)?;
        Ok(Done { count: done.count + more, rate: done.rate, slices })
    }

    fn begin(&self, rate: f64, seconds: f64) -> Result<Option<OpenLoop>> {
        let address = self.service.address().to_string();
        OpenLoop::begin(&self.context.load, &address, MESSAGE, rate, seconds).map(Some)
    }

    fn cpu_time(&self) -> Option<Duration> {
        self.service.cpu_time()
    }
}
