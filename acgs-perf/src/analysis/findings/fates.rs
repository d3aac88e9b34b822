//! Findings about requests without a reply.
//!
//! In: a service's fates. Out: a finding for each that concerns the user. Open requests that are younger than the objective do not: a
//! healthy service has some at every moment.

use super::context::Context;
use super::start::of_service;
use crate::analysis::model::{Figure, Finding, OpenReport, ServiceReport, Severity, Unit};

/// Requests that nobody has read, as old as the objective.
pub const UNREAD: &str = "requests_unread";
/// Requests that were read and not answered, as old as the objective.
pub const IN_SERVICE: &str = "requests_unanswered";
/// Replies that have not left, of requests as old as the objective.
pub const UNDELIVERED: &str = "replies_undelivered";
/// Requests whose client left when they were as old as the objective.
pub const ABANDONED: &str = "requests_abandoned";
/// Requests whose connection the service closed instead of answering.
pub const CUT_OFF: &str = "requests_cut_off";
/// Connections that the listener dropped.
pub const REFUSED: &str = "connections_refused";

/// Fewer than one in this many are for information only.
const MANY: u64 = 100;

/// All of them.
pub fn look(context: &Context) -> Vec<Finding> {
    fates(context.service)
}

fn fates(service: &ServiceReport) -> Vec<Finding> {
    let Some(fates) = &service.fates else { return Vec::new() };
    let count = |what, count| Figure::new(what, count, Unit::Count);
    let mut all = Vec::new();
    for (id, open) in [(UNREAD, &fates.unread), (IN_SERVICE, &fates.in_service), (UNDELIVERED, &fates.undelivered)] {
        if open.beyond_objective > 0 {
            let figures = figures(open, service.objective.p99_ns);
            all.push(of_service(id, severity(service, open.beyond_objective), service, figures));
        }
    }
    let abandoned = &fates.abandoned;
    if abandoned.beyond_objective > 0 {
        let mut figures = vec![count("abandoned", abandoned.beyond_objective).against(answered(service))];
        figures.extend(abandoned.oldest_ns.map(|ns| Figure::new("longest_wait", ns, Unit::Ns)));
        figures.push(count("answered_into_closed", abandoned.into_closed));
        all.push(of_service(ABANDONED, severity(service, abandoned.beyond_objective), service, figures));
    }
    if let Some(cut_off) = fates.cut_off.filter(|cut_off| *cut_off > 0) {
        let figures = vec![count("cut_off", cut_off).against(answered(service))];
        all.push(of_service(CUT_OFF, severity(service, cut_off), service, figures));
    }
    if let Some(refused) = service.refused.as_ref().filter(|refused| refused.drops > 0) {
        let figures = refused.by_port.iter().map(|(port, drops)| count("drops", *drops).of(format!("port {port}")));
        all.push(of_service(REFUSED, Severity::Warning, service, figures.collect()));
    }
    all
}

fn answered(service: &ServiceReport) -> u64 {
    service.requests.as_ref().map_or(0, |requests| requests.count)
}

fn severity(service: &ServiceReport, count: u64) -> Severity {
    if count.saturating_mul(MANY) > answered(service) { Severity::Warning } else { Severity::Info }
}

fn figures(open: &OpenReport, objective_ns: u64) -> Vec<Figure> {
    let mut figures = vec![Figure::new("open", open.beyond_objective, Unit::Count)];
    figures.extend(open.oldest_ns.map(|ns| Figure::new("oldest", ns, Unit::Ns).against(objective_ns)));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::model::AbandonedReport;
    use crate::analysis::sample;

    fn service() -> ServiceReport {
        sample::whole().services.remove(0)
    }

    #[test]
    fn a_healthy_service_has_some_in_flight_and_no_finding() {
        assert_eq!(fates(&service()), Vec::new());
    }

    #[test]
    fn each_fate_has_its_finding() {
        let mut service = service();
        let of_service = service.fates.as_mut().unwrap();
        of_service.unread.beyond_objective = 100_000;
        of_service.unread.oldest_ns = Some(3_000_000_000);
        of_service.in_service.beyond_objective = 1;
        of_service.undelivered.beyond_objective = 3;
        of_service.abandoned =
            AbandonedReport { count: 50, beyond_objective: 44, into_closed: 40, ..AbandonedReport::default() };
        of_service.cut_off = Some(2);
        let refused = service.refused.as_mut().unwrap();
        (refused.drops, refused.by_port) = (424, [(8000, 424)].into());
        let all = fates(&service);
        let ids: Vec<_> = all.iter().map(|finding| (finding.id.as_str(), finding.severity)).collect();
        let info = Severity::Info;
        assert_eq!(
            ids,
            [
                (UNREAD, Severity::Warning),
                (IN_SERVICE, info),
                (UNDELIVERED, info),
                (ABANDONED, info),
                (CUT_OFF, info),
                (REFUSED, Severity::Warning)
            ]
        );
        assert_eq!(all[0].figures[1], Figure::new("oldest", 3_000_000_000, Unit::Ns).against(5_000_000));
        assert_eq!(all[5].figures, [Figure::new("drops", 424, Unit::Count).of("port 8000")]);
    }
}
