//! `bench reports`: how long the agent takes to say what is in a large recording: 20 services of 200 endpoints each, one hour long.
//!
//! In: the release build; a capture of a kernel, of whose service the large one is made. Out: a table in Markdown, the median of some rounds for
//! each form; failure when one takes longer than it may, or the page is too large.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acgs_perf::live::probes::endpoints::{SECTION, key_of};
use acgs_perf::snapshot::file::{decode, encode};
use acgs_perf::snapshot::{Capture, Interval, LAYOUT_VERSION, Subject, Timeline};
use acgs_perf::sums::{Row, Section, Sums};
use acgs_perf_common::endpoint::{LATENCY, LATENCY_SUM, POWER, REQUESTS};
use acgs_perf_common::histogram::bucket_index_of_power;
use acgs_perf_protocol::{Kind, Protocol};
use acgs_perf_setup::process::root;
use anyhow::{Context as _, Result, ensure};

use crate::prepare;

const SERVICES: usize = 20;
const ENDPOINTS: u64 = 200;
const SECOND_NS: u64 = 1_000_000_000;
const SECONDS: u64 = 3_600;
/// Whatever lengths intervals have at first, in bounded memory some dozens of this size are left.
const STEP_SECONDS: u64 = 30;
/// Latencies of an endpoint in an interval.
const LATENCIES: u64 = 64;
/// A page may have so many bytes.
const PAGE_BYTES: usize = 1_000_000;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Times that each form is made.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only write the capture here.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// The whole task.
pub fn reports(options: &Options) -> Result<()> {
    let bytes = encode(&large()?)?;
    if let Some(path) = &options.write {
        return fs::write(path, &bytes).with_context(|| path.display().to_string());
    }
    let agent = prepare::agent(false)?;
    let directory = tempfile::tempdir()?;
    let capture = directory.path().join("large.capture");
    fs::write(&capture, &bytes)?;
    println!("{SERVICES} services × {ENDPOINTS} endpoints × {SECONDS} s: {} bytes", bytes.len());
    println!("| form | median | at most | bytes |");
    println!("|---|---|---|---|");
    let mut missed = Vec::new();
    for (form, most_ms) in [("text", 1_000), ("html", 2_000)] {
        let most = Duration::from_millis(most_ms);
        let mut rounds = Vec::new();
        let mut size = 0;
        for _ in 0..options.rounds {
            let (took, written) = time(&agent, &capture, form)?;
            rounds.push(took);
            size = written;
        }
        rounds.sort_unstable();
        let median = rounds[rounds.len() / 2];
        println!("| {form} | {} ms | {most_ms} ms | {size} |", median.as_millis());
        if median > most {
            missed.push(format!("{form} takes {median:?}"));
        }
        if form == "html" && size > PAGE_BYTES {
            missed.push(format!("the page has {size} bytes"));
        }
    }
    ensure!(missed.is_empty(), "{}", missed.join("; "));
    Ok(())
}

/// How long a form takes, and how many bytes it has.
fn time(agent: &Path, capture: &Path, form: &str) -> Result<(Duration, usize)> {
    let begun = Instant::now();
    let mut command = Command::new(agent);
    command.arg("report").arg(capture).args(["--format", form]).stdin(Stdio::null());
    let output = command.output().context("start the agent")?;
    let took = begun.elapsed();
    ensure!(output.status.success(), "report --format {form}: {}", String::from_utf8_lossy(&output.stderr));
    Ok((took, output.stdout.len()))
}

/// The large recording.
fn large() -> Result<Capture> {
    let path = root().join("acgs-perf/fixtures/captures/6.18.capture");
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    let mut capture = decode(&bytes)?.capture;
    let whole = capture.intervals.whole();
    let sections = whole.subjects.get(&Subject::service(0)).context("the capture has no service")?;
    let service = capture.context.services.first().context("the capture has no service")?.clone();
    let exemplars = capture.exemplars.get(&Subject::service(0)).cloned().unwrap_or_default();
    let mut timeline = Timeline::default();
    for step in 0..SECONDS / STEP_SECONDS {
        let start_ns = capture.context.start_ns + step * STEP_SECONDS * SECOND_NS;
        let subjects = (0..SERVICES).map(|at| {
            let mut sections = sections.clone();
            sections.insert(SECTION.into(), endpoints(at as u64, step));
            (Subject::service(at), sections)
        });
        timeline.push(Interval {
            start_ns,
            len_ns: STEP_SECONDS * SECOND_NS,
            rest_start_ns: start_ns,
            subjects: subjects.collect(),
            ..Interval::default()
        });
    }
    capture.intervals = timeline;
    (capture.context.duration_ns, capture.context.layout) = (SECONDS * SECOND_NS, LAYOUT_VERSION);
    capture.context.services = (0..SERVICES)
        .map(|at| {
            let mut of = service.clone();
            of.name = format!("governance-{at}");
            of
        })
        .collect();
    capture.exemplars = (0..SERVICES).map(|at| (Subject::service(at), exemplars.clone())).collect();
    Ok(capture)
}

/// What was asked of a service in an interval.
fn endpoints(service: u64, step: u64) -> Section {
    let one = |at: u64| {
        // No level has more words than a report keeps apart.
        let letter = |at: u64| char::from(b'a' + (at % 26) as u8);
        let (area, part) = (letter(at / 10), letter(at % 10));
        let name = format!("GET /area-{area}/documents/{{}}/part-{part}/revisions/{{}}");
        let mut words = BTreeMap::<u32, i64>::new();
        let mut add = |word: u32, value: u64| *words.entry(word).or_default() += value as i64;
        for value in 0..LATENCIES {
            let ns = (200_000 + at * 10_000 + value * value * 3_000 + service * 777) << ((value + step) % 3);
            add(LATENCY + bucket_index_of_power(ns, POWER) as u32, 1);
            add(LATENCY_SUM, ns);
            add(REQUESTS, 1);
        }
        let row = Row { sums: Sums::sparse(words), label: name.clone(), ..Row::default() };
        (key_of(Protocol::Http1 as u32, Kind::Request as u32, &name), row)
    };
    (0..ENDPOINTS).map(one).collect()
}
