//! What a client saw, in the terminal: of `load` itself, and beside the server's side in a report.
//!
//! In: a run of `load`, the latency that the server's kernel saw if there is one. Out: lines. A warning where the generator was late and
//! not the server.

use acgs_perf_common::CONSTITUTIONAL_HASH;

use super::super::page::Page;
use super::layout::{Lines, figure, percentiles, row};
use crate::report::{ClientReport, ClientSliceReport, Distribution, ServiceReport};
use crate::units::{duration, grouped, percent, rate, timestamp};

/// Renders the result of `load`.
#[must_use]
pub fn alone(client: &ClientReport, version: &str, width: usize) -> Page {
    let mut lines = Lines::new(width);
    lines.plain_items(&[
        format!("acgs-perf {version}"),
        timestamp(client.start_unix_ns),
        format!("constitutional hash {CONSTITUTIONAL_HASH}"),
    ]);
    lines.blank();
    render(client, &[], &mut lines);
    lines.finish()
}

/// Renders a client's side, with the server's if it is among these services.
pub fn render(client: &ClientReport, services: &[ServiceReport], lines: &mut Lines) {
    load(client, lines);
    requests(client, lines);
    let server = client.server.as_ref();
    let service = server.and_then(|server| services.iter().find(|service| service.name == server.service));
    let seen_there = service.and_then(|service| service.requests.as_ref()).map(|requests| &requests.latency);
    let mut rows = vec![row(&["", "count", "p50", "p90", "p99", "p99.9", "p99.99", "max"])];
    let mut add = |name: &str, distribution: &Distribution| {
        let mut cells = row(&[name]);
        cells.push(grouped(distribution.count));
        cells.extend(percentiles(distribution));
        rows.push(cells);
    };
    if client.arrivals != CLOSED {
        add("corrected", &client.latency);
    }
    add("uncorrected", &client.from_sending);
    if let Some(latency) = seen_there {
        add("server", latency);
    }
    if client.arrivals != CLOSED {
        add("lateness", &client.lateness);
    }
    lines.table(&rows);
    explain(client, lines);
    slices(client, lines);
    for warning in warnings(client) {
        lines.labelled("warning", &warning);
    }
}

/// The name of a closed loop among the arrivals.
const CLOSED: &str = "closed";

fn load(client: &ClientReport, lines: &mut Lines) {
    lines.words(&format!("load of {}", client.url), "");
    let asked = match (client.offered_per_s, client.slices.first(), client.slices.last()) {
        (None, ..) => "a closed loop: each connection sends when its reply came".to_owned(),
        (_, Some(first), Some(last)) if first.from_per_s != last.to_per_s => {
            format!("{} arrivals, {} to {} req/s", client.arrivals, rate(first.from_per_s), rate(last.to_per_s))
        }
        (Some(offered), ..) => format!("{} arrivals, {} req/s", client.arrivals, rate(offered)),
    };
    let ended = if client.interrupted { " (ended by a signal)" } else { "" };
    let mut items = vec![asked, format!("for {}{ended}", duration(client.duration_ns))];
    items.push(match client.connections {
        1 => "1 connection".to_owned(),
        n => format!("{} connections", grouped(n.into())),
    });
    items.push(format!("to {}", client.address));
    lines.items("load", &items);
}

fn requests(client: &ClientReport, lines: &mut Lines) {
    let mut items = vec![format!("{} sent", grouped(client.sent))];
    let per_second = client.answered_per_s.map(|per_second| format!(" ({} a second)", rate(per_second)));
    items.push(format!("{} answered{}", grouped(client.answered), per_second.unwrap_or_default()));
    if client.waited > 0 {
        items.push(format!("{} waited for a connection", grouped(client.waited)));
    }
    if client.not_sent > 0 {
        items.push(format!("{} never sent", grouped(client.not_sent)));
    }
    if client.errors.is_empty() {
        items.push("no errors".into());
    }
    lines.items("requests", &items);
    if client.errors.is_empty() {
        return;
    }
    let sum = client.errors.values().sum();
    let mut items = vec![format!("{} ({} of those sent)", grouped(sum), percent(sum, client.sent))];
    items.extend(client.errors.iter().map(|(kind, count)| format!("{} {}", kind.replace('_', " "), grouped(*count))));
    lines.items("errors", &items);
    if let Some(first) = &client.first_error {
        lines.labelled("", &format!("the first: {first}"));
    }
}

/// What the rows mean, and where the mean of the corrected latency comes from.
fn explain(client: &ClientReport, lines: &mut Lines) {
    let parts = &client.parts;
    let before = [
        (parts.waiting_for_connection_mean_ns, "waiting for a connection"),
        (parts.generator_mean_ns, "the generator's own lateness"),
    ];
    if client.arrivals != CLOSED {
        lines.labelled("", "corrected: from the moment a request was due; uncorrected: from its sending");
    }
    let Some(mean) = client.latency.mean_ns else { return };
    let mut items: Vec<String> =
        before.iter().filter(|(ns, _)| *ns > 0).map(|(ns, what)| format!("{} {what}", duration(*ns))).collect();
    match client.server.as_ref().map(|server| (server.mean_ns, server.outside_mean_ns)) {
        Some((Some(inside), Some(outside))) => {
            items.push(format!("{} network and this client's receiving", duration(outside)));
            items.push(format!("{} at the server", duration(inside)));
        }
        _ => items.push(format!("{} from sending to reply", duration(parts.from_sending_mean_ns))),
    }
    lines.labelled("mean", &format!("{} = {}", duration(mean), items.join(" + ")));
    if let Some(server) = client.server.as_ref().filter(|server| server.outside_mean_ns.is_none()) {
        lines.labelled(
            "server",
            &format!(
                "it answered {} requests in the recording and this client saw {} answers: the two are not compared",
                grouped(server.count),
                grouped(client.answered)
            ),
        );
    }
}

fn slices(client: &ClientReport, lines: &mut Lines) {
    if client.slices.is_empty() {
        return;
    }
    let mut rows = vec![row(&["req/s", "answered/s", "errors", "p50", "p99", "uncorr. p99", "late p99"])];
    rows.extend(client.slices.iter().map(slice));
    lines.table(&rows);
}

fn slice(slice: &ClientSliceReport) -> Vec<String> {
    let asked = match slice.from_per_s == slice.to_per_s {
        true => rate(slice.from_per_s),
        false => format!("{} to {}", rate(slice.from_per_s), rate(slice.to_per_s)),
    };
    let per_second = slice.answered as f64 * 1e9 / slice.duration_ns.max(1) as f64;
    let [p50, _, p99, ..] = percentiles(&slice.latency);
    let p99_of =
        |distribution: &Distribution| figure((distribution.p99_ns, distribution.p99_at_least_ns), distribution);
    let errors = slice.errors + slice.not_sent;
    vec![
        asked,
        grouped(per_second.round() as u64),
        grouped(errors),
        p50,
        p99,
        p99_of(&slice.from_sending),
        p99_of(&slice.lateness),
    ]
}

fn warnings(client: &ClientReport) -> Vec<String> {
    let mut warnings = Vec::new();
    if client.generator_was_late {
        let p99 = client.lateness.p99_ns.map(duration).unwrap_or_default();
        let busy = percent((client.generator_busy * 1000.0) as u64, 1000);
        warnings.push(format!(
            "the generator itself was late, not the server (lateness p99 {p99}, busy {busy} of the time): the corrected latency says \
             more about this client. Lower the rate, or give it a CPU of its own"
        ));
    }
    if client.not_sent > 0 {
        let why = match client.generator_was_late {
            true => "",
            false => {
                ", because all connections waited for replies: the server does not keep up, or --connections is too small"
            }
        };
        warnings.push(format!("{} requests were due and never sent{why}", grouped(client.not_sent)));
    }
    if client.answered == 0 {
        warnings.push("nothing was answered".into());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::client;
    use crate::snapshot::client::{ClientRun, ClientSlice};
    use crate::sums::Sums;

    fn slice(per_second: f64) -> ClientSlice {
        let latency = Sums::sparse([(1000, 990), (1500, 10)]);
        ClientSlice {
            duration_ns: 1_000_000_000,
            from_per_s: per_second,
            to_per_s: per_second,
            sent: 1000,
            answered: 1000,
            latency: latency.clone(),
            from_sending: latency.clone(),
            lateness: latency,
            latency_sum_ns: 20_000_000,
            from_sending_sum_ns: 19_000_000,
            late_sum_ns: 1_000_000,
            ..ClientSlice::default()
        }
    }

    fn run(slices: Vec<ClientSlice>) -> ClientRun {
        ClientRun {
            url: "http://127.0.0.1:8080/a/long/path?with=a&query=string".into(),
            address: "127.0.0.1:8080".into(),
            arrivals: "constant".into(),
            connections: 16,
            duration_ns: slices.len() as u64 * 1_000_000_000,
            slices,
            ..ClientRun::default()
        }
    }

    #[test]
    fn everything_fits_into_eighty_columns() {
        let mut run = run(vec![slice(100.0), slice(12_345.5), slice(100_000.0)]);
        run.slices[1].not_sent = 12;
        run.slices[1].errors.insert("http_503".into(), 7);
        run.first_error = Some("status 503".into());
        let page = alone(&client(&run), "1.2.3", 80);
        for line in page.as_str().lines() {
            assert!(line.chars().count() <= 80, "{}: {line}", line.chars().count());
        }
        for words in
            ["corrected", "uncorrected", "http 503 7", "the first: status 503", "never sent", "100 to 100,000 req/s"]
        {
            assert!(page.as_str().contains(words), "{words}:\n{}", page.as_str());
        }
    }

    #[test]
    fn a_closed_loop_has_no_corrected_latency() {
        let mut run = run(vec![slice(0.0)]);
        run.arrivals = CLOSED.into();
        let page = alone(&client(&run), "1.2.3", 80);
        assert!(page.as_str().contains("a closed loop") && !page.as_str().contains("  corrected"), "{}", page.as_str());
    }
}
