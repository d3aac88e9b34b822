//! The time series of several reports.
//!
//! In: the series of one service, report by report. Out: one series, where the reports follow one another. Percentiles of two reports
//! at the same time cannot be had from theirs, and counts of different intervals do not add up: then there is none.

use std::collections::BTreeSet;

use crate::analysis::model::SeriesPointReport;

/// Recordings that overlap by less follow one another.
const TOUCH_NS: u64 = 1_000_000;
/// Points that are kept.
const MAX_POINTS: usize = 50_000;

/// A series that is put together.
#[derive(Debug, Default)]
pub struct Series {
    points: Vec<SeriesPointReport>,
    end_ns: u64,
    /// Why there is none.
    gone: Option<&'static str>,
}

impl Series {
    /// Adds the points of a report that began `offset_ns` after the first one.
    pub fn add(&mut self, points: Vec<SeriesPointReport>, offset_ns: u64) {
        let Some(first) = points.first() else { return };
        if offset_ns.saturating_add(first.offset_ns).saturating_add(TOUCH_NS) < self.end_ns {
            self.leave_out("reports of it at the same time have no common time series");
        }
        if self.points.len() + points.len() > MAX_POINTS {
            self.leave_out("all its time series together have too many points");
        }
        for mut point in points {
            point.offset_ns = point.offset_ns.saturating_add(offset_ns);
            self.end_ns = self.end_ns.max(point.offset_ns.saturating_add(point.duration_ns));
            if self.gone.is_none() {
                self.points.push(point);
            }
        }
    }

    /// The points, and a note where there are none.
    pub fn finish(self, service: &str, notes: &mut BTreeSet<String>) -> Vec<SeriesPointReport> {
        if let Some(why) = self.gone {
            notes.insert(format!("{service} has no time series: {why}; that of merged captures would have one"));
        }
        self.points
    }

    fn leave_out(&mut self, why: &'static str) {
        self.gone.get_or_insert(why);
        self.points = Vec::new();
    }
}
