//! CPU quota: the kernel fields that tell whether a control group holds a thread back.
//!
//! In: nothing. Out: the names. Linux 6.18 and newer hold back thread by thread, on the way back to the program; older ones take the
//! whole run queue of the group from the CPU. No kernel has an event for either.

crate::kernel_fields! {
    /// Offsets of the fields that say so; none where the kernel was built without CPU quotas.
    QuotaFields {
        throttled = "task_struct"."throttled" or absent;
        run_queue = "task_struct"."se.cfs_rq" or absent;
        throttle_count = "cfs_rq"."throttle_count" or absent;
    }
}
