//! The finding `counts_disagree`: each request is counted in several places, which have to agree.
//!
//! In: a service's requests, and the rows of its attribution if that went on to the end. Out: a finding that names the places
//! with another number than that of the requests answered.

use super::super::number::grouped;
use crate::analysis::model::{Finding, ServiceReport, Severity};

/// Whether the histograms and the rows hold as many requests as were answered. `rows` says whether the rows are complete.
pub fn disagree(service: &ServiceReport, rows: bool) -> Option<Finding> {
    let requests = service.requests.as_ref()?;
    let in_rows = service.attribution.as_ref().filter(|_| rows);
    let in_rows =
        in_rows.map(|attribution| attribution.rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.count)));
    let places = [
        ("latency", Some(requests.latency.count)),
        ("queue time", Some(requests.queue_time.count)),
        ("service time", Some(requests.service_time.count)),
        ("attribution", in_rows),
    ];
    let others: Vec<_> = places
        .iter()
        .filter_map(|(place, count)| Some((place, (*count)?)))
        .filter(|(_, count)| *count != requests.count)
        .map(|(place, count)| format!("{} in {place}", grouped(count)))
        .collect();
    if others.is_empty() {
        return None;
    }
    Some(Finding {
        id: "counts_disagree".into(),
        severity: Severity::Warning,
        service: Some(service.name.clone()),
        title: format!("the figures of {} disagree about how many requests there were", service.name),
        evidence: format!("{} requests answered; {}", grouped(requests.count), others.join(", ")),
        recommendation:
            "this is a fault of acgs-perf: weigh percentiles and shares by the difference, and please report it \
                         with the JSON report"
                .into(),
    })
}

#[cfg(test)]
mod tests {
    use crate::analysis::figures::Figures;
    use crate::analysis::{assess, sample};

    fn evidence(figures: &Figures) -> Option<String> {
        let findings = assess(figures).findings;
        findings.into_iter().find(|finding| finding.id == "counts_disagree").map(|finding| finding.evidence)
    }

    #[test]
    fn each_place_with_another_number_is_named() {
        let mut figures = sample::whole();
        assert_eq!(evidence(&figures), None);
        let api = &mut figures.services[1];
        let requests = api.requests.as_mut().expect("there are some");
        let answered = requests.count;
        requests.latency.over_range += 2;
        api.attribution.as_mut().expect("there is one").rows[0].count += 1;
        let text = evidence(&figures).expect("they disagree");
        let grouped = super::grouped;
        let expected = format!(
            "{} requests answered; {} in latency, {} in attribution",
            grouped(answered),
            grouped(answered + 2),
            grouped(answered + 1)
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn rows_that_end_where_the_attribution_was_stopped_say_nothing() {
        let mut figures = sample::whole();
        figures.services[1].attribution.as_mut().expect("there is one").rows.pop();
        assert!(evidence(&figures).is_some());
        let mut stopped = figures.probes[0].clone();
        stopped.name = "attribution".into();
        stopped.stopped_after_ns = Some(1_000_000_000);
        figures.probes.push(stopped);
        assert_eq!(evidence(&figures), None);
    }
}
