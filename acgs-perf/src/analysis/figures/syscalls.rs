//! System calls of a service.

use acgs_perf_common::maps::SYSCALL_HEADER;

use super::Syscall;
use super::counts::{Counts, counts_from};
use crate::live::calls;
use crate::live::probes::syscalls::{CALLS, ERRNOS};
use crate::snapshot::interval::{row, section};
use crate::sums::Sections;

/// Its system calls, most time first.
pub fn syscalls(sections: Option<&Sections>) -> Vec<Syscall> {
    let mut all: Vec<Syscall> = section(sections, CALLS)
        .iter()
        .map(|(nr, record)| {
            let word = |word: u32| record.sums.count(word);
            let errors = row(sections, ERRNOS, nr);
            let mut errnos: Vec<(String, u64)> =
                errors.sums.iter().map(|(errno, count)| (calls::errno_name(errno), count.max(0) as u64)).collect();
            errnos.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let latency = Counts { over_range: word(3), ..counts_from(record, SYSCALL_HEADER, Some(word(2))) };
            let name = calls::name(nr.first().copied().unwrap_or(u32::MAX));
            Syscall { name, count: word(0), errors: word(1), errnos, latency }
        })
        .collect();
    all.sort_by_key(|call| std::cmp::Reverse(call.latency.sum_ns));
    all
}
