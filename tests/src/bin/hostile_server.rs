//! `hostile-server`: see `acgs_perf_tests::hostile`.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use acgs_perf_load::limits;
use acgs_perf_tests::clock;
use acgs_perf_tests::hostile::Kind;
use acgs_perf_tests::hostile::passing::{pass, take};
use acgs_perf_tests::hostile::server::{play_duets, serve, serve_unix, stay_silent};
use acgs_perf_tests::truth::server::{BACKLOG, listen};
use anyhow::{Context, Result};
use clap::Parser;

/// A server that behaves as a profiler least likes.
#[derive(Parser)]
struct Cli {
    #[arg(value_enum)]
    kind: Kind,
    #[arg(long)]
    port: u16,
    /// Whom it calls.
    #[arg(long)]
    peer: Vec<SocketAddr>,
    /// Connections of a backlog.
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// Listen also on the loopback addresses that follow, so many in all.
    #[arg(long, default_value_t = 1)]
    addresses: u8,
    /// Stay on this CPU.
    #[arg(long)]
    cpu: Option<usize>,
    /// Listen only when a line comes in on standard input.
    #[arg(long)]
    hold: bool,
    /// Answer on a UNIX socket too; who passes sockets on passes them there.
    #[arg(long)]
    unix: Option<PathBuf>,
    /// Ignored: a word for selectors to find in the command line.
    #[arg(long)]
    mark: Option<String>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if cli.kind == Kind::Nothing {
        return Ok(());
    }
    limits::raise_open_files().context("raise the limit of open files")?;
    if let Some(cpu) = cli.cpu {
        clock::pin(cpu).context("pin")?;
    }
    if cli.hold {
        std::io::stdin().read_line(&mut String::new()).context("stdin")?;
    }
    for last in 2..=cli.addresses {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, last], cli.port))).context("listen")?;
        let (kind, peers, count) = (cli.kind, cli.peer.clone(), cli.count);
        std::thread::spawn(move || serve(kind, &listener, &peers, count));
    }
    let listener = listen(cli.port, BACKLOG).context("listen")?;
    if let Some(path) = cli.unix {
        match cli.kind {
            Kind::Passes => return pass(&listener, &path),
            Kind::Takes => std::thread::spawn(move || take(&path)),
            Kind::Duet => std::thread::spawn(move || play_duets(&path)),
            Kind::Silent => std::thread::spawn(move || stay_silent(&path)),
            _ => std::thread::spawn(move || serve_unix(&path)),
        };
    }
    serve(cli.kind, &listener, &cli.peer, cli.count)
}
