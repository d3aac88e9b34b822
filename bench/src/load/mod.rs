//! `bench load`: `acgs-perf load` beside `wrk`, `ab` and `hey`, each a closed loop over as many connections to the same nginx.
//!
//! In: how many rounds, how long. Out: a table of rates and percentiles in Markdown; failure when a median over the rounds is further than
//! 2 % or 20 µs from that of `wrk` or `ab`; `hey` is only shown. In a closed loop all of them measure from the sending of a request to the end of its reply. nginx
//! answers at once, so that the tools are compared by their own speed; and it waits for a backend that sleeps, so that all have the same rate.

mod tools;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use acgs_perf_setup as setup;
use acgs_perf_setup::process::which;
use acgs_perf_tests::harness::{Service, free_port, program};
use acgs_perf_tests::nginx;
use anyhow::{Result, ensure};

use crate::placement::SERVER_CPU;
use crate::prepare;
use crate::statistics::{Median, Shuffle};
use tools::{Measured, QUANTILES, Tool};

/// Two tools agree within this part of what the other says, or this many µs.
const PART: f64 = 0.02;
const LEAST_US: f64 = 20.0;
/// What is served, and over how many connections.
const SHAPES: [(&str, &str, u32); 2] = [("at once", "/", 1), ("a backend that sleeps 5 ms", "/sleep/5", 4)];

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Runs of each tool, in an order drawn by chance.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// The whole task.
pub fn load(options: &Options) -> Result<()> {
    prepare::need_programs(&["nginx", "wrk", "ab", "taskset"])?;
    let agent = prepare::agent_and_programs(false)?;
    let backend_port = free_port()?;
    let mut command = Command::new(program("cause-server"));
    let _backend = Service::start(command.args(["--port", &backend_port.to_string()]), backend_port)?;
    let server = server(backend_port)?;
    let mut tools = vec![Tool::Ours(agent), Tool::Wrk, Tool::Ab];
    if which("hey").is_none() {
        setup::try_install("hey");
    }
    tools.extend(which("hey").map(|_| Tool::Hey));
    println!("| nginx answers | connections | tool | requests/s | p50 µs | p90 µs | p99 µs |");
    println!("|---|---:|---|---:|---:|---:|---:|");
    let (mut shuffle, mut wrong) = (Shuffle::new(1), Vec::new());
    for (what, place, connections) in SHAPES {
        let url = format!("http://127.0.0.1:{}{place}", server.port);
        let mut runs = BTreeMap::<&str, Vec<Measured>>::new();
        for round in 1..=options.rounds {
            eprintln!("{what}: round {round} of {}", options.rounds);
            for tool in shuffle.order(tools.iter().collect()) {
                let measured = tool.run(&url, connections, Duration::from_secs(options.seconds))?;
                runs.entry(tool.name()).or_default().push(measured);
            }
        }
        for tool in &tools {
            let name = tool.name();
            let row: Vec<String> = figures(&runs[name]).into_iter().map(show).collect();
            println!("| {what} | {connections} | {name} | {} |", row.join(" | "));
            // What its own scheduler adds, and tenths of a millisecond, are no disagreement.
            if matches!(tool, Tool::Hey) {
                continue;
            }
            wrong.extend(differences(&figures(&runs[tools[0].name()]), &figures(&runs[name]), tool, what));
        }
    }
    ensure!(wrong.is_empty(), "further apart than 2 % or {LEAST_US} µs: {}", wrong.join("; "));
    Ok(())
}

/// One worker, on a CPU of its own, with kept connections to the backend.
fn server(backend: u16) -> Result<Service> {
    let (port, directory) = (free_port()?, tempfile::tempdir()?);
    let http = format!(
        "upstream backend {{ server 127.0.0.1:{backend}; keepalive 16; }}
         server {{ listen 127.0.0.1:{port}; keepalive_timeout 600; location = / {{ return 200 'ok'; }}
           location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ''; }} }}"
    );
    let arguments = nginx::arguments(directory.path(), 1, "", &http)?;
    let mut command = Command::new("taskset");
    Service::start_in(command.args(["-c", &SERVER_CPU.to_string(), "nginx"]).args(arguments), port, directory)
}

/// Of each figure the median over the rounds: the rate, then the percentiles.
fn figures(runs: &[Measured]) -> Vec<Option<Median>> {
    let rate = Median::of(&runs.iter().map(|run| run.rate).collect::<Vec<_>>());
    let at = |at: usize| Median::of(&runs.iter().map(|run| run.us[at]).collect::<Vec<_>>());
    std::iter::once(rate).chain((0..QUANTILES.len()).map(at)).collect()
}

fn show(median: Option<Median>) -> String {
    median.map_or("–".to_owned(), |of| format!("{:.0} ({:.0}–{:.0})", of.middle, of.low, of.high))
}

/// The percentiles that are too far apart.
fn differences(ours: &[Option<Median>], theirs: &[Option<Median>], tool: &Tool, what: &str) -> Vec<String> {
    let pairs = ours.iter().zip(theirs).skip(1).zip(QUANTILES);
    let apart = pairs.filter_map(|((ours, theirs), percent)| {
        let (ours, theirs) = ((*ours)?.middle, (*theirs)?.middle);
        let allowed = (theirs * PART).max(LEAST_US);
        let is_apart = (ours - theirs).abs() > allowed;
        is_apart.then(|| format!("{what}, p{percent}: {ours:.0} for {theirs:.0} µs of {}", tool.name()))
    });
    apart.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(us: [f64; 3]) -> Vec<Option<Median>> {
        figures(&[Measured { rate: 1000.0, us }])
    }

    #[test]
    fn what_is_further_apart_than_two_percent_or_twenty_microseconds_is_told() {
        let theirs = of([50.0, 5_000.0, 10_000.0]);
        assert_eq!(differences(&of([69.0, 5_099.0, 9_801.0]), &theirs, &Tool::Wrk, "x"), Vec::<String>::new());
        let told = differences(&of([71.0, 5_101.0, 9_799.0]), &theirs, &Tool::Wrk, "x");
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(told[0], "x, p50: 71 for 50 µs of wrk");
    }
}
