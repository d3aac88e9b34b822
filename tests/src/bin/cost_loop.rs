//! `cost-loop`: a bystander that does one thing over and over: a cheap system call, or a switch between two threads.
//!
//! In: what to do, for how long, on which CPU. Out: one line of JSON: iterations, and the time that they took.

use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use acgs_perf_tests::clock;
use anyhow::{Context, Result, anyhow};
use clap::{Parser, ValueEnum};
use serde_json::json;

/// Iterations between two looks at the clock.
const BATCH: u64 = 256;

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// getppid.
    Syscall,
    /// A byte to another thread on the same CPU and back, over pipes: two switches.
    Switch,
}

/// A loop of one thing.
#[derive(Parser)]
struct Cli {
    #[arg(value_enum)]
    kind: Kind,
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Stay on this CPU.
    #[arg(long)]
    cpu: usize,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let duration = Duration::try_from_secs_f64(cli.seconds).context("--seconds")?;
    clock::pin(cli.cpu).context("pin")?;
    let (iterations, elapsed) = match cli.kind {
        Kind::Syscall => timed(duration, || {
            // SAFETY: getppid takes no argument and cannot fail.
            unsafe { libc::syscall(libc::SYS_getppid) };
            Ok(())
        })?,
        Kind::Switch => switches(duration)?,
    };
    println!("{}", json!({ "iterations": iterations, "elapsed_ns": elapsed }));
    Ok(())
}

/// Does it until the time is over; how often, and how long that took in ns.
fn timed(duration: Duration, mut once: impl FnMut() -> io::Result<()>) -> io::Result<(u64, u64)> {
    let start = clock::now();
    let (end, mut iterations) = (start + duration.as_nanos() as u64, 0);
    loop {
        for _ in 0..BATCH {
            once()?;
        }
        iterations += BATCH;
        let now = clock::now();
        if now >= end {
            return Ok((iterations, now - start));
        }
    }
}

fn switches(duration: Duration) -> Result<(u64, u64)> {
    let ((mut there, mut send), (mut receive, mut back)) = (io::pipe()?, io::pipe()?);
    // The other thread inherits the CPU; it ends when the pipe to it does.
    let other = thread::spawn(move || -> io::Result<()> {
        let mut byte = [0];
        while there.read(&mut byte)? == 1 {
            back.write_all(&byte)?;
        }
        Ok(())
    });
    let mut byte = [1];
    let result = timed(duration, || {
        send.write_all(&byte)?;
        receive.read_exact(&mut byte)
    })?;
    drop(send);
    other.join().map_err(|_| anyhow!("the other thread panicked"))??;
    Ok(result)
}
