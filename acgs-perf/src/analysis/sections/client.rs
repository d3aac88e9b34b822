//! What a client saw, beside what its server's kernel saw.
//!
//! In: a run of `load` as it was counted, the report of the service. Out: distributions, where the means come from, and whether the
//! generator itself was late.

use crate::analysis::censored::{Ages, with_ages};
use crate::analysis::counts::of_sums;
use crate::analysis::distribution::distribution;
use crate::analysis::model::{
    ClientPartsReport, ClientReport, ClientSliceReport, Distribution, ServerSideReport, ServiceReport,
};
use crate::analysis::number::{rate, round3, share4};
use crate::snapshot::client::{ClientRun, ClientSlice};
use crate::sums::{Difference as _, Sums};

/// A generator is late if its lateness at the P99 is more than this …
const LATE_NS: u64 = 200_000;
/// … and more than this part of the corrected P99 …
const LATE_PART: u64 = 5;
/// … or if it was busy for more than this part of the time, and …
const BUSY: f64 = 0.95;
/// … more than one in so many requests waited for a connection, or was never sent: the reply that would have made one idle lay there.
const WAITED_PART: u64 = 100;
/// Counts of both sides that differ by less than this part of them are the same requests: connections are greeted, and other clients ask
/// now and then. At least one per connection is allowed too.
const SAME_PART: u64 = 100;

/// The client's side of a run.
#[must_use]
pub fn client(run: &ClientRun) -> ClientReport {
    let whole = whole(&run.slices);
    let latency = latency(&whole);
    let lateness = plain(&whole.lateness, None);
    let due = whole.sent + whole.not_sent;
    let generator_busy = share4(run.elapsed_ns.saturating_sub(run.free_ns).into(), run.elapsed_ns.into());
    let is_closed = run.slices.iter().all(|slice| slice.from_per_s == 0.0 && slice.to_per_s == 0.0);
    let mean = |sum: u64| sum.checked_div(whole.answered).unwrap_or(0);
    ClientReport {
        url: run.url.clone(),
        address: run.address.clone(),
        protocol: run.protocol.clone(),
        arrivals: run.arrivals.clone(),
        connections: run.connections,
        seed: run.seed,
        timeout_ns: run.timeout_ns,
        start_unix_ns: run.start_unix_ns,
        duration_ns: run.duration_ns,
        interrupted: run.interrupted,
        offered_per_s: if is_closed { None } else { rate(due, run.duration_ns) },
        sent: whole.sent,
        answered: whole.answered,
        answered_per_s: rate(whole.answered, run.duration_ns),
        waited: whole.waited,
        not_sent: whole.not_sent,
        generator_busy,
        generator_was_late: was_late(&whole, &latency, &lateness, generator_busy),
        from_sending: plain(&whole.from_sending, Some(whole.from_sending_sum_ns)),
        latency,
        lateness,
        parts: ClientPartsReport {
            waiting_for_connection_mean_ns: mean(whole.waited_sum_ns),
            generator_mean_ns: mean(whole.late_sum_ns),
            from_sending_mean_ns: mean(whole.from_sending_sum_ns),
        },
        errors: whole.errors,
        first_error: run.first_error.clone(),
        slices: if run.slices.len() > 1 { slices(&run.slices) } else { Vec::new() },
        server: None,
    }
}

/// The same with the server's side, if its service was recorded.
pub fn beside(run: &ClientRun, services: &[ServiceReport]) -> ClientReport {
    let mut report = client(run);
    let service = services.iter().find(|service| Some(&service.name) == run.service.as_ref());
    report.server = service.and_then(|service| server(&report, service));
    report
}

/// What the kernel of the server saw meanwhile.
pub fn server(report: &ClientReport, service: &ServiceReport) -> Option<ServerSideReport> {
    let requests = service.requests.as_ref()?;
    let mean_ns = requests.latency.mean_ns;
    let allowed = (report.answered / SAME_PART).max(u64::from(report.connections) * 4);
    let is_same = requests.count.abs_diff(report.answered) <= allowed;
    let outside = mean_ns.filter(|_| is_same && report.answered > 0);
    Some(ServerSideReport {
        service: service.name.clone(),
        count: requests.count,
        mean_ns,
        outside_mean_ns: outside.and_then(|mean| report.parts.from_sending_mean_ns.checked_sub(mean)),
    })
}

/// All slices as one.
fn whole(slices: &[ClientSlice]) -> ClientSlice {
    let mut whole = ClientSlice::default();
    for slice in slices {
        whole.sent += slice.sent;
        whole.answered += slice.answered;
        whole.waited += slice.waited;
        whole.not_sent += slice.not_sent;
        for (to, from) in [
            (&mut whole.latency, &slice.latency),
            (&mut whole.from_sending, &slice.from_sending),
            (&mut whole.lateness, &slice.lateness),
            (&mut whole.without_end, &slice.without_end),
        ] {
            to.add(from);
        }
        whole.latency_sum_ns += slice.latency_sum_ns;
        whole.waited_sum_ns += slice.waited_sum_ns;
        whole.late_sum_ns += slice.late_sum_ns;
        whole.from_sending_sum_ns += slice.from_sending_sum_ns;
        for (kind, count) in &slice.errors {
            *whole.errors.entry(kind.clone()).or_default() += count;
        }
    }
    whole
}

fn slices(slices: &[ClientSlice]) -> Vec<ClientSliceReport> {
    let mut offset_ns = 0;
    let each = slices.iter().map(|slice| {
        let begin_ns = offset_ns;
        offset_ns += slice.duration_ns;
        ClientSliceReport {
            offset_ns: begin_ns,
            duration_ns: slice.duration_ns,
            from_per_s: round3(slice.from_per_s),
            to_per_s: round3(slice.to_per_s),
            sent: slice.sent,
            answered: slice.answered,
            not_sent: slice.not_sent,
            errors: slice.errors.values().sum(),
            latency: latency(slice),
            from_sending: plain(&slice.from_sending, Some(slice.from_sending_sum_ns)),
            lateness: plain(&slice.lateness, None),
        }
    });
    each.collect()
}

fn latency(slice: &ClientSlice) -> Distribution {
    let mut ages = Ages::default();
    if slice.without_end.iter().next().is_some() {
        ages.add(slice.without_end.iter());
    }
    let ended = of_sums(&slice.latency, 0, Some(slice.latency_sum_ns));
    without_interval(with_ages(&ended, &ages, 0))
}

fn plain(sums: &Sums, sum_ns: Option<u64>) -> Distribution {
    without_interval(distribution(&of_sums(sums, 0, sum_ns)))
}

/// Order statistics take the requests for independent of each other, which those of a client are not; nothing here tells how dependent.
fn without_interval(distribution: Distribution) -> Distribution {
    Distribution { p99_ci95_ns: None, p99_ci95_low_ns: None, ..distribution }
}

fn was_late(whole: &ClientSlice, latency: &Distribution, lateness: &Distribution, busy: f64) -> bool {
    let late = lateness.p99_ns.unwrap_or(0);
    let seen = latency.p99_ns.or(latency.p99_at_least_ns).unwrap_or(0);
    let is_behind = (whole.waited + whole.not_sent) * WAITED_PART > whole.sent + whole.not_sent;
    (busy > BUSY && is_behind) || (late > LATE_NS && late * LATE_PART > seen)
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::histogram::bucket_index;

    use super::*;
    use crate::analysis::sample;

    fn sums(values: &[(u64, i64)]) -> Sums {
        Sums::sparse(values.iter().map(|(ns, count)| (bucket_index(*ns) as u32, *count)))
    }

    fn slice(late_ns: u64) -> ClientSlice {
        ClientSlice {
            duration_ns: 1_000_000_000,
            from_per_s: 1000.0,
            to_per_s: 1000.0,
            sent: 1000,
            answered: 990,
            latency: sums(&[(1_000_000, 900), (2_000_000, 90)]),
            from_sending: sums(&[(900_000, 990)]),
            lateness: sums(&[(late_ns, 1000)]),
            without_end: sums(&[(5_000_000_000, 10)]),
            latency_sum_ns: 990 * 1_100_000,
            waited_sum_ns: 990 * 150_000,
            late_sum_ns: 990 * 50_000,
            from_sending_sum_ns: 990 * 900_000,
            errors: [("timeout".to_owned(), 10)].into(),
            ..ClientSlice::default()
        }
    }

    fn run(late_ns: u64, slices: usize) -> ClientRun {
        let slices = vec![slice(late_ns); slices];
        ClientRun { duration_ns: slices.len() as u64 * 1_000_000_000, slices, ..ClientRun::default() }
    }

    #[test]
    fn slices_are_one_run() {
        let report = client(&run(10_000, 3));
        assert_eq!((report.sent, report.answered, report.errors["timeout"]), (3000, 2970, 30));
        assert_eq!((report.offered_per_s, report.answered_per_s), (Some(1000.0), Some(990.0)));
        assert_eq!((report.slices.len(), report.slices[2].offset_ns, report.slices[2].errors), (3, 2_000_000_000, 10));
        let parts = report.parts;
        assert_eq!(
            parts.waiting_for_connection_mean_ns + parts.generator_mean_ns + parts.from_sending_mean_ns,
            1_100_000
        );
        assert!(client(&run(10_000, 1)).slices.is_empty());
    }

    #[test]
    fn requests_without_a_reply_are_at_least_as_long_as_they_were_waited_for() {
        let latency = client(&run(10_000, 1)).latency;
        assert_eq!((latency.count, latency.without_end), (1000, Some(10)));
        assert!(
            latency.p999_ns.is_none() && latency.p999_at_least_ns.is_some_and(|ns| ns > 4_900_000_000),
            "{latency:?}"
        );
        assert!(latency.p99_ci95_ns.is_none());
    }

    #[test]
    fn a_late_generator_is_told() {
        assert!(!client(&run(10_000, 1)).generator_was_late);
        assert!(client(&run(1_500_000, 1)).generator_was_late);
        let mut behind = run(10_000, 1);
        (behind.elapsed_ns, behind.free_ns) = (1_000_000_000, 500_000_000);
        behind.slices[0].waited = 100;
        let report = client(&behind);
        assert!(!report.generator_was_late && report.generator_busy == 0.5, "it waited for the server");
        behind.free_ns = 1_000_000;
        assert!(client(&behind).generator_was_late);
        behind.slices[0].waited = 1;
        assert!(!client(&behind).generator_was_late, "it was busy, and kept up");
    }

    #[test]
    fn the_servers_side_stands_beside_it_where_both_saw_the_same() {
        let mut service = sample::small().services.remove(0);
        let requests = service.requests.as_mut().unwrap();
        (requests.count, requests.latency.mean_ns) = (991, Some(600_000));
        let mut run = run(10_000, 1);
        assert_eq!(beside(&run, std::slice::from_ref(&service)).server, None);
        run.service = Some(service.name.clone());
        let server = beside(&run, std::slice::from_ref(&service)).server.unwrap();
        assert_eq!((server.count, server.mean_ns, server.outside_mean_ns), (991, Some(600_000), Some(300_000)));
        service.requests.as_mut().unwrap().count = 5000;
        assert_eq!(beside(&run, &[service]).server.unwrap().outside_mean_ns, None);
    }
}
