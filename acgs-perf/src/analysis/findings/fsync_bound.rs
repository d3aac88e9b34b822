//! `fsync_bound`: slow requests wait until what was written is on the disk.

use acgs_perf_common::attribution::Component::{Disk, OnCpu, QueueDisk, RunQueue};

use super::context::{Context, sum};
use super::start::share;
use crate::analysis::model::{Confidence, Figure, Finding, Unit};

/// Its id.
pub const FSYNC_BOUND: &str = "fsync_bound";

/// The calls that wait for the disk on purpose.
const CALLS: [&str; 6] = ["fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync"];
/// The disk is at least this share of the time of the slowest requests.
const LEAST_SHARE: f64 = 0.2;

/// What the calls take beside the wait is computing, which goes with them: so much of the wait at most. More is that of threads that serve nobody.
const MOST_COMPUTED: f64 = 0.5;

/// The calls take at least half as long as all requests wait for the disk.
pub fn look(context: &Context) -> Vec<Finding> {
    let Some((mean, rest, of_tail)) = context.of_tail(&[Disk, QueueDisk]) else { return Vec::new() };
    let rows = context.service.attribution.iter().flat_map(|attribution| &attribution.rows);
    let waited: f64 = rows.map(|row| sum(&row.component_ns, &[Disk, QueueDisk])).sum();
    let calls = context.service.syscalls.iter().flatten().filter(|call| CALLS.contains(&call.name.as_str()));
    let calls: Vec<_> = calls.filter_map(|call| Some((call, call.time_ns?))).collect();
    let time: u64 = calls.iter().map(|(_, ns)| ns).sum();
    if of_tail < LEAST_SHARE || waited <= 0.0 || (time as f64) < waited / 2.0 {
        return Vec::new();
    }
    let mut figures = vec![Figure::new("disk", mean, Unit::Ns).against(rest)];
    for (call, ns) in calls {
        figures.push(Figure::new("time_in_call", ns, Unit::Ns).of(call.name.clone()).against(waited as u64));
        figures.push(Figure::new("calls", call.count, Unit::Count).of(call.name.clone()).against(context.answered()));
    }
    let found = context.found(FSYNC_BOUND, context.severity(), Confidence::High, figures);
    let part = time as f64 / waited;
    let computed = (part - 1.0).clamp(0.0, MOST_COMPUTED);
    let after = context.cpu_wait_after(&[Disk, QueueDisk]);
    vec![context.with_gain(Finding { share: Some(share(of_tail)), ..found }, |named, _| {
        let of_disk = sum(named, &[Disk, QueueDisk]);
        let waits = part.min(1.0) * of_disk;
        waits + (computed * of_disk).min(sum(named, &[OnCpu])) + (after * waits).min(sum(named, &[RunQueue]))
    })]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{found, ids, synced};

    #[test]
    fn half_of_the_time_at_the_disk_is_enough_and_less_is_not() {
        let is_found = |of_disk, share| ids(&synced(of_disk, share)).contains(&FSYNC_BOUND.to_owned());
        assert!(is_found(0.51, 0.9) && !is_found(0.49, 0.9));
        assert!(!is_found(0.9, 0.1), "the disk is not what the slow requests wait for");
    }

    #[test]
    fn what_the_calls_compute_goes_with_them() {
        let falls_to =
            |of_disk| found(&synced(of_disk, 0.5), FSYNC_BOUND).and_then(|found| found.would_fall_to_ns).unwrap();
        assert!(falls_to(1.2) < falls_to(1.0), "{} {}", falls_to(1.2), falls_to(1.0));
        assert_eq!(falls_to(1.5), falls_to(8.0));
    }
}
