//! The view while it runs: the screen, what was chosen, what is shown.
//!
//! In: keys, reports. Out: pictures, and what cannot be done here.

use std::io;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::trace;
use crate::live::rights;
use crate::output::tui::{Input, Key, Screen, Shown, Source, State, Theme, Wish};
use crate::report::Report;

/// Reports take a part of one CPU of at most one in so many.
const SELDOM: u32 = 20;

/// The view.
pub struct View {
    screen: Screen,
    /// Where the figures come from.
    pub source: Source,
    /// What was chosen.
    pub state: State,
    theme: Theme,
    report: Option<Report>,
    /// Lines that can go up.
    most: usize,
    /// Before this moment no report is made.
    next: Instant,
}

impl View {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn take(source: Source) -> io::Result<Self> {
        let (state, theme) = (State::default(), Theme::of_environment());
        let screen = Screen::take()?;
        Ok(Self { screen, source, state, theme, report: None, most: 0, next: Instant::now() })
    }

    /// Draws.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self) -> io::Result<()> {
        let shown = Shown { report: self.report.as_ref(), source: &self.source, state: &self.state, theme: self.theme };
        self.most = self.screen.draw(&shown)?;
        Ok(())
    }

    /// Shows the report that `make` makes, unless the last one took so long that it is too early.
    pub fn show(&mut self, make: impl FnOnce() -> Option<Report>) {
        let now = Instant::now();
        if now >= self.next {
            self.report = make();
            self.next = now + now.elapsed() * SELDOM;
        }
    }

    /// The same at once: somebody has asked for it.
    pub fn show_now(&mut self, make: impl FnOnce() -> Option<Report>) {
        self.report = make();
        self.next = Instant::now();
    }

    /// Takes a key.
    pub fn take_key(&mut self, key: Key) -> Option<Wish> {
        let shown = Shown { report: self.report.as_ref(), source: &self.source, state: &self.state, theme: self.theme };
        let names: Vec<String> = shown.services().iter().map(|service| service.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match self.state.take(key, &names, self.most) {
            Some(Wish::Trace) => {
                self.state.say(trace::write(self.report.as_ref(), self.state.open.as_deref()));
                None
            }
            wish => wish,
        }
    }
}

/// Reads keys on a thread of their own; the channel is closed when the terminal is gone.
///
/// # Errors
/// When there can be no thread.
pub fn inputs() -> io::Result<UnboundedReceiver<Input>> {
    let (sender, inputs) = unbounded_channel();
    std::thread::Builder::new().name("acgs-keys".into()).stack_size(256 << 10).spawn(move || {
        rights::keep_in_thread(rights::NONE);
        while !sender.is_closed() {
            match Input::wait() {
                Ok(Some(input)) => drop(sender.send(input)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!("keys: {error}");
                    break;
                }
            }
        }
    })?;
    Ok(inputs)
}

/// How long at most until keys are looked for again while something is played.
pub const TICK: Duration = Duration::from_millis(250);
