//! What the page holds, and that nothing from outside becomes a part of it.

use super::*;
use crate::analysis::sample::{self, assessed};
use crate::output::words::said;
use crate::report::{EndpointObjectiveReport, Verdict, seal};

fn page(mut report: Report) -> String {
    report = said(assessed(report));
    seal(&mut report).unwrap();
    render(&report).unwrap().as_str().to_owned()
}

#[test]
fn the_page_has_every_section_and_loads_nothing() {
    let text = page(sample::whole());
    for wanted in
        ["Findings", "Latency by percentile", "by quantile", "Downstream", "slowest single requests", "Loss ledger"]
    {
        assert!(text.contains(wanted), "{wanted}");
    }
    let hash = acgs_perf_common::CONSTITUTIONAL_HASH;
    assert!(text.contains(hash) && text.contains("sha256:"));
    for foreign in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    assert!(!text.contains(" style="), "a style that the policy forbids");
}

/// Names that would be something else if a page took them for a part of itself.
const HOSTILE: &str = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}\u{202e}&amp;<!--";

#[test]
fn names_of_others_stay_text() {
    let mut report = sample::whole();
    report.host.name = HOSTILE.into();
    report.host.kernel = HOSTILE.into();
    report.notes.push(HOSTILE.into());
    report.ledger.insert(HOSTILE.into(), 7);
    for service in &mut report.services {
        service.name.push_str(HOSTILE);
        service.selector = HOSTILE.into();
        service.processes[0].comm = HOSTILE.into();
        for peer in service.downstream.iter_mut().flatten() {
            peer.service = Some(HOSTILE.into());
        }
        for exemplar in service.exemplars.iter_mut().flatten() {
            (exemplar.client, exemplar.comm, exemplar.endpoint) =
                (HOSTILE.into(), HOSTILE.into(), Some(HOSTILE.into()));
            for segment in &mut exemplar.segments {
                segment.component.push_str(HOSTILE);
                (segment.peer, segment.call) = (Some(HOSTILE.into()), Some(HOSTILE.into()));
            }
        }
        for row in service.attribution.iter_mut().flat_map(|of| &mut of.rows) {
            let own = std::mem::take(&mut row.downstream_ns);
            row.downstream_ns = own.into_iter().map(|(peer, ns)| (format!("{peer}{HOSTILE}"), ns)).collect();
        }
        service.tables.insert("endpoints".into(), serde_json::json!([endpoint(HOSTILE, 5)]));
    }
    let text = page(report);
    let script = text.find("<script>").unwrap();
    assert!(text[script + 1..].find("<script").is_none(), "only our own script");
    assert!(!text.contains("<img") && !text.contains("<!--") && !text.contains('\u{202e}'));
    assert!(text.matches("</title>").count() == 1 + text.matches("<title id=").count());
    assert!(text.contains("&#60;script&#62;") || text.contains("&lt;script&gt;"), "shown as what it is");
}

fn endpoint(name: &str, requests: u64) -> serde_json::Value {
    let latency = sample::distribution((0..200).map(|at| 1_000_000 + at * 50_000 * (requests % 7 + 1)));
    serde_json::json!({
        "protocol": "http/1", "kind": "request", "name": name, "requests": requests, "failed": requests / 9, "refused": 0,
        "streamed": 0, "latency": latency,
    })
}

/// Twenty services with two hundred endpoints each, an hour long.
fn large() -> Report {
    let mut report = sample::whole();
    let api = report.services[1].clone();
    let column = |at: u64| {
        let of = sample::distribution((0..400u64).map(|n| (200_000 + n * n * 977 + at * n * 313) << (n % 5)));
        crate::report::LatencyColumnReport {
            offset_ns: at * 37_500_000_000,
            duration_ns: 37_500_000_000,
            histogram: of.histogram,
        }
    };
    let endpoints: Vec<_> = (0..200u64)
        .map(|at| {
            endpoint(
                &format!("GET /api/v1/organisations/{{id}}/documents/{at}/revisions/{{id}}/comments"),
                90_000 - at * 400,
            )
        })
        .collect();
    let service = |at: usize| {
        let mut of = api.clone();
        of.name = format!("governance-service-{at}");
        of.latency_over_time = (0..96).map(column).collect();
        of.tables.insert("endpoints".into(), endpoints.clone().into());
        of.exemplars = of.exemplars.map(|all| all.iter().cycle().take(40).cloned().collect());
        of
    };
    report.window.duration_ns = 3_600_000_000_000;
    report.services = (0..20).map(service).collect();
    report
}

#[test]
fn twenty_services_of_an_hour_are_less_than_a_megabyte() {
    let text = page(large());
    assert!(text.len() < 950_000, "{} bytes", text.len());
    // Up to eight that make the tail have their rows beside the first twenty.
    let is_summed = (172..=180).any(|more| text.contains(&format!("{more} more endpoints with")));
    assert!(is_summed, "the rest is summed");
    assert_eq!(text.matches("<section class=\"service\"").count(), 20);
}

#[test]
fn an_endpoint_has_its_verdict_and_one_that_makes_the_tail_has_its_row() {
    let mut report = sample::whole();
    let service = &mut report.services[1];
    let mut rows: Vec<_> = (0..500).map(|at| endpoint(&format!("GET /{at}"), 9_000 - at)).collect();
    rows.push(endpoint("POST /rare", 5));
    service.tables.insert("endpoints".into(), rows.into());
    service.endpoint_objectives.clear();
    let mut report = said(assessed(report));
    let service = &mut report.services[1];
    let rare = crate::report::TailEndpointReport {
        protocol: "http/1".into(),
        name: "POST /rare".into(),
        requests: 5,
        share: 0.63,
    };
    service.tail.as_mut().unwrap().endpoints = vec![rare];
    for (name, verdict) in [("GET /0", Verdict::Met), ("POST /rare", Verdict::Missed)] {
        service.endpoint_objectives.push(EndpointObjectiveReport {
            name: name.into(),
            verdict: Some(verdict),
            found_p99_ns: Some(9_100_000),
            reason: format!("{name} because"),
            ..EndpointObjectiveReport::default()
        });
    }
    let text = render(&report).unwrap().as_str().to_owned();
    let row = text.lines().find(|line| line.contains("<th scope=\"row\"><code>POST /rare")).expect("its row");
    assert!(row.contains("63 %"), "{row}");
    assert!(!text.contains("<code>GET /499<"), "the rest is summed");
    let verdicts = text.find("POST /rare because").zip(text.find("GET /0 because")).expect("both");
    assert!(verdicts.0 < verdicts.1, "what is missed comes first");
    assert!(text.contains("P99 9.10 ms · POST /rare because"));
}
