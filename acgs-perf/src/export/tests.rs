//! The exported table, without an engine to read it; `tests/services_export.rs` has two.
//!
//! In: a capture of four services. Out: where points differ from the report; where the documentation differs from the columns.

use std::fs;
use std::path::{Path, PathBuf};

use super::points::{of_capture as points, of_report as points_of_report};
use super::*;
use crate::analysis::{analyse, percentile_of};
use crate::snapshot::Capture;
use crate::snapshot::file::decode;
use crate::sums::{Difference as _, Sums};

fn capture() -> Capture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/merge/four-services.capture");
    decode(&fs::read(path).unwrap()).unwrap().capture
}

#[test]
fn rows_add_up_to_the_report() {
    let capture = capture();
    let report = analyse(&capture);
    let rows: Vec<_> = points(&capture).collect();
    assert_eq!(rows.len(), capture.intervals.len() * 4);
    for service in &report.services {
        let of: Vec<_> = rows.iter().filter(|row| row.service == service.name).collect();
        let requests = service.requests.as_ref().unwrap();
        let mut counts = Sums::default();
        of.iter().for_each(|row| counts.add(&row.counts));
        assert_eq!(requests.latency.without_end, None, "the percentile would be another one");
        let over_range = of.iter().map(|row| row.over_range).sum();
        assert_eq!(percentile_of(&counts, over_range, 9_900), requests.latency.p99_ns);
        assert_eq!(of.iter().map(|row| row.requests).sum::<i64>() as u64, requests.count);
        // Each interval's own percentile is that of the series.
        for (row, point) in of.iter().zip(&service.series) {
            assert_eq!(row.percentile(9_900), point.p99_ns.map(|ns| ns as i64));
            assert_eq!(row.percentile(5_000), point.p50_ns.map(|ns| ns as i64));
        }
        // Components are in the rows that read them, and add up to the latency.
        let attribution = service.attribution.as_ref().unwrap();
        let read: Vec<_> = of.iter().filter_map(|row| row.components_requests()).collect();
        assert!(read.len() < of.len() && read.len() >= 3, "{} of {} rows", read.len(), of.len());
        assert_eq!(read.iter().sum::<i64>() as u64, attribution.rows.iter().map(|row| row.count).sum::<u64>());
        let [latency, parts] = [3, 4].map(|from| {
            let buckets = of.iter().flat_map(|row| &row.components);
            let fields = buckets.flat_map(move |bucket| if from == 3 { &bucket[3..4] } else { &bucket[4..] });
            fields.flatten().sum::<i64>()
        });
        assert_eq!(latency, parts, "{}", service.name);
    }
    // A report is one interval.
    let whole: Vec<_> = points_of_report(&report).collect();
    assert_eq!(whole.len(), 4);
    for (row, service) in whole.iter().zip(&report.services) {
        assert_eq!(row.percentile(9_900), service.requests.as_ref().unwrap().latency.p99_ns.map(|ns| ns as i64));
    }
}

#[test]
fn a_file_is_framed_and_small() {
    let capture = capture();
    let bytes = of_capture(&capture, Rows::Services);
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    assert!(footer < bytes.len() && bytes.len() < 300_000, "{} bytes, of them {footer} of the footer", bytes.len());
    let footer = String::from_utf8_lossy(&bytes[bytes.len() - 8 - footer..]);
    for word in ["acgs_perf.constitutional_hash", "cdd01ef066bc6cf2", "latency_buckets", &capture.context.host.name] {
        assert!(footer.contains(word), "{word}");
    }
    // Nothing recorded is a table without rows.
    assert!(of_capture(&Capture::default(), Rows::Services).ends_with(b"PAR1"));
}

/// The table of columns in the documentation is made here; `UPDATE=1` writes it.
#[test]
fn the_documentation_has_every_column() {
    let mut table = "| column | type | meaning |\n|---|---|---|\n".to_owned();
    for column in all() {
        let kind = match &column.kind {
            Kind::Time(_) => "timestamp",
            Kind::Text(_) => "text",
            Kind::Integer(_) => "integer",
            Kind::Optional(_) | Kind::Component(_) => "integer or null",
            Kind::Real(_) => "double",
            Kind::Buckets(..) => "list of structs",
        };
        table.push_str(&format!("| `{}` | {kind} | {} |\n", column.name, column.meaning));
        if let Kind::Buckets(_, fields) = &column.kind {
            for field in fields {
                let kind = if field.is_optional { "integer or null" } else { "integer" };
                table.push_str(&format!("| `{}[].{}` | {kind} | {} |\n", column.name, field.name, field.meaning));
            }
        }
    }
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/export.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("## Columns\n\n").unwrap();
    let (_, after) = rest.split_once("\n## Limits\n").unwrap();
    let expected = format!("{before}## Columns\n\n{table}\n## Limits\n{after}");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(page == expected || std::env::var_os("UPDATE").is_some(), "UPDATE=1 cargo test -p acgs-perf export");
}
