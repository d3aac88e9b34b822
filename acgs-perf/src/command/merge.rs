//! `acgs-perf merge`: many captures into one, by exact addition.
//!
//! In: captures of many hosts, workers or runs. Out: a capture that every verb takes, and a line on what it is of. Captures that are not
//! to be added are named, one line each, with exit code 2, and nothing is written then.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SendError, SyncSender};
use std::thread;

use anyhow::{Context as _, bail};

use crate::merge::{Head, Merger, plan};
use crate::output::{self, Page, WithList};
use crate::report;
use crate::snapshot::Capture;
use crate::snapshot::file::{self, CaptureError, Part, is_capture, walk};
use crate::units::{duration, grouped};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf merge web1.capture web2.capture --output web.capture    # services of one name are one service
  acgs-perf merge web*.capture --by-host --output web.capture       # api@web1, api@web2, …
  acgs-perf report web.capture                                      # as of any capture
  acgs-perf merge mon.capture tue.capture --output - > week.capture # runs one after another: rates are those of the time that was";

/// A larger file is no capture.
const MAX_CAPTURE_BYTES: u64 = 256 << 20;
/// Parts that are unpacked before they are added: of 64 intervals each.
const PARTS_AHEAD: usize = 4;
/// Enough to tell what a file is.
const BEGIN: usize = 64;

/// Merge captures of many hosts, workers or runs into one
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Captures that `acgs-perf record --capture` or `acgs-perf merge` wrote
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where the merged capture goes; - for standard output
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Keep services of the same name apart if their hosts are not the same, as NAME@HOST
    #[arg(long)]
    pub by_host: bool,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If a file cannot be read or is no whole capture, or some are not to be added; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let to_stdout = args.output == Path::new("-");
    if to_stdout {
        output::check_binary()?;
    } else {
        check_output(args)?;
    }
    let heads = heads(&args.files)?;
    let hosts: BTreeSet<String> = heads.iter().map(|head| head.host().to_owned()).collect();
    let heads = plan(heads, args.by_host).map_err(|refusals| {
        all("these captures are not to be added, and nothing was written", refusals.iter().map(ToString::to_string))
    })?;
    let merged = merged(&heads, args.by_host)?;
    let bytes = file::encode(&merged)?;
    let of = format!(
        "{} of {}: {}, {}",
        count(heads.len(), "capture"),
        count(hosts.len(), "host"),
        count(merged.context.services.len(), "service"),
        duration(merged.context.duration_ns)
    );
    if to_stdout {
        let mut out = io::stdout().lock();
        out.write_all(&bytes).and_then(|()| out.flush()).context("standard output")?;
        output::say(&of);
        return Ok(0);
    }
    report::write_atomically(&args.output, &bytes)?;
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

/// What stands at the begin of each capture.
fn heads(files: &[PathBuf]) -> anyhow::Result<Vec<Head>> {
    let (mut heads, mut wrong, mut reports) = (Vec::with_capacity(files.len()), Vec::new(), 0usize);
    for path in files {
        match read(path) {
            Err(why) => wrong.push(format!("{}: cannot read it: {why}", path.display())),
            Ok(bytes) if is_capture(&bytes) => match file::context(&bytes) {
                Ok(context) => heads.push(Head::new(path, &context, &bytes)),
                Err(why) => wrong.push(format!("{}: {why}", path.display())),
            },
            Ok(bytes) => match is_report(path, &bytes) {
                true => reports += 1,
                false => wrong.push(format!("{}: {}", path.display(), CaptureError::Other)),
            },
        }
    }
    if !wrong.is_empty() {
        return Err(all("not all of these are captures, and nothing was written", wrong));
    }
    match (heads.len(), reports) {
        (_, 0) => Ok(heads),
        (0, _) => bail!(
            "these are reports, whose means are rounded and whose time series do not add up; merge what `record --capture FILE` saves"
        ),
        (captures, _) => bail!(
            "{} and {}: reports do not add up exactly; merge the captures alone, and for the others what `record --capture FILE` saves",
            count(captures, "capture"),
            count(reports, "report")
        ),
    }
}

fn is_report(path: &Path, bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') && report::load(path).is_ok()
}

/// Goes through the captures one after another: one at a time is in memory.
fn merged(heads: &[Head], by_host: bool) -> anyhow::Result<Capture> {
    let mut merger = Merger::new(by_host);
    let mut wrong = Vec::new();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(PARTS_AHEAD);
        // Unpacking takes as long as adding.
        scope.spawn(move || heads.iter().try_for_each(|head| unpack(head, &sender)));
        for (head, step) in receiver {
            match step {
                Step::Part(part) => merger.part(head, part),
                Step::End(None) => merger.end(),
                Step::End(Some(why)) => wrong.push(format!("{}: {why}", head.path.display())),
            }
        }
    });
    match wrong.is_empty() {
        true => Ok(merger.finish()),
        false => Err(all("not all of these captures are whole, and nothing was written; leave these out", wrong)),
    }
}

/// What is unpacked of a capture.
enum Step {
    Part(Part),
    /// No more of it, and what is wrong with it.
    End(Option<String>),
}

/// A capture, and what comes next of it.
type Unpacked<'a> = (&'a Head, Step);

/// Unpacks a capture part by part, as long as somebody takes them.
fn unpack<'a>(head: &'a Head, to: &SyncSender<Unpacked<'a>>) -> Result<(), SendError<Unpacked<'a>>> {
    let mut sent = Ok(());
    let end = match read(&head.path) {
        Err(why) => Some(format!("cannot read it: {why}")),
        Ok(bytes) => {
            let walked = walk(&bytes, |part| {
                if sent.is_ok() {
                    sent = to.send((head, Step::Part(part)));
                }
            });
            match walked {
                Ok(damage) => damage.map(|damage| format!("the capture is damaged: {damage}")),
                Err(why) => Some(why.to_string()),
            }
        }
    };
    sent.and_then(|()| to.send((head, Step::End(end))))
}

/// The bytes of a capture, or of another file the begin of them.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(MAX_CAPTURE_BYTES);
    file.by_ref().take(BEGIN as u64).read_to_end(&mut bytes)?;
    if is_capture(&bytes) {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn all(what: &str, list: impl IntoIterator<Item = String>) -> anyhow::Error {
    WithList { what: what.to_owned(), list: list.into_iter().collect() }.into()
}

fn count(number: usize, of: &str) -> String {
    format!("{} {of}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::command::open::open;

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
    fn what_is_no_capture_is_named_and_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let report = place("r.json");
        let text = report::seal(&mut assessed(sample::small())).unwrap();
        report::write_atomically(&report, text.as_bytes()).unwrap();
        fs::write(place("x"), "hello").unwrap();
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
            (vec![report.clone(), report.clone()], vec!["reports", "record --capture"]),
            (vec![good.clone(), report], vec!["1 capture and 1 report", "record --capture"]),
            (vec![fixture("7.3"), place("half.capture")], vec!["half.capture: the capture is damaged"]),
            (vec![place("half.capture")], vec!["half.capture: the capture is damaged"]),
            (vec![good.clone(), place("same.capture")], vec!["same.capture: is the same capture as"]),
            (vec![good.clone(), good.clone()], vec!["is the same capture as"]),
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
