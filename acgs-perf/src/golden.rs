//! The reports of two fixed recordings, byte for byte: as JSON, as text, as a trace.
//!
//! In: the reports of `analysis::sample`, the files in `fixtures/golden`. Out: a failure that shows the first line that differs.
//! With `ACGS_PERF_ACCEPT=1` in the environment the files are written anew instead, and the change is in the diff.

use std::fs;
use std::path::{Path, PathBuf};

use crate::analysis::analyse;
use crate::analysis::sample::{self, assessed};
use crate::output::words::said;
use crate::output::{Format, render};
use crate::report::{Report, load_document, seal, verify};
use crate::snapshot::file::decode;

/// Set to take what is written today.
const ACCEPT: &str = "ACGS_PERF_ACCEPT";
/// Width of the text with all figures.
const WIDTH: usize = 100;
/// Width of the first screen.
const SCREEN: usize = 80;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden").join(name)
}

/// Fails unless the golden file says the same.
pub(crate) fn compare(name: &str, text: &str) {
    let path = file(name);
    if std::env::var_os(ACCEPT).is_some_and(|value| value == "1") {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    if let Some(difference) = difference(&golden, text) {
        panic!("{}: {difference}\nIf that is meant: {ACCEPT}=1 cargo test -p acgs-perf golden", path.display());
    }
}

/// The first line that differs.
fn difference(golden: &str, text: &str) -> Option<String> {
    if golden == text {
        return None;
    }
    let (mut old, mut new) = (golden.split('\n'), text.split('\n'));
    (1..).find_map(|line| {
        let pair = (old.next(), new.next());
        let shown = |line: Option<&str>| line.map_or("the end".to_owned(), |line| format!("{line:?}"));
        (pair.0 != pair.1).then(|| format!("line {line} was {} and is {}", shown(pair.0), shown(pair.1)))
    })
}

fn check(name: &str, report: Report, formats: &[(Format, &str)]) {
    let mut report = said(assessed(report));
    let sealed = seal(&mut report).unwrap();
    for (format, ending) in formats {
        let width = if *format == Format::Text { SCREEN } else { WIDTH };
        let text = render(*format, &report, sealed.clone(), width).unwrap();
        compare(&format!("{name}.{ending}"), text.as_str());
    }
}

#[test]
fn a_recording_with_every_section() {
    let formats = [
        (Format::Json, "json"),
        (Format::Details, "txt"),
        (Format::Text, "summary.txt"),
        (Format::Perfetto, "perfetto.json"),
    ];
    check("whole", sample::whole(), &formats);
}

#[test]
fn a_small_recording_with_one_probe() {
    check("small", sample::small(), &[(Format::Json, "json"), (Format::Details, "txt"), (Format::Text, "summary.txt")]);
}

#[test]
fn reports_that_were_written_before_are_read_and_shown_the_same() {
    if std::env::var_os(ACCEPT).is_some() {
        // They are being written.
        return;
    }
    for name in ["whole", "small", "v1/whole", "v1/small"] {
        let path = file(&format!("{name}.json"));
        let report = verify(&path).unwrap();
        let sealed = load_document(&path).unwrap().to_json().unwrap();
        compare(&format!("{name}.txt"), render(Format::Details, &report, sealed.clone(), WIDTH).unwrap().as_str());
        compare(&format!("{name}.json"), &sealed);
    }
}

#[test]
fn one_changed_byte_is_a_difference() {
    assert_eq!(difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(difference("a\nb\n", "a\nc\n").unwrap(), "line 2 was \"b\" and is \"c\"");
    assert_eq!(difference("a\n", "a").unwrap(), "line 2 was \"\" and is the end");
    assert_eq!(difference("", "a").unwrap(), "line 1 was \"\" and is \"a\"");
}

/// Recordings of the same load, 4,000 requests, on each kernel that the agent is tested on, by this version or an earlier one.
#[test]
fn captures_of_every_kernel_are_read_without_root() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures");
    let mut read = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let decoded = decode(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(decoded.damage, None, "{}", path.display());
        let kernel = &decoded.capture.context.host.kernel;
        assert!(kernel.starts_with(path.file_stem().unwrap().to_str().unwrap()), "{kernel} in {}", path.display());
        let report = analyse(&decoded.capture);
        let service = &report.services[0];
        let requests = service.requests.as_ref().unwrap();
        assert_eq!((requests.count, requests.latency.count), (4_000, 4_000), "{}", path.display());
        assert_eq!(service.series.iter().map(|point| point.requests).sum::<u64>(), 4_000);
        assert!(service.attribution.as_ref().unwrap().rows.iter().map(|row| row.count).sum::<u64>() == 4_000);
        assert!(report.probes.iter().all(|probe| probe.is_active()), "{:?}", report.probes);
        read += 1;
    }
    assert!(read >= 6, "{read} captures");
}
