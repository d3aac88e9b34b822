//! `truth-server`: see `acgs_perf_tests::truth`. Prints `listening PORT`; ends on SIGTERM and writes its log then.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use acgs_perf_tests::clock;
use acgs_perf_tests::signal::on_sigterm;
use acgs_perf_tests::truth::server::{Options, Shared, Stall, single, threads};
use acgs_perf_tests::truth::{Distribution, Work};
use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Single,
    Threads,
}

/// A TCP server that logs its own times.
#[derive(Parser)]
struct Cli {
    /// 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[arg(long, value_enum, default_value = "single")]
    mode: Mode,
    #[arg(long, value_enum, default_value = "sleep")]
    work: Work,
    /// constant:US, exponential:US or bimodal:US,US,SHARE.
    #[arg(long, default_value = "constant:0")]
    service: Distribution,
    /// Stop the single thread for 200 ms once a second.
    #[arg(long)]
    stall: bool,
    /// Bytes of a request and of a reply.
    #[arg(long, default_value_t = 64)]
    message: usize,
    /// Where the log goes.
    #[arg(long)]
    log: Option<PathBuf>,
    /// Stay on this CPU.
    #[arg(long)]
    cpu: Option<usize>,
    /// Run before all ordinary threads; needs root.
    #[arg(long)]
    realtime: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let log = Shared::default();
    if let Some(cpu) = cli.cpu {
        clock::pin(cpu).context("pin")?;
    }
    if cli.realtime {
        clock::realtime().context("realtime priority")?;
    }
    let (at_end, path) = (Arc::clone(&log), cli.log);
    on_sigterm(move || {
        let log = at_end.lock().unwrap_or_else(PoisonError::into_inner);
        match path.map_or(Ok(()), |path| log.write(&path)) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("truth-server: write the log: {error}");
                1
            }
        }
    })?;
    let stall = cli.stall.then_some(Stall { length_ns: 200_000_000, every_ns: 1_000_000_000 });
    let options = Options { message: cli.message, work: cli.work, distribution: cli.service, stall };
    let listener = TcpListener::bind(("127.0.0.1", cli.port)).context("bind")?;
    println!("listening {}", listener.local_addr()?.port());
    match cli.mode {
        Mode::Single => single(&listener, options, &log),
        Mode::Threads => threads(&listener, options, &log),
    }
    .context("serve")
}
