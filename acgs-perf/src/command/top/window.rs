//! The last minute of a recording, as a report.
//!
//! In: intervals as they end. Out: what a report says of those that are not too old. What is kept is bounded: a minute of intervals, or twenty
//! where these are longer.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::analysis;
use crate::output::words;
use crate::report::Report;
use crate::snapshot::exemplar::{Exemplars, Kept};
use crate::snapshot::{Capture, Context, Ending, Interval, Timeline};
use crate::store::Names;
use crate::sums::{Difference as _, Sums};

/// How far back it goes.
const SPAN_NS: u64 = 60_000_000_000;
/// Of long intervals as many, so that there is something to be seen over time.
const LEAST: usize = 20;

/// The intervals of the last minute.
pub struct Window {
    context: Context,
    intervals: VecDeque<Rc<Interval>>,
    /// Downstream peers by their number, which are named when they are called first.
    names: Names,
    /// What was lost before: a loss counts for all of a recording.
    lost_before: Sums,
}

impl Window {
    /// Without intervals.
    pub fn new(context: Context) -> Self {
        Self { context, intervals: VecDeque::new(), names: Names::default(), lost_before: Sums::default() }
    }

    /// What is known of the services now.
    pub fn set_context(&mut self, context: Context) {
        self.context = context;
    }

    /// Takes the next interval.
    pub fn push(&mut self, interval: Rc<Interval>) {
        self.names.find(&interval);
        let begin_ns = interval.end_ns().saturating_sub(SPAN_NS);
        self.intervals.push_back(interval);
        // A timer is a little late now and then: the border is in the middle of an interval.
        let is_old = |first: &Interval| first.start_ns.saturating_add(first.len_ns / 2) < begin_ns;
        while self.intervals.len() > LEAST && self.intervals.front().is_some_and(|first| is_old(first)) {
            if let Some(old) = self.intervals.pop_front() {
                self.lost_before.add(&old.ledger);
            }
        }
    }

    /// The report of what is there; `None` before the first interval.
    pub fn report(&mut self) -> Option<Report> {
        let first = self.intervals.front()?;
        let mut context = self.context.clone();
        let since_begin = first.start_ns.saturating_sub(context.start_ns);
        context.start_unix_ns = context.start_unix_ns.saturating_add(since_begin);
        context.start_ns = first.start_ns;
        context.duration_ns = self.intervals.iter().map(|interval| interval.len_ns).sum();
        context.cost.agent_cpu_ns = self.intervals.iter().map(|interval| interval.agent_cpu_ns).sum();
        // What is read seldom may have begun before: counts need not agree.
        context.ended_by = Ending::Range;
        let mut first = Interval::clone(first);
        first.ledger.add(&self.lost_before);
        self.name_peers(&mut first);
        let rest = self.intervals.iter().skip(1).map(|interval| Interval::clone(interval));
        let intervals = Timeline::of([first].into_iter().chain(rest));
        let capture = Capture { context, intervals, exemplars: self.exemplars() };
        Some(words::said(analysis::analyse(&capture)))
    }

    /// Names the peers that are used, in the first interval.
    fn name_peers(&mut self, first: &mut Interval) {
        self.intervals.iter().for_each(|interval| self.names.see(interval));
        for (subject, sections) in self.names.rows() {
            let own = first.subjects.entry(subject).or_default();
            for (name, section) in sections {
                let own = own.entry(name).or_default();
                for (key, row) in section {
                    own.entry(key).or_insert(row);
                }
            }
        }
    }

    fn exemplars(&self) -> Exemplars {
        let mut all = Exemplars::new();
        for (subject, slowest) in self.intervals.iter().flat_map(|interval| &interval.slowest.0) {
            let kept = all.entry(subject.clone()).or_default();
            slowest.iter().for_each(|exemplar| kept.add(exemplar.clone(), 0));
        }
        // A sample would be one of what fell out of the slowest.
        let only_slowest =
            |kept: &mut Kept| *kept = Kept { slowest: std::mem::take(&mut kept.slowest), ..Kept::default() };
        all.values_mut().for_each(only_slowest);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::snapshot::file::decode;

    const SECOND: u64 = 1_000_000_000;

    fn interval(at: u64, len: u64, lost: i64) -> Rc<Interval> {
        let ledger = Sums::sparse([(0, lost)]);
        Rc::new(Interval {
            start_ns: at * SECOND,
            len_ns: len * SECOND,
            agent_cpu_ns: 7,
            ledger,
            ..Interval::default()
        })
    }

    fn window() -> Window {
        let ledger = vec!["socket_storage_refused".into()];
        Window::new(Context { ledger, start_unix_ns: 1_000 * SECOND, start_ns: 10 * SECOND, ..Context::default() })
    }

    #[test]
    fn it_has_the_last_minute_and_every_loss() {
        let mut window = window();
        assert!(window.report().is_none());
        (10..200).for_each(|at| window.push(interval(at, 1, i64::from(at == 20))));
        let report = window.report().unwrap();
        assert_eq!(window.intervals.len(), 60);
        assert_eq!((report.window.duration_ns, report.window.start_unix_ns), (60 * SECOND, 1_130 * SECOND));
        assert_eq!(report.cost.agent_cpu_ns, Some(60 * 7));
        assert_eq!(report.ledger["socket_storage_refused"], 1, "what was lost two minutes ago is not forgotten");
    }

    #[test]
    fn of_long_intervals_it_has_twenty() {
        let mut window = window();
        (0..40).for_each(|at| window.push(interval(10 + at * 30, 30, 0)));
        assert_eq!(window.intervals.len(), LEAST);
    }

    #[test]
    fn the_whole_of_a_short_capture_is_its_report() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures/6.18.capture");
        let capture = decode(&std::fs::read(path).unwrap()).unwrap().capture;
        let whole = analysis::analyse(&capture);
        let mut window = Window::new(capture.context.clone());
        capture.intervals.iter().for_each(|interval| window.push(Rc::new(interval)));
        let report = window.report().unwrap();
        assert_eq!(report.services[0].requests, whole.services[0].requests);
        assert_eq!(report.services[0].attribution, whole.services[0].attribution);
        let slowest = |report: &Report| report.services[0].exemplars.as_ref().unwrap()[0].latency_ns;
        assert_eq!(slowest(&report), slowest(&whole));
    }
}
