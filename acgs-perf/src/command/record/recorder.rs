//! Carries a plan out: load, attach, count, detach, collect.
//!
//! In: a `Plan`. Out: a `Capture` and how the recording ended. Hooks that keep the service table go on first, so that a
//! fork during the start is not missed; hooks come off before the final reading, so that it is one state.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use acgs_perf_common::exemplar::Gate;
use tokio::time::{Interval, MissedTickBehavior, interval, interval_at, sleep_until};

use super::child::Task;
use super::directory::Listeners;
use super::ending::Ending;
use super::facts;
use super::membership::Membership;
use super::notes::Notes;
use super::overhead::{UNSETTLED, Watch};
use super::plan::Plan;
use super::signals::Signals;
use crate::capture::{Attribution, Capture, Cost, Service};
use crate::probe;
use crate::probe::session::Session;
use crate::snapshot::exemplars::Exemplars;
use crate::snapshot::series::Series;
use crate::snapshot::{attribution, collect};

/// How often exemplars are taken from the ring buffer; see [`ticks`].
const GLANCE_EVERY: Duration = Duration::from_millis(64);

/// How often new programs are looked for.
const LOOK_EVERY: Duration = GLANCE_EVERY.saturating_mul(3);

/// Records. `wheel` is when the event loop was made.
pub async fn record(plan: &Plan, wheel: Instant, mut notes: Notes) -> anyhow::Result<(Capture, Ending)> {
    // Before anything is attached: from here on a signal ends the recording, not the process.
    let mut signals = Signals::catch()?;
    let _statistics = plan
        .measure_cost
        .then(|| aya::sys::enable_stats(aya::sys::Stats::RunTime))
        .transpose()
        .map_err(|e| anyhow::anyhow!("--measure-cost: the kernel does not keep run times: {e}"))?;
    let mut session = load(plan)?;
    session.attach_process_hooks()?;
    let mut members = Membership::begin(plan, &mut session.maps);
    session.attach_probes()?;

    let start = Instant::now();
    let opened_ns = session.maps.open_window(facts::monotonic_ns);
    let start_unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let (cpu_before, _) = facts::usage();
    let mut series = Series::new(plan.specs.len(), (plan.interval / plan.speed).as_nanos() as u64);
    announce(plan, &notes);
    let mut task = Task::start(&plan.command, plan.is_to_stdout())?;
    let deadline = plan.duration.map(|duration| tokio::time::Instant::from_std(start + duration));
    let mut look = ticks(wheel, LOOK_EVERY / plan.speed);
    let mut point = interval(plan.interval / plan.speed);
    point.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut exemplars = session.take_ring().map(|ring| Exemplars::new(ring, &session.maps));
    let mut glance = ticks(wheel, GLANCE_EVERY / plan.speed);
    let mut watch = plan.max_overhead.map(|percent| Watch::begin(percent, plan.measure_cost));
    let mut died = false;
    // From here on nothing is an error: what fails is noted, and the report is written.
    let (ending, stop_with) = loop {
        tokio::select! {
            // Signals first: Ctrl-C ends the command too, and that is not a failure of the command.
            biased;
            ended = signals.received() => break ended,
            ending = task.wait() => break (ending.unwrap_or_else(|error| {
                notes.add(format!("the exit code of the command is not known: {error:#}"));
                Ending { text: "command lost".into(), code: 2 }
            }), 0),
            () = until(deadline) => break (Ending { text: "duration".into(), code: 0 }, libc::SIGINT),
            () = until(watch.as_ref().map(Watch::due)) => {
                match watch.as_mut().map(|watch| watch.tick(&mut session, start.elapsed(), &mut notes)) {
                    None | Some(Ok(false)) => {}
                    Some(Ok(true)) => break (Ending { text: "overhead".into(), code: 1 }, libc::SIGINT),
                    // A limit that cannot be watched is not kept: to end is what it was set for.
                    Some(Err(error)) => {
                        notes.add(format!("the recording ended early, because its cost could not be measured: {error:#}"));
                        break (Ending { text: "overhead not known".into(), code: 2 }, libc::SIGINT);
                    }
                }
            }
            _ = look.tick() => {
                session.tell();
                let is_alive = members.tick(&mut session.maps);
                if !died && !is_alive && plan.targets.iter().any(|t| !t.pids.is_empty()) {
                    died = true;
                    notes.tell("all recorded processes have exited; waiting for new ones to match");
                }
            }
            _ = glance.tick(), if session.is_active("attribution") => {
                if let Some(exemplars) = &mut exemplars {
                    exemplars.look(&session.maps);
                }
            }
            _ = point.tick() => series.tick(&session.maps, start.elapsed().as_nanos() as u64, false),
        }
    };
    let duration = Duration::from_nanos(session.maps.close_window(facts::monotonic_ns).saturating_sub(opened_ns));
    notes.unless(session.detach(), UNSETTLED);
    session.tell();
    if stop_with != 0 {
        task.stop(stop_with).await;
    }
    series.tick(&session.maps, duration.as_nanos() as u64, true);
    members.list(&session.maps);
    if let Some(exemplars) = &mut exemplars {
        exemplars.take(&session.maps);
    }
    let (cpu_after, agent_max_rss_bytes) = facts::usage();
    let map_bytes = facts::map_bytes();
    let mut ledger = session.maps.ledger();
    let missed = session.missed(facts::recursion_misses);
    ledger.extend(missed.map(|count| ("recursion_misses".to_owned(), count)));
    let programs =
        plan.measure_cost.then(|| notes.unless(session.program_costs(), "run times of the programs are missing"));
    let cost = Cost {
        agent_cpu: cpu_after.saturating_sub(cpu_before),
        agent_max_rss_bytes,
        map_bytes,
        attach: session.attach,
        programs_unmeasured: matches!(programs, Some(None)).then(|| "the kernel did not tell; see the notes".into()),
        programs: programs.flatten(),
        overhead: watch.as_ref().map(Watch::figures),
    };
    let directory = session.has_figures("attribution").then(|| Listeners::find(&plan.specs, &session.maps, &mut notes));
    let attribution = |service: usize| {
        let directory = directory.as_ref()?;
        Some(Attribution {
            rows: attribution::rows(&session.maps, service),
            downstream: attribution::downstream(&session.maps, service, directory),
            exemplars: exemplars.as_ref().map(|all| all.of(service, opened_ns)).unwrap_or_default(),
            exemplars_dropped: session.maps.gate(service, Gate::Dropped),
        })
    };
    let services = (0..plan.specs.len())
        .map(|i| {
            let mut service = service(plan, &session, &members, &mut series, i);
            service.attribution = attribution(i);
            service.tcp = watch.as_ref().and_then(|watch| watch.tcp(i)).or(service.tcp);
            service
        })
        .collect();
    session.maps.unread().into_iter().for_each(|note| notes.add(note));
    let capture = Capture {
        host: facts::host(),
        start_unix_ns,
        duration,
        services,
        probes: session.probes(),
        ledger,
        cost,
        ended_by: ending.text.clone(),
        notes: notes.into_vec(),
    };
    Ok((capture, ending))
}

/// Ticks at multiples of `period` since `wheel`.
///
/// Tokio's wheel of timers has 64 slots of 1 ms, and wakes once more for a timer behind the wheel's next turn, to put it into
/// its slot: three times of four for one that is 50 ms ahead. A timer on the turn itself is due at once. So the agent wakes
/// 16 times a second instead of 35, which is what most of its time goes into.
/// <https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/time/wheel/mod.rs#L286>
fn ticks(wheel: Instant, period: Duration) -> Interval {
    let past = wheel.elapsed().as_nanos() / period.as_nanos().max(1);
    let first = wheel + period * u32::try_from(past + 1).unwrap_or(1);
    let mut ticks = interval_at(first.into(), period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// Loads the programs, and tells which probes cannot run.
fn load(plan: &Plan) -> anyhow::Result<Session> {
    Ok(probe::start(&plan.probes, plan.specs.len(), &plan.debug)?)
}

/// Sleeps until the deadline; for ever without one.
async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Tells that counting has begun, for people and for scripts that start their load then.
fn announce(plan: &Plan, notes: &Notes) {
    let names: Vec<_> = plan
        .targets
        .iter()
        .map(|target| match target.pids.len() {
            0 => format!("{} (not running yet)", target.spec.name),
            1 => format!("{} (pid {})", target.spec.name, target.pids[0]),
            n => format!("{} ({n} processes)", target.spec.name),
        })
        .collect();
    let how_long = match plan.duration {
        Some(duration) => format!("for {}; Ctrl-C ends it early", humantime::format_duration(duration)),
        None => "until the command ends".to_owned(),
    };
    notes.say(&format!("recording {} {how_long}", names.join(", ")));
}

/// Collects one service.
fn service(plan: &Plan, session: &Session, members: &Membership, series: &mut Series, index: usize) -> Service {
    let maps = &session.maps;
    let spec = &plan.specs[index];
    let active = |probe: &str| session.has_figures(probe);
    Service {
        name: spec.name.clone(),
        selector: spec.selector_text(),
        processes: members.processes(maps, index),
        forked: maps.counter(index, acgs_perf_common::maps::Counter::Forked),
        exited: Membership::exited(maps, index),
        objective: spec.objective,
        requests: active("request").then(|| collect::requests(maps, index)),
        scheduler: active("sched").then(|| collect::scheduler(maps, index)),
        syscalls: active("syscalls").then(|| collect::syscalls(maps, index)),
        tcp: active("tcp").then(|| collect::tcp(maps, index, active("syscalls"))),
        attribution: None,
        series: if active("request") { series.take(index) } else { Vec::new() },
    }
}
