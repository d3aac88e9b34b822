//! The thread on which alerts are decided and told, so that neither holds the recording up.
//!
//! In: contexts, and the counts of intervals. Out: events, to the targets and to standard error; the state that outlives the agent. The
//! clock of the alerts is the monotonic one, and begins with the time of day: a clock that is set moves nothing while the agent runs,
//! and the time in which it did not run has passed.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::burn::{LONGEST, Severity};
use super::counts::Counter;
use super::event::Event;
use super::explain;
use super::history::Counts;
use super::machine::{Change, Due, Step};
use super::outbox::Fate;
use super::pages::{Now, Told};
use super::runner::Runner;
use super::state::State;
use super::target::Kind;
use crate::engine::host::{monotonic_ns, unix_ns};
use crate::live::rights;
use crate::output;
use crate::snapshot::{Context, Interval};

/// Messages that wait for the thread.
const WAITING: usize = 8;
/// Seconds between two evaluations.
const EVALUATE: u64 = 10;
/// Seconds after which the state is written.
const SAVE: u64 = 60;
/// What is to be told is looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// The cause is looked for in a time between these, in seconds.
const EXPLAINED: (u64, u64) = (15, 1800);
const SECOND: u64 = 1_000_000_000;

enum Message {
    /// What is recorded from now on.
    Services { host: String, names: Vec<String> },
    /// What was counted, and when the interval ended.
    Counts { counts: Vec<Counts>, end_ns: u64 },
}

/// What the thread needs.
#[derive(Debug)]
pub struct Setup {
    /// Where the ring is, and the state.
    pub directory: PathBuf,
    /// Who tells it; nobody but standard error without it.
    pub runner: Option<(Runner, Vec<Kind>)>,
    /// The clock of the alerts runs so many times as fast as the host's.
    pub speed: u32,
}

/// The agent's end of it.
#[derive(Debug)]
pub struct Watch {
    counter: Counter,
    host: String,
    messages: Option<SyncSender<Message>>,
    /// What did not fit in there, in order.
    waiting: VecDeque<Message>,
    runner: Option<UnixStream>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Services { .. } => "services",
            Self::Counts { .. } => "counts",
        })
    }
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(setup: Setup) -> io::Result<Self> {
        let (messages, receiver) = sync_channel(WAITING);
        let runner = setup.runner.as_ref().map(|(runner, _)| runner.handle()).transpose()?;
        let ends = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&ends);
        let run = move || {
            rights::keep_in_thread(rights::NONE);
            Watcher::new(setup, ending).run(&receiver);
        };
        let thread = Builder::new().name("acgs-alert".into()).spawn(run)?;
        Ok(Self {
            counter: Counter::default(),
            host: String::new(),
            messages: Some(messages),
            waiting: VecDeque::new(),
            runner,
            ends,
            thread: Some(thread),
        })
    }

    /// Takes what is recorded now.
    pub fn set_context(&mut self, context: &Context) {
        self.host.clone_from(&context.host.name);
        if let Some(names) = self.counter.set_context(context) {
            self.send(Message::Services { host: self.host.clone(), names });
        }
    }

    /// What an interval counts; for [`Self::tell`], once the ring has it.
    pub fn count(&mut self, interval: &Interval) -> Vec<Counts> {
        self.counter.count(interval)
    }

    /// Tells what was counted in an interval that ended then. It does not wait.
    pub fn tell(&mut self, counts: Vec<Counts>, end_ns: u64) {
        self.send(Message::Counts { counts, end_ns });
    }

    fn send(&mut self, message: Message) {
        match (self.waiting.back_mut(), message) {
            (Some(Message::Counts { counts, end_ns }), Message::Counts { counts: more, end_ns: later })
                if counts.len() == more.len() =>
            {
                counts.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                *end_ns = later;
            }
            (_, message) => self.waiting.push_back(message),
        }
        let Some(messages) = &self.messages else { return };
        while let Some(message) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(message)) = messages.try_send(message) {
                self.waiting.push_front(message);
                break;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // What is told just now is told again after the next start: nobody waits for it.
        self.ends.store(true, Ordering::Relaxed);
        drop(self.runner.take().map(|runner| runner.shutdown(Shutdown::Both)));
        self.messages = None;
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// The thread's own.
struct Watcher {
    setup: Setup,
    state: State,
    host: String,
    services: Vec<String>,
    /// The begin of this clock: on the kernel's, and on its own.
    begin: Option<(u64, u64)>,
    evaluated_s: u64,
    saved_ns: u64,
    /// Whether the agent ends.
    ends: Arc<AtomicBool>,
    /// Whether the state could not be written.
    fails: bool,
}

impl Watcher {
    fn new(setup: Setup, ends: Arc<AtomicBool>) -> Self {
        let (mut state, why) = State::load(&setup.directory);
        if let Some(why) = why {
            output::note(&format!("{why}; alerts begin anew"));
        }
        state.outbox.keep(setup.runner.as_ref().map_or(&[], |(_, kinds)| kinds));
        let (host, services) = (String::new(), Vec::new());
        let saved_ns = monotonic_ns();
        Self { setup, state, host, services, begin: None, evaluated_s: 0, saved_ns, ends, fails: false }
    }

    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(LOOK) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.deliver();
            if monotonic_ns().saturating_sub(self.saved_ns) >= SAVE * SECOND {
                self.save();
            }
        }
        self.save();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Services { host, names } => {
                self.host = host;
                let changes = self.state.machine.set_services(&names.iter().map(String::as_str).collect::<Vec<_>>());
                self.services = names;
                self.tell(changes);
            }
            Message::Counts { counts, end_ns } => {
                let before = self.begin.map(|_| minute(self.state.clock_s));
                let now_s = self.clock(end_ns);
                let now = minute(now_s);
                for (service, counts) in self.services.iter().zip(counts) {
                    // An interval may be longer than a minute: all of these were recorded.
                    let passed = before.map_or(now, |before| before + 1).max(now.saturating_sub(LONGEST))..now;
                    passed.for_each(|minute| self.state.machine.add(service, minute, Counts::default()));
                    self.state.machine.add(service, now, counts);
                }
                if now_s >= self.evaluated_s + EVALUATE {
                    self.evaluated_s = now_s;
                    let changes = self.state.machine.evaluate(now);
                    self.tell(changes);
                }
            }
        }
    }

    /// The clock of the alerts at this moment of the kernel's.
    fn clock(&mut self, at_ns: u64) -> u64 {
        let (of_kernel, own) = *self.begin.get_or_insert_with(|| (at_ns, self.state.clock_s.max(unix_ns() / SECOND)));
        let passed = at_ns.saturating_sub(of_kernel) / 1000 * u64::from(self.setup.speed) / (SECOND / 1000);
        self.state.clock_s = self.state.clock_s.max(own + passed);
        self.state.clock_s
    }

    fn tell(&mut self, changes: Vec<Change>) {
        let is_changed = !changes.is_empty();
        for Change { service, severity, step, .. } in changes {
            let now = Now { host: self.host.clone(), unix_s: unix_ns() / SECOND };
            match step {
                Step::Fired(due) => self.fired(&service, severity, &due, &now),
                Step::Resolved(because) => {
                    if let Some(event) = self.state.pages.resolved(&service, severity, because, &now) {
                        output::say_as(NOTICE, &format!("alert over: {}", event.summary));
                        self.send(&event);
                    }
                }
            }
        }
        if is_changed {
            self.save();
        }
    }

    fn fired(&mut self, service: &str, severity: Severity, due: &Due, now: &Now) {
        let seconds = u64::from(due.burn.short) * 60 / u64::from(self.setup.speed.max(1));
        let to_ns = unix_ns();
        let from_ns = to_ns.saturating_sub(seconds.clamp(EXPLAINED.0, EXPLAINED.1) * SECOND);
        let explanation = explain::explain(&self.setup.directory, service, from_ns, to_ns);
        match self.state.pages.fired(service, severity, due, explanation, now) {
            Told::Event(event) => {
                output::say_as(priority(severity), &format!("alert ({}): {}", severity.name(), event.summary));
                self.send(&event);
            }
            Told::Joined(id) => output::say(&format!("alert ({}): {service} too, as {id}", severity.name())),
        }
    }

    fn send(&mut self, event: &Event) {
        let Some((_, kinds)) = &self.setup.runner else { return };
        let dropped = self.state.outbox.push(kinds, &event.json());
        if dropped > 0 {
            output::note(&format!("{dropped} alerts were not told: too many wait"));
        }
    }

    /// Tries to tell what is due.
    fn deliver(&mut self) {
        let now_s = monotonic_ns() / SECOND;
        let Some((runner, _)) = &self.setup.runner else { return };
        let Some((at, parcel)) = self.state.outbox.next(now_s) else { return };
        let to = parcel.to;
        match runner.tell(to, &parcel.body) {
            Ok(Ok(())) => {
                self.state.outbox.arrived(at);
                // At once, so that the next agent does not tell it again.
                self.save();
            }
            Ok(Err(why)) => match self.state.outbox.failed(at, now_s) {
                Some(Fate::FirstFailure) => output::note(&format!("alert not told yet: {} {why}", to.name())),
                Some(Fate::GivenUp) => output::note(&format!("alert not told: {} {why}", to.name())),
                _ => {}
            },
            // It is told after the next start.
            Err(_) if self.ends.load(Ordering::Relaxed) => {}
            Err(error) => {
                output::note(&format!(
                    "the process that tells alerts does not answer ({error}); they are told here only"
                ));
                self.setup.runner = None;
            }
        }
    }

    fn save(&mut self) {
        self.saved_ns = monotonic_ns();
        match self.state.save(&self.setup.directory) {
            Ok(()) => self.fails = false,
            Err(error) if !self.fails => {
                self.fails = true;
                output::note(&format!("the state of the alerts cannot be written: {error}; it is kept in memory"));
            }
            Err(_) => {}
        }
    }
}

/// As syslog counts.
const NOTICE: u8 = 5;

fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Page => 2,
        Severity::Ticket => 4,
    }
}

fn minute(seconds: u64) -> u32 {
    u32::try_from(seconds / 60).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::alerts::pages::Pages;

    const SLOW: Counts = Counts { requests: 600, slow: 600 };

    fn setup(directory: &std::path::Path, speed: u32) -> Setup {
        Setup { directory: directory.to_owned(), runner: None, speed }
    }

    fn watcher(directory: &std::path::Path, speed: u32) -> Watcher {
        let mut watcher = Watcher::new(setup(directory, speed), Arc::default());
        watcher.take(Message::Services { host: "h".into(), names: vec!["a".into()] });
        watcher
    }

    fn at(second: u64) -> Message {
        Message::Counts { counts: vec![SLOW], end_ns: second * SECOND }
    }

    #[test]
    fn its_clock_passes_with_the_kernels_and_never_goes_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = watcher(directory.path(), 60);
        first.take(at(100));
        let begin = first.state.clock_s;
        assert!(begin.abs_diff(unix_ns() / SECOND) < 5);
        first.take(at(105));
        assert_eq!(first.state.clock_s, begin + 300);
        // An older moment, as of a reload, and a time of day that is set back before the next start.
        first.take(at(101));
        assert_eq!(first.state.clock_s, begin + 300);
        first.state.clock_s += 1_000_000;
        first.save();
        let mut next = watcher(directory.path(), 1);
        next.take(at(7));
        assert_eq!(next.state.clock_s, begin + 1_000_300);
    }

    #[test]
    fn what_is_due_outlives_the_thread_and_an_agent_without_targets_waits_for_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = Watch::start(setup(directory.path(), 60)).unwrap();
        watch.send(Message::Services { host: "h".into(), names: vec!["a".into()] });
        // More than fit in the way to the thread.
        (0..200).for_each(|second| watch.send(at(second)));
        while !watch.waiting.is_empty() {
            watch.send(at(200));
            std::thread::yield_now();
        }
        drop(watch);
        let (state, why) = State::load(directory.path());
        assert_eq!((why, state.outbox == Default::default()), (None, true));
        assert_ne!(state.pages, Pages::default());
    }
}
