//! Block I/O: what is counted per service, device and operation, and where it stands.
//!
//! In: nothing. Out: the words of a record, indexes of the probe's arrays, and the kernel fields that the probe reads.

use crate::histogram::{MAX_POWER, bucket_index_of_power};

/// Every power of two is divided into 2^4 buckets, 6.25 % wide each: with the 2^7 of other histograms the records of a service
/// would take 0.9 MiB.
pub const POWER: u32 = 4;
/// Buckets of a histogram; values of 2^36 ns and more are over range.
pub const BUCKETS: u32 = bucket_index_of_power((1 << MAX_POWER) - 1, POWER) as u32 + 1;

/// Devices of a service that get records of their own. The others share the first.
pub const DEVICES: usize = 4;
/// Read, write, and what else a device is told, such as flush and discard.
pub const OPERATIONS: u32 = 3;

/// Words of a record: requests completed.
pub const REQUESTS: u32 = 0;
/// Their bytes.
pub const BYTES: u32 = 1;
/// Those that failed.
pub const ERRORS: u32 = 2;
/// Sum of the queue times.
pub const QUEUE_SUM: u32 = 3;
/// Queue times over range.
pub const QUEUE_OVER_RANGE: u32 = 4;
/// Sum of the device times.
pub const DEVICE_SUM: u32 = 5;
/// Device times over range.
pub const DEVICE_OVER_RANGE: u32 = 6;
/// First bucket of the queue times.
pub const QUEUE: u32 = 8;
/// First bucket of the device times.
pub const DEVICE: u32 = QUEUE + BUCKETS;
/// Words of a record.
pub const RECORD_WORDS: u32 = DEVICE + BUCKETS;

/// Whose I/O it is: nobody's that is known. A service is its index + 1.
pub const NOBODY: u32 = 0;

/// Requests that may be in flight at a time.
pub const IN_FLIGHT: u32 = 2048;
/// Control groups whose owner is known.
pub const GROUPS: u32 = 1024;

/// Index of the first word of a record. `slot` 0 is that of the other devices.
#[inline(always)]
#[must_use]
pub const fn record_base(owner: u32, slot: u32, operation: u32) -> u32 {
    ((owner * (DEVICES as u32 + 1) + slot) * OPERATIONS + operation) * RECORD_WORDS
}

/// A device as one word that is not 0.
#[inline(always)]
#[must_use]
pub const fn device_word(major: u32, minor: u32) -> u64 {
    ((major as u64) << 32 | minor as u64) + 1
}

/// Major and minor number of that word; `None` for 0.
#[must_use]
pub const fn device_numbers(word: u64) -> Option<(u32, u32)> {
    match word.checked_sub(1) {
        Some(numbers) => Some(((numbers >> 32) as u32, numbers as u32)),
        None => None,
    }
}

crate::kernel_fields! {
    /// Offsets of the fields that only this probe reads, and the number of the controller of block I/O.
    BlockIoFields {
        request_queue = "request"."q";
        request_flags = "request"."cmd_flags";
        request_bytes = "request"."__data_len";
        request_bio = "request"."bio";
        request_start = "request"."start_time_ns";
        queue_disk = "request_queue"."disk";
        disk_major = "gendisk"."major";
        disk_minor = "gendisk"."first_minor";
        task_flags = "task_struct"."flags";
        task_groups = "task_struct"."cgroups";
        groups_controllers = "css_set"."subsys";
        controller = "cgroup_subsys_id"."io_cgrp_id" or absent;
        bio_group = "bio"."bi_blkg" or absent;
        group_owner = "blkcg_gq"."blkcg" or absent;
        owner_state = "blkcg"."css" or absent;
        state_parent = "cgroup_subsys_state"."parent";
        state_serial = "cgroup_subsys_state"."serial_nr";
    }
}

const _: () = assert!(record_base(1, 0, 0) as usize * 8 <= 125 * 1024);
const _: () = assert!(DEVICE_OVER_RANGE < QUEUE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_what_it_was() {
        for numbers in [(0, 0), (7, 3), (259, (1 << 20) - 1), (u32::MAX - 1, u32::MAX)] {
            assert_eq!(device_numbers(device_word(numbers.0, numbers.1)), Some(numbers));
        }
        assert_eq!(device_numbers(0), None);
    }

    #[test]
    fn records_stand_one_behind_the_other() {
        assert_eq!(record_base(0, 0, 1), RECORD_WORDS);
        assert_eq!(record_base(0, 1, 0), record_base(0, 0, OPERATIONS - 1) + RECORD_WORDS);
        assert_eq!(record_base(1, 0, 0), record_base(0, DEVICES as u32, OPERATIONS - 1) + RECORD_WORDS);
    }
}
