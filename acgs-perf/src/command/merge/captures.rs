//! Captures into one capture.
//!
//! In: captures. Out: the bytes of one that has all their counts. One at a time is in memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SendError, SyncSender};
use std::thread;

use super::outcome::{Merged, all, hosts, not_added};
use crate::merge::{Head, Merger, plan};
use crate::snapshot::Capture;
use crate::snapshot::file::{self, Part, walk};

/// A larger file is no capture.
const MAX_CAPTURE_BYTES: u64 = 256 << 20;
/// Parts that are unpacked before they are added: of 64 intervals each.
const PARTS_AHEAD: usize = 4;

/// All of them as one.
///
/// # Errors
/// If one cannot be read or is not whole, or some are not to be added.
pub fn merged(files: &[PathBuf], by_host: bool) -> anyhow::Result<Merged> {
    let heads = plan(heads(files)?, by_host).map_err(|refusals| not_added(&refusals))?;
    let merged = added(&heads, by_host)?;
    Ok(Merged {
        bytes: file::encode(&merged)?,
        hosts: hosts(&heads),
        services: merged.context.services.len(),
        duration_ns: merged.context.duration_ns,
    })
}

/// What stands at the begin of each capture.
fn heads(files: &[PathBuf]) -> anyhow::Result<Vec<Head>> {
    let (mut heads, mut wrong) = (Vec::with_capacity(files.len()), Vec::new());
    for path in files {
        match read(path).map(|bytes| (file::context(&bytes), bytes)) {
            Err(why) => wrong.push(format!("{}: cannot read it: {why}", path.display())),
            Ok((Ok(context), bytes)) => heads.push(Head::new(path, &context, &bytes)),
            Ok((Err(why), _)) => wrong.push(format!("{}: {why}", path.display())),
        }
    }
    match wrong.is_empty() {
        true => Ok(heads),
        false => Err(all("not all of these can be read, and nothing was written", wrong)),
    }
}

/// Goes through the captures one after another: one at a time is in memory.
fn added(heads: &[Head], by_host: bool) -> anyhow::Result<Capture> {
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

/// All bytes of a capture.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_CAPTURE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
