//! `truth-waits`: waits of known length and number, to be found again in the agent's histograms.
//!
//! In: a kind of wait; it begins when a line comes in on standard input, and it ends at the next line. Out: `ready`, and
//! after the waits one JSON line of what it measured itself.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use acgs_perf_tests::clock;
use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use serde_json::json;

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Sleep,
    Futex,
    Epoll,
    Fsync,
    /// Keeps its CPU busy for `ns`, `count` times.
    Spin,
    /// Does nothing, and ends with `count` as its exit code.
    Exit,
}

/// Waits of known length.
#[derive(Parser)]
struct Cli {
    #[arg(value_enum)]
    kind: Kind,
    #[arg(long, default_value_t = 50)]
    count: u64,
    #[arg(long, default_value_t = 5_000_000)]
    ns: u64,
    /// Stay on this CPU.
    #[arg(long)]
    cpu: Option<usize>,
    /// Where `fsync` writes.
    #[arg(long)]
    file: Option<PathBuf>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if matches!(cli.kind, Kind::Exit) {
        std::process::exit(i32::try_from(cli.count)?);
    }
    clock::no_timer_slack();
    if let Some(cpu) = cli.cpu {
        clock::pin(cpu).context("pin")?;
    }
    let mut wait = prepare(&cli)?;
    println!("ready");
    line()?;
    let ([cpu, delay], start) = (schedstat()?, clock::now());
    let mut times = Vec::with_capacity(cli.count as usize);
    let (mut voluntary, mut involuntary) = (0, 0);
    for _ in 0..cli.count {
        let (before, switches_before) = (clock::now(), switches());
        wait()?;
        let (after, switches_after) = (clock::now(), switches());
        times.push(after - before);
        voluntary += switches_after.0 - switches_before.0;
        involuntary += switches_after.1 - switches_before.1;
    }
    let elapsed = clock::now() - start;
    let [cpu, delay] = [schedstat()?[0] - cpu, schedstat()?[1] - delay];
    times.sort_unstable();
    let sum: u64 = times.iter().sum();
    let own = json!({
        "elapsed_ns": elapsed, "cpu_ns": cpu, "run_delay_ns": delay, "sum_ns": sum, "times_ns": times,
        "voluntary": voluntary, "involuntary": involuntary,
    });
    println!("{own}");
    line()
}

fn line() -> Result<()> {
    io::stdin().read_line(&mut String::new()).map(drop).context("stdin")
}

/// Times that this thread gave up its CPU: because it blocked, and because it was preempted; the kernel's own count.
fn switches() -> (u64, u64) {
    // SAFETY: an all-zero rusage is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for writing.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    (usage.ru_nvcsw as u64, usage.ru_nivcsw as u64)
}

/// Time on a CPU, and on the run queue, as the kernel itself counts them.
fn schedstat() -> Result<[u64; 2]> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let mut words = text.split_whitespace();
    let mut next = || -> Result<u64> { Ok(words.next().context("schedstat")?.parse()?) };
    Ok([next()?, next()?])
}

fn prepare(cli: &Cli) -> Result<Box<dyn FnMut() -> Result<()>>> {
    let ns = cli.ns;
    Ok(match cli.kind {
        Kind::Sleep => Box::new(move || {
            clock::sleep(ns);
            Ok(())
        }),
        Kind::Spin => Box::new(move || {
            clock::spin(ns);
            Ok(())
        }),
        Kind::Exit => bail!("ends before it waits"),
        Kind::Futex => Box::new(move || futex(ns)),
        Kind::Epoll => {
            // SAFETY: epoll_create1 takes one integer.
            let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
            ensure!(epoll >= 0, "epoll_create1: {}", io::Error::last_os_error());
            let milliseconds = (ns / 1_000_000) as i32;
            Box::new(move || {
                // SAFETY: room for one event is given; the set is empty, so none is written.
                let mut event = libc::epoll_event { events: 0, u64: 0 };
                // SAFETY: `event` is valid for one entry.
                match unsafe { libc::epoll_wait(epoll, &mut event, 1, milliseconds) } {
                    0 => Ok(()),
                    _ => bail!("epoll_wait: {}", io::Error::last_os_error()),
                }
            })
        }
        Kind::Fsync => {
            let path = cli.file.clone().context("--file is missing")?;
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
            Box::new(move || {
                file.write_all(&[7; 16 * 1024])?;
                Ok(file.sync_all()?)
            })
        }
    })
}

fn futex(ns: u64) -> Result<()> {
    let (word, time) = (0u32, clock::timespec(ns));
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: `word` holds the expected value and nobody wakes it, so the call lasts until the time-out.
    let status = unsafe { libc::syscall(libc::SYS_futex, &word, operation, 0u32, &time) };
    let error = io::Error::last_os_error();
    ensure!(status == -1 && error.raw_os_error() == Some(libc::ETIMEDOUT), "futex: {status} {error}");
    Ok(())
}
