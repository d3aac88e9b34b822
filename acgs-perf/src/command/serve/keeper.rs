//! Keeps what the engine gives: intervals into the ring, and the service manager informed.
//!
//! In: events of the engine. Out: the ring; lines on standard error when something goes wrong, and when it is well again.

use std::io;
use std::time::Duration;

use crate::engine::Finished;
use crate::engine::host::{boot_id, monotonic_ns, wall_ahead_ns};
use crate::engine::thread::Event;
use crate::output;
use crate::serve::access::Access;
use crate::serve::alerts::watch::Watch;
use crate::serve::link::Link;
use crate::serve::notify::Manager;
use crate::serve::otlp::Kept;
use crate::serve::wire::News;
use crate::snapshot::{Context, Interval};
use crate::store::Ring;

/// At the end the collector has so long for the rest; the next agent has it too.
const EXPORTED_WITHIN: Duration = Duration::from_secs(3);

/// Keeps what is recorded.
pub struct Keeper {
    ring: Ring,
    link: Option<Link>,
    /// Who exports what is kept.
    kept: Option<Kept>,
    watch: Option<Watch>,
    manager: Manager,
    boot: String,
    /// Whether a run has begun.
    has_run: bool,
    /// The begin of the run under way, on the clock of the programs.
    run_start_ns: u64,
    status: String,
    /// Whether the last try to write has failed.
    fails: bool,
}

impl Keeper {
    /// Nothing kept yet.
    pub fn new(ring: Ring, link: Option<Link>, kept: Option<Kept>, watch: Option<Watch>) -> Self {
        let manager = Manager::of_environment();
        Self {
            ring,
            link,
            kept,
            watch,
            manager,
            boot: boot_id(),
            has_run: false,
            run_start_ns: 0,
            status: String::new(),
            fails: false,
        }
    }

    /// Counting has begun.
    pub fn ready(&mut self, names: &str) {
        self.status = format!("recording {names}");
        self.manager.ready(&self.status);
    }

    /// The configuration is being read again.
    pub fn reloading(&self) {
        self.manager.reloading(monotonic_ns());
    }

    /// That is over.
    pub fn ready_again(&self) {
        self.manager.ready(&self.status);
    }

    /// It ends.
    pub fn stopping(&self) {
        self.manager.stopping();
    }

    /// Takes what has happened.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Interval(interval) => {
                self.keep(*interval);
                // Only now: who watches wants to know that intervals come, and are kept.
                self.manager.alive();
            }
            Event::Context(context) => self.take_context(&context),
            Event::News(news) => output::note(&news),
            Event::Replaced(finished) => self.end_run(*finished),
            Event::NotReplaced(why) => {
                output::say(&format!(
                    "the configuration is not taken over, and the recording goes on as before: {why}"
                ));
                self.ready_again();
            }
            Event::Ended(_) => {}
        }
    }

    /// The recording is over. Returns when the state of the alerts is written.
    pub fn finish(mut self, finished: Finished) {
        self.end_run(finished);
        if let Some(kept) = &self.kept {
            kept.end(EXPORTED_WITHIN);
        }
    }

    /// From now on these are let in.
    pub fn let_in(&mut self, access: Access) {
        self.tell(News::Access(Box::new(access)));
    }

    /// The first context of a run begins it.
    fn take_context(&mut self, context: &Context) {
        if self.link.is_some() {
            self.tell(News::Context(Box::new(context.clone())));
        }
        if let Some(watch) = &mut self.watch {
            watch.set_context(context);
        }
        if self.has_run && context.start_ns == self.run_start_ns {
            self.ring.set_context(context);
            return;
        }
        let is_other = self.has_run;
        (self.has_run, self.run_start_ns) = (true, context.start_ns);
        let begun = self.ring.begin(&self.boot, context);
        self.note_write(begun);
        if is_other {
            let names: Vec<&str> = context.services.iter().map(|service| service.name.as_str()).collect();
            output::say(&format!("the configuration was read again; recording {}", names.join(", ")));
            self.ready(&names.join(", "));
        }
    }

    fn end_run(&mut self, finished: Finished) {
        self.ring.set_context(&finished.context);
        self.keep(finished.last);
        let closed = self.ring.close();
        self.note_write(closed);
    }

    fn keep(&mut self, interval: Interval) {
        if self.link.is_some() {
            self.tell(News::Interval(Box::new(interval.clone())));
        }
        let end_ns = interval.end_ns();
        let counts = self.watch.as_mut().map(|watch| watch.count(&interval));
        // The time of day of now may have been set since the interval has ended, by which it is a moment wrong.
        let unix_end_ns = end_ns.wrapping_add(wall_ahead_ns());
        let len_ns = interval.len_ns;
        let written = self.ring.push(interval, unix_end_ns);
        self.note_write(written);
        if let Some(kept) = &self.kept {
            kept.add(len_ns);
        }
        // Only now: who asks why finds it in the ring.
        if let Some((watch, counts)) = self.watch.as_mut().zip(counts) {
            watch.tell(counts, end_ns);
        }
    }

    /// Tells the network-facing process, as long as there is one.
    fn tell(&mut self, news: News) {
        let Some(link) = &mut self.link else { return };
        link.tell(news);
        if link.is_broken() {
            output::note(
                "the network-facing process is gone: no metrics are shown any more, and the recording goes on",
            );
            self.link = None;
        }
    }

    /// Says once that the disk takes nothing, and once that it does again.
    fn note_write(&mut self, result: io::Result<()>) {
        match result {
            Err(error) if !self.fails => {
                self.fails = true;
                output::note(&format!(
                    "intervals cannot be written: {error}; they are kept in memory as one until they can be"
                ));
                self.manager.status(&format!("{}; intervals cannot be written: {error}", self.status));
            }
            Ok(()) if self.fails => {
                self.fails = false;
                output::note("intervals are written again");
                self.manager.status(&self.status);
            }
            _ => {}
        }
    }
}
