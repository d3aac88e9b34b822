//! Calls that a slow request makes one after the other, and which part of its wait would go if it made them at the same time.
//!
//! In: a cut, the exemplars. Out: how many calls, and that part. At the same time they take as long as the longest of them takes alone.
//! Exemplars know how long that is: a wait for a peer is a segment. Where fewer than five of them tell, the calls to one peer count as
//! equally long, and every peer but the one that is waited for most as called once.

use crate::analysis::model::{CutReport, ExemplarReport};

/// Fewer calls are no sequence.
const LEAST_CALLS: f64 = 2.0;
/// Of the time with a call outstanding at most one part in this many has more than one.
const ONE_IN: u128 = 10;
/// With fewer exemplars they do not tell.
const MIN_EXEMPLARS: usize = 5;
/// Where less than this part would go, one call takes nearly all of the time, and what is asked before or after it does not matter.
const LEAST_SAVED: f64 = 0.25;

/// Calls one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sequence {
    /// Calls of a request above the cut.
    pub calls: f64,
    /// The part of its wait for peers that would go if they were made at the same time.
    pub saved: f64,
}

/// The calls of the requests above a cut, if they are made one after the other and that takes time; `None` else.
#[must_use]
pub fn sequence(cut: &CutReport, exemplars: &[ExemplarReport]) -> Option<Sequence> {
    let (one, many) = (u128::from(cut.one_call_mean_ns), u128::from(cut.many_calls_mean_ns));
    let calls = cut.calls_per_request;
    if calls < LEAST_CALLS || one == 0 || many.saturating_mul(ONE_IN - 1) > one {
        return None;
    }
    // A call whose answer is read in pieces looks like several, each of which is shorter than the mean of all can be.
    let longest = seen(cut, exemplars).unwrap_or_else(|| by_peer(cut)).clamp(1.0 / calls, 1.0);
    Some(Sequence { calls, saved: 1.0 - longest }).filter(|found| found.saved >= LEAST_SAVED)
}

/// The longest wait of a request as a part of all its waits for peers, by the exemplars above the cut.
fn seen(cut: &CutReport, exemplars: &[ExemplarReport]) -> Option<f64> {
    let threshold = cut.threshold_ns.unwrap_or(0);
    let slow = exemplars.iter().filter(|exemplar| exemplar.latency_ns >= threshold);
    let known: Vec<(u64, u64)> = slow.filter_map(waits).collect();
    if known.len() < MIN_EXEMPLARS {
        return None;
    }
    let (longest, all) =
        known.iter().fold((0.0, 0.0), |(longest, all), (one, of)| (longest + *one as f64, all + *of as f64));
    Some(longest / all)
}

/// The longest wait of an exemplar for a peer, and all of them; `None` where it did not wait, or the order is not known.
fn waits(exemplar: &ExemplarReport) -> Option<(u64, u64)> {
    let all: u64 = exemplar.downstream_ns.values().fold(0, |sum, ns| sum.saturating_add(*ns));
    let segments = exemplar.segments.iter().filter(|segment| segment.peer.is_some());
    let longest = segments.map(|segment| segment.duration_ns).max()?;
    (all > 0).then_some((longest.min(all), all))
}

/// The same by the means of the cut.
fn by_peer(cut: &CutReport) -> f64 {
    let waited = cut.downstream.iter().map(|peer| peer.mean_ns).filter(|ns| *ns > 0);
    let (all, most, peers) =
        waited.fold((0.0, 0u64, 0u32), |(all, most, peers), ns| (all + ns as f64, most.max(ns), peers + 1));
    if peers == 0 {
        return 0.0;
    }
    let calls_to_it = (cut.calls_per_request - f64::from(peers - 1)).max(1.0);
    most as f64 / calls_to_it / all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::model::{CutPeerReport, SegmentReport};

    /// Requests that make so many calls and wait so long for each peer.
    fn cut(calls: f64, waits: &[u64]) -> CutReport {
        let peer = |(at, mean_ns): (usize, &u64)| CutPeerReport {
            peer: format!("10.0.0.{at}:80"),
            mean_ns: *mean_ns,
            ..CutPeerReport::default()
        };
        CutReport {
            calls_per_request: calls,
            one_call_mean_ns: waits.iter().sum(),
            downstream: waits.iter().enumerate().map(peer).collect(),
            threshold_ns: Some(1_000),
            ..CutReport::default()
        }
    }

    /// A request that waited so long, call by call.
    fn exemplar(latency_ns: u64, waits: &[u64]) -> ExemplarReport {
        let wait = |ns: &u64| SegmentReport {
            component: "downstream".into(),
            duration_ns: *ns,
            peer: Some("10.0.0.0:80".into()),
            ..SegmentReport::default()
        };
        ExemplarReport {
            latency_ns,
            downstream_ns: [("10.0.0.0:80".to_owned(), waits.iter().sum())].into(),
            segments: waits.iter().map(wait).collect(),
            ..ExemplarReport::default()
        }
    }

    #[test]
    fn of_calls_that_take_as_long_all_but_one_would_go() {
        let saved = |calls, waits: &[u64]| sequence(&cut(calls, waits), &[]).map(|found| found.saved);
        assert_eq!(saved(4.0, &[400]), Some(0.75));
        assert_eq!(saved(2.0, &[200, 200]), Some(0.5));
        assert_eq!((saved(1.9, &[400]), saved(4.0, &[])), (None, None));
    }

    #[test]
    fn one_slow_call_among_quick_ones_is_no_sequence() {
        assert_eq!(sequence(&cut(2.0, &[2, 400]), &[]), None, "of two peers one is slow");
        // To the peer alone it could be either; those that were seen tell.
        let slow = vec![exemplar(2_000, &[1, 397, 1, 1]); 5];
        assert!(sequence(&cut(4.0, &[400]), &slow[1..]).is_some(), "too few tell");
        assert_eq!(sequence(&cut(4.0, &[400]), &slow), None);
        let equal = vec![exemplar(2_000, &[100; 4]); 5];
        assert_eq!(sequence(&cut(4.0, &[400]), &equal).map(|found| found.saved), Some(0.75));
        let fast = vec![exemplar(999, &[1, 397, 1, 1]); 5];
        assert!(sequence(&cut(4.0, &[400]), &fast).is_some(), "these are not slow");
    }

    #[test]
    fn an_answer_in_pieces_is_not_more_calls_than_there_were() {
        let pieces = vec![exemplar(2_000, &[40; 10]); 5];
        assert_eq!(sequence(&cut(2.0, &[400]), &pieces).map(|found| found.saved), Some(0.5));
    }

    #[test]
    fn calls_that_overlap_for_a_tenth_of_the_time_are_at_the_same_time() {
        let with = |many_calls_mean_ns| sequence(&CutReport { many_calls_mean_ns, ..cut(4.0, &[900]) }, &[]);
        assert!(with(100).is_some() && with(101).is_none());
    }
}
