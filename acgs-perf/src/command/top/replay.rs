//! A recording from a file, played again: forwards at any speed, step by step, to anywhere.
//!
//! In: a capture, time that passes, steps. Out: the same window as of a recording under way.

use std::rc::Rc;
use std::time::Duration;

use super::window::Window;
use crate::output::tui;
use crate::report::Report;
use crate::snapshot::{Capture, Context, Interval};

/// At the begin as much is shown as a window holds.
const FIRST_NS: u64 = 60_000_000_000;
/// Speeds are powers of two, from an eighth to 1,024.
const SPEEDS: std::ops::RangeInclusive<i32> = -3..=10;

/// A recording that is played.
pub struct Replay {
    file: String,
    context: Context,
    intervals: Vec<Rc<Interval>>,
    /// So many intervals have passed.
    passed: usize,
    at_ns: u64,
    whole_ns: u64,
    speed: i32,
    window: Window,
}

impl Replay {
    /// At its first minute.
    pub fn new(file: String, capture: Capture) -> Self {
        let intervals: Vec<Rc<Interval>> = capture.intervals.iter().map(Rc::new).collect();
        let begin_ns = intervals.first().map_or(0, |first| first.start_ns);
        let whole_ns = intervals.last().map_or(0, |last| last.end_ns().saturating_sub(begin_ns));
        let window = Window::new(capture.context.clone());
        let mut replay =
            Self { file, context: capture.context, intervals, passed: 0, at_ns: 0, whole_ns, speed: 0, window };
        replay.go_to(FIRST_NS.min(whole_ns));
        replay
    }

    /// Where it is.
    pub fn position(&self) -> tui::Replay {
        let (at_ns, whole_ns) = (self.at_ns, self.whole_ns);
        tui::Replay { file: self.file.clone(), at_ns, whole_ns, speed: f64::from(self.speed).exp2() }
    }

    /// Whether nothing is left to play.
    pub fn is_over(&self) -> bool {
        self.at_ns >= self.whole_ns
    }

    /// What is to be seen now.
    pub fn report(&mut self) -> Option<Report> {
        self.window.report()
    }

    /// Time has passed; whether there are other figures now.
    pub fn pass(&mut self, time: Duration) -> bool {
        let ns = time.as_nanos() as f64 * f64::from(self.speed).exp2();
        let before = self.passed;
        self.at_ns = self.at_ns.saturating_add(ns as u64).min(self.whole_ns);
        self.follow();
        self.passed != before
    }

    /// So many intervals on, or back.
    pub fn step(&mut self, steps: i32) {
        let most = self.intervals.len();
        let to = self.passed.saturating_add_signed(steps as isize).clamp(most.min(1), most);
        let at_ns = to.checked_sub(1).map_or(0, |last| self.end_of(last));
        self.go_to(at_ns);
    }

    /// So many tenths on, or back.
    pub fn seek(&mut self, tenths: i32) {
        let tenth = self.whole_ns / 10;
        let by = tenth.saturating_mul(tenths.unsigned_abs().into());
        let to = if tenths < 0 { self.at_ns.saturating_sub(by) } else { self.at_ns.saturating_add(by) };
        // There is always something to be seen.
        let first = if self.intervals.is_empty() { 0 } else { self.end_of(0) };
        self.go_to(to.clamp(first, self.whole_ns.max(first)));
    }

    /// Twice as fast, or half as fast.
    pub fn change_speed(&mut self, by: i32) {
        self.speed = (self.speed + by).clamp(*SPEEDS.start(), *SPEEDS.end());
    }

    fn end_of(&self, at: usize) -> u64 {
        let begin_ns = self.intervals[0].start_ns;
        self.intervals[at].end_ns().saturating_sub(begin_ns)
    }

    fn go_to(&mut self, at_ns: u64) {
        if at_ns < self.at_ns {
            self.window = Window::new(self.context.clone());
            self.passed = 0;
        }
        self.at_ns = at_ns;
        self.follow();
    }

    /// Has the window see all that has passed.
    fn follow(&mut self) {
        while self.passed < self.intervals.len() && self.end_of(self.passed) <= self.at_ns {
            self.window.push(Rc::clone(&self.intervals[self.passed]));
            self.passed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Timeline;

    const SECOND: u64 = 1_000_000_000;

    fn replay(seconds: u64) -> Replay {
        let interval = |at| Interval { start_ns: (5 + at) * SECOND, len_ns: SECOND, ..Interval::default() };
        let intervals = Timeline::of((0..seconds).map(interval));
        Replay::new("x".into(), Capture { intervals, ..Capture::default() })
    }

    fn seconds(replay: &mut Replay) -> (usize, u64) {
        (replay.passed, replay.report().unwrap().window.duration_ns / SECOND)
    }

    #[test]
    fn it_begins_with_a_minute_and_goes_on_as_time_passes() {
        let mut replay = replay(100);
        assert_eq!(seconds(&mut replay), (60, 60));
        assert!(!replay.pass(Duration::from_millis(900)), "no interval has ended");
        assert!(replay.pass(Duration::from_millis(200)));
        assert_eq!(seconds(&mut replay), (61, 60));
        (0..3).for_each(|_| replay.change_speed(1));
        replay.pass(Duration::from_secs(2));
        assert_eq!((replay.passed, replay.position().speed), (77, 8.0));
        replay.pass(Duration::from_secs(60));
        assert!(replay.is_over());
        assert_eq!(seconds(&mut replay), (100, 60));
        (0..99).for_each(|_| replay.change_speed(-1));
        assert_eq!(replay.position().speed, 0.125);
    }

    #[test]
    fn one_can_go_anywhere_and_something_is_always_seen() {
        let mut replay = replay(100);
        replay.step(-1);
        assert_eq!(seconds(&mut replay), (59, 59));
        replay.step(2);
        assert_eq!(seconds(&mut replay), (61, 60));
        replay.seek(-20);
        assert_eq!(seconds(&mut replay), (1, 1));
        replay.seek(3);
        assert_eq!(seconds(&mut replay), (31, 31));
        replay.step(-1_000);
        assert_eq!(seconds(&mut replay), (1, 1));
        replay.step(i32::MAX);
        assert!(replay.is_over());
    }

    #[test]
    fn an_empty_recording_has_nothing_to_show() {
        let mut replay = replay(0);
        replay.step(1);
        replay.seek(-1);
        assert!(replay.is_over() && replay.report().is_none() && !replay.pass(Duration::from_secs(1)));
    }
}
