//! `cost-instructions`: what `cargo xtask bench instructions` runs in a virtual machine that counts instructions.
//!
//! In: the arms, `NAME=` nobody, `NAME=floor:HOOK,…` or `NAME=agent:PROBE,…`, and the number of rounds; or the name of a service.
//! Out: figures, one a line; or a service.

use std::path::PathBuf;

use acgs_perf_tests::instructions::attach::What;
use acgs_perf_tests::instructions::drive::{self, Arm};
use acgs_perf_tests::instructions::{Shape, serve};
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
        /// What is attached, in this order.
        #[arg(required = true)]
        arms: Vec<String>,
    },
    /// Be the service of a shape.
    Serve {
        /// Such as redis.
        shape: String,
    },
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Run { rounds, programs, arms } => {
            let arms: Vec<Arm> = arms.iter().map(|text| arm(text)).collect::<Result<_>>()?;
            drive::run(&arms, rounds.max(1), &programs)
        }
        Task::Serve { shape } => {
            let shape = Shape::named(&shape).with_context(|| format!("no shape {shape}"))?;
            serve::serve(shape).with_context(|| format!("the service {}", shape.name()))
        }
    }
}

fn arm(text: &str) -> Result<Arm> {
    let (name, what) = text.split_once('=').with_context(|| format!("no = in {text:?}"))?;
    let what = match what.split_once(':') {
        None if what.is_empty() => What::Nobody,
        Some(("floor", hooks)) => What::Floor(hooks.split(',').map(str::to_owned).collect()),
        Some(("agent", probes)) => What::Agent(probes.to_owned()),
        _ => bail!("neither nobody, floor:… nor agent:… in {text:?}"),
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
        let read = arm("request, sched=agent:request,sched").unwrap();
        assert_eq!((read.name.as_str(), read.what), ("request, sched", What::Agent("request,sched".into())));
        assert!(arm("x=strace").is_err() && arm("bare").is_err());
    }
}
