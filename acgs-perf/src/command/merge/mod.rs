//! `acgs-perf merge`: many captures, or reports, into one, by exact addition.
//!
//! In: captures or reports of many hosts, workers or runs. Out: of captures a capture that every verb takes, else a report; and a line on
//! what it is of. What is not to be added is named, one line each, with exit code 2, and nothing is written then.

mod captures;
mod outcome;
mod reports;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::output::{self, Page};
use crate::report;
use crate::snapshot::file::{CaptureError, is_capture};
use crate::units::duration;
use outcome::{all, count};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf merge web1.capture web2.capture --output web.capture    # services of one name are one service
  acgs-perf merge web*.capture --by-host --output web.capture       # api@web1, api@web2, …
  acgs-perf report web.capture                                      # as of any capture
  acgs-perf merge mon.capture tue.capture --output - > week.capture # runs one after another: rates are those of the time that was
  acgs-perf merge web1.json web2.json --output web.json             # of reports a report; captures tell more";

/// Enough to tell what a file is.
const BEGIN: usize = 64;

/// Merge captures or reports of many hosts, workers or runs into one
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Captures that `acgs-perf record --capture` or `acgs-perf merge` wrote, or reports; with a report among them, all become reports
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where the merged capture, or the merged report as JSON, goes; - for standard output
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Keep services of the same name apart if their hosts are not the same, as NAME@HOST
    #[arg(long)]
    pub by_host: bool,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If a file cannot be read or is neither a whole capture nor a report, or some are not to be added; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let to_stdout = args.output == Path::new("-");
    if !to_stdout {
        check_output(args)?;
    }
    let (captures, reports) = sorted(&args.files)?;
    let merged = match reports {
        0 if to_stdout => {
            output::check_binary()?;
            captures::merged(&args.files, args.by_host)?
        }
        0 => captures::merged(&args.files, args.by_host)?,
        _ => reports::merged(&args.files, args.by_host, captures)?,
    };
    let kinds = [(captures, "capture"), (reports, "report")].into_iter().filter(|(number, _)| *number > 0);
    let of = format!(
        "{} of {}: {}, {}",
        kinds.map(|(number, of)| count(number, of)).collect::<Vec<_>>().join(" and "),
        count(merged.hosts, "host"),
        count(merged.services, "service"),
        duration(merged.duration_ns)
    );
    if to_stdout {
        let mut out = io::stdout().lock();
        out.write_all(&merged.bytes).and_then(|()| out.flush()).context("standard output")?;
        output::say(&of);
        return Ok(0);
    }
    report::write_atomically(&args.output, &merged.bytes)?;
    output::print(&Page::of(&format!("{of}; merged into {}", args.output.display()))).context("standard output")?;
    Ok(0)
}

/// Finds out before anything is read whether the result can go where it is asked for.
fn check_output(args: &Args) -> anyhow::Result<()> {
    report::check_writable(&args.output)?;
    let Ok(output) = fs::canonicalize(&args.output) else { return Ok(()) };
    let is_input = |file: &&PathBuf| fs::canonicalize(file).is_ok_and(|file| file == output);
    match args.files.iter().find(is_input) {
        Some(file) => bail!(
            "{}: is to be read and to be written; an earlier result among the captures would count twice: name another --output, or \
             leave it out",
            file.display()
        ),
        None => Ok(()),
    }
}

/// How many of the files are captures, and how many reports.
fn sorted(files: &[PathBuf]) -> anyhow::Result<(usize, usize)> {
    let (mut captures, mut reports, mut wrong) = (0, 0, Vec::new());
    for path in files {
        match begin(path) {
            Err(why) => wrong.push(format!("{}: cannot read it: {why}", path.display())),
            Ok(bytes) if is_capture(&bytes) => captures += 1,
            Ok(bytes) if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') => reports += 1,
            Ok(_) => wrong.push(format!("{}: {}", path.display(), CaptureError::Other)),
        }
    }
    match wrong.is_empty() {
        true => Ok((captures, reports)),
        false => Err(all("not all of these are captures or reports, and nothing was written", wrong)),
    }
}

/// What a file begins with.
fn begin(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BEGIN as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::command::open::open;
    use crate::output::WithList;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/captures/{name}.capture"))
    }

    fn args(files: &[PathBuf], output: PathBuf) -> Args {
        Args { files: files.to_vec(), output, by_host: false }
    }

    /// What is said: one line, then one per file.
    fn refused(files: &[PathBuf], output: PathBuf) -> Vec<String> {
        let was_there = output.exists();
        let error = run(&args(files, output.clone())).unwrap_err();
        assert_eq!(output.exists(), was_there, "something was written");
        let mut lines = vec![format!("{error:#}")];
        lines.extend(error.downcast_ref::<WithList>().map(|with| with.list.clone()).unwrap_or_default());
        assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
        lines
    }

    #[test]
    fn captures_of_two_kernels_are_one_that_every_verb_takes() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("m.capture");
        let files = [fixture("6.18"), fixture("7.3")];
        assert_eq!(run(&args(&files, output.clone())).unwrap(), 0);
        let report = open(&output).unwrap().report;
        let requests = report.services[0].requests.as_ref().unwrap();
        assert_eq!((report.services.len(), requests.count), (1, 8_000));
        let kernels: Vec<&str> = report.hosts.iter().map(|part| part.host.kernel.as_str()).collect();
        assert!(kernels.len() == 2 && report.host.kernel.contains(", "), "{kernels:?} {}", report.host.kernel);
        // With a third one, in any order.
        let (one, other) = (directory.path().join("1.capture"), directory.path().join("2.capture"));
        let [a, b, c] = ["6.18", "7.2", "7.3"].map(fixture);
        assert_eq!(run(&args(&[a.clone(), b.clone(), c.clone()], one.clone())).unwrap(), 0);
        assert_eq!(run(&args(&[c, a, b], other.clone())).unwrap(), 0);
        assert_eq!(fs::read(&one).unwrap(), fs::read(other).unwrap());
        assert_eq!(open(&one).unwrap().report.services[0].requests.as_ref().unwrap().count, 12_000);
        // Those were of an older layout, and what is merged of them is of today's.
        let lines = refused(&[output, fixture("7.2")], one);
        assert!(lines.len() == 2 && lines[1].contains("has layout 1, and "), "{lines:?}");
    }

    #[test]
    fn reports_and_captures_are_one_report_that_verifies() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        fs::write(place("a.json"), open(&fixture("6.18")).unwrap().sealed).unwrap();
        fs::write(place("b.json"), open(&fixture("7.2")).unwrap().sealed).unwrap();
        let (a, b, c) = (place("a.json"), place("b.json"), fixture("7.3"));
        assert_eq!(run(&args(&[a.clone(), b.clone()], place("ab.json"))).unwrap(), 0);
        assert_eq!(report::verify(&place("ab.json")).unwrap().services[0].requests.as_ref().unwrap().count, 8_000);
        // A merged one is a report like any other, and the order says nothing.
        assert_eq!(run(&args(&[c.clone(), place("ab.json")], place("1.json"))).unwrap(), 0);
        assert_eq!(run(&args(&[b.clone(), c.clone(), a.clone()], place("2.json"))).unwrap(), 0);
        assert_eq!(run(&args(&[a, c, b], place("3.json"))).unwrap(), 0);
        assert_eq!(fs::read(place("2.json")).unwrap(), fs::read(place("3.json")).unwrap());
        let [one, other] = ["1.json", "2.json"].map(|name| report::verify(&place(name)).unwrap());
        let latency = |report: &report::Report| report.services[0].requests.as_ref().unwrap().latency.clone();
        assert_eq!((latency(&one).count, latency(&one).sum_ns), (12_000, latency(&other).sum_ns));
        assert_eq!(latency(&one).histogram, latency(&other).histogram);
        let note = other.notes.iter().find(|note| note.contains("1 capture of the 3 was made a report"));
        assert!(note.is_some() && other.services[0].objective.verdict.is_some(), "{:?}", other.notes);
    }

    #[test]
    fn what_is_no_capture_is_named_and_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let report = place("r.json");
        let text = report::seal(&mut assessed(sample::small())).unwrap();
        report::write_atomically(&report, text.as_bytes()).unwrap();
        fs::write(place("x"), "hello").unwrap();
        fs::write(place("changed.json"), text.replace("\"tiny\"", "\"tidy\"")).unwrap();
        let bytes = fs::read(fixture("6.18")).unwrap();
        fs::write(place("half.capture"), &bytes[..bytes.len() / 2]).unwrap();
        fs::write(place("same.capture"), &bytes).unwrap();
        let said = |files: &[PathBuf]| refused(files, place("m.capture")).join("\n");
        let good = fixture("6.18");
        for (files, words) in [
            (
                vec![place("none"), good.clone(), place("x")],
                vec!["none: cannot read", "x: not a capture", "nothing was written"],
            ),
            (vec![report.clone(), report.clone()], vec!["is the same recording as"]),
            (vec![place("changed.json"), report.clone()], vec!["nothing was written", "changed.json: tampered"]),
            (vec![place("half.capture"), report], vec!["half.capture: the capture is damaged"]),
            (vec![fixture("7.3"), place("half.capture")], vec!["half.capture: the capture is damaged"]),
            (vec![place("half.capture")], vec!["half.capture: the capture is damaged"]),
            (vec![good.clone(), place("same.capture")], vec!["same.capture: is the same recording as"]),
            (vec![good.clone(), good.clone()], vec!["is the same recording as"]),
            (vec![directory.path().to_owned()], vec!["Is a directory"]),
        ] {
            let lines = said(&files);
            for word in words {
                assert!(lines.contains(word), "{files:?}: no {word:?} in {lines}");
            }
        }
        let lines = refused(&[good.clone(), place("same.capture")], place("same.capture"));
        assert!(lines.len() == 1 && lines[0].contains("would count twice"), "{lines:?}");
        let lines = refused(&[good], place("no/m.capture"));
        assert!(lines.len() == 1 && lines[0].contains("does not exist"), "{lines:?}");
    }
}
