//! What became of requests that have no reply: still open at the end of a time, abandoned by their client, cut off by the service; and
//! what its listeners refused.
//!
//! In: an [`Interval`], or all of a capture as one. Out: [`Fates`] of a subject. The open ones are a state of one moment, so that they
//! do not add up: of two intervals the later one's count.

use std::collections::BTreeMap;

use acgs_perf_common::fates::{ABANDONED, ABANDONED_BUCKETS, ABANDONED_SUM, CUT_OFF, FAREWELLS, INTO_CLOSED, ONE_WAY};

use super::interval::{Interval, row, section};
use super::model::Subject;
use super::open::Open;
use crate::live::probes::request::FATES;
use crate::sums::Sums;

/// Drops of listening sockets, by port, and in the second word the looks at these sockets.
pub const REFUSED: &str = "refused";

/// What became of a subject's requests beside replies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// When the open ones were looked at, on the clock of the programs; `None` where nobody looked, as in recordings of older agents:
    /// then nothing is known of them.
    pub looked_at_ns: Option<u64>,
    /// Arrived, and read by nobody, at the end.
    pub unread: Open,
    /// Read, and not answered, at the end.
    pub in_service: Open,
    /// Answered, and not all of the reply has left, at the end. They are among those answered too, with the age for their latency.
    pub undelivered: Open,
    /// Those whose client left.
    pub abandoned: Abandoned,
    /// Those whose connection the service closed instead of answering.
    pub cut_off: u64,
    /// Messages behind which the client closed without waiting for a reply.
    pub farewells: u64,
    /// Messages on connections on which the service never sends.
    pub one_way: u64,
    /// What the listeners dropped.
    pub refused: Refused,
    /// Whether a listener of TCP was looked at: of UNIX sockets the kernel counts no drops, and their close leaves no trace.
    pub has_listener: bool,
}

/// Requests whose client left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abandoned {
    /// How many.
    pub count: u64,
    /// Sum of the times that they had waited when the client left.
    pub waited_sum_ns: u64,
    /// How many by that time, in the buckets of the latency. Signed, as all that is counted in an interval.
    pub waited: Sums,
    /// Those that were answered all the same.
    pub into_closed: u64,
}

/// What listeners dropped because their queues were full: tries, not clients, since each retry counts again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub drops: u64,
    /// By port, for those that dropped any.
    pub by_port: BTreeMap<u32, u64>,
}

impl Fates {
    /// Those of a subject in an interval; of a whole capture in `capture.intervals.whole()`.
    #[must_use]
    pub fn of(interval: &Interval, subject: &Subject) -> Self {
        let sections = interval.of(subject);
        let sums = &row(sections, FATES, &[]).sums;
        let waited = sums.iter().filter(|(word, _)| *word >= ABANDONED_BUCKETS);
        let by_port =
            section(sections, REFUSED).iter().filter_map(|(key, row)| Some((*key.first()?, row.sums.count(0))));
        let by_port: BTreeMap<u32, u64> = by_port.filter(|(_, drops)| *drops > 0).collect();
        let has_listener = section(sections, REFUSED).values().any(|row| row.sums.iter().next().is_some());
        let open = interval.look.as_ref().and_then(|look| look.open.get(subject)).cloned().unwrap_or_default();
        Self {
            looked_at_ns: interval.look.as_ref().map(|look| look.at_ns),
            unread: open.unread,
            in_service: open.in_service,
            undelivered: open.undelivered,
            abandoned: Abandoned {
                count: sums.count(ABANDONED),
                waited_sum_ns: sums.count(ABANDONED_SUM),
                waited: Sums::sparse(waited.map(|(word, count)| (word - ABANDONED_BUCKETS, count))),
                into_closed: sums.count(INTO_CLOSED),
            },
            cut_off: sums.count(CUT_OFF),
            farewells: sums.count(FAREWELLS),
            one_way: sums.count(ONE_WAY),
            refused: Refused { drops: by_port.values().sum(), by_port },
            has_listener,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Look;
    use super::super::open::{OpenRequest, OpenRequests};
    use super::*;
    use crate::sums::{Row, Section, Sections};

    const SUBJECT: Subject = Subject { service: 0, endpoint: None };

    fn interval(start_ns: u64, sections: Sections, look: Option<Look>) -> Interval {
        Interval { start_ns, len_ns: 10, subjects: [(SUBJECT, sections)].into(), look, ..Interval::default() }
    }

    fn look(at_ns: u64, ages: &[u64]) -> Look {
        let mut open = OpenRequests::default();
        for age_ns in ages {
            open.unread.add(1, *age_ns, false, || OpenRequest { age_ns: *age_ns, ..OpenRequest::default() });
        }
        Look { at_ns, open: [(SUBJECT, open)].into() }
    }

    fn sections(name: &'static str, key: u32, words: &[(u32, i64)]) -> Sections {
        let row = Row { sums: Sums::sparse(words.iter().copied()), ..Row::default() };
        let key = if name == FATES { Vec::new() } else { vec![key] };
        Sections::from([(name.into(), Section::from([(key, row)]))])
    }

    #[test]
    fn of_open_requests_the_later_look_counts_and_of_sums_the_sum() {
        let first =
            interval(0, sections(FATES, 0, &[(ABANDONED, 2), (ABANDONED_BUCKETS + 9, 2)]), Some(look(10, &[5, 6])));
        let mut whole = first.clone();
        whole.merge(&interval(
            10,
            sections(FATES, 0, &[(ABANDONED, 1), (ABANDONED_BUCKETS + 9, 1)]),
            Some(look(20, &[7])),
        ));
        let (first, fates) = (Fates::of(&first, &SUBJECT), Fates::of(&whole, &SUBJECT));
        assert_eq!((first.unread.count, first.abandoned.count), (2, 2));
        assert_eq!((fates.unread.count, fates.unread.oldest_ns, fates.looked_at_ns), (1, 7, Some(20)));
        assert_eq!((fates.abandoned.count, fates.abandoned.waited.get(9)), (3, 3));
        // Where nobody looked, the last look is what is known; where nobody ever did, nothing is.
        whole.merge(&interval(20, Sections::new(), None));
        assert_eq!(Fates::of(&whole, &SUBJECT).unread.count, 1);
        assert_eq!(Fates::of(&Interval::default(), &SUBJECT), Fates::default());
        // A look that found nothing is no absence of a look.
        whole.merge(&interval(30, Sections::new(), Some(Look { at_ns: 40, ..Look::default() })));
        let fates = Fates::of(&whole, &SUBJECT);
        assert_eq!((fates.unread.count, fates.looked_at_ns), (0, Some(40)));
    }

    #[test]
    fn drops_are_told_by_port() {
        let mut whole = interval(0, sections(REFUSED, 80, &[(0, 4)]), None);
        whole.merge(&interval(10, sections(REFUSED, 443, &[(0, 1)]), None));
        let fates = Fates::of(&whole, &SUBJECT);
        let refused = fates.refused;
        assert!(fates.has_listener);
        assert_eq!((refused.drops, refused.by_port), (5, [(80, 4), (443, 1)].into()));
        // One that was looked at and has dropped nothing is no absence of a listener.
        let idle = interval(0, sections(REFUSED, 80, &[(1, 3)]), None);
        assert_eq!(Fates::of(&idle, &SUBJECT), Fates { has_listener: true, ..Fates::default() });
    }
}
