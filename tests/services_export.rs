//! The exported table in two engines that others wrote: DuckDB and ClickHouse say of it what `report` says of the recording.
//!
//! In: captures of two hosts, exported one by one and merged; the shipped queries. Out: where an engine says something else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acgs_perf::snapshot::Capture;
use acgs_perf::snapshot::file::{decode, encode};
use acgs_perf_tests::harness::{fixture, python};
use acgs_perf_tests::recording::agent;
use serde_json::Value;

fn capture() -> Capture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../acgs-perf/fixtures/merge/four-services.capture");
    decode(&fs::read(path).unwrap()).unwrap().capture
}

/// Runs the agent, which must be content.
fn acgs_perf(arguments: &[&str]) -> String {
    let output = Command::new(agent()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Exports a file into a directory of its own.
fn export(file: &Path, directory: &Path, name: &str) {
    fs::create_dir_all(directory).unwrap();
    let output = directory.join(name);
    acgs_perf(&["export", text(file), "--format", "parquet", "--output", text(&output)]);
}

/// What both engines say of the files in a directory, by query; they must agree.
fn asked(directory: &Path) -> BTreeMap<String, Vec<Value>> {
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/queries");
    let mut command = Command::new(python("python").unwrap());
    let output = command.arg(fixture("engines.py")).arg(queries).arg(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: BTreeMap<String, BTreeMap<String, Vec<Value>>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said.keys().collect::<Vec<_>>(), ["fleet_p99", "tail_composition", "worst_services"]);
    let both = |(query, mut of): (String, BTreeMap<String, Vec<Value>>)| {
        let (duckdb, clickhouse) = (of.remove("duckdb").unwrap(), of.remove("clickhouse").unwrap());
        assert!(!duckdb.is_empty() && duckdb.len() == clickhouse.len(), "{query}: {duckdb:?} {clickhouse:?}");
        for (a, b) in duckdb.iter().zip(&clickhouse) {
            same(&query, a, b);
        }
        (query, duckdb)
    };
    said.into_iter().map(both).collect()
}

/// Integers and texts are equal; of what was divided the last digit may be rounded otherwise.
fn same(query: &str, a: &Value, b: &Value) {
    let (a_fields, b_fields) = (a.as_object().unwrap(), b.as_object().unwrap());
    assert_eq!(a_fields.keys().collect::<Vec<_>>(), b_fields.keys().collect::<Vec<_>>(), "{query}");
    for (name, value) in a_fields {
        let is_near = match (value.as_f64(), b_fields[name].as_f64()) {
            (Some(a), Some(b)) if name.contains("share") || name.contains("rate") => (a - b).abs() <= 1.01e-3,
            (Some(a), Some(b)) if name == "mean_ns" => (a - b).abs() <= 1.0,
            (Some(a), Some(b)) => a == b,
            _ => value == &b_fields[name],
        };
        assert!(is_near, "{query}: {name} in {a} and {b}");
    }
}

fn report(file: &Path) -> Value {
    serde_json::from_str(&acgs_perf(&["report", text(file), "--format", "json"])).unwrap()
}

/// The P99 of each service, the requests, and the components of the slowest 1 % are those of the report.
fn assert_said(said: &BTreeMap<String, Vec<Value>>, report: &Value) {
    let services = report["services"].as_array().unwrap();
    assert_eq!(said["fleet_p99"].len(), services.len());
    for service in services {
        let latency = &service["requests"]["latency"];
        assert!(latency.get("without_end").is_none(), "the percentile would be another one");
        let of = |row: &&Value| row["service"] == service["name"];
        let p99 = said["fleet_p99"].iter().find(of).unwrap();
        assert_eq!((&p99["p99_ns"], &p99["requests"]), (&latency["p99_ns"], &latency["count"]), "{p99}");
        let worst: u64 = said["worst_services"].iter().filter(of).map(|row| row["requests"].as_u64().unwrap()).sum();
        assert_eq!(worst, service["requests"]["count"].as_u64().unwrap());
        let cuts = service["tail"]["cuts"].as_array().unwrap();
        let cut = cuts.iter().find(|cut| cut["quantile"] == "p99").unwrap();
        for component in cut["components"].as_array().unwrap().iter().filter(|one| one["mean_ns"] != 0) {
            let is_it = |row: &&Value| of(row) && row["component"] == component["name"];
            let row = said["tail_composition"].iter().find(is_it).unwrap();
            let near = |name: &str, within: f64| {
                (row[name].as_f64().unwrap() - component[name].as_f64().unwrap()).abs() <= within
            };
            assert!(near("mean_ns", 1.0) && near("share", 1.01e-4), "{row} {component}");
        }
    }
}

#[test]
fn engines_say_of_an_export_what_the_report_says() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let first = capture();
    // Another host, some hours later, with half of the intervals.
    let mut second = first.clone();
    second.context.host.name = "another".into();
    second.context.start_unix_ns += 7_777_777_777_777;
    let half = second.intervals.len() / 2;
    let intervals: Vec<_> = second.intervals.iter().take(half).collect();
    second.context.duration_ns = intervals.iter().map(|interval| interval.len_ns).sum();
    second.intervals = acgs_perf::snapshot::Timeline::of(intervals);
    let files: Vec<PathBuf> = [first, second]
        .iter()
        .enumerate()
        .map(|(at, capture)| {
            let path = place(&format!("{at}.capture"));
            fs::write(&path, encode(capture).unwrap()).unwrap();
            export(&path, &place("fleet"), &format!("{at}.parquet"));
            path
        })
        .collect();
    let merged = place("merged.capture");
    acgs_perf(&["merge", text(&files[0]), text(&files[1]), "--output", text(&merged)]);
    let report_of_both = report(&merged);
    // Of two files, of one merged capture, of a report: the same.
    assert_said(&asked(&place("fleet")), &report_of_both);
    export(&merged, &place("merged"), "m.parquet");
    assert_said(&asked(&place("merged")), &report_of_both);
    let json = place("r.json");
    fs::write(&json, acgs_perf(&["report", text(&merged), "--format", "json"])).unwrap();
    export(&json, &place("report"), "r.parquet");
    assert_said(&asked(&place("report")), &report_of_both);
}
