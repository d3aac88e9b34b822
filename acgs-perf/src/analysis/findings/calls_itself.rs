//! `calls_itself`: among the requests of a service are calls of its own processes.
//!
//! A front process that passes requests on to workers over a socket on which these listen: both are selected, and each request of a client
//! counts twice, once where it came and once inside.

use super::context::Context;
use super::start::share;
use crate::analysis::model::{Confidence, DownstreamReport, Figure, Finding, Severity, Unit};

/// Its id.
pub const CALLS_ITSELF: &str = "calls_itself";

/// Fewer than this share of the requests change no percentile that is looked at.
const LEAST_SHARE: f64 = 0.01;
/// From this share on, the figures say little about what clients saw.
const MUCH: f64 = 0.1;

/// At most one.
pub fn look(context: &Context) -> Vec<Finding> {
    let name = &context.service.name;
    let is_own = |peer: &&DownstreamReport| peer.service.as_ref() == Some(name) && peer.calls > 0;
    let own: Vec<_> = context.service.downstream.iter().flatten().filter(is_own).collect();
    let (calls, answered) = (own.iter().map(|peer| peer.calls).sum::<u64>(), context.answered());
    let of_all = calls as f64 / answered.max(1) as f64;
    if of_all < LEAST_SHARE {
        return Vec::new();
    }
    let severity = if of_all < MUCH { Severity::Info } else { Severity::Warning };
    let figure = |peer: &&DownstreamReport| {
        Figure::new("own_calls", peer.calls, Unit::Count).of(peer.address.clone()).against(answered)
    };
    let found = context.found(CALLS_ITSELF, severity, Confidence::High, own.iter().map(figure).collect());
    vec![Finding { share: Some(share(of_all.min(1.0))), ..found }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{api, found};

    #[test]
    fn calls_to_itself_are_told_and_those_to_others_are_not() {
        let with = |service: &str, calls: u64| {
            let mut report = api();
            let peer = &mut report.services[0].downstream.as_mut().expect("peers")[0];
            (peer.service, peer.calls) = (Some(service.to_owned()), calls);
            found(&report, CALLS_ITSELF)
        };
        let report = api();
        let (own, answered) = (&report.services[0].name, report.services[0].requests.as_ref().unwrap().count);
        let half = with(own, answered / 2).unwrap();
        assert_eq!((half.severity, half.share, half.figures.len()), (Severity::Warning, Some(0.5), 1));
        assert_eq!(with(own, answered / 50).map(|of| of.severity), Some(Severity::Info));
        assert_eq!(with(own, answered / 200), None);
        assert_eq!(with("another", answered / 2), None);
    }
}
