//! `truth-load`: see `acgs_perf_tests::load`. Prints the outcome as JSON.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use acgs_perf_tests::clock;
use acgs_perf_tests::load::{Client, Plan};
use anyhow::{Context, Result};
use clap::Parser;

/// Load with constant arrivals, measured from each request's intended moment.
#[derive(Parser)]
struct Cli {
    /// For example 127.0.0.1:8016.
    #[arg(long)]
    target: SocketAddr,
    /// Requests per second; without it a closed loop.
    #[arg(long)]
    rate: Option<u32>,
    #[arg(long, default_value_t = 8)]
    connections: usize,
    #[arg(long)]
    requests: u64,
    /// Seconds after which to give up.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// Bytes of a request and of a reply.
    #[arg(long, default_value_t = 64)]
    message: usize,
    /// Stay on this CPU.
    #[arg(long)]
    cpu: Option<usize>,
    /// Connect, print `connected`, and begin when a line comes in.
    #[arg(long)]
    hold: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Some(cpu) = cli.cpu {
        clock::pin(cpu).context("pin")?;
    }
    let mut client = Client::connect(cli.target, cli.connections, &vec![b'x'; cli.message], cli.message)?;
    if cli.hold {
        println!("connected");
        io::stdin().read_line(&mut String::new())?;
    }
    let plan = Plan { rate: cli.rate, requests: cli.requests, limit: Duration::from_secs(cli.limit) };
    println!("{}", client.run(plan)?.to_json());
    Ok(())
}
