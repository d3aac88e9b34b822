//! Carries a plan out: starts the engine, runs the COMMAND, and ends with one of them or with a signal.
//!
//! In: a `Plan`. Out: a `Capture`, which says how the recording ended.

use anyhow::Context as _;

use crate::command::handover::Desk;
use crate::engine::thread::{Ended, Event, Recording};
use crate::engine::{End, Finished};
use crate::live::rights;
use crate::output;
use crate::snapshot::{Capture, Ending, Timeline};

use super::against::Against;
use super::child::Task;
use super::plan::Plan;
use super::progress::Progress;
use super::signals::Signals;

/// Records.
///
/// # Errors
/// What keeps a recording from beginning. Afterwards there is none: what fails is in the notes.
pub async fn record(plan: &mut Plan, mut against: Option<&mut Against>, is_quiet: bool) -> anyhow::Result<Capture> {
    // Before anything is attached: from here on a signal ends the recording, not the process.
    let mut signals = Signals::catch()?;
    let announcement = announcement(plan);
    let mut recording = Recording::start(plan.take_setup(), plan.duration, None)?;
    if !is_quiet {
        output::say(&announcement);
    }
    // A COMMAND has the terminal for itself.
    let is_shown = !is_quiet && plan.command.is_empty() && output::is_watched();
    let mut progress = is_shown.then(|| Progress::new(plan.duration));
    let mut intervals = Timeline::default();
    let mut notes = Vec::new();
    let desk = match plan.command.is_empty() {
        true => None,
        false => Desk::new()
            .map_err(|error| notes.push(format!("what a load would see is not in the report: {error:#}")))
            .ok(),
    };
    let started = Task::start(&plan.command, plan.is_to_stdout(), desk.as_ref());
    let is_not_started = started.is_err();
    let mut task = started.unwrap_or_else(|error| {
        notes.push(format!("the command did not start: {error:#}"));
        Task::none()
    });
    // The command has what it was started with. Whoever reads /proc has no more to do but to write the report.
    let kept = if plan.command.is_empty() { rights::WRITE } else { rights::WRITE_AND_KILL };
    rights::keep(kept).context("cannot give up capabilities")?;
    let (ending, stop_with) = loop {
        if is_not_started {
            notes.iter().for_each(|why| output::note(why));
            break (Ending::CommandNotStarted, 0);
        }
        tokio::select! {
            // Signals first: Ctrl-C ends the command too, and that is not a failure of the command.
            biased;
            ended = signals.received() => break ended,
            ending = task.wait() => break (ending.unwrap_or_else(|error| {
                notes.push(format!("the exit code of the command is not known: {error:#}"));
                Ending::CommandLost
            }), 0),
            event = recording.events.recv() => match event {
                Some(Event::Interval(interval)) => {
                    progress.iter_mut().for_each(|progress| output::progress(&progress.push(&interval)));
                    let is_decided = against.as_mut().is_some_and(|against| against.push(&interval));
                    intervals.push(*interval);
                    if is_decided {
                        break (Ending::Decided, libc::SIGINT);
                    }
                }
                Some(Event::News(news)) => output::note(&news),
                Some(Event::Ended(ended)) => break (ending(ended), libc::SIGINT),
                // Nobody has asked for these.
                Some(Event::Context(_) | Event::Replaced(_) | Event::NotReplaced(_)) => {}
                None => break (Ending::EngineLost, libc::SIGINT),
            },
        }
    };
    let (Finished { mut context, last, exemplars, .. }, rest) = recording.finish()?;
    if stop_with != 0 {
        task.stop(stop_with).await;
    }
    for event in rest {
        match event {
            Event::Interval(interval) => intervals.push(*interval),
            Event::News(news) => output::note(&news),
            Event::Ended(_) | Event::Context(_) | Event::Replaced(_) | Event::NotReplaced(_) => {}
        }
    }
    intervals.push(last);
    match desk.map_or(Ok(Vec::new()), |desk| desk.runs(&plan.targets)) {
        Ok(runs) => context.clients = runs,
        Err(error) => notes.push(format!("what `load` saw cannot be read: {error:#}")),
    }
    context.ended_by = ending;
    context.notes.extend(notes);
    Ok(Capture { context, intervals, exemplars })
}

/// What a recording says that ended by itself.
pub fn ending(ended: Ended) -> Ending {
    match ended {
        Ended::Duration => Ending::Duration,
        Ended::Engine(End::Overhead) => Ending::Overhead,
        Ended::Engine(End::OverheadNotKnown) => Ending::OverheadNotKnown,
    }
}

/// Tells that counting has begun, for people and for scripts that start their load then.
fn announcement(plan: &Plan) -> String {
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
    format!("recording {} {how_long}", names.join(", "))
}
