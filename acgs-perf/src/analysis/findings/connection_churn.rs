//! `connection_churn` and `clients_reconnect`: a connection for each call, or for each request.

use acgs_perf_common::attribution::Component::{Downstream, QueueAccept};

use super::context::Context;
use crate::analysis::model::{Confidence, Figure, Finding, Severity, Unit};

/// The service opens a connection for at least every second call to a peer.
pub const CONNECTION_CHURN: &str = "connection_churn";
/// Clients open a connection for at least every second request.
pub const CLIENTS_RECONNECT: &str = "clients_reconnect";

/// With fewer calls or requests, connections that are opened once are many.
const LEAST: u64 = 100;
/// A warning only if waiting there is at least this share of the time of the slowest requests.
const LEAST_SHARE: f64 = 0.2;

/// Both.
pub fn look(context: &Context) -> Vec<Finding> {
    let severity = |components| {
        if context.share_of_tail(components) >= LEAST_SHARE { context.severity() } else { Severity::Info }
    };
    let mut all = Vec::new();
    let peers = context.service.downstream.iter().flatten();
    let churned = peers.filter(|peer| peer.calls >= LEAST && peer.connects.saturating_mul(2) >= peer.calls);
    let mut figures: Vec<_> = churned
        .map(|peer| Figure::new("connects", peer.connects, Unit::Count).of(peer.address.clone()).against(peer.calls))
        .collect();
    if !figures.is_empty() {
        let connect = context.service.tcp.as_ref().and_then(|tcp| tcp.connect.p50_ns);
        figures.extend(connect.map(|ns| Figure::new("connect_p50", ns, Unit::Ns)));
        all.push(context.found(CONNECTION_CHURN, severity(&[Downstream]), Confidence::High, figures));
    }
    let accepted = context.service.tcp.as_ref().map_or(0, |tcp| tcp.accepted);
    let answered = context.answered();
    if answered >= LEAST && accepted.saturating_mul(2) >= answered {
        let figures = vec![Figure::new("accepted", accepted, Unit::Count).against(answered)];
        all.push(context.found(CLIENTS_RECONNECT, severity(&[QueueAccept]), Confidence::High, figures));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{self, ids};

    #[test]
    fn every_second_call_is_many_and_a_few_calls_are_none() {
        let churned = |connects, calls| {
            let mut report = planted::api();
            let peer = &mut report.services[0].downstream.as_mut().expect("peers")[0];
            (peer.connects, peer.calls) = (connects, calls);
            ids(&report).contains(&CONNECTION_CHURN.to_owned())
        };
        assert!(churned(50, 100) && !churned(49, 100) && !churned(99, 99));
    }

    #[test]
    fn clients_that_keep_their_connections_are_none() {
        let reconnects = |accepted| {
            let mut report = planted::healthy();
            report.services[0].tcp.as_mut().expect("tcp").accepted = accepted;
            ids(&report).contains(&CLIENTS_RECONNECT.to_owned())
        };
        assert!(reconnects(150_000) && !reconnects(149_999));
    }
}
