//! `cost-instructions`: what `cargo xtask bench instructions` runs in a virtual machine that counts instructions.
//!
//! In: the arms, `NAME=` nobody, `NAME=floor:HOOK,…`, `NAME=informed:HOOK,…`, `NAME=agent:PROBE,…` or `NAME=tool:` with what it says
//! when it is ready, a proof and its words, parted by [`UNIT`]; the shapes and the number of rounds. Or the name of a service.
//! Out: figures, one a line; or a service.

use std::path::PathBuf;

use acgs_perf_tests::instructions::attach::{Tool, What};
use acgs_perf_tests::instructions::drive::{self, Arm};
use acgs_perf_tests::instructions::{SHAPES, Shape, UNIT, many, serve};
use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

/// Counts what requests cost.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every arm.
    Run {
        /// Rounds of each kind, of which the cheapest counts.
        #[arg(long)]
        rounds: usize,
        /// Where the agent and `cost-floor` are.
        #[arg(long)]
        programs: PathBuf,
        /// On these shapes only, parted by commas.
        #[arg(long, value_delimiter = ',', value_parser = shape)]
        shapes: Vec<Shape>,
        /// What is attached, in this order.
        #[arg(required = true)]
        arms: Vec<String>,
    },
    /// Run many services, each with many endpoints.
    Many {
        /// How many services.
        #[arg(long)]
        services: usize,
        /// How many endpoints of each.
        #[arg(long)]
        endpoints: usize,
        /// Probes of the agent.
        #[arg(long)]
        probes: String,
        /// Where the agent is.
        #[arg(long)]
        programs: PathBuf,
    },
    /// Be one of many services.
    Answer {
        /// Where it listens.
        port: u16,
    },
    /// Be the service of a shape.
    Serve {
        /// Such as redis.
        #[arg(value_parser = shape)]
        shape: Shape,
    },
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Run { rounds, programs, shapes, arms } => {
            let arms: Vec<Arm> = arms.iter().map(|text| arm(text)).collect::<Result<_>>()?;
            let shapes = if shapes.is_empty() { SHAPES.to_vec() } else { shapes };
            drive::run(&arms, &shapes, rounds.max(1), &programs)
        }
        Task::Many { services, endpoints, probes, programs } => many::run(services, endpoints, &probes, &programs),
        Task::Answer { port } => many::answer(port).with_context(|| format!("the service on port {port}")),
        Task::Serve { shape } => serve::serve(shape).with_context(|| format!("the service {}", shape.name())),
    }
}

fn shape(name: &str) -> Result<Shape, String> {
    Shape::named(name).ok_or_else(|| format!("no shape {name}"))
}

fn tool(text: &str) -> Result<Tool> {
    let mut words = text.split(UNIT).map(str::to_owned);
    let (ready, proof) = (words.next().context("no word")?, words.next().context("no proof")?);
    Ok(Tool { ready: (!ready.is_empty()).then_some(ready), proof, words: words.collect() })
}

fn arm(text: &str) -> Result<Arm> {
    let (name, what) = text.split_once('=').with_context(|| format!("no = in {text:?}"))?;
    let what = match what.split_once(':') {
        None if what.is_empty() => What::Nobody,
        Some(("floor", hooks)) => What::Floor(hooks.split(',').map(str::to_owned).collect()),
        Some(("informed", hooks)) => What::Informed(hooks.split(',').map(str::to_owned).collect()),
        Some(("agent", probes)) => What::Agent(probes.to_owned()),
        Some(("tool", words)) => What::Tool(tool(words)?),
        _ => bail!("neither nobody, floor:…, informed:…, agent:… nor tool:… in {text:?}"),
    };
    Ok(Arm { name: name.to_owned(), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_are_read() {
        assert_eq!(arm("bare=").unwrap().what, What::Nobody);
        assert_eq!(arm("floor=floor:a,b").unwrap().what, What::Floor(vec!["a".into(), "b".into()]));
        assert_eq!(arm("floor=informed:a").unwrap().what, What::Informed(vec!["a".into()]));
        let read = arm("request, sched=agent:request,sched").unwrap();
        assert_eq!((read.name.as_str(), read.what), ("request, sched", What::Agent("request,sched".into())));
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect();
        let silent = Tool { words: words(&["runqlat", "-p", "7"]), ready: None, proof: "usecs".into() };
        assert_eq!(arm("r=tool:\u{1f}usecs\u{1f}runqlat\u{1f}-p\u{1f}7").unwrap().what, What::Tool(silent));
        assert!(arm("x=strace").is_err() && arm("bare").is_err());
    }
}
