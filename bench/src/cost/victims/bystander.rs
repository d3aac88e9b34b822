//! Bystanders: loops that nobody records, while a Redis that has nothing to do is recorded.
//!
//! In: the bench's context. Out: a victim whose iterations are counted.

use std::process::Command;
use std::time::Duration;

use acgs_perf_tests::harness::run_within;
use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Victim, redis};
use crate::cost::Context;
use crate::cost::load::Done;
use crate::cost::rivals::Target;
use crate::cost::service::Service;
use crate::placement::SERVER_CPU;

struct Bystander {
    recorded: Service,
    kind: &'static str,
    context: Context,
}

/// A loop of system calls.
pub fn syscalls(context: &Context) -> Result<Box<dyn Victim>> {
    start(context, "syscall")
}

/// A loop of context switches.
pub fn switches(context: &Context) -> Result<Box<dyn Victim>> {
    start(context, "switch")
}

fn start(context: &Context, kind: &'static str) -> Result<Box<dyn Victim>> {
    Ok(Box::new(Bystander { recorded: redis::server()?, kind, context: context.clone() }))
}

impl Victim for Bystander {
    fn target(&self) -> Target {
        redis::target(&self.recorded)
    }

    fn saturate(&mut self) -> Result<Done> {
        // A few requests, so that each tool has something to show that it measured.
        redis::gets(&self.recorded, 50)?;
        let seconds = self.context.seconds.to_string();
        let mut command = Command::new(&self.context.bystander);
        command.args([self.kind, "--seconds", &seconds, "--cpu", &SERVER_CPU.to_string()]);
        let text = run_within(&mut command, Duration::from_secs(u64::from(self.context.seconds) + 20))?;
        let value: Value = serde_json::from_str(&text).context("what the loop printed")?;
        let number = |name: &str| value[name].as_u64().with_context(|| format!("the loop printed no {name}"));
        let (count, elapsed_ns) = (number("iterations")?, number("elapsed_ns")?);
        let slices = serde_json::from_value(value["slices"].clone()).context("the loop's slices")?;
        Ok(Done { count, rate: count as f64 * 1e9 / elapsed_ns as f64, slices })
    }

    fn is_recorded(&self) -> bool {
        false
    }

    fn cpu_time(&self) -> Option<Duration> {
        None
    }
}
