//! What became of a service's requests that have no reply.

use crate::analysis::censored::Ages;
use crate::analysis::counts::{Counts, of_sums};
use crate::analysis::distribution::distribution;
use crate::analysis::model::{AbandonedReport, FatesReport, OpenReport, OpenRequestReport, RefusedReport, Since};
use crate::snapshot::fates::{Abandoned, Fates};
use crate::snapshot::open::{self, Open};

/// The fates; `None` where nobody looked at the sockets, as in recordings of older agents.
pub fn fates(fates: &Fates, objective_ns: u64) -> Option<(FatesReport, Option<RefusedReport>)> {
    fates.looked_at_ns?;
    let report = FatesReport {
        unread: open_report(&fates.unread, objective_ns),
        in_service: open_report(&fates.in_service, objective_ns),
        undelivered: open_report(&fates.undelivered, objective_ns),
        abandoned: abandoned(&fates.abandoned, objective_ns),
        cut_off: (fates.has_listener || fates.cut_off > 0).then_some(fates.cut_off),
    };
    let refused = || RefusedReport { drops: fates.refused.drops, by_port: fates.refused.by_port.clone() };
    Some((report, fates.has_listener.then(refused)))
}

/// The ages of all that has no reply: of the abandoned what they had waited.
pub fn ages(fates: &Fates) -> Ages {
    let mut ages = Ages::default();
    for sums in [&fates.unread.ages, &fates.in_service.ages, &fates.abandoned.waited] {
        ages.add(sums.iter());
    }
    ages
}

/// Moves the latencies of replies that have not left to the `ages`: they have no end yet.
pub fn take_undelivered(fates: &Fates, latency: &mut Counts, ages: &mut Ages) {
    for (bucket, count) in fates.undelivered.ages.iter() {
        let recorded = latency.buckets.get_mut(bucket as usize).unwrap_or(&mut latency.over_range);
        let there = u64::try_from(count).unwrap_or(0).min(*recorded);
        *recorded -= there;
        ages.add([(bucket, i64::try_from(there).unwrap_or(i64::MAX))]);
    }
    let sum_ns = fates.undelivered.age_sum_ns;
    latency.sum_ns = latency.sum_ns.map(|all| all.saturating_sub(sum_ns));
}

fn open_report(open: &Open, objective_ns: u64) -> OpenReport {
    let mut ages = Ages::default();
    ages.add(open.ages.iter());
    let one = |request: &open::OpenRequest| OpenRequestReport {
        age_ns: request.age_ns,
        since: match request.since {
            open::Since::Arrival => Since::Arrival,
            open::Since::LastBytes => Since::LastBytes,
            open::Since::AtLeast => Since::AtLeast,
        },
        client: request.client.clone(),
        pid: (request.pid > 0).then_some(request.pid),
        comm: request.comm.clone(),
    };
    OpenReport {
        count: open.count,
        beyond_objective: ages.of_age(objective_ns),
        before_recording: open.older,
        oldest_ns: (open.count > 0).then_some(open.oldest_ns),
        oldest: open.listed.iter().map(one).collect(),
    }
}

fn abandoned(abandoned: &Abandoned, objective_ns: u64) -> AbandonedReport {
    let mut waits = Ages::default();
    waits.add(abandoned.waited.iter());
    let latency = distribution(&of_sums(&abandoned.waited, 0, Some(abandoned.waited_sum_ns)));
    AbandonedReport {
        count: abandoned.count,
        beyond_objective: waits.of_age(objective_ns),
        oldest_ns: latency.max_ns,
        latency,
        into_closed: abandoned.into_closed,
    }
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::histogram::{BUCKETS, bucket_index};

    use super::*;
    use crate::sums::Sums;

    #[test]
    fn what_is_known_of_open_requests_is_told() {
        let mut unread = Open::default();
        for age_ns in [1_000_000, 3_000_000_000] {
            unread.add(1, age_ns, age_ns > 2_000_000_000, || open::OpenRequest {
                age_ns,
                since: open::Since::AtLeast,
                client: "10.0.0.7:5".into(),
                ..open::OpenRequest::default()
            });
        }
        let waited = Sums::sparse([(bucket_index(1_000_000_000) as u32, 4)]);
        let abandoned = Abandoned { count: 4, waited_sum_ns: 4_000_000_000, waited, into_closed: 3 };
        let all = Fates { looked_at_ns: Some(1), unread, abandoned, cut_off: 2, ..Fates::default() };
        let (report, refused) = fates(&all, 5_000_000).unwrap();
        let unread = &report.unread;
        assert_eq!((unread.count, unread.beyond_objective, unread.before_recording), (2, 1, 1));
        assert_eq!((unread.oldest_ns, unread.oldest.len()), (Some(3_000_000_000), 1));
        assert_eq!((unread.oldest[0].since, unread.oldest[0].pid), (Since::AtLeast, None));
        assert_eq!(report.in_service.oldest_ns, None);
        assert_eq!((report.abandoned.count, report.abandoned.into_closed, report.cut_off), (4, 3, Some(2)));
        assert_eq!((report.abandoned.beyond_objective, report.abandoned.latency.mean_ns), (4, Some(1_000_000_000)));
        assert_eq!(refused, None);
        let of_tcp = Fates { has_listener: true, cut_off: 0, ..all.clone() };
        let (report, refused) = fates(&of_tcp, 5_000_000).unwrap();
        assert_eq!((report.cut_off, refused), (Some(0), Some(RefusedReport::default())));
        let of_unix = Fates { has_listener: false, ..of_tcp };
        assert_eq!(fates(&of_unix, 5_000_000).unwrap().0.cut_off, None);
        assert_eq!((ages(&all).count(), ages(&all).of_age(5_000_000)), (6, 5));
        assert_eq!(fates(&Fates::default(), 5_000_000), None);
    }

    #[test]
    fn a_reply_that_has_not_left_has_no_end() {
        let mut undelivered = Open::default();
        for age_ns in [40_000_000, 40_000_000, 70_000_000_000] {
            undelivered.add(1, age_ns, false, open::OpenRequest::default);
        }
        let of_service = Fates { looked_at_ns: Some(1), undelivered, ..Fates::default() };
        let mut latency = Counts { buckets: vec![0; BUCKETS], sum_ns: Some(70_090_000_000), ..Counts::default() };
        latency.over_range = 1;
        // One of the two has left since somebody looked.
        latency.buckets[bucket_index(40_000_000)] = 1;
        latency.buckets[bucket_index(10_000_000)] = 1;
        let mut ages = Ages::default();
        take_undelivered(&of_service, &mut latency, &mut ages);
        assert_eq!((ages.count(), ages.of_age(1_000_000_000)), (2, 1));
        assert_eq!((latency.buckets.iter().sum::<u64>(), latency.over_range), (1, 0));
        assert_eq!(fates(&of_service, 5_000_000).unwrap().0.undelivered.beyond_objective, 3);
    }
}
