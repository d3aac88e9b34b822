//! `truth-load`: see `acgs_perf_tests::truth::load`, and `clients` beside it. Prints the outcome as JSON; exit code 1 when a reply never came.

use std::io;

use acgs_perf_load::{limits, log};
use acgs_perf_tests::clock;
use acgs_perf_tests::score::modes::named;
use acgs_perf_tests::score::seen::truth;
use acgs_perf_tests::truth::clients;
use acgs_perf_tests::truth::load::Options;
use anyhow::{Context, Result, bail};
use clap::Parser;

fn main() -> Result<()> {
    let options = Options::parse();
    limits::raise_open_files().context("raise the limit of open files")?;
    if let Some(cpu) = options.cpu {
        clock::pin(cpu).context("pin")?;
    }
    if let (Some(name), Some(requests)) = (&options.clients, options.requests) {
        let outcome = clients::run(options.target, &named(name)?.crowd, requests)?;
        println!("{}", truth(&outcome, None, clock::realtime_now()).to_json());
        return Ok(());
    }
    let (load, mut client) = (options.load()?, options.client()?);
    client.open()?;
    if options.hold {
        println!("connected");
        io::stdin().read_line(&mut String::new())?;
    }
    let outcome = client.load(&load)?;
    println!("{}", outcome.to_json());
    if let Some(path) = &options.log {
        log::write(path, &outcome.log).with_context(|| format!("write {}", path.display()))?;
    }
    if outcome.unanswered() > 0 {
        bail!("{} of {} requests were not answered within {:?}", outcome.unanswered(), outcome.sent, load.limit);
    }
    Ok(())
}
