//! `truth-server`: see `acgs_perf_tests::truth`. Prints `listening PORT`; ends on SIGTERM and writes its log then.

use std::net::SocketAddr;
use std::path::PathBuf;

use acgs_perf_load::limits;
use acgs_perf_tests::clock;
use acgs_perf_tests::signal::on_sigterm;
use acgs_perf_tests::truth::log::Shared;
use acgs_perf_tests::truth::script::HELP;
use acgs_perf_tests::truth::server::{BACKLOG, Mode, Options, Stall, listen, serve};
use acgs_perf_tests::truth::{Distribution, Work};
use anyhow::{Context, Result};
use clap::Parser;
use socket2::SockRef;

/// A TCP server that does what its requests say, and logs its own times.
#[derive(Parser)]
#[command(after_help = HELP)]
struct Cli {
    /// 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// `single` is another name of `epoll`.
    #[arg(long, value_enum, default_value = "epoll")]
    mode: Mode,
    /// Threads of a pool.
    #[arg(long, default_value_t = 4)]
    pool: usize,
    /// How drawn service times are spent.
    #[arg(long, value_enum, default_value = "sleep")]
    work: Work,
    /// constant:US, exponential:US, bimodal:US,US,SHARE, lognormal:MEDIAN_US,SIGMA or pareto:MIN_US,ALPHA.
    #[arg(long, default_value = "constant:0")]
    service: Distribution,
    /// Script of requests that bring none.
    #[arg(long, default_value = "")]
    script: String,
    /// Another truth server, as NAME=ADDRESS, that scripts can call.
    #[arg(long, value_parser = peer)]
    peer: Vec<(String, SocketAddr)>,
    /// How long a fault lasts, in µs.
    #[arg(long, default_value_t = 1000)]
    fault: u64,
    /// Where the files are whose disk is waited for.
    #[arg(long)]
    files: Option<PathBuf>,
    /// Stop the event loop, or with --mode threads the thread that accepts connections, for so long from time to time;
    /// LENGTH_MS,EVERY_MS.
    #[arg(long, num_args = 0..=1, default_missing_value = "200,1000")]
    stall: Option<Stall>,
    /// Congestion control of its connections, such as cubic; without it the host's.
    #[arg(long)]
    congestion: Option<String>,
    /// Connections that wait to be accepted.
    #[arg(long, default_value_t = BACKLOG)]
    backlog: i32,
    /// Bytes of a fixed-size request and of its reply.
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

fn peer(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, address) = text.split_once('=').ok_or("want NAME=ADDRESS")?;
    Ok((name.to_owned(), address.parse().map_err(|error| format!("{address}: {error}"))?))
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    limits::raise_open_files().context("raise the limit of open files")?;
    if let Some(cpu) = cli.cpu {
        clock::pin(cpu).context("pin")?;
    }
    if cli.realtime {
        clock::realtime().context("realtime priority")?;
    }
    let log = Shared::default();
    let (at_end, path) = (log.clone(), cli.log);
    let names = cli.peer.iter().map(|(name, _)| name.clone()).collect();
    on_sigterm(move || match path.map_or(Ok(()), |path| at_end.collect(names).write(&path)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("truth-server: write the log: {error}");
            1
        }
    })?;
    let options = Options {
        message: cli.message,
        work: cli.work,
        distribution: cli.service,
        stall: cli.stall,
        script: cli.script,
        peers: cli.peer,
        in_pieces: false,
        fault_ns: cli.fault * 1000,
        directory: cli.files.unwrap_or_else(std::env::temp_dir),
    };
    let listener = listen(cli.port, cli.backlog).context("listen")?;
    if let Some(name) = cli.congestion {
        SockRef::from(&listener).set_tcp_congestion(name.as_bytes()).with_context(|| format!("--congestion {name}"))?;
    }
    println!("listening {}", listener.local_addr()?.port());
    serve(&listener, cli.mode, cli.pool, options, &log).context("serve")
}
