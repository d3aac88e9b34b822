//! `bench cost`: what the tool costs its victims, against its floor and against other tools.
//!
//! In: the release builds of the agent and of the tests' programs, the services, the rivals; root. Out: Markdown on standard
//! output, results under `target/bench-cost/`, and with `--write` the document `docs/cost.md`, made from all that is stored.

pub mod arms;
mod document;
mod figures;
pub mod floor;
mod load;
mod machine;
mod open_loop;
pub mod opening;
mod others;
pub mod rivals;
mod run;
mod service;
mod speed;
mod store;
pub mod switchback;
mod table;
mod targets;
mod tool;
mod victims;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use acgs_perf_setup::ensure_rivals;
use acgs_perf_setup::process::{announce, target};
use acgs_perf_tests::harness::program;
use anyhow::{Context as _, Result};

use crate::prepare;
use store::Results;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Rounds; each runs the core arms once, and its share of the others [default: 9, or 2 with --quick].
    #[arg(long)]
    rounds: Option<usize>,
    /// The arms that are not of the core (each probe alone, the rivals) run in every Nth round.
    #[arg(long, default_value_t = 3)]
    every: usize,
    /// Only these victims, parted by commas: redis, nginx, uvicorn, postgres, syscall-loop, switch-loop.
    #[arg(long)]
    victims: Option<String>,
    /// Only these arms and the bare ones, parted by semicolons, by the names in the tables.
    #[arg(long)]
    arms: Option<String>,
    /// Short runs, few rounds: shows that everything works.
    #[arg(long)]
    quick: bool,
    /// GETs of one run of Redis [default: as many as take two seconds].
    #[arg(long)]
    requests: Option<u64>,
    /// Go on from the results that are stored, up to the number of rounds.
    #[arg(long)]
    resume: bool,
    /// Stop each victim after the round in which so many minutes have passed.
    #[arg(long)]
    minutes: Option<f64>,
    /// Write the document from all that is stored.
    #[arg(long)]
    write: bool,
    /// Measure nothing; show, and with --write render, what is stored.
    #[arg(long)]
    stored: bool,
}

impl Options {
    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 2 } else { 9 })
    }

    /// As one would type it.
    fn command_line(&self) -> String {
        let mut text = format!("cargo xtask bench cost --rounds {} --every {}", self.rounds(), self.every);
        let options = [("victims", &self.victims), ("arms", &self.arms)];
        for (name, value) in options.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            text.push_str(&format!(" --{name} '{value}'"));
        }
        if let Some(requests) = self.requests {
            text.push_str(&format!(" --requests {requests}"));
        }
        for (name, given) in [("quick", self.quick), ("resume", self.resume)] {
            if given {
                text.push_str(&format!(" --{name}"));
            }
        }
        text
    }
}

/// Where programs are and how long runs last.
#[derive(Clone, Debug)]
pub struct Context {
    agent: PathBuf,
    floor: PathBuf,
    bystander: PathBuf,
    load: PathBuf,
    seconds: u32,
    steady_seconds: f64,
    requests: Option<u64>,
    directory: PathBuf,
}

/// The whole task.
pub fn cost(options: &Options) -> Result<()> {
    let (victims, chosen) = (victims::choose(options.victims.as_deref())?, arms::choose(options.arms.as_deref())?);
    let directory = directory()?;
    if !options.stored {
        let context = Context { requests: options.requests, ..prepare(options.quick)? };
        ensure_rivals();
        mount_tracefs();
        let mut failed = Vec::new();
        for entry in &victims {
            match run::victim(entry, &chosen, options, &context) {
                Ok(results) => println!("{}", document::section(entry, &results)),
                // The other victims can still be measured; what is stored of this one stays.
                Err(error) => {
                    eprintln!("bench: {}: {error:#}", entry.name);
                    failed.push(entry.name);
                }
            }
        }
        if failed.len() == victims.len() {
            anyhow::bail!("nothing was measured");
        }
    }
    let stored = victims::VICTIMS.iter().map(|entry| Results::load(&directory, entry.name));
    let all: Vec<Results> = stored.filter_map(Result::transpose).collect::<Result<_>>()?;
    if options.stored {
        for (entry, results) in victims.iter().filter_map(|v| Some((v, all.iter().find(|all| all.victim == v.name)?))) {
            println!("{}", document::section(entry, results));
        }
    }
    println!("## Targets\n\n{}", targets::table(&targets::all(&all)));
    if options.write {
        document::write(&all)?;
    }
    Ok(())
}

fn directory() -> Result<PathBuf> {
    let directory = target().join("bench-cost");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    Ok(directory)
}

fn prepare(quick: bool) -> Result<Context> {
    prepare::need_root()?;
    Ok(Context {
        agent: prepare::agent_and_programs(true)?,
        floor: program("cost-floor"),
        bystander: program("cost-loop"),
        load: program("truth-load"),
        seconds: if quick { 1 } else { 2 },
        steady_seconds: if quick { 1.0 } else { 1.5 },
        requests: None,
        directory: directory()?,
    })
}

/// bpftrace and libbpf-tools find tracepoints there; the agent does without.
fn mount_tracefs() {
    if std::path::Path::new("/sys/kernel/tracing/events").exists() {
        return;
    }
    let mut mount = Command::new("mount");
    if let Err(error) = announce(mount.args(["-t", "tracefs", "tracefs", "/sys/kernel/tracing"])) {
        eprintln!("bench: no tracefs, so that some rivals will not start: {error:#}");
    }
}
