//! `replies_wait_for_ack`: replies are sent in two pieces, of which the second waits until the client has confirmed the first.

use acgs_perf_common::attribution::Component::DeliveryNagle;

use super::context::Context;
use crate::analysis::model::{Confidence, Figure, Finding, Unit};

/// Its id.
pub const REPLIES_WAIT_FOR_ACK: &str = "replies_wait_for_ack";

/// At least one reply in so many is held, and so many.
const ONE_IN: u64 = 100;
const LEAST: u64 = 10;
/// They are held for at least so long on average.
const LEAST_NS: u64 = 1_000_000;

/// Whatever else the slowest requests wait for.
pub fn look(context: &Context) -> Vec<Finding> {
    let Some(requests) = &context.service.requests else { return Vec::new() };
    let (Some(held), Some(delivery)) = (&requests.held_ns, &requests.delivery) else { return Vec::new() };
    let others = held.window_ns.saturating_add(held.network_ns);
    let mean = held.nagle_ns / delivery.count.max(1);
    let is_seldom = delivery.count < LEAST || delivery.count.saturating_mul(ONE_IN) < requests.count;
    if is_seldom || held.nagle_ns <= others || mean < LEAST_NS {
        return Vec::new();
    }
    let mut figures = vec![
        Figure::new("held_replies", delivery.count, Unit::Count).against(requests.count),
        Figure::new("held_mean", mean, Unit::Ns),
    ];
    figures.extend(delivery.p99_ns.map(|ns| Figure::new("held_p99", ns, Unit::Ns)));
    let found = context.found(REPLIES_WAIT_FOR_ACK, context.severity(), Confidence::High, figures);
    vec![context.with_gain_of(found, &[DeliveryNagle], 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{held, ids};

    #[test]
    fn one_reply_in_a_hundred_is_told() {
        let is_found =
            |count, nagle, window| ids(&held(count, nagle, window)).contains(&REPLIES_WAIT_FOR_ACK.to_owned());
        assert!(is_found(3_000, 3_000_000_000, 2_000_000_000));
        assert!(!is_found(2_999, 3_000_000_000, 2_000_000_000), "seldom");
        assert!(!is_found(3_000, 2_990_000_000, 0), "briefly");
        assert!(!is_found(3_000, 3_000_000_000, 3_000_000_000), "the clients");
    }
}
