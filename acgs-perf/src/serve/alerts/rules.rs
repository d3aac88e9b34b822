//! Rules for Prometheus: how much of each service's requests miss its objective, and when that is worth waking somebody.
//!
//! In: services with their objectives. Out: YAML of recording and alerting rules, for the counters of `metrics`; the burn rates are
//! those of `burn`. Refused connections are tries, so that who tries again is counted again: as in the verdict, that is no reason to
//! look away.

use std::fmt::Write as _;

use super::burn::{Burn, MIN_REQUESTS, Severity, window};
use crate::discover::ServiceSpec;

/// The times over which the share is recorded.
const WINDOWS: [&str; 6] = ["5m", "30m", "1h", "6h", "1d", "3d"];

/// The rules for these services.
#[must_use]
pub fn rules(services: &[ServiceSpec]) -> String {
    let mut text = String::from(
        "# Rules for the metrics of `acgs-perf serve`, made by `acgs-perf alerts`.\ngroups:\n- name: acgs-perf\n  rules:\n",
    );
    for service in services {
        WINDOWS.iter().for_each(|window| record(&mut text, &service.name, window));
    }
    alert(&mut text, "AcgsPerfObjective", Severity::Page, &OF_SERVICES);
    alert(&mut text, "AcgsPerfObjectiveSlowBurn", Severity::Ticket, &OF_SERVICES);
    let mut has_endpoints = false;
    for service in services {
        let limits = service.endpoints.endpoints.iter().filter(|(_, rule)| rule.p99.is_some());
        for (endpoint, _) in limits {
            WINDOWS.iter().for_each(|window| record_endpoint(&mut text, &service.name, endpoint, window));
            has_endpoints = true;
        }
    }
    if has_endpoints {
        alert(&mut text, "AcgsPerfEndpointObjective", Severity::Page, &OF_ENDPOINTS);
        alert(&mut text, "AcgsPerfEndpointObjectiveSlowBurn", Severity::Ticket, &OF_ENDPOINTS);
    }
    text.push_str(OF_AGENT);
    text
}

/// What is wrong with the agent itself.
const OF_AGENT: &str = "  - alert: AcgsPerfNotRecording
    expr: increase(acgs_perf_intervals_total[5m]) == 0
    for: 2m
    labels:
      severity: ticket
    annotations:
      summary: 'acgs-perf on {{ $labels.instance }} records nothing'
  - alert: AcgsPerfLoses
    expr: sum by (instance, reason) (increase(acgs_perf_lost_total{reason!=\"recursion_misses\"}[10m])) > 0
    for: 10m
    labels:
      severity: ticket
    annotations:
      summary: 'acgs-perf on {{ $labels.instance }} loses events: {{ $labels.reason }}'
";

fn record(text: &mut String, service: &str, window: &str) {
    let of = format!("{{service={}}}[{window}]", quoted(service));
    let rate = |name: &str| format!("sum(rate(acgs_perf_{name}_total{of}))");
    let lines = [
        format!("  - record: acgs_perf:slow:ratio_rate{window}"),
        "    expr: |-".to_owned(),
        format!("      1 - {}", rate("requests_within_objective")),
        format!("      / ({}", rate("requests")),
        // Who got no reply was not served in time.
        format!("        + {}", rate("requests_abandoned")),
        format!("        + {}", rate("requests_cut_off")),
        // Nobody looks at listeners of UNIX sockets.
        format!("        + ({} or vector(0)))", rate("connections_refused")),
        "    labels:".to_owned(),
        format!("      service: {}", quoted(service)),
    ];
    lines.iter().for_each(|line| text.extend([line.as_str(), "\n"]));
}

/// The same of an endpoint. Of requests without a reply nobody knows the endpoint.
fn record_endpoint(text: &mut String, service: &str, endpoint: &str, window: &str) {
    let (service, endpoint) = (quoted(service), quoted(endpoint));
    let rate = |name: &str| {
        format!("sum(rate(acgs_perf_endpoint_{name}_total{{service={service},endpoint={endpoint}}}[{window}]))")
    };
    let lines = [
        format!("  - record: acgs_perf:endpoint_slow:ratio_rate{window}"),
        "    expr: |-".to_owned(),
        format!("      1 - {}", rate("requests_within_objective")),
        format!("      / {}", rate("requests")),
        "    labels:".to_owned(),
        format!("      service: {service}"),
        format!("      endpoint: {endpoint}"),
    ];
    lines.iter().for_each(|line| text.extend([line.as_str(), "\n"]));
}

/// What an alert is about.
struct About {
    share: &'static str,
    requests: &'static str,
    by: &'static str,
    whose: &'static str,
}

const OF_SERVICES: About = About {
    share: "acgs_perf:slow",
    requests: "acgs_perf_requests_total",
    by: "service",
    whose: "{{ $labels.service }}",
};
const OF_ENDPOINTS: About = About {
    share: "acgs_perf:endpoint_slow",
    requests: "acgs_perf_endpoint_requests_total",
    by: "service, endpoint",
    whose: "{{ $labels.service }}, {{ $labels.endpoint }}",
};

/// An alert for all services, or endpoints: the recorded shares have their names.
fn alert(text: &mut String, name: &str, severity: Severity, about: &About) {
    let About { share, requests, by, whose } = about;
    let _ = writeln!(text, "  - alert: {name}\n    expr: |-");
    for (at, burn) in severity.burns().iter().enumerate() {
        let Burn { long, short, .. } = *burn;
        let (limit, long, short) = (burn.limit(), window(long), window(short));
        let or = if at == 0 { "" } else { "or " };
        let _ = writeln!(text, "      {or}({share}:ratio_rate{long} > {limit}");
        let _ = writeln!(text, "        and {share}:ratio_rate{short} > {limit}");
        let many = format!("sum by ({by}) (increase({requests}[{long}])) >= {MIN_REQUESTS}");
        let _ = writeln!(text, "        and {many})");
    }
    let lines = [
        "    labels:",
        &format!("      severity: {}", severity.name()),
        "    annotations:",
        &format!("      summary: '{whose}: too many requests are slower than its objective'"),
    ];
    lines.iter().for_each(|line| text.extend([line, "\n"]));
}

/// A string in double quotes, which YAML and PromQL read alike.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push('?'),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::{Objective, parse_services};

    #[test]
    fn each_service_has_its_rules() {
        let services = ["api=port:8000".to_owned(), "db=comm:postgres".to_owned()];
        let services = parse_services(&services, Objective::default()).unwrap();
        let mut services = services;
        let p99 = Some(std::time::Duration::from_millis(2));
        let rule = crate::discover::EndpointRule { p99, ..Default::default() };
        services[0].endpoints.endpoints.insert("GET /a/{id}".into(), rule);
        let text = rules(&services);
        assert_eq!(text.matches("- record: acgs_perf:slow").count(), 2 * WINDOWS.len());
        assert_eq!(text.matches("      endpoint: \"GET /a/{id}\"\n").count(), WINDOWS.len());
        assert_eq!(text.matches("- alert: AcgsPerfEndpointObjective\n").count(), 1);
        assert_eq!(text.matches("- alert: AcgsPerfObjective\n").count(), 1);
        assert!(text.contains("(acgs_perf:slow:ratio_rate1h > 0.144\n"), "{text}");
        for burn in Severity::ALL.iter().flat_map(|severity| severity.burns()) {
            assert!([burn.long, burn.short].iter().all(|minutes| WINDOWS.contains(&window(*minutes).as_str())));
        }
        // All of them are in one list, and a block begins where its first line does.
        assert!(
            text.lines()
                .filter(|line| line.contains("- alert:") || line.contains("- record:"))
                .all(|line| line.starts_with("  - "))
        );
        assert!(text.lines().skip_while(|line| !line.contains("expr: |-")).all(|line| !line.starts_with("         (")));
        // Each counter that a rule uses is one that is shown.
        let shown = [
            "requests",
            "requests_within_objective",
            "requests_abandoned",
            "requests_cut_off",
            "connections_refused",
            "intervals",
            "lost",
            "endpoint_requests",
            "endpoint_requests_within_objective",
        ];
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.ends_with("_total"))
        {
            let name = word.trim_start_matches("acgs_perf_").trim_end_matches("_total");
            assert!(shown.contains(&name), "{word}");
        }
    }

    #[test]
    fn names_do_not_leave_their_quotes() {
        assert_eq!(quoted("a\"b\\c\nd"), "\"a\\\"b\\\\c?d\"");
    }
}
