//! Where the time of a request goes: the components, and the layout of the attribution histogram that carries their sums.
//!
//! The attribution histogram is coarser than the latency histogram (grouping power 4, buckets at most 6.25 % wide). Each
//! of its rows holds, over the requests whose latency fell into the bucket, their number and the sum of every component.
//! Two hosts or two workers merge by addition, and any quantile can be explained after the fact.

use crate::histogram::bucket_index_of_power;

macro_rules! components {
    ($($variant:ident = $index:literal, $name:literal, $text:literal;)*) => {
        /// A part of a request's latency. At each moment of its life a request is in exactly one.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Component { $(#[doc = $text] $variant = $index,)* }

        /// (name in the report, what it means), by index.
        pub const COMPONENT_NAMES: [(&str, &str); COMPONENTS] = [$(($name, $text),)*];

        /// All components, by index.
        pub const ALL: [Component; COMPONENTS] = [$(Component::$variant,)*];
    };
}

/// Number of components.
pub const COMPONENTS: usize = 31;
/// The first component of the service time; those before it make up the queue time.
pub const FIRST_OF_SERVICE_TIME: usize = Component::OnCpu as usize;
/// Components of the queue time.
pub const QUEUE_COMPONENTS: usize = FIRST_OF_SERVICE_TIME;
/// Components of the service time.
pub const SERVICE_COMPONENTS: usize = Component::Reply as usize - FIRST_OF_SERVICE_TIME;

components! {
    QueueAccept = 0, "queue_accept", "Queue time: the connection was not accepted yet";
    QueueOnCpu = 1, "queue_on_cpu", "Queue time: the thread that read the request was on a CPU, with other work";
    QueueRunQueue = 2, "queue_run_queue", "Queue time: that thread waited for a CPU";
    QueueCpuQuota = 3, "queue_cpu_quota", "Queue time: that thread was held back by the CPU quota of its control group";
    QueueLock = 4, "queue_lock", "Queue time: that thread was blocked on a lock";
    QueueDisk = 5, "queue_disk", "Queue time: that thread was blocked on disk";
    QueueDownstream = 6, "queue_downstream", "Queue time: that thread was blocked on a downstream call of another request";
    QueueIdle = 7, "queue_idle", "Queue time: that thread was idle and not woken yet";
    QueueSleep = 8, "queue_sleep", "Queue time: that thread slept of its own accord";
    QueueFault = 9, "queue_fault", "Queue time: that thread was blocked in a page fault";
    QueueOther = 10, "queue_other", "Queue time: that thread was blocked in something else, or it is not known in what";
    OnCpu = 11, "on_cpu", "A thread executed on a CPU for the request";
    RunQueue = 12, "run_queue", "The thread that works for the request waited for a CPU";
    CpuQuota = 13, "cpu_quota", "That thread was held back by the CPU quota of its control group";
    Lock = 14, "lock", "That thread was blocked on a lock";
    Disk = 15, "disk", "That thread was blocked on disk";
    Downstream = 16, "downstream", "The request waited for the answer of a downstream peer";
    RequestBody = 17, "request_body", "The client was still sending the request";
    Idle = 18, "idle", "The request waited for a timer, or for an event that is not known";
    Sleep = 19, "sleep", "The thread that works for the request slept of its own accord";
    Fault = 20, "fault", "That thread was blocked in a page fault";
    Other = 21, "other", "That thread was blocked in something else";
    SendBuffer = 22, "send_buffer", "That thread was blocked in a send, because the other end took too little of what was sent before";
    LoopWait = 23, "loop_wait", "The request could go on, but the thread that had to go on with it worked for others";
    PoolWait = 24, "pool_wait", "The request was read, but no thread of the pool had taken it up yet";
    ConnectionWait = 25, "connection_wait", "The request waited for a connection to a downstream peer, which the call of another one had taken";
    Unknown = 26, "unknown", "The service time that could not be attributed";
    Reply = 27, "reply", "From the first to the last byte of the reply, while the service had more to send";
    DeliveryNagle = 28, "delivery_nagle", "The end of the reply was held back to go with more bytes (Nagle's algorithm, or a cork)";
    DeliveryWindow = 29, "delivery_window", "The reply could not leave, because the client took too little of it (its receive window)";
    DeliveryNetwork = 30, "delivery_network", "The reply could not leave, or left again, because of the network (congestion, pacing, loss)";
}

/// Downstream peers per service that get figures of their own; slot 0 stands for all others.
pub const PEER_SLOTS: usize = 16;

/// Grouping power of the attribution histogram.
pub const ATTRIBUTION_POWER: u32 = 4;
/// Buckets of the attribution histogram up to 2^36 ns.
pub const ATTRIBUTION_BUCKETS: usize = attribution_bucket((1 << crate::histogram::MAX_POWER) - 1) + 1;
/// Rows: the buckets, then one for what was over range.
pub const ATTRIBUTION_ROWS: u32 = ATTRIBUTION_BUCKETS as u32 + 1;

/// Word of a row: number of requests.
pub const COUNT_WORD: usize = 0;
/// Word of a row: sum of the latencies.
pub const LATENCY_WORD: usize = 1;
/// First of the words with the sums of the components of the queue time.
pub const QUEUE_WORD: usize = 5;
/// Words that a request which was computed in one go can have: two cache lines, of which a busy server needs only the first.
pub const NARROW_WORDS: usize = QUEUE_WORD + QUEUE_COMPONENTS;
/// Components of the service time that are among these words.
const NARROW_COMPONENTS: usize = 2;
/// Word of a row: time that was split between requests that cannot be told apart.
pub const SHARED_WORD: usize = NARROW_WORDS + SERVICE_COMPONENTS - NARROW_COMPONENTS;
/// Word of a row: downstream calls.
pub const CALLS_WORD: usize = SHARED_WORD + 1;
/// Word of a row: time with exactly one downstream call outstanding.
pub const ONE_CALL_WORD: usize = CALLS_WORD + 1;
/// Word of a row: time with two or more downstream calls outstanding.
pub const MANY_CALLS_WORD: usize = ONE_CALL_WORD + 1;
/// First of the words with the downstream time per peer slot.
pub const PEER_WORD: usize = MANY_CALLS_WORD + 1;
/// First of the words with the components of the delivery. They are behind the others, because a reply that leaves at once has none
/// and does not touch their cache line.
pub const DELIVERY_WORD: usize = PEER_WORD + PEER_SLOTS;
/// Components of the delivery.
pub const DELIVERY_COMPONENTS: usize = COMPONENTS - Component::DeliveryNagle as usize;
/// First of the words that nothing uses yet: for components to come.
pub const ROOM_WORD: usize = DELIVERY_WORD + DELIVERY_COMPONENTS;
/// Words for components to come, at least.
pub const ROOM_WORDS: usize = 3;
/// Words of a row: whole cache lines of 64 bytes, so that each row begins with one.
pub const ATTRIBUTION_WORDS: usize = (ROOM_WORD + ROOM_WORDS).next_multiple_of(8);

/// Word of a row that holds the sum of a component. Those that a request can have which was computed in one go come first.
#[inline(always)]
#[must_use]
pub const fn component_word(component: Component) -> usize {
    let at = component as usize;
    match component {
        Component::OnCpu => 2,
        Component::LoopWait => 3,
        Component::Reply => 4,
        _ if at < QUEUE_COMPONENTS => QUEUE_WORD + at,
        _ if at < Component::LoopWait as usize => NARROW_WORDS + at - (Component::OnCpu as usize + 1),
        _ if at < Component::Reply as usize => NARROW_WORDS + at - (Component::OnCpu as usize + NARROW_COMPONENTS),
        _ => DELIVERY_WORD + at - Component::DeliveryNagle as usize,
    }
}

/// Bucket of a latency in the attribution histogram.
#[inline(always)]
#[must_use]
pub const fn attribution_bucket(latency_ns: u64) -> usize {
    bucket_index_of_power(latency_ns, ATTRIBUTION_POWER)
}

/// Index into the `ATTRIBUTION` array. `service` counts from 0.
#[inline(always)]
#[must_use]
pub const fn attribution_row(shards: u32, service: u32, bucket: u32, shard: u32) -> u32 {
    (service * shards + shard) * ATTRIBUTION_ROWS + bucket
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{MAX_POWER, bucket_low_of_power};

    #[test]
    fn an_index_is_a_position() {
        for (index, component) in ALL.iter().enumerate() {
            assert_eq!(*component as usize, index);
        }
        for (at, (name, _)) in COMPONENT_NAMES.iter().enumerate() {
            assert!(COMPONENT_NAMES[..at].iter().all(|(other, _)| other != name), "{name} twice");
        }
        assert_eq!((QUEUE_COMPONENTS, SERVICE_COMPONENTS, DELIVERY_COMPONENTS), (11, 16, 3));
    }

    #[test]
    fn each_word_has_one_meaning() {
        let mut uses = [0; ROOM_WORD];
        for word in [COUNT_WORD, LATENCY_WORD, SHARED_WORD, CALLS_WORD, ONE_CALL_WORD, MANY_CALLS_WORD] {
            uses[word] += 1;
        }
        for component in ALL {
            uses[component_word(component)] += 1;
        }
        uses[PEER_WORD..DELIVERY_WORD].fill(1);
        assert_eq!(uses, [1; ROOM_WORD]);
        assert_eq!((NARROW_WORDS * 8).div_ceil(64), 2);
        assert_eq!((ATTRIBUTION_WORDS * 8 % 64, ATTRIBUTION_WORDS * 8 / 64), (0, 7));
    }

    #[test]
    fn buckets_are_at_most_a_sixteenth_wide() {
        assert_eq!(ATTRIBUTION_BUCKETS, 528);
        for index in 32..ATTRIBUTION_BUCKETS {
            let low = bucket_low_of_power(index, ATTRIBUTION_POWER);
            let next = bucket_low_of_power(index + 1, ATTRIBUTION_POWER);
            assert_eq!((attribution_bucket(low), attribution_bucket(next - 1)), (index, index));
            assert!((next - low) * 16 <= low, "{index}");
        }
        assert_eq!(attribution_bucket(1 << MAX_POWER), ATTRIBUTION_BUCKETS);
    }

    /// The bound that the documentation states for the maps of the attribution.
    #[test]
    fn memory_stays_within_its_bound() {
        let bytes = |services: usize, shards: u32| {
            attribution_row(shards, services as u32, 0, 0) as usize * ATTRIBUTION_WORDS * 8
                + services * crate::maps::DOWNSTREAM_BYTES
        };
        assert!(bytes(1, 2) < 2 << 20, "{}", bytes(1, 2));
        assert!(bytes(64, crate::maps::MAX_SHARDS) < 256 << 20, "{}", bytes(64, 4));
    }
}
