//! `disk_saturated`: requests to a disk wait before the disk begins with them.

use acgs_perf_common::attribution::Component::{Disk, QueueDisk};

use super::context::Context;
use super::start::share;
use crate::analysis::model::{Confidence, Figure, Finding, Unit};
use crate::analysis::tables::BlockIoRow;

/// Its id.
pub const DISK_SATURATED: &str = "disk_saturated";

/// With fewer requests to the disk its mean says little.
const LEAST: u64 = 100;
/// A shorter wait is nothing.
const LEAST_NS: u64 = 1_000_000;
/// The disk is at least this share of the time of the slowest requests.
const LEAST_SHARE: f64 = 0.1;

/// They wait longer for the disk to begin than it takes.
pub fn look(context: &Context) -> Vec<Finding> {
    let of_tail = context.share_of_tail(&[Disk, QueueDisk]);
    if of_tail < LEAST_SHARE {
        return Vec::new();
    }
    let mut figures = Vec::new();
    for row in context.rows::<BlockIoRow>().iter().filter(|row| row.requests >= LEAST) {
        let (Some(queue), Some(device)) = (row.queue_time.mean_ns, row.device_time.mean_ns) else { continue };
        if queue >= LEAST_NS && queue >= device {
            let name = if row.disk.is_empty() { &row.device } else { &row.disk };
            let who = format!("{name} ({})", row.operation);
            figures.push(Figure::new("queue_time", queue, Unit::Ns).of(who.clone()).against(device));
            figures.push(Figure::new("disk_requests", row.requests, Unit::Count).of(who));
        }
    }
    if figures.is_empty() {
        return Vec::new();
    }
    let found = context.found(DISK_SATURATED, context.severity(), Confidence::High, figures);
    vec![context.with_gain_of(Finding { share: Some(share(of_tail)), ..found }, &[Disk, QueueDisk], 0.5)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{disk, ids};

    #[test]
    fn it_is_full_when_the_wait_is_longer_than_the_work() {
        let is_found = |queue, device| ids(&disk(queue, device)).contains(&DISK_SATURATED.to_owned());
        assert!(is_found(3_000_000, 2_900_000));
        assert!(!is_found(2_900_000, 3_200_000), "a slow disk is not a full one");
        assert!(!is_found(900_000, 100_000), "not worth telling");
    }
}
