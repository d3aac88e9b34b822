//! The engine on a thread of its own.
//!
//! In: a setup, how long it may run, later another setup. Out: events. Whoever runs it waits for them, and for whatever else may end
//! a recording.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{End, Engine, Finished, Prepared, Setup, Step};
use crate::live::{memory, rights};
use crate::snapshot::{Context, Interval};

/// What happens while a recording runs.
#[derive(Debug)]
pub enum Event {
    /// An interval has ended.
    Interval(Box<Interval>),
    /// What is recorded now; comes first of all, and from time to time if that was asked for.
    Context(Box<Context>),
    /// Something that the user should hear of.
    News(String),
    /// Another recording has taken over, and this is the end of the one before.
    Replaced(Box<Finished>),
    /// The other recording could not begin, for this reason; the one before goes on.
    NotReplaced(String),
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

/// What the engine's thread is told.
enum Order {
    Stop,
    Replace(Box<Setup>),
}

/// A recording on its thread.
pub struct Recording {
    /// What happens.
    pub events: UnboundedReceiver<Event>,
    orders: Sender<Order>,
    thread: JoinHandle<anyhow::Result<Finished>>,
}

impl Recording {
    /// Starts the engine, and waits until it counts. With `contexts_every` it tells its context after so many intervals.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(setup: Setup, duration: Option<Duration>, contexts_every: Option<u32>) -> anyhow::Result<Self> {
        let (orders, to_do) = channel();
        let (started, has_started) = sync_channel(1);
        let (events, received) = unbounded_channel();
        let thread = Builder::new().name("acgs-engine".into()).spawn(move || {
            let kept = if setup.tuning.is_timed() { rights::RECORD_TIMED } else { rights::RECORD };
            let engine = Engine::start(setup).and_then(|engine| {
                // Attached: what it took to look into other network namespaces is not needed any more.
                rights::keep(kept).context("cannot give up capabilities")?;
                Ok(engine)
            });
            let _nobody_waits = started.send(engine.is_ok());
            Ok(Run { engine: engine?, duration, contexts_every, to_do, events }.run())
        })?;
        if has_started.recv().unwrap_or(false) {
            return Ok(Self { events: received, orders, thread });
        }
        match thread.join() {
            Ok(Err(error)) => Err(error),
            _ => Err(anyhow::anyhow!("the engine ended before it counted")),
        }
    }

    /// Has another recording take over. What comes of it is an event.
    pub fn replace(&self, setup: Setup) {
        let _has_ended = self.orders.send(Order::Replace(Box::new(setup)));
    }

    /// Ends it, unless it has ended by itself, and gives what was recorded, with the intervals that nobody has taken yet.
    ///
    /// # Errors
    /// When the engine has panicked, which is a fault.
    pub fn finish(mut self) -> anyhow::Result<(Finished, Vec<Event>)> {
        let _has_ended = self.orders.send(Order::Stop);
        let finished = self.thread.join().map_err(|_| anyhow::anyhow!("the engine has panicked"))??;
        let mut rest = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            rest.push(event);
        }
        Ok((finished, rest))
    }
}

/// After the first interval, when what has started the recording runs no more, and after each so many, memory is given back: what
/// stays, an interval as it is kept, lies between what each interval takes for a moment, and the holes would be as large as all that
/// is kept.
const GIVE_BACK_EVERY: u32 = 30;

/// The thread's own.
struct Run {
    engine: Engine,
    duration: Option<Duration>,
    contexts_every: Option<u32>,
    to_do: Receiver<Order>,
    events: UnboundedSender<Event>,
}

impl Run {
    fn run(mut self) -> Finished {
        let deadline = self.duration.map(|duration| self.engine.began() + duration);
        let mut intervals = 0u32;
        self.tell_context();
        let ended = loop {
            let due = deadline.map_or(self.engine.due(), |deadline| deadline.min(self.engine.due()));
            match self.to_do.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break None,
                Ok(Order::Replace(setup)) => self.replace(*setup),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                break Some(Ended::Duration);
            }
            let step = self.engine.step();
            self.tell_news();
            match step {
                Step::Nothing => {}
                Step::Interval(interval) => {
                    self.tell(Event::Interval(Box::new(interval)));
                    intervals = intervals.wrapping_add(1);
                    if intervals % GIVE_BACK_EVERY == 1 {
                        memory::give_heap_back();
                        memory::give_files_back();
                    }
                    if self.contexts_every.is_some_and(|every| intervals.is_multiple_of(every.max(1))) {
                        self.tell_context();
                    }
                }
                Step::End(end) => break Some(Ended::Engine(end)),
            }
        };
        let Self { engine, events, .. } = self;
        let finished = engine.finish();
        let news = finished.news.iter().cloned().map(Event::News);
        for event in news.chain(ended.map(Event::Ended)) {
            // Nobody listens any more when the process ends.
            drop(events.send(event));
        }
        finished
    }

    /// Loading takes a part of a second, in which nobody takes intervals: the one under way is longer then.
    fn replace(&mut self, setup: Setup) {
        let next = match Prepared::new(setup) {
            Ok(next) => next,
            Err(error) => return self.tell(Event::NotReplaced(format!("{error:#}"))),
        };
        let next = self.engine.hand_over(next);
        let finished = std::mem::replace(&mut self.engine, next).finish();
        finished.news.iter().cloned().for_each(|news| self.tell(Event::News(news)));
        self.tell(Event::Replaced(Box::new(finished)));
        self.tell_context();
    }

    fn tell_context(&mut self) {
        if self.contexts_every.is_some() {
            let context = self.engine.context();
            self.tell(Event::Context(Box::new(context)));
        }
    }

    fn tell_news(&mut self) {
        for news in self.engine.take_news() {
            self.tell(Event::News(news));
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more when the process ends.
        drop(self.events.send(event));
    }
}
