//! The rounds of one victim: each arm that is due, in an order drawn anew, every result stored at once.
//!
//! In: a victim, arms, the number of rounds, what is stored already. Out: the stored results. A rival that fails is noted
//! in its own words and does not end the run.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::arms::{self, ALL, ALWAYS_ON, Arm};
use super::others::Ticks;
use super::store::{AgentCost, AtRate, OTHERS_PERCENT, Programs, Results, Run};
use super::tool::Running;
use super::victims::{Entry, Victim};
use super::{Context, Options, floor, victims};
use crate::statistics::Shuffle;

/// Share of the saturated rate at which the P99 is taken.
const STEADY_SHARE: f64 = 0.6;
/// An arm that failed so often and never ran is not tried again.
const TRIES: usize = 2;
/// A run in which others took part is made again, so often at most, each time after waiting for quiet, so long at most.
const REPEATS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(20);
/// Rates at which the agent's own cost is taken, and for how long, in s.
const RATES: [f64; 2] = [10_000.0, 100_000.0];
const RATE_SECONDS: f64 = 4.0;

/// Runs one victim up to the number of rounds.
pub fn victim(entry: &Entry, chosen: &[&'static Arm], options: &Options, context: &Context) -> Result<Results> {
    let stored = if options.resume { Results::load(&context.directory, entry.name)? } else { None };
    let mut results = stored.unwrap_or_else(|| Results { victim: entry.name.into(), ..Results::default() });
    results.commands.push(options.command_line());
    let mut victim = (entry.start)(context).with_context(|| format!("start {}", entry.name))?;
    warm_up(victim.as_mut(), &mut results)?;
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let mut shuffle = Shuffle::new(seed);
    let began = Instant::now();
    while results.rounds < options.rounds() {
        let round = results.rounds + 1;
        let due = chosen.iter().copied().filter(|arm| arms::is_due(arm, round, options.every)).collect();
        for arm in shuffle.order(due) {
            one(arm, round, victim.as_mut(), &mut results, context);
        }
        results.rounds = round;
        results.date = super::machine::now();
        results.save(&context.directory)?;
        let rates = arms_of(&results, chosen).map(|(arm, run)| format!("{arm} {:.0}/s", run.rate));
        eprintln!("{} round {round}: {}", entry.name, rates.collect::<Vec<_>>().join(", "));
        if options.minutes.is_some_and(|minutes| began.elapsed() > Duration::from_secs_f64(minutes * 60.0)) {
            eprintln!("bench: time is up after round {round}; `--resume` goes on");
            return Ok(results);
        }
    }
    if entry.iteration.is_none() {
        extra(entry, victim.as_mut(), chosen, &mut results, context)?;
    }
    results.date = super::machine::now();
    results.save(&context.directory)?;
    Ok(results)
}

/// The last run of each core arm.
fn arms_of<'a>(results: &'a Results, chosen: &'a [&'static Arm]) -> impl Iterator<Item = (&'static str, &'a Run)> {
    let core = chosen.iter().filter(|arm| arm.core);
    core.filter_map(|arm| Some((arm.name, results.runs(arm.name).iter().rfind(|run| run.round == results.rounds)?)))
}

/// The first runs are never like the others; they also tell what the saturated rate is.
fn warm_up(victim: &mut dyn Victim, results: &mut Results) -> Result<()> {
    let mut highest: f64 = 0.0;
    for _ in 0..3 {
        highest = highest.max(victim.saturate()?.rate);
    }
    // Once chosen it stays, or the rounds before and after a pause could not be compared.
    results.steady_rate.get_or_insert((highest * STEADY_SHARE).round());
    Ok(())
}

fn one(arm: &Arm, round: usize, victim: &mut dyn Victim, results: &mut Results, context: &Context) {
    let past = results.arms.entry(arm.name.to_owned()).or_default();
    if past.runs.is_empty() && past.errors.len() >= TRIES {
        return;
    }
    let rate = results.steady_rate.filter(|_| arm.core);
    match undisturbed(arm, victim, rate, context) {
        Ok((run, report)) => {
            if arm.name == ALWAYS_ON
                && let Some(report) = &report
            {
                floor::differences(report)
                    .into_iter()
                    .for_each(|difference| results.note(format!("Hooks differ: {difference}.")));
            }
            if let (Some(wanted), Some(reached)) = (rate, run.steady_rate)
                && reached < 0.97 * wanted
            {
                let what = "the open loop did not keep its rate in every run; a P99 beyond saturation compares queues";
                results.note(format!("{wanted:.0}/s: {what}."));
            }
            results.arms.entry(arm.name.to_owned()).or_default().runs.push(Run { round, ..run });
        }
        Err(error) => {
            eprintln!("bench: {}: {error:#}", arm.name);
            results.arms.entry(arm.name.to_owned()).or_default().errors.push(format!("{error:#}"));
        }
    }
}

/// One arm once, again when others used the CPUs meanwhile, but not for ever: the run is then stored with their share.
fn undisturbed(
    arm: &Arm,
    victim: &mut dyn Victim,
    rate: Option<f64>,
    context: &Context,
) -> Result<(Run, Option<Value>)> {
    let mut best: Option<(Run, Option<Value>)> = None;
    for repeat in 0..=REPEATS {
        if repeat > 0 {
            wait_for_quiet();
        }
        let measured = measure(arm, victim, rate, context)?;
        if best.as_ref().is_none_or(|(best, _)| measured.0.others_percent < best.others_percent) {
            best = Some(measured);
        }
        if best.as_ref().is_some_and(|(run, _)| run.is_quiet()) {
            break;
        }
    }
    best.context("nothing was measured")
}

/// Until nobody else uses the CPUs.
fn wait_for_quiet() {
    let (own, end) = (std::process::id(), Instant::now() + PATIENCE);
    while Instant::now() < end {
        let before = Ticks::now(own);
        sleep(Duration::from_millis(500));
        if Ticks::now(own).percent_since(&before) <= OTHERS_PERCENT {
            return;
        }
    }
}

/// One arm once: attach, closed loop, open loop, detach.
fn measure(arm: &Arm, victim: &mut dyn Victim, rate: Option<f64>, context: &Context) -> Result<(Run, Option<Value>)> {
    let running = Running::start(arm, &victim.target(), context, false)?;
    let (before, ticks) = (victim.cpu_time(), Ticks::now(std::process::id()));
    let done = victim.saturate()?;
    let cpu = victim.cpu_time().zip(before).map(|(after, before)| after.saturating_sub(before));
    let cpu_ns = cpu.map(|cpu| cpu.as_nanos() as f64 / done.count as f64);
    let steady = match rate {
        Some(rate) => victim.steady(rate, context.steady_seconds)?,
        None => None,
    };
    let now = Ticks::now(std::process::id());
    let others_percent = now.percent_since(&ticks);
    if others_percent > OTHERS_PERCENT {
        eprintln!(
            "bench: {}: others used {others_percent:.0} % of all CPU time, most of it {}",
            arm.name,
            now.busiest_since(&ticks)
        );
    }
    let report = running.map(Running::stop).transpose()?.flatten();
    let agent = report.as_ref().map(agent_cost).transpose()?;
    if let Some(requests) = agent.and_then(|agent| agent.requests).filter(|_| victim.is_recorded()) {
        // An agent that saw nothing would be cheap.
        let answered = done.count + steady.map_or(0, |steady| steady.count);
        ensure!(requests >= answered, "the agent counted {requests} of at least {answered} requests");
    }
    let run = Run {
        round: 0,
        rate: done.rate,
        slices: done.slices,
        cpu_ns,
        p99_ns: steady.map(|steady| steady.p99_ns),
        steady_rate: steady.map(|steady| steady.rate),
        agent,
        others_percent,
    };
    Ok((run, report))
}

/// What the report says of the agent.
fn agent_cost(report: &Value) -> Result<AgentCost> {
    let number =
        |path: &str| report.pointer(path).and_then(Value::as_u64).with_context(|| format!("no {path} in the report"));
    Ok(AgentCost {
        cpu_ns: number("/cost/agent_cpu_ns")?,
        window_ns: number("/window/duration_ns")?,
        rss_bytes: number("/cost/agent_max_rss_bytes")?,
        attach_ns: number("/cost/attach_ns")?,
        requests: report.pointer("/services/0/requests/count").and_then(Value::as_u64),
    })
}

/// The kernel's own account of the programs, and the agent at two rates.
fn extra(
    entry: &Entry,
    victim: &mut dyn Victim,
    chosen: &[&'static Arm],
    results: &mut Results,
    context: &Context,
) -> Result<()> {
    results.programs.clear();
    for arm in chosen.iter().filter(|arm| arm.name == ALWAYS_ON || arm.name == ALL) {
        match programs(arm, victim, context) {
            Ok(programs) => results.programs.push(programs),
            Err(error) => results.note(format!("{}, with --measure-cost: {error:#}.", arm.name)),
        }
    }
    if entry.name != victims::REDIS || !chosen.iter().any(|arm| arm.name == ALWAYS_ON) {
        return Ok(());
    }
    results.at_rates.clear();
    for rate in RATES {
        match at_rate(rate, victim, context) {
            Ok(measured) => results.at_rates.push(measured),
            Err(error) => results.note(format!("always-on at {rate:.0}/s: {error:#}.")),
        }
    }
    Ok(())
}

fn programs(arm: &Arm, victim: &mut dyn Victim, context: &Context) -> Result<Programs> {
    let running = Running::start(arm, &victim.target(), context, true)?;
    victim.saturate()?;
    let report = running.map(Running::stop).transpose()?.flatten().context("no report")?;
    let agent = agent_cost(&report)?;
    let programs = report.pointer("/cost/programs").and_then(Value::as_array).context("no programs in the report")?;
    let program = |value: &Value| {
        let number = |name: &str| value[name].as_u64();
        Some((value["name"].as_str()?.to_owned(), number("runs")?, number("run_time_ns")?))
    };
    let programs = programs.iter().map(program).collect::<Option<_>>().context("a program without run time")?;
    let requests = agent.requests.context("no requests in the report")?;
    Ok(Programs { arm: arm.name.to_owned(), requests, programs, agent })
}

fn at_rate(rate: f64, victim: &mut dyn Victim, context: &Context) -> Result<AtRate> {
    let arm = arms::find(ALWAYS_ON).context("no such arm")?;
    let running = Running::start(arm, &victim.target(), context, false)?;
    let steady = victim.steady(rate, RATE_SECONDS)?.context("no open loop")?;
    let report = running.map(Running::stop).transpose()?.flatten().context("no report")?;
    Ok(AtRate { wanted: rate, reached: steady.rate, agent: agent_cost(&report)? })
}
