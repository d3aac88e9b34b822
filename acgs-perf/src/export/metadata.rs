//! Exports as a whole: the points of a recording, and what the file says of them all.
//!
//! In: a capture or a report. Out: the bytes of the file.

use acgs_perf_common::CONSTITUTIONAL_HASH;

use super::parquet::file;
use super::{endpoints, points};
use crate::report::Report;
use crate::snapshot::Capture;

/// Version of the table; raised when a column is renamed, removed or changes its meaning.
pub const VERSION: u32 = 1;

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A service.
    Services,
    /// An endpoint of a service.
    Endpoints,
}

/// The file of a capture: a row per interval, and service or endpoint.
#[must_use]
pub fn of_capture(capture: &Capture, rows: Rows) -> Vec<u8> {
    let context = &capture.context;
    let whole = capture.intervals.whole();
    let lost = context.ledger.iter().enumerate().map(|(at, name)| (name.clone(), whole.ledger.count(at as u32)));
    let metadata = metadata(
        [&context.agent, &context.host.name, &context.host.kernel, &context.ended_by.to_string()],
        [context.start_unix_ns, context.duration_ns],
        lost,
        &context.notes,
    );
    match rows {
        Rows::Services => file(points::of_capture(capture), &metadata),
        Rows::Endpoints => file(endpoints::of_capture(capture), &metadata),
    }
}

/// The file of a report: a row per service or endpoint.
#[must_use]
pub fn of_report(report: &Report, rows: Rows) -> Vec<u8> {
    let metadata = metadata(
        [&report.tool.version, &report.host.name, &report.host.kernel, &report.window.ended_by.to_string()],
        [report.window.start_unix_ns, report.window.duration_ns],
        report.ledger.clone(),
        &report.notes,
    );
    match rows {
        Rows::Services => file(points::of_report(report), &metadata),
        Rows::Endpoints => file(endpoints::of_report(report), &metadata),
    }
}

fn metadata(
    [agent, host, kernel, ended_by]: [&str; 4],
    [start_unix_ns, duration_ns]: [u64; 2],
    lost: impl IntoIterator<Item = (String, u64)>,
    notes: &[String],
) -> Vec<(&'static str, String)> {
    let lost: serde_json::Map<_, _> =
        lost.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name, count.into())).collect();
    vec![
        ("export_version", VERSION.to_string()),
        ("constitutional_hash", CONSTITUTIONAL_HASH.to_owned()),
        ("agent", agent.to_owned()),
        ("host", host.to_owned()),
        ("kernel", kernel.to_owned()),
        ("start_unix_ns", start_unix_ns.to_string()),
        ("duration_ns", duration_ns.to_string()),
        ("ended_by", ended_by.to_owned()),
        ("ledger", serde_json::Value::Object(lost).to_string()),
        ("notes", serde_json::Value::from(notes).to_string()),
    ]
}
