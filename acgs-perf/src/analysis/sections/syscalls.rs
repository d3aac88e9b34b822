//! System calls of a service.

use acgs_perf_common::maps::SYSCALL_HEADER;

use crate::analysis::counts::{Counts, counts_from};
use crate::analysis::distribution::distribution;
use crate::analysis::model::SyscallReport;
use crate::live::calls;
use crate::live::probes::syscalls::{CALLS, ERRNOS};
use crate::snapshot::interval::{row, section};
use crate::sums::Sections;

/// Its system calls, longest total time first, then most calls.
pub fn syscalls(sections: Option<&Sections>) -> Vec<SyscallReport> {
    let mut all: Vec<SyscallReport> = section(sections, CALLS)
        .iter()
        .map(|(nr, record)| {
            let word = |word: u32| record.sums.count(word);
            let errors = row(sections, ERRNOS, nr);
            let errnos = errors.sums.iter().map(|(errno, count)| (calls::errno_name(errno), count.max(0) as u64));
            let latency = Counts { over_range: word(3), ..counts_from(record, SYSCALL_HEADER, Some(word(2))) };
            SyscallReport {
                name: calls::name(nr.first().copied().unwrap_or(u32::MAX)),
                count: word(0),
                errors: word(1),
                errnos: errnos.collect(),
                time_ns: latency.sum_ns,
                latency: distribution(&latency),
            }
        })
        .collect();
    in_order(&mut all);
    all
}

/// Longest total time first, then most calls.
pub fn in_order(all: &mut [SyscallReport]) {
    all.sort_by(|a, b| b.time_ns.cmp(&a.time_ns).then(b.count.cmp(&a.count)).then(a.name.cmp(&b.name)));
}
