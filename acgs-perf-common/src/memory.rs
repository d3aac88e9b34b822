//! Memory: what is counted per service of page faults and of stalls for memory, and where it stands.
//!
//! In: nothing. Out: the indexes of the probe's arrays, and the kernel fields that it reads.

use crate::histogram::{MAX_POWER, bucket_index_of_power};

/// Faults that a thread's counters in the kernel tell apart: those without a wait for a disk, and those with one.
pub const MINOR: u32 = 0;
/// See above.
pub const MAJOR: u32 = 1;
/// Kinds of faults.
pub const FAULTS: usize = 2;

/// What a thread that wants memory has to do first: free pages itself,
pub const DIRECT_RECLAIM: u32 = 0;
/// free pages of its control group, which is at its limit,
pub const GROUP_RECLAIM: u32 = 1;
/// or move pages, so that some lie side by side.
pub const COMPACTION: u32 = 2;
/// Kinds of stalls.
pub const STALLS: usize = 3;

/// As in `block_io`: every power of two is divided into 2^4 buckets.
pub const POWER: u32 = 4;
/// Buckets of a histogram; values of 2^36 ns and more are over range.
pub const BUCKETS: u32 = bucket_index_of_power((1 << MAX_POWER) - 1, POWER) as u32 + 1;

/// Words of a stall's record: how many.
pub const COUNT: u32 = 0;
/// Sum of their times.
pub const SUM: u32 = 1;
/// Times over range.
pub const OVER_RANGE: u32 = 2;
/// First bucket of the times.
pub const TIME: u32 = 3;
/// Words of a record.
pub const RECORD_WORDS: u32 = TIME + BUCKETS;

/// Control groups of a service whose pressure is read.
pub const GROUPS: usize = 8;
/// Number of the root group in its hierarchy: its pressure is the host's.
pub const ROOT_GROUP: u64 = 1;

/// Index of the counter of a service's faults. `service` counts from 0.
#[inline(always)]
#[must_use]
pub const fn fault_index(service: u32, kind: u32) -> u32 {
    service * FAULTS as u32 + kind
}

/// Index of the first word of the record of a service's stalls. `service` counts from 0.
#[inline(always)]
#[must_use]
pub const fn stall_base(service: u32, kind: u32) -> u32 {
    (service * STALLS as u32 + kind) * RECORD_WORDS
}

crate::kernel_fields! {
    /// Offsets of the fields that only this probe reads.
    MemoryFields {
        task_minor = "task_struct"."min_flt";
        task_major = "task_struct"."maj_flt";
        task_started = "task_struct"."start_time";
        task_groups = "task_struct"."cgroups" or absent;
        groups_unified = "css_set"."dfl_cgrp" or absent;
        group_node = "cgroup"."kn" or absent;
        node_id = "kernfs_node"."id" or absent;
    }
}

const _: () = assert!(stall_base(1, 0) as usize * 8 <= 13 * 1024);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stand_one_behind_the_other() {
        assert_eq!(stall_base(0, GROUP_RECLAIM), RECORD_WORDS);
        assert_eq!(stall_base(1, DIRECT_RECLAIM), stall_base(0, COMPACTION) + RECORD_WORDS);
        assert_eq!(fault_index(1, MINOR), fault_index(0, MAJOR) + 1);
    }
}
