//! nginx: one worker that serves a small static file.
//!
//! In: the bench's context. Out: a running victim.

use std::fs;
use std::process::Command;
use std::time::Duration;

use acgs_perf_setup::process::which;
use acgs_perf_tests::harness::free_port;
use acgs_perf_tests::nginx;
use anyhow::{Context as _, Result};

use super::Victim;
use crate::cost::Context;
use crate::cost::load::{self, Done};
use crate::cost::open_loop::OpenLoop;
use crate::cost::others::children;
use crate::cost::rivals::Target;
use crate::cost::service::Service;

const MESSAGE: &[&str] = &["--http", "/file"];

struct Nginx {
    service: Service,
    worker: u32,
    context: Context,
}

/// Starts it.
pub fn start(context: &Context) -> Result<Box<dyn Victim>> {
    let port = free_port()?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().display();
    let http = format!(
        "sendfile on; tcp_nopush on;
         server {{ listen 127.0.0.1:{port}; location / {{ root {path}/www; }} }}"
    );
    let arguments = nginx::arguments(directory.path(), 1, "user root;", &http)?;
    fs::create_dir(directory.path().join("www"))?;
    fs::write(directory.path().join("www/file"), [b'x'; 1024])?;
    let mut command = Command::new(which("nginx").context("nginx is missing; run `cargo xtask setup --tests`")?);
    command.args(arguments);
    let service = Service::start(&command, port, directory, libc::SIGTERM)?;
    let worker = children(service.pid()).first().copied().context("nginx has no worker")?;
    Ok(Box::new(Nginx { service, worker, context: context.clone() }))
}

impl Victim for Nginx {
    fn target(&self) -> Target {
        Target { selector: format!("port:{}", self.service.port()), pid: self.worker, comm: None }
    }

    fn saturate(&mut self) -> Result<Done> {
        let done = load::wrk(&format!("http://{}/file", self.service.address()), 32, self.context.seconds)?;
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
