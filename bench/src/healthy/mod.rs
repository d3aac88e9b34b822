//! `bench healthy`: real services under fair load, of which a report must find nothing above `info`.
//!
//! In: the release build, the services and the Python environment of the tests. Out: a Markdown table on standard output; failure when
//! a report has a finding that says more than `info`, or has measured nothing.

mod drive;
mod running;
mod services;
mod web;
mod workloads;

use std::fs;
use std::path::{Path, PathBuf};

use acgs_perf_tests::clock;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::prepare;
use workloads::{WORKLOADS, Workload};

/// The closed loop that finds how much the service can do, in seconds.
const SATURATE: u32 = 2;

/// How fairly, how long.
#[derive(clap::Args)]
pub struct Options {
    /// Load, in percent of what a closed loop of four connections gets.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100))]
    load: u32,
    /// Seconds of each recording.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Recordings of each workload.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only the workload of this name.
    #[arg(long)]
    only: Option<String>,
    /// Keep the reports and captures in this directory.
    #[arg(long)]
    reports: Option<PathBuf>,
}

/// What a recording says.
struct Row {
    rate: f64,
    p99_ns: u64,
    busy: f64,
    verdict: String,
    /// Id and severity.
    findings: Vec<(String, String)>,
}

/// The whole task.
pub fn healthy(options: &Options) -> Result<()> {
    prepare::need_root()?;
    let wanted = |workload: &&Workload| options.only.as_ref().is_none_or(|only| only == workload.name);
    let chosen: Vec<_> = WORKLOADS.iter().filter(wanted).collect();
    let names = || WORKLOADS.iter().map(|workload| workload.name).collect::<Vec<_>>().join(", ");
    ensure!(!chosen.is_empty(), "no workload of that name; there are: {}", names());
    prepare::agent_and_programs(true)?;
    if let Some(directory) = &options.reports {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    clock::favoured().context("priority of the services")?;
    println!("| workload | requests/s | P99 | CPUs busy | verdict | findings |\n|---|---|---|---|---|---|");
    let (mut runs, mut alarms, mut failed) = (0, Vec::new(), Vec::new());
    for workload in chosen {
        for number in 1..=options.runs {
            let row = match recorded(workload, number, options) {
                Ok(row) => row,
                Err(error) => {
                    failed.push(format!("{}: {error:#}", workload.name));
                    continue;
                }
            };
            print(workload.name, &row);
            runs += 1;
            let above = row.findings.iter().filter(|(_, severity)| severity != "info");
            alarms.extend(above.map(|(id, severity)| format!("{}: {severity} {id}", workload.name)));
        }
    }
    println!("\n{} findings above info in {runs} recordings of healthy services", alarms.len());
    ensure!(failed.is_empty(), "not measured:\n  {}", failed.join("\n  "));
    ensure!(alarms.is_empty(), "false alarms:\n  {}", alarms.join("\n  "));
    Ok(())
}

fn print(name: &str, row: &Row) {
    let Row { rate, p99_ns, busy, verdict, findings } = row;
    let findings: Vec<_> = findings.iter().map(|(id, severity)| format!("{id} ({severity})")).collect();
    let (p99, busy, findings) = (*p99_ns as f64 / 1e6, busy * 100.0, findings.join(", "));
    println!("| {name} | {rate:.0} | {p99:.2} ms | {busy:.0} % | {verdict} | {findings} |");
}

fn recorded(workload: &Workload, number: u32, options: &Options) -> Result<Row> {
    let running = (workload.start)()?;
    let most = running.drive.saturate(SATURATE)?;
    let mut recorder = Recorder::new("service", &running.selector);
    let kept = |directory: &PathBuf, ending: &str| directory.join(format!("{}-{number}.{ending}", workload.name));
    if let Some(directory) = &options.reports {
        recorder = recorder.arg("--capture").arg(&kept(directory, "capture").to_string_lossy());
    }
    let recording = recorder.start()?;
    running.drive.steady(most * f64::from(options.load) / 100.0, options.seconds)?;
    let report = recording.stop()?;
    if let Some(directory) = &options.reports {
        write(&kept(directory, "json"), &report)?;
    }
    row(&report)
}

fn write(file: &Path, report: &Report) -> Result<()> {
    fs::write(file, report.0.to_string()).with_context(|| format!("write {}", file.display()))
}

fn row(report: &Report) -> Result<Row> {
    let service = report.service("service");
    let requests = &service["requests"];
    let count = requests["count"].as_u64().unwrap_or(0);
    ensure!(count > 0, "the report has no requests");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = report.0["findings"].as_array().context("the report has no findings")?;
    Ok(Row {
        rate: requests["rate_per_s"].as_f64().unwrap_or(0.0),
        p99_ns: requests["latency"]["p99_ns"].as_u64().unwrap_or(0),
        busy: busy(&report.0),
        verdict: text(&service["objective"]["verdict"]),
        findings: findings.iter().map(|finding| (text(&finding["id"]), text(&finding["severity"]))).collect(),
    })
}

/// How much of the time the CPUs of the host were busy, with whatever.
fn busy(report: &Value) -> f64 {
    let rows = report["recording"]["host_cpu"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sum = |fields: &[&str]| {
        rows.iter().flat_map(|row| fields.iter().filter_map(|field| row[*field].as_u64())).sum::<u64>() as f64
    };
    let (idle, used) = (sum(&["idle_ns", "io_wait_ns"]), sum(&["user_ns", "system_ns", "steal_ns"]));
    used / (idle + used).max(1.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_becomes_a_row() {
        let report = Report(json!({
            "services": [{
                "name": "service",
                "requests": {"count": 9, "rate_per_s": 4.5, "latency": {"p99_ns": 2_000_000}},
                "objective": {"verdict": "met"},
            }],
            "findings": [{"id": "tail_lock", "severity": "info"}],
            "recording": {"host_cpu": [{"idle_ns": 3, "user_ns": 1}, {"idle_ns": 2, "system_ns": 2}]},
        }));
        let of = row(&report).unwrap();
        assert_eq!((of.p99_ns, of.busy, of.verdict.as_str()), (2_000_000, 0.375, "met"));
        assert_eq!(of.findings, [("tail_lock".to_owned(), "info".to_owned())]);
        let mut nothing = report;
        nothing.0["services"][0]["requests"]["count"] = json!(0);
        assert!(row(&nothing).is_err());
    }

    #[test]
    fn there_are_a_dozen() {
        assert!(WORKLOADS.len() >= 12);
    }
}
