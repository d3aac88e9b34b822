//! The loss ledger: one named counter for every way in which the kernel side can lose information.
//!
//! A kernel program that cannot do its work returns a [`Loss`]; the wrapper around it increments the counter. The report
//! prints all of them, so that zero means "nothing was lost" and never "not counted".

macro_rules! losses {
    ($($(#[$doc:meta])* $variant:ident = $index:literal, $name:literal, $text:literal;)*) => {
        /// One reason for which a measurement was lost or degraded.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Loss { $(#[doc = $text] $variant = $index,)* }

        /// (name in the report, what it means), by index.
        pub const LOSSES: &[(&str, &str)] = &[$(($name, $text),)*];
    };
}

losses! {
    SocketStorage = 0, "socket_storage_refused", "The kernel refused memory for the state of a socket; its requests are not counted";
    TaskStorage = 1, "thread_storage_refused", "The kernel refused memory for the state of a thread; its scheduler times, faults and stalls are not counted";
    ArrivalUnseen = 2, "arrival_unseen", "A request was read whose arrival was not seen; its queue time counts as 0";
    NegativeDifference = 3, "negative_difference", "Two times were out of order; the difference was dropped";
    ErrnoTableFull = 4, "errno_table_full", "The table of failed system calls is full; the failure counts, but without its errno";
    SyscallSlots = 5, "syscall_slots_full", "A system call has a number that no table has; the call has no figures";
    ServiceTable = 6, "service_table", "A process id lies outside the service table; the process is not profiled";
    ExecQueueOverrun = 7, "exec_queue_overrun", "More programs were started between two scans than the queue holds; a full scan of /proc replaces it";
    RequestTableFull = 8, "request_table_full", "More requests waited at a time than the table holds, or the kernel refused memory; the time of the request is unknown";
    DownstreamSlots = 9, "downstream_slots_full", "A service called a peer for which there was no slot, or no room in the table of peers; it counts among the others";
    CallsMixed = 10, "calls_multiplexed", "A request sent on a connection while the call of another was outstanding; its answer is not matched";
    Inconsistent = 11, "attribution_inconsistent", "The parts of a request did not add up; its whole service time counts as unknown";
    ProbesStopped = 12, "probes_stopped", "A probe was stopped to keep to --max-overhead; its figures end there";
    CountsBelowZero = 13, "counts_below_zero", "A value was taken back that had not been recorded; the count, which would be negative, is 0";
}

/// Number of counters.
pub const LOSS_COUNT: usize = LOSSES.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (i, (name, _)) in LOSSES.iter().enumerate() {
            assert!(LOSSES[..i].iter().all(|(other, _)| other != name), "{name} twice");
        }
    }

    #[test]
    fn an_index_is_a_position() {
        assert_eq!(LOSSES[Loss::SocketStorage as usize].0, "socket_storage_refused");
        assert_eq!(LOSSES[Loss::ExecQueueOverrun as usize].0, "exec_queue_overrun");
    }
}
