//! `nothing_answered`: no request was answered.

use super::context::Context;
use super::start::of_service;
use crate::analysis::model::{Figure, Finding, ServiceReport, Severity, Unit};

/// Its id.
pub const NOTHING_ANSWERED: &str = "nothing_answered";

/// At most one.
pub fn look(context: &Context) -> Vec<Finding> {
    nothing_answered(context.service).into_iter().collect()
}

fn nothing_answered(service: &ServiceReport) -> Option<Finding> {
    let requests = service.requests.as_ref().filter(|r| r.count == 0)?;
    let figures = [
        ("requests", 0),
        ("unanswered", requests.unanswered),
        ("unsolicited_sends", requests.unsolicited_sends),
        ("processes", service.processes.len() as u64),
    ];
    let figures = figures.map(|(what, value)| Figure::new(what, value, Unit::Count));
    Some(of_service(NOTHING_ANSWERED, Severity::Warning, service, figures.into()))
}
