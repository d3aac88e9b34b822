//! The engine on a thread of its own.
//!
//! In: a setup, and how long it may run. Out: events. Whoever runs it waits for them, and for whatever else may end a recording.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{End, Engine, Finished, Setup, Step};
use crate::snapshot::Interval;

/// What happens while a recording runs.
#[derive(Debug)]
pub enum Event {
    /// An interval has ended.
    Interval(Box<Interval>),
    /// Something that the user should hear of.
    News(String),
    /// The time is over, or the engine cannot go on. Counting has ended.
    Ended(Ended),
}

/// Why it has ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The time is over.
    Duration,
    /// The engine has ended it.
    Engine(End),
}

/// A recording on its thread.
pub struct Recording {
    /// What happens.
    pub events: UnboundedReceiver<Event>,
    stop: SyncSender<()>,
    thread: JoinHandle<anyhow::Result<Finished>>,
}

impl Recording {
    /// Starts the engine, and waits until it counts.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(setup: Setup, duration: Option<Duration>) -> anyhow::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let (started, has_started) = sync_channel(1);
        let (sender, events) = unbounded_channel();
        let thread = Builder::new().name("acgs-engine".into()).spawn(move || {
            let engine = Engine::start(setup);
            let _nobody_waits = started.send(engine.is_ok());
            Ok(run(engine?, duration, &stopped, &sender))
        })?;
        if has_started.recv().unwrap_or(false) {
            return Ok(Self { events, stop, thread });
        }
        match thread.join() {
            Ok(Err(error)) => Err(error),
            _ => Err(anyhow::anyhow!("the engine ended before it counted")),
        }
    }

    /// Ends it, unless it has ended by itself, and gives what was recorded, with the intervals that nobody has taken yet.
    ///
    /// # Errors
    /// When the engine has panicked, which is a fault.
    pub fn finish(mut self) -> anyhow::Result<(Finished, Vec<Event>)> {
        let _has_ended = self.stop.try_send(());
        let finished = self.thread.join().map_err(|_| anyhow::anyhow!("the engine has panicked"))??;
        let mut rest = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            rest.push(event);
        }
        Ok((finished, rest))
    }
}

fn run(
    mut engine: Engine,
    duration: Option<Duration>,
    stop: &Receiver<()>,
    events: &UnboundedSender<Event>,
) -> Finished {
    let deadline = duration.map(|duration| engine.began() + duration);
    let ended = loop {
        let due = deadline.map_or(engine.due(), |deadline| deadline.min(engine.due()));
        match stop.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            break Some(Ended::Duration);
        }
        let step = engine.step();
        tell(&mut engine, events);
        match step {
            Step::Nothing => {}
            // Nobody listens any more when the process ends.
            Step::Interval(interval) => drop(events.send(Event::Interval(Box::new(interval)))),
            Step::End(end) => break Some(Ended::Engine(end)),
        }
    };
    let finished = engine.finish();
    for news in &finished.news {
        drop(events.send(Event::News(news.clone())));
    }
    if let Some(ended) = ended {
        drop(events.send(Event::Ended(ended)));
    }
    finished
}

fn tell(engine: &mut Engine, events: &UnboundedSender<Event>) {
    for news in engine.take_news() {
        drop(events.send(Event::News(news)));
    }
}
