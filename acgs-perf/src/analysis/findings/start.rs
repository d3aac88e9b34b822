//! A finding as it begins: with its numbers, and without words.

use crate::analysis::model::{Confidence, Figure, Finding, ServiceReport, Severity};

/// About the whole recording.
pub fn finding(id: &str, severity: Severity, figures: Vec<Figure>) -> Finding {
    Finding {
        id: id.into(),
        severity,
        service: None,
        endpoint: None,
        figures,
        share: None,
        would_fall_to_ns: None,
        confidence: Some(Confidence::High),
        page: format!("findings/{id}.md"),
        title: String::new(),
        evidence: String::new(),
        recommendation: String::new(),
        gain: String::new(),
    }
}

/// About a service.
pub fn of_service(id: &str, severity: Severity, service: &ServiceReport, figures: Vec<Figure>) -> Finding {
    Finding { service: Some(service.name.clone()), ..finding(id, severity, figures) }
}

/// A share with four decimals, which survive a round trip through JSON.
pub fn share(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}
