//! Findings about disks in words.

use super::said::{Words, against, all, compared, number, share, value};
use crate::analysis::findings::{DISK_SATURATED, FSYNC_BOUND};
use crate::report::{Figure, Finding, ServiceReport};
use crate::units::{duration, grouped};

/// The words; `None` for a finding about something else.
pub fn words(finding: &Finding, service: &ServiceReport) -> Option<Words> {
    let name = &service.name;
    let whose = |figure: &Figure| figure.of.clone().unwrap_or_default();
    match finding.id.as_str() {
        FSYNC_BOUND => {
            let time = all(finding, "time_in_call").map(|of| duration(number(of)));
            let time = time.collect::<Vec<_>>().join(" and ");
            let calls = all(finding, "calls").map(|of| format!("{} calls of {}", grouped(number(of)), whose(of)));
            let calls = calls.collect::<Vec<_>>().join(" and ");
            Some(Words(
                format!("slow requests to {name} wait until what they wrote is safe on the disk"),
                format!(
                    "a slow request waits {} for the disk ({} of its time), the others {}; {calls} took {time}",
                    duration(value(finding, "disk")),
                    share(finding),
                    duration(against(finding, "disk"))
                ),
                "write several changes with one fsync (group commit, batches), confirm later where a loss can be borne (for \
                 PostgreSQL synchronous_commit, for Redis appendfsync everysec), or use a faster disk"
                    .into(),
            ))
        }
        DISK_SATURATED => {
            let one = |of: &Figure| {
                format!(
                    "{}: {} on average before the disk begins, then {}",
                    whose(of),
                    duration(number(of)),
                    duration(compared(of))
                )
            };
            let disks: Vec<_> = all(finding, "queue_time").map(one).collect();
            Some(Words(
                format!("the disk that {name} uses has more work than it can do"),
                format!("{}; the disk is {} of the time of slow requests", disks.join("; "), share(finding)),
                "find who else uses it (`iotop`, `iostat -x 1`), limit that (io.max, IOWeight=), keep more in memory, or use a \
                 faster disk"
                    .into(),
            ))
        }
        _ => None,
    }
}
