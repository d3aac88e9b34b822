//! What others on the host may have made.
//!
//! In: what was told of a figure, and how much others used the CPUs that the service wanted. Out: what is told of it then.

use super::model::{Figure, Shift, Told};

/// Others have used the CPUs more if the wait for them is by this factor longer, and by this share of the time on a CPU.
const OTHERS_FACTOR: f64 = 1.25;
const OTHERS_LEAST: f64 = 0.02;
/// Components that grow when others use the CPUs.
const OF_CPUS: [&str; 13] = [
    "on_cpu",
    "run_queue",
    "queue_on_cpu",
    "queue_run_queue",
    "queue_idle",
    "queue_sleep",
    "queue_other",
    "queue_accept",
    "loop_wait",
    "pool_wait",
    "lock",
    "reply",
    "delivery_network",
];

/// Whether others used the CPUs clearly more in `more` than in `less`.
pub fn differs(less: f64, more: f64) -> bool {
    more >= less * OTHERS_FACTOR && more - less >= OTHERS_LEAST
}

/// What others may have made is told as theirs: a time on a CPU or next to one, or a latency, that has grown while more of the wait for
/// CPUs was for others, or fallen while less was. The wait is taken by the time on a CPU, so that a service which computes for longer, and
/// therefore is interrupted more often, is no excuse for itself.
pub fn excused(shift: Shift, contention: Option<[f64; 2]>) -> Shift {
    let Some([old, new]) = contention else { return shift };
    let is_others = match shift.told {
        Told::Up => differs(old, new),
        Told::Down => differs(new, old),
        _ => false,
    };
    let is_of_cpus = match &shift.figure {
        Figure::Latency { .. } => true,
        Figure::Component { name } => OF_CPUS.contains(&name.as_str()),
        _ => false,
    };
    if is_others && is_of_cpus { Shift { told: Told::Host, ..shift } } else { shift }
}
