//! Reads a time out of the ring, also while somebody writes it.
//!
//! In: a directory, begin and end by the time of day. Out: a `Capture` of the whole intervals that lie in that time or touch it, and
//! notes on what is not there.

use std::io;
use std::path::{Path, PathBuf};

use super::join::Joiner;
use super::names::Names;
use super::recover::{Reader, index};
use super::select::{Located, finest};
use crate::snapshot::exemplar::Exemplars;
use crate::snapshot::{Capture, bring_up};
use crate::units::timestamp;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Begin, ns since 1970.
    pub from_unix_ns: u64,
    /// End.
    pub to_unix_ns: u64,
    /// One service only.
    pub service: Option<String>,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// All of it as one recording.
    pub capture: Capture,
    /// Recordings that it is made of.
    pub runs: usize,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory.
    #[error("{}: {why}; name the directory of `acgs-perf serve` with --state-dir", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// There are no intervals at all.
    #[error("{}: no intervals are here; `acgs-perf serve` writes them", .0.display())]
    Nothing(PathBuf),
    /// None of that time.
    #[error("nothing is known of {} to {}; what is here begins at {} and ends at {}", timestamp(*.from), timestamp(*.to), timestamp(*.first), timestamp(*.last))]
    NotThen {
        /// Begin that was wanted.
        from: u64,
        /// End that was wanted.
        to: u64,
        /// Begin of what is here.
        first: u64,
        /// Its end.
        last: u64,
    },
    /// None of that service.
    #[error("no service {name} in that time; there are {}", .known.join(", "))]
    NoService {
        /// What was wanted.
        name: String,
        /// What is here.
        known: Vec<String>,
    },
    /// It was written by a later agent.
    #[error("intervals with layout {0}, and this acgs-perf knows up to {known}; use a newer one", known = crate::snapshot::LAYOUT_VERSION)]
    Layout(u32),
}

/// What happened in a time.
///
/// # Errors
/// When nothing of it is there.
pub fn capture(directory: &Path, wanted: &Wanted) -> Result<Found, ReadError> {
    let index = index(directory).map_err(|why| ReadError::Directory { path: directory.to_owned(), why })?;
    let mut runs: Vec<_> = index.runs.into_iter().collect();
    runs.sort_by_key(|(_, known)| known.first);
    let all = || runs.iter().flat_map(|(_, known)| &known.entries).map(|located| located.entry);
    let (first, last) = (all().map(|entry| entry.unix_start_ns()).min(), all().map(|entry| entry.unix_end_ns).max());
    let (Some(first), Some(last)) = (first, last) else { return Err(ReadError::Nothing(directory.to_owned())) };
    let is_wanted = |located: &&Located| {
        let entry = located.entry;
        entry.unix_start_ns() < wanted.to_unix_ns && entry.unix_end_ns > wanted.from_unix_ns
    };
    let mut joiner = Joiner::default();
    let mut reader = Reader::new(directory);
    let mut taken = 0;
    for (run, known) in runs {
        let all = finest(known.entries);
        let chosen: Vec<Located> = all.iter().filter(|located| is_wanted(located)).copied().collect();
        if chosen.is_empty() {
            continue;
        }
        if known.context.layout > crate::snapshot::LAYOUT_VERSION {
            return Err(ReadError::Layout(known.context.layout));
        }
        taken += 1;
        let layout = known.context.layout;
        joiner.begin_run(&run, known.context, &chosen[0].entry);
        joiner.name_peers(&names(&mut reader, layout, &chosen, &all));
        for located in &chosen {
            match reader.interval(located) {
                Some(interval) => joiner.add(interval, &located.entry),
                None => joiner.lost(),
            }
        }
    }
    if joiner.is_empty() {
        let (from, to) = (wanted.from_unix_ns, wanted.to_unix_ns);
        return Err(ReadError::NotThen { from, to, first, last });
    }
    let capture = match &wanted.service {
        None => joiner.finish(),
        Some(name) => joiner.only(name).map_err(|known| ReadError::NoService { name: name.clone(), known })?,
    };
    Ok(Found { capture, runs: taken })
}

/// The names of the peers that the wanted intervals of a run use: from these, or else from the others of the run, the last before them
/// first.
fn names(reader: &mut Reader<'_>, layout: u32, wanted: &[Located], all: &[Located]) -> Names {
    let mut names = Names::default();
    let mut interval = |located: &Located| {
        let mut interval = reader.interval(located)?;
        bring_up(layout, std::slice::from_mut(&mut interval), &mut Exemplars::new());
        Some(interval)
    };
    wanted.iter().filter_map(&mut interval).for_each(|interval| names.see(&interval));
    let from = wanted.first().map_or(0, |first| first.entry.start_ns);
    let (before, after): (Vec<&Located>, Vec<&Located>) = all.iter().partition(|located| located.entry.start_ns < from);
    for located in before.into_iter().rev().chain(after) {
        if names.are_complete() {
            break;
        }
        interval(located).iter().for_each(|interval| names.find(interval));
    }
    names
}
