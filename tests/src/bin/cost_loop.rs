//! `cost-loop`: a bystander that does one thing over and over: a cheap system call, or a switch between two threads.
//!
//! In: what to do, for how long, on which CPU. Out: one line of JSON: iterations, the time that they took, and the time of
//! one in the fastest tenth of short slices, in which nothing else came between.

use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use acgs_perf_tests::clock;
use anyhow::{Context, Result, anyhow};
use clap::{Parser, ValueEnum};
use serde_json::json;

/// Iterations between two looks at the clock.
const BATCH: u64 = 64;
/// Length of a slice.
const SLICE_NS: u64 = 10_000_000;

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
    let timed = match cli.kind {
        Kind::Syscall => timed(duration, || {
            // SAFETY: getppid takes no argument and cannot fail.
            unsafe { libc::syscall(libc::SYS_getppid) };
            Ok(())
        })?,
        Kind::Switch => switches(duration)?,
    };
    let Timed { iterations, elapsed_ns, mut slices } = timed;
    slices.sort_by(f64::total_cmp);
    let fast = slices.get(slices.len() / 10).context("--seconds: too short")?;
    println!("{}", json!({ "iterations": iterations, "elapsed_ns": elapsed_ns, "fast_ns": fast }));
    Ok(())
}

/// What was done.
struct Timed {
    iterations: u64,
    elapsed_ns: u64,
    /// Time of one iteration in each slice, in ns.
    slices: Vec<f64>,
}

/// Does it until the time is over.
fn timed(duration: Duration, mut once: impl FnMut() -> io::Result<()>) -> io::Result<Timed> {
    let start = clock::now();
    let (end, mut iterations, mut slices) = (start + duration.as_nanos() as u64, 0, Vec::new());
    let (mut slice, mut before) = (start, 0);
    loop {
        for _ in 0..BATCH {
            once()?;
        }
        iterations += BATCH;
        let now = clock::now();
        if now - slice >= SLICE_NS {
            slices.push((now - slice) as f64 / (iterations - before) as f64);
            (slice, before) = (now, iterations);
        }
        if now >= end {
            return Ok(Timed { iterations, elapsed_ns: now - start, slices });
        }
    }
}

fn switches(duration: Duration) -> Result<Timed> {
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
