//! The dashboards: what is asked, and of what.
//!
//! Quantiles are taken from native histograms where Prometheus has them, and else from the classic buckets.

use super::model::{Board, Kind, Panel, Target, of, panel};

/// All of them.
#[must_use]
pub fn all() -> Vec<Board> {
    vec![fleet(), service(), tail(), heat_map(), fates(), own_cost()]
}

/// Labels that a board of one service selects, beside the host.
const SERVICE: &str = "instance=~\"$instance\", service=\"$service\"";
const HOST: &str = "instance=~\"$instance\"";

fn rate(name: &str, labels: &str) -> String {
    format!("rate(acgs_perf_{name}{{{labels}}}[$__rate_interval])")
}

fn sum(by: &str, name: &str, labels: &str) -> String {
    format!("sum by ({by}) ({})", rate(name, labels))
}

/// A quantile, by service.
fn quantile(q: &str, name: &str, labels: &str) -> String {
    let native = sum("service", name, labels);
    let classic = sum("service, le", &format!("{name}_bucket"), labels);
    format!("histogram_quantile({q}, {native}) or histogram_quantile({q}, {classic})")
}

/// The share of requests that missed the objective, by service.
fn missed(labels: &str) -> String {
    let of = |name: &str| sum("service", name, labels);
    format!(
        "1 - {} / ({} + {} + {})",
        of("requests_within_objective_total"),
        of("requests_total"),
        of("requests_abandoned_total"),
        of("requests_cut_off_total")
    )
}

fn quantiles(name: &str) -> Vec<Target> {
    [("P50", "0.5"), ("P90", "0.9"), ("P99", "0.99"), ("P99.9", "0.999")]
        .into_iter()
        .map(|(legend, q)| of(legend, quantile(q, name, SERVICE)))
        .collect()
}

fn fleet() -> Board {
    let p99 = || quantile("0.99", "request_latency_seconds", HOST);
    let burn = |window: &str| of("{{service}}", format!("acgs_perf:slow:ratio_rate{window} / 0.01"));
    Board {
        uid: "acgs-perf-fleet",
        title: "acgs-perf: fleet",
        about: "All services of all hosts: which of them misses its objective.",
        of_service: false,
        panels: vec![
            number("Requests/s", "reqps", format!("sum({})", rate("requests_total", HOST))),
            number("Hosts", "none", format!("count(acgs_perf_build_info{{{HOST}}})")),
            number("Services", "none", format!("count(count by (service) (acgs_perf_requests_total{{{HOST}}}))")),
            number("Lost in an hour", "none", format!("sum(increase(acgs_perf_lost_total{{{HOST}}}[1h]))"))
                .about("The loss ledger of all agents: 0 is what one wants."),
            panel("P99 of the latency", Kind::Lines, "s", vec![of("{{service}}", p99())])
                .about("From the arrival of a request in the kernel to the last byte of its reply."),
            panel(
                "P99 against the objective",
                Kind::Lines,
                "percentunit",
                vec![of(
                    "{{service}}",
                    format!("({}) / max by (service) (acgs_perf_objective_latency_seconds{{{HOST}}})", p99()),
                )],
            )
            .about("Above 100 % the objective is missed."),
            panel("Requests", Kind::Areas, "reqps", vec![of("{{service}}", sum("service", "requests_total", HOST))]),
            panel("Missed the objective", Kind::Lines, "percentunit", vec![of("{{service}}", missed(HOST))])
                .about("Slower than the objective, abandoned or cut off; one in a hundred may be."),
            panel("Budget burnt, 1 h", Kind::Lines, "none", vec![burn("1h")]).about(
                "How many times as fast as it may; a page is due at 14.4. Needs the rules of `acgs-perf alerts`.",
            ),
            panel("Budget burnt, 3 d", Kind::Lines, "none", vec![burn("3d")]).about(
                "How many times as fast as it may; a ticket is due at 1. Needs the rules of `acgs-perf alerts`.",
            ),
        ],
    }
}

fn service() -> Board {
    let objective = of("objective", format!("max(acgs_perf_objective_latency_seconds{{{SERVICE}}})"));
    let bytes = |legend, name| of(legend, sum("service", name, SERVICE));
    Board {
        uid: "acgs-perf-service",
        title: "acgs-perf: service",
        about: "One service: what its clients saw.",
        of_service: true,
        panels: vec![
            number("P99", "s", quantile("0.99", "request_latency_seconds", SERVICE)),
            number("Requests/s", "reqps", format!("sum({})", rate("requests_total", SERVICE))),
            number("Missed the objective", "percentunit", missed(SERVICE)),
            number("Open", "none", format!("sum(acgs_perf_requests_open{{{SERVICE}}})"))
                .about("Requests without a whole reply at the last look."),
            panel(
                "Latency",
                Kind::Lines,
                "s",
                quantiles("request_latency_seconds").into_iter().chain([objective]).collect(),
            )
            .about("From the arrival of a request in the kernel to the last byte of its reply."),
            panel("Queue time", Kind::Lines, "s", quantiles("request_queue_time_seconds"))
                .about("From the arrival of a request to its read: the service had not come to it."),
            panel("Service time", Kind::Lines, "s", quantiles("request_service_time_seconds"))
                .about("From the read of a request to the first byte of its reply."),
            panel(
                "Requests",
                Kind::Lines,
                "reqps",
                vec![of("{{instance}}", sum("instance", "requests_total", SERVICE))],
            ),
            panel("Where the time went", Kind::Areas, "s", vec![of("{{component}}", per_request(""))])
                .about("Mean of a request, by component; the areas add up to the mean latency."),
            panel(
                "Bytes",
                Kind::Lines,
                "Bps",
                vec![bytes("requests", "request_bytes_total"), bytes("replies", "reply_bytes_total")],
            ),
        ],
    }
}

/// Time by component, for each request.
fn per_request(slow: &str) -> String {
    let time = sum("component", &format!("{slow}request_component_seconds_total"), SERVICE);
    format!("{time} / on() group_left() sum({})", rate("requests_total", SERVICE))
}

fn tail() -> Board {
    let time = |name: &str| vec![of("{{component}}", sum("component", name, SERVICE))];
    let (slow, all) = ("slow_request_component_seconds_total", "request_component_seconds_total");
    Board {
        uid: "acgs-perf-tail",
        title: "acgs-perf: tail composition",
        about: "Why the slow requests of a service are slow.",
        of_service: true,
        panels: vec![
            panel("Slow requests, by what they waited for", Kind::Shares, "s", time(slow))
                .about("Of the time of the requests that missed the objective, how much each component took.")
                .sized(24, 10),
            panel("Slow requests, seconds per second", Kind::Areas, "s", time(slow)),
            panel("All requests, by what they waited for", Kind::Shares, "s", time(all))
                .about("What is large above and small here makes the tail."),
            panel(
                "Largest components of slow requests",
                Kind::Number,
                "s",
                vec![of(
                    "{{component}}",
                    format!("topk(5, sum by (component) (increase(acgs_perf_{slow}{{{SERVICE}}}[$__range])))"),
                )],
            )
            .sized(24, 5),
        ],
    }
}

fn heat_map() -> Board {
    let heat = |title, name: &str| {
        panel(
            title,
            Kind::HeatMap,
            "s",
            vec![
                of("", format!("sum({})", rate(name, SERVICE))),
                of("{{le}}", sum("le", &format!("{name}_bucket"), SERVICE)),
            ],
        )
        .about("Native histograms where Prometheus has them, else the classic buckets.")
        .sized(24, 10)
    };
    Board {
        uid: "acgs-perf-heatmap",
        title: "acgs-perf: heat map",
        about: "How latencies of a service are spread, over time.",
        of_service: true,
        panels: vec![
            heat("Latency", "request_latency_seconds"),
            heat("Queue time", "request_queue_time_seconds"),
            heat("Service time", "request_service_time_seconds"),
        ],
    }
}

fn fates() -> Board {
    let each = |name: &str| vec![of("{{service}}", sum("service", name, HOST))];
    let open = |name: &str, how: &str| {
        let expr = format!("{how} by (service, stage) (acgs_perf_requests_{name}{{{HOST}}})");
        vec![of("{{service}} {{stage}}", expr)]
    };
    Board {
        uid: "acgs-perf-fates",
        title: "acgs-perf: fates",
        about: "What became of requests that got no reply.",
        of_service: false,
        panels: vec![
            panel("Abandoned", Kind::Lines, "reqps", each("requests_abandoned_total"))
                .about("The client left before its reply."),
            panel("Cut off", Kind::Lines, "reqps", each("requests_cut_off_total"))
                .about("The service closed the connection instead of answering."),
            panel("Refused", Kind::Lines, "cps", each("connections_refused_total"))
                .about("The listener's queue was full: tries, so that who tries again counts again."),
            panel("Open", Kind::Areas, "none", open("open", "sum"))
                .about("Requests without a whole reply at the last look: nobody has read them, or answered, or the reply has not left."),
            panel("Oldest open", Kind::Lines, "s", open("open_oldest_seconds", "max")).sized(24, 8),
        ],
    }
}

fn own_cost() -> Board {
    let each = |name: &str| vec![of("{{instance}}", format!("acgs_perf_{name}{{{HOST}}}"))];
    Board {
        uid: "acgs-perf-own-cost",
        title: "acgs-perf: own cost",
        about: "What the agents take, and what they lose.",
        of_service: false,
        panels: vec![
            panel("CPU", Kind::Lines, "percentunit", vec![of("{{instance}}", rate("agent_cpu_seconds_total", HOST))])
                .about("Of one core, without the kernel programs."),
            panel("Memory", Kind::Lines, "bytes", each("agent_memory_max_bytes")).about("Largest resident set."),
            panel("Kernel maps", Kind::Lines, "bytes", each("kernel_maps_bytes")),
            panel("Lost", Kind::Lines, "none", vec![of("{{instance}} {{reason}}", rate("lost_total", HOST))])
                .about("The loss ledger, per second."),
            panel("Intervals", Kind::Lines, "none", vec![of("{{instance}}", rate("intervals_total", HOST))])
                .about("Per second; 1 is what one wants."),
            panel(
                "Probes",
                Kind::Lines,
                "none",
                vec![of("{{instance}} {{probe}}", format!("acgs_perf_probe_active{{{HOST}}}"))],
            )
            .about("1 while a probe counts."),
            panel(
                "Scrapes",
                Kind::Lines,
                "reqps",
                vec![
                    of("{{instance}} answered", rate("http_requests_total", HOST)),
                    of("{{instance}} refused", rate("http_connections_refused_total", HOST)),
                ],
            )
            .sized(24, 8),
        ],
    }
}

fn number(title: &'static str, unit: &'static str, expr: String) -> Panel {
    panel(title, Kind::Number, unit, vec![of("{{service}}", expr)]).sized(6, 4)
}
