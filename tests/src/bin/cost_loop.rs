//! `cost-loop`: a bystander that does one thing over and over: a cheap system call, or a switch between two threads. Or it
//! only watches how fast its CPU is.
//!
//! In: what to do, for how long, on which CPU. Out: one line of JSON: iterations and the time that they took; the same by
//! slices, each with the time that a fixed piece of arithmetic took around it. That piece makes no system call, so that no
//! hook touches it, and it fills the core's units, so that a neighbour on the same core shows.

use std::arch::asm;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use acgs_perf_tests::clock;
use anyhow::{Context, Result, anyhow};
use clap::{Parser, ValueEnum};
use serde_json::json;

/// Iterations between two looks at the clock.
const BATCH: u64 = 64;
/// Length of a slice, and how often a watcher looks.
const SLICE_NS: u64 = 5_000_000;
const WATCH_NS: u64 = 2_000_000;
/// Steps of the piece of arithmetic: about 8 µs.
const STEPS: u64 = 6_000;

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// getppid.
    Syscall,
    /// A byte to another thread on the same CPU and back, over pipes: two switches.
    Switch,
    /// Nothing but the piece of arithmetic now and then, before all ordinary threads.
    Watch,
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
        Kind::Watch => return watch(duration),
    };
    let Timed { iterations, elapsed_ns, slices } = timed;
    println!("{}", json!({ "iterations": iterations, "elapsed_ns": elapsed_ns, "slices": slices }));
    Ok(())
}

/// What was done.
struct Timed {
    iterations: u64,
    elapsed_ns: u64,
    /// Per slice: iterations per second, and the longer of the times of the piece of arithmetic before and after.
    slices: Vec<(f64, f64)>,
}

/// Does it until the time is over. The piece of arithmetic is not part of it.
fn timed(duration: Duration, mut once: impl FnMut() -> io::Result<()>) -> io::Result<Timed> {
    let (mut iterations, mut elapsed_ns, mut slices) = (0, 0, Vec::new());
    let mut before = speed();
    while elapsed_ns < duration.as_nanos() as u64 {
        let (start, mut count) = (clock::now(), 0);
        let length = loop {
            for _ in 0..BATCH {
                once()?;
            }
            count += BATCH;
            let length = clock::now() - start;
            if length >= SLICE_NS {
                break length;
            }
        };
        let after = speed();
        slices.push((count as f64 * 1e9 / length as f64, before.max(after)));
        before = after;
        iterations += count;
        elapsed_ns += length;
    }
    Ok(Timed { iterations, elapsed_ns, slices })
}

/// Time of the piece of arithmetic in ns: the median of three, so that an interrupt does not count.
fn speed() -> f64 {
    let mut times = [0; 3].map(|_: u64| {
        let start = clock::now();
        let [mut a, mut b, mut c, mut d, mut e, mut f] = [1_u64, 3, 5, 7, 9, 11];
        for _ in 0..STEPS {
            a = a.wrapping_mul(3).wrapping_add(b >> 7);
            b = (b ^ c).wrapping_add(5);
            c = c.wrapping_add(d) ^ (c >> 3);
            d = d.wrapping_add(e << 1);
            e = (e ^ f).wrapping_add(7);
            f = f.wrapping_add(a >> 5);
            // SAFETY: no instruction; the compiler is only kept from knowing the six words, which stay in registers.
            unsafe {
                asm!(
                    "/* {0} {1} {2} {3} {4} {5} */",
                    inout(reg) a,
                    inout(reg) b,
                    inout(reg) c,
                    inout(reg) d,
                    inout(reg) e,
                    inout(reg) f,
                    options(nomem, nostack, preserves_flags)
                );
            }
        }
        black_box([a, b, c, d, e, f]);
        clock::now() - start
    });
    times.sort_unstable();
    times[1] as f64
}

/// Prints when the piece of arithmetic took how long.
fn watch(duration: Duration) -> Result<()> {
    clock::realtime().context("realtime scheduling")?;
    let end = clock::now() + duration.as_nanos() as u64;
    let mut times = Vec::new();
    while clock::now() < end {
        let time = speed();
        times.push((clock::now(), time));
        clock::sleep(WATCH_NS);
    }
    println!("{}", json!({ "times": times }));
    Ok(())
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
