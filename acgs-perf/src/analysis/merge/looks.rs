//! Requests that were open at the end of a recording, over several reports.
//!
//! In: the last look of each report at a service. Out: what is open at the end of all: the last look at each host. A look at a host is
//! over once a later report of that host has looked again.

use std::cmp::Reverse;

use acgs_perf_common::histogram::BUCKETS;

use super::at::At;
use super::latency::ages_of;
use crate::analysis::censored::Ages;
use crate::analysis::model::{FatesReport, OpenReport, ServiceReport};
use crate::snapshot::open::LISTED;

/// Recordings that overlap by less follow one another.
const TOUCH_NS: u64 = 1_000_000;

/// The looks that still hold.
#[derive(Debug, Default)]
pub struct Looks {
    all: Vec<Look>,
    /// Whether replies were on their way when a recording ended that was gone on with.
    pub had_undelivered: bool,
}

#[derive(Debug)]
struct Look {
    host: String,
    end_unix_ns: u64,
    unread: OpenReport,
    in_service: OpenReport,
    undelivered: OpenReport,
    /// By bucket; the last are over range.
    ages: Vec<u64>,
}

impl Looks {
    /// Adds the look at the end of a report, if there is one.
    pub fn add(&mut self, of: &ServiceReport, at: &At<'_>) {
        let Some(FatesReport { unread, in_service, undelivered, abandoned, .. }) = &of.fates else { return };
        let holds = |look: &Look| look.host != at.host || look.end_unix_ns > at.start_unix_ns.saturating_add(TOUCH_NS);
        self.had_undelivered |= self.all.iter().any(|look| !holds(look) && look.undelivered.count > 0);
        self.all.retain(holds);
        // Of those without an end, those that are not over.
        let mut ages = of.requests.as_ref().and_then(|of| ages_of(&of.latency)).unwrap_or_default();
        for (age, waited) in ages.iter_mut().zip(waits(&abandoned.latency)) {
            *age = age.saturating_sub(waited);
        }
        self.all.push(Look {
            host: at.host.to_owned(),
            end_unix_ns: at.end_unix_ns,
            unread: unread.clone(),
            in_service: in_service.clone(),
            undelivered: undelivered.clone(),
            ages,
        });
    }

    /// What is open at the end of all goes into the fates, which have the abandoned already; gives the ages of all without an end.
    pub fn settle(self, fates: &mut FatesReport) -> Ages {
        let mut ages = Ages::default();
        let counted = |counts: Vec<u64>| {
            let counts = counts.into_iter().enumerate();
            counts.map(|(bucket, count)| (bucket as u32, i64::try_from(count).unwrap_or(i64::MAX))).collect::<Vec<_>>()
        };
        ages.add(counted(waits(&fates.abandoned.latency)));
        for look in self.all {
            ages.add(counted(look.ages));
            add(&mut fates.unread, look.unread);
            add(&mut fates.in_service, look.in_service);
            add(&mut fates.undelivered, look.undelivered);
        }
        ages
    }
}

/// How long the abandoned had waited, by bucket; the last are over range.
fn waits(of: &crate::analysis::model::Distribution) -> Vec<u64> {
    let mut counts = crate::analysis::distribution::ended_of(of).unwrap_or_default();
    counts.buckets.resize(BUCKETS, 0);
    counts.buckets.push(counts.over_range);
    counts.buckets
}

fn add(own: &mut OpenReport, other: OpenReport) {
    own.count = own.count.saturating_add(other.count);
    own.beyond_objective = own.beyond_objective.saturating_add(other.beyond_objective);
    own.before_recording = own.before_recording.saturating_add(other.before_recording);
    own.oldest_ns = own.oldest_ns.max(other.oldest_ns);
    own.oldest.extend(other.oldest);
    own.oldest.sort_by_key(|request| Reverse(request.age_ns));
    own.oldest.truncate(LISTED);
}
