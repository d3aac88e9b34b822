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

/// Whether others can make it grow by using the CPUs.
pub fn is_of_cpus(figure: &Figure) -> bool {
    match figure {
        Figure::Latency { .. } | Figure::EndpointLatency { .. } => true,
        Figure::Component { name } => OF_CPUS.contains(&name.as_str()),
        _ => false,
    }
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
    if is_others && is_of_cpus(&shift.figure) { Shift { told: Told::Host, ..shift } } else { shift }
}

#[cfg(test)]
mod tests {
    use super::super::model::Unit;
    use super::*;

    fn told(figure: Figure, told: Told, contention: Option<[f64; 2]>) -> Told {
        let unit = Unit::Ns;
        let shift = Shift { figure, unit, old: 1.0, new: 2.0, shift: 1.0, interval: None, would_be_seen: None, told };
        excused(shift, contention).told
    }

    #[test]
    fn what_grows_with_the_load_of_others_is_theirs_and_nothing_else() {
        let component = |name: &str| Figure::Component { name: name.into() };
        let p99 = || Figure::Latency { quantile: 9_900 };
        assert_eq!(told(p99(), Told::Up, Some([0.1, 0.5])), Told::Host);
        assert_eq!(told(component("on_cpu"), Told::Down, Some([0.5, 0.1])), Told::Host);
        assert_eq!(told(component("sleep"), Told::Up, Some([0.1, 0.5])), Told::Up);
        assert_eq!(told(Figure::Rate, Told::Down, Some([0.5, 0.1])), Told::Down);
        // Against its direction, too little of it, or not known.
        for contention in [Some([0.5, 0.1]), Some([0.5, 0.6]), Some([0.001, 0.01]), None] {
            assert_eq!(told(p99(), Told::Up, contention), Told::Up, "{contention:?}");
        }
    }
}
