//! Redis, saturated by redis-benchmark.
//!
//! In: the bench's context. Out: a running victim. redis-benchmark takes a number of requests, not a time: a short run
//! before tells how many take as long as is wanted, whatever slows it down.

use std::process::Command;
use std::time::Duration;

use acgs_perf_tests::harness::{free_port, run_within};
use acgs_perf_tests::redis;
use anyhow::Result;

use super::Victim;
use crate::cost::Context;
use crate::cost::load::{self, Done};
use crate::cost::open_loop::OpenLoop;
use crate::cost::rivals::Target;
use crate::cost::service::Service;
use crate::redis::{load as benchmark, rate};

/// GETs of the short run.
const PROBE: u64 = 4_000;
/// A key that is not there, as in redis-benchmark's own GET: the reply is `$-1`.
const MESSAGE: &[&str] = &["--send", "*2\\r\\n$3\\r\\nGET\\r\\n$7\\r\\nkey:000\\r\\n", "--reply", "5"];

struct Redis {
    service: Service,
    context: Context,
}

/// A server of its own, on its CPU.
pub fn server() -> Result<Service> {
    let port = free_port()?;
    Service::start(&redis::command(port), port, tempfile::tempdir()?, libc::SIGTERM)
}

/// Starts it.
pub fn start(context: &Context) -> Result<Box<dyn Victim>> {
    Ok(Box::new(Redis { service: server()?, context: context.clone() }))
}

/// What is recorded of a Redis.
pub fn target(service: &Service) -> Target {
    Target { selector: format!("port:{}", service.port()), pid: service.pid(), comm: None }
}

/// A closed loop of GETs.
pub fn gets(service: &Service, count: u64) -> Result<Done> {
    let words = benchmark(service.port(), count);
    let text = run_within(Command::new(&words[0]).args(&words[1..]), Duration::from_secs(60))?;
    Ok(Done { count, rate: rate(&text)?, slices: Vec::new() })
}

impl Victim for Redis {
    fn target(&self) -> Target {
        target(&self.service)
    }

    fn saturate(&mut self) -> Result<Done> {
        let probe = gets(&self.service, PROBE)?;
        let count = match self.context.requests {
            Some(count) => count,
            None => (probe.rate * f64::from(self.context.seconds)) as u64,
        };
        let done = gets(&self.service, count.max(PROBE))?;
        let (more, slices) = load::sliced(&self.context, self.service.address(), MESSAGE)?;
        Ok(Done { count: probe.count + done.count + more, rate: done.rate, slices })
    }

    fn begin(&self, rate: f64, seconds: f64) -> Result<Option<OpenLoop>> {
        let address = self.service.address().to_string();
        OpenLoop::begin(&self.context.load, &address, MESSAGE, rate, seconds).map(Some)
    }

    fn cpu_time(&self) -> Option<Duration> {
        self.service.cpu_time()
    }
}
