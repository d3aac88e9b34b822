//! The whole run: each arm, each shape, round by round.
//!
//! In: the arms and the number of rounds. Out: one line for each figure, its words parted by tabs. A round into which the
//! kernel's housekeeping falls is longer, never shorter, so that the lowest of the rounds is what counts.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::attach::{Attached, Tool, What, service};
use super::load::Load;
use super::programs::{self, Account, Program};
use super::{SHAPES, Shape, take_turns};
use crate::clock;
use crate::report::Report;

/// After a boot the kernel goes on for some seconds with what it began; a sleep takes no instructions.
const AFTER_BOOT: Duration = Duration::from_secs(10);
/// A window for the agent's own cost: a multiple of its intervals, 64 ms, 192 ms and 1 s, so that each window has as many of
/// them.
const WINDOW: Duration = Duration::from_secs(24);
/// In the window with load, one batch of the Redis-like loop is sent so often.
const PACE: Duration = Duration::from_millis(32);

/// Slow requests before the rounds, in percent of all requests of a shape. The agent asks for a record of each request above the
/// running P99. Where all take the same time, that would be all of them or none, as the edge of a histogram's bucket has it;
/// with these the P99 is far away.
const SLOW_PERCENT: u64 = 3;
/// Until the agent has seen them.
const SEEN: Duration = Duration::from_millis(1500);

/// Where whole rounds are counted, the programs alone are counted so many times as often: the kernel fetches memory for the state of
/// new connections by two dozen pieces, within the program that asks for the first of them, and some rounds must need none.
const MORE_FOR_PROGRAMS: usize = 2;

/// One arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Its name in the output.
    pub name: String,
    /// What is attached.
    pub what: What,
}

/// The services, each with its first process.
type Services = Vec<(Shape, Child)>;

/// Runs them all, on these shapes.
pub fn run(arms: &[Arm], shapes: &[Shape], rounds: usize, programs: &Path) -> Result<()> {
    let with_service = SHAPES.into_iter().chain([Shape::Peer]).filter(|shape| shape.port().is_some());
    let services: Services = with_service.map(|shape| Ok((shape, service(shape)?))).collect::<Result<_>>()?;
    take_turns().context("scheduling")?;
    sleep(AFTER_BOOT);
    for arm in arms {
        match &arm.what {
            What::Tool(tool) => rival(arm, tool, &services, shapes, rounds),
            _ => one(arm, shapes, rounds, programs),
        }
        .with_context(|| format!("arm {}", arm.name))?;
    }
    // They are ended by the machine's end; until here they must live.
    drop(services);
    Ok(())
}

/// Another tool, on one service after the other.
fn rival(arm: &Arm, tool: &Tool, services: &Services, shapes: &[Shape], rounds: usize) -> Result<()> {
    for (shape, child) in services.iter().filter(|(shape, _)| shapes.contains(shape)) {
        let attached = match Attached::start_tool(tool, child.id()) {
            Ok(attached) => attached,
            Err(error) => {
                println!("absent\t{}\t{}", arm.name, format!("{error:#}").replace(['\n', '\t'], " "));
                return Ok(());
            }
        };
        rounds_of(arm, *shape, rounds, &[]).with_context(|| format!("shape {}", shape.name()))?;
        attached.stop()?;
    }
    Ok(())
}

fn one(arm: &Arm, shapes: &[Shape], rounds: usize, directory: &Path) -> Result<()> {
    let before = programs::ids().context("the programs that are loaded")?;
    let attached = match (Attached::start(&arm.what, directory), &arm.what) {
        // An old kernel has not all of the tracepoints; the agent then uses other hooks.
        (Err(error), What::Floor(_) | What::Informed(_)) => {
            println!("absent\t{}\t{}", arm.name, format!("{error:#}").replace(['\n', '\t'], " "));
            return Ok(());
        }
        (attached, _) => attached?,
    };
    let loaded = programs::since(&before).context("the programs that the arm loaded")?;
    let mut sent = BTreeMap::new();
    for shape in shapes.iter().copied() {
        let requests = rounds_of(arm, shape, rounds, &loaded).with_context(|| format!("shape {}", shape.name()))?;
        sent.insert(shape.name(), requests);
    }
    drop(loaded);
    let Some(attached) = attached else { return Ok(()) };
    if attached.is_agent() {
        let requests = windows(arm, &attached)?;
        *sent.entry(Shape::Redis.name()).or_default() += requests;
    }
    match attached.stop()? {
        Some(report) => check(arm, &report, &sent),
        None => Ok(()),
    }
}

/// The rounds of one shape; gives the number of requests in all of them.
fn rounds_of(arm: &Arm, shape: Shape, rounds: usize, loaded: &[Program]) -> io::Result<u64> {
    let mut load = Load::new(shape)?;
    let requests = load.requests();
    let some_slow = |load: &mut Load| {
        let enough = load.sent() + requests * (1 + rounds as u64) * SLOW_PERCENT / 100;
        while shape.is_recorded() && load.sent() < enough {
            load.slow()?;
        }
        sleep(SEEN);
        io::Result::Ok(())
    };
    some_slow(&mut load)?;
    // What is done for the first time is done differently.
    load.round()?;
    println!("whole\t{}\t{}\t{}\t{requests}", arm.name, shape.name(), total(&mut load, rounds)?);
    if loaded.is_empty() {
        return Ok(load.sent());
    }
    // The P99 is that of an interval, and another one may have begun.
    some_slow(&mut load)?;
    for (name, Account { runs, time }) in accounts(&mut load, loaded, rounds * MORE_FOR_PROGRAMS)? {
        println!("program\t{}\t{}\t{name}\t{runs}\t{time}\t{requests}", arm.name, shape.name());
    }
    Ok(load.sent())
}

/// The agent's own CPU time while nothing is asked of the services, and while one of them is asked now and then; gives the
/// number of requests.
fn windows(arm: &Arm, attached: &Attached) -> Result<u64> {
    let mut load = Load::new(Shape::Redis)?;
    for (name, is_loaded) in [("idle", false), ("loaded", true)] {
        let (start, cpu) = (clock::now(), attached.cpu()?);
        let end = start + WINDOW.as_nanos() as u64;
        let times = (start..end).step_by(PACE.as_nanos() as usize).enumerate();
        for (number, time) in times.filter(|_| is_loaded) {
            clock::sleep(time.saturating_sub(clock::now()));
            load.batch()?;
            // Two in a hundred: what is above the P99 is the agent's work.
            if number.is_multiple_of(3) {
                load.slow()?;
            }
        }
        clock::sleep(end.saturating_sub(clock::now()));
        println!("agent\t{}\t{name}\t{}\t{}", arm.name, attached.cpu()? - cpu, clock::now() - start);
    }
    Ok(load.sent())
}

/// Instructions of the cheapest of the rounds.
fn total(load: &mut Load, rounds: usize) -> io::Result<u64> {
    let mut best = u64::MAX;
    for _ in 0..rounds {
        let start = clock::now();
        load.round()?;
        best = best.min(clock::now() - start);
    }
    Ok(best)
}

/// Each program's account in the round in which it took least. The account takes instructions too, which is why these are
/// rounds of their own.
fn accounts(load: &mut Load, programs: &[Program], rounds: usize) -> io::Result<Vec<(String, Account)>> {
    let read = || programs.iter().map(Program::account).collect::<io::Result<Vec<_>>>();
    let mut best = vec![Account { runs: 0, time: u64::MAX }; programs.len()];
    programs::keep_account(true)?;
    for _ in 0..rounds {
        let before = read()?;
        load.round()?;
        for ((best, before), after) in best.iter_mut().zip(before).zip(read()?) {
            let account = Account { runs: after.runs - before.runs, time: after.time - before.time };
            if account.time < best.time {
                *best = account;
            }
        }
    }
    programs::keep_account(false)?;
    let names = programs.iter().map(|program| program.name.clone());
    Ok(names.zip(best).filter(|(_, account)| account.runs > 0).collect())
}

/// The price of an agent that counts wrongly is none.
fn check(arm: &Arm, report: &Report, sent: &BTreeMap<&str, u64>) -> Result<()> {
    for name in SHAPES.into_iter().filter(|shape| shape.is_recorded()).map(Shape::name) {
        let (sent, counted) = (sent.get(name).copied().unwrap_or(0), report.requests(name));
        // That a connection is begun is a request to who does not follow the protocol.
        let begins = u64::from(name == Shape::Postgres.name() && sent > 0);
        let is_exact = counted == sent || counted == sent + begins;
        ensure!(is_exact, "{name}: {sent} requests were sent and {counted} counted");
    }
    let probes = report.0["probes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let active = probes.iter().filter(|probe| probe["state"] == "active");
    let hooks = active.flat_map(|probe| probe["hooks"].as_array().map(Vec::as_slice).unwrap_or_default());
    let hooks: Vec<&str> = hooks.filter_map(serde_json::Value::as_str).collect();
    println!("hooks\t{}\t{}", arm.name, hooks.join(","));
    Ok(())
}
