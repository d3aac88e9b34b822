//! `retransmissions`: segments had to be sent again.

use super::context::Context;
use crate::analysis::model::{Confidence, Figure, Finding, Unit};

/// Its id.
pub const RETRANSMISSIONS: &str = "retransmissions";

/// Fewer are no loss that lasts.
const LEAST: u64 = 20;
/// At least one for so many requests.
const REQUESTS: u64 = 100;

/// Each costs its connection 200 ms and more.
pub fn look(context: &Context) -> Vec<Finding> {
    let Some(tcp) = &context.service.tcp else { return Vec::new() };
    if tcp.retransmits < LEAST || tcp.retransmits.saturating_mul(REQUESTS) < context.answered() {
        return Vec::new();
    }
    let mut figures = vec![Figure::new("retransmits", tcp.retransmits, Unit::Count).against(context.answered())];
    let worst = tcp.peers.iter().filter(|peer| peer.retransmits > 0).max_by_key(|peer| peer.retransmits);
    figures.extend(
        worst.map(|peer| Figure::new("retransmits_of", peer.retransmits, Unit::Count).of(peer.address.clone())),
    );
    vec![context.found(RETRANSMISSIONS, context.severity(), Confidence::High, figures)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{self, ids};

    #[test]
    fn one_in_a_hundred_requests_is_many() {
        let sent_again = |retransmits| {
            let mut report = planted::healthy();
            report.services[0].tcp.as_mut().expect("tcp").retransmits = retransmits;
            ids(&report).contains(&RETRANSMISSIONS.to_owned())
        };
        assert!(sent_again(3_000) && !sent_again(2_999));
    }
}
