//! `acgs-perf top`: services as they are now, on the terminal.
//!
//! In: the command line, keys. Out: pictures. `plan` checks what can be checked before anything is attached; `window` has the last minute;
//! `newcomers` looks for services that start later; `replay` plays a file instead; `view` is screen and keys. What is drawn is in `output::tui`.

mod newcomers;
mod plan;
mod replay;
mod trace;
mod view;
mod window;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc::UnboundedReceiver;

use super::choice::may_record;
use super::open::capture;
use super::record::{Signals, ending};
use crate::discover::Target;
use crate::engine::Setup;
use crate::engine::thread::{Event, Recording};
use crate::live::{memory, rights};
use crate::output;
use crate::output::tui::{Input, Source, Wish};
use crate::snapshot::Ending;
use replay::Replay;
use view::{TICK, View, inputs};
use window::Window;

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  sudo acgs-perf top                                # every service that listens here
  sudo acgs-perf top --service api=port:8000
  sudo acgs-perf top --config /etc/acgs-perf.toml   # with the objectives of this file
  acgs-perf top --replay night.capture              # what `record --capture` saved, without root
Keys: Enter looks into a service, space holds the picture, s sorts, / filters, t writes a trace, ? has the rest, q quits.
`acgs-perf` alone is the same, as root on a terminal.";

/// After so many intervals processes, names of peers and own memory are looked at again.
const CONTEXT_EVERY: u32 = 5;

/// Arguments of `acgs-perf top`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Show this service; may be given several times [default: every service that listens on TCP, the 64 busiest]
    #[arg(long = "service", value_name = "NAME=SELECTOR")]
    pub services: Vec<String>,
    /// Take services and objectives from this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Play a capture again that `record --capture` has saved
    #[arg(long, value_name = "CAPTURE", conflicts_with_all = ["services", "config", "probes", "no_endpoints", "max_overhead"])]
    pub replay: Option<PathBuf>,
    /// Which probes to use, separated by commas [default: all but those that cost most, as serve]
    #[arg(long, value_name = "LIST")]
    pub probes: Option<String>,
    /// Do not follow what is said on connections: no names of requests, and what is read until a reply counts as one request
    #[arg(long)]
    pub no_endpoints: bool,
    /// Stop probes, the costliest first, while the measurement takes more than this share of the host's whole CPU capacity
    #[arg(long, value_name = "PERCENT")]
    pub max_overhead: Option<String>,
}

/// Whether `acgs-perf` without a verb is this: by somebody who may record, on a terminal.
#[must_use]
pub fn is_wanted_alone() -> bool {
    io::stdout().is_terminal() && may_record()
}

/// Runs the command; errors are for the caller to map to exit code 2.
///
/// # Errors
/// Wrong usage, no terminal, or an environment in which nothing can be recorded.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    if !io::stdout().is_terminal() {
        bail!("`top` draws on a terminal, and standard output is none; `record` and `serve` need none");
    }
    memory::give_files_back();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the event loop")?;
    let ended = match &args.replay {
        Some(path) => runtime.block_on(played(path)),
        None => {
            let (setup, notes, is_every) = plan::setup(args)?;
            // To be read again when the picture is gone.
            notes.iter().for_each(|note| output::note(note));
            runtime.block_on(live(setup, &notes, is_every))
        }
    }?;
    Ok(match ended {
        // To be ended is what it waits for.
        None | Some(Ending::Interrupted) => 0,
        Some(ending) => {
            output::say(&format!("it has ended: {ending}"));
            ending.exit_code()
        }
    })
}

/// Shows what happens now, until somebody ends it; `None` if that was by a key.
async fn live(setup: Setup, notes: &[String], is_every: bool) -> anyhow::Result<Option<Ending>> {
    // Before anything is attached: from here on a signal ends the view, not the process.
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let (probes, tuning) = (setup.probes.clone(), setup.tuning.clone());
    let mut shown = newcomers::names(&setup.targets);
    let mut newcomers = match is_every {
        true => {
            let specs = setup.targets.iter().map(|target| target.spec.clone()).collect();
            Some(newcomers::watch(specs).context("a thread for new services")?)
        }
        false => None,
    };
    let mut recording = Recording::start(setup, None, Some(CONTEXT_EVERY))?;
    // For a trace into whatever directory this is.
    rights::keep(rights::WRITE).context("cannot give up capabilities")?;
    let mut window: Option<Window> = None;
    let mut view = View::take(Source::Live).context("the terminal")?;
    if let Some(note) = notes.first() {
        view.state.say(note.clone());
    }
    let mut inputs = inputs().context("a thread for keys")?;
    let ended = loop {
        if view.draw().is_err() {
            break Some(Ending::HungUp);
        }
        tokio::select! {
            biased;
            (ending, _) = signals.received() => break Some(ending),
            input = inputs.recv() => match input {
                Some(Input::Key(key)) => {
                    let was_paused = view.state.is_paused;
                    if view.take_key(key) == Some(Wish::Quit) {
                        break None;
                    }
                    if was_paused && !view.state.is_paused {
                        view.show_now(|| window.as_mut()?.report());
                    }
                }
                Some(Input::Resized) => {}
                None => break Some(Ending::HungUp),
            },
            Some(targets) = found(&mut newcomers) => {
                let all = newcomers::names(&targets);
                let new: Vec<&str> = all.iter().filter(|name| !shown.contains(name)).map(String::as_str).collect();
                view.state.say(format!("{} listens now, and is taken up", new.join(", ")));
                shown = all;
                recording.replace(Setup { targets, probes: probes.clone(), tuning: tuning.clone() });
            }
            event = recording.events.recv() => match event {
                Some(Event::Interval(interval)) => {
                    view.state.pass();
                    if let Some(window) = &mut window {
                        window.push(Rc::new(*interval));
                    }
                    if !view.state.is_paused {
                        view.show(|| window.as_mut()?.report());
                    }
                }
                Some(Event::Context(context)) => match &mut window {
                    Some(window) => window.set_context(*context),
                    None => window = Some(Window::new(*context)),
                },
                Some(Event::News(news)) => view.state.say(news),
                Some(Event::Ended(why)) => break Some(ending(why)),
                // Peers have other numbers in another recording: the last minute begins anew.
                Some(Event::Replaced(_)) => window = None,
                Some(Event::NotReplaced(why)) => view.state.say(format!("it is not taken up: {why}")),
                None => break Some(Ending::EngineLost),
            },
        }
    };
    // First the terminal, at once; then what is attached.
    drop(view);
    recording.finish()?;
    Ok(ended)
}

/// What is new; never where nobody looks.
async fn found(newcomers: &mut Option<UnboundedReceiver<Vec<Target>>>) -> Option<Vec<Target>> {
    match newcomers {
        Some(newcomers) => newcomers.recv().await,
        None => std::future::pending().await,
    }
}

/// Plays a file, until somebody ends it.
async fn played(path: &Path) -> anyhow::Result<Option<Ending>> {
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let Some((capture, damage)) = capture(path)? else {
        bail!("--replay {}: it cannot be read, or is no capture; `record --capture FILE` saves one", path.display());
    };
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let mut replay = Replay::new(name, capture);
    let mut view = View::take(Source::Replay(replay.position())).context("the terminal")?;
    view.state.is_paused = replay.is_over();
    damage.into_iter().for_each(|damage| view.state.say(damage));
    view.show_now(|| replay.report());
    let mut inputs = inputs().context("a thread for keys")?;
    let mut last = Instant::now();
    loop {
        view.source = Source::Replay(replay.position());
        if view.draw().is_err() {
            return Ok(Some(Ending::HungUp));
        }
        let is_playing = !view.state.is_paused && !replay.is_over();
        tokio::select! {
            biased;
            (ending, _) = signals.received() => return Ok(Some(ending)),
            input = inputs.recv() => match input {
                Some(Input::Key(key)) => match view.take_key(key) {
                    Some(Wish::Quit) => return Ok(None),
                    Some(wish) => {
                        follow(&mut replay, wish);
                        view.show_now(|| replay.report());
                    }
                    None => {}
                },
                Some(Input::Resized) => {}
                None => return Ok(Some(Ending::HungUp)),
            },
            () = tokio::time::sleep(TICK), if is_playing => {}
        }
        if is_playing && replay.pass(last.elapsed()) {
            view.state.pass();
            match replay.is_over() {
                true => view.show_now(|| replay.report()),
                false => view.show(|| replay.report()),
            }
        }
        last = Instant::now();
    }
}

fn follow(replay: &mut Replay, wish: Wish) {
    match wish {
        Wish::Step(steps) => replay.step(steps),
        Wish::Seek(tenths) => replay.seek(tenths),
        Wish::Faster => replay.change_speed(1),
        Wish::Slower => replay.change_speed(-1),
        Wish::Quit | Wish::Trace => {}
    }
}
