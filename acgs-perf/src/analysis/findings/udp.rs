//! `udp_not_measured`: a service also takes messages over UDP.

use super::context::Context;
use super::start::of_service;
use crate::analysis::model::{Figure, Finding, ServiceReport, Severity, Unit};

/// Its id.
pub const UDP_NOT_MEASURED: &str = "udp_not_measured";

/// At most one.
pub fn look(context: &Context) -> Vec<Finding> {
    udp_not_measured(context.service).into_iter().collect()
}

fn udp_not_measured(service: &ServiceReport) -> Option<Finding> {
    let ports = service.udp_ports.iter().map(|port| Figure::new("udp_port", u64::from(*port), Unit::Count));
    let figures: Vec<_> = ports.collect();
    (!figures.is_empty()).then(|| of_service(UDP_NOT_MEASURED, Severity::Info, service, figures))
}
