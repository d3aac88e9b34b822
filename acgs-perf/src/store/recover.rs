//! What is in a ring when it is opened: its files, and what a writer that was killed had not summed up yet.
//!
//! In: the directory. Out: sizes of the files, and for each run and coarser tier one interval that is missing there: the sum of the
//! finer ones behind its last. So what happened before a crash is not forgotten when the finer tier is overwritten.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use super::segment::{self, Run, Timed};
use super::select::{Located, finest};
use crate::snapshot::packed::unpack;
use crate::snapshot::{Context, Interval};

/// Files by tier and number, each with its bytes and the length of its intervals.
pub(super) type Files = BTreeMap<(usize, u64), (u64, u64)>;

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub files: Files,
    /// Number of the next file.
    pub next: u64,
    /// In the order in which it is to be written.
    pub unsummed: Vec<Unsummed>,
}

/// A sum that a tier of a run lacks.
#[derive(Debug)]
pub(super) struct Unsummed {
    pub run: Run,
    pub context: Context,
    pub tier: usize,
    pub sum: Timed,
}

/// What is known of a run.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub context: Context,
    /// Number of its first file: runs follow one another, and so do their numbers.
    pub first: u64,
    newest: u64,
    pub entries: Vec<Located>,
}

/// All runs of a ring, and its files.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub runs: BTreeMap<Run, Known>,
    pub files: Files,
}

/// Reads what there is, but for the counts.
pub(super) fn index(directory: &Path) -> io::Result<Index> {
    let mut names: Vec<(usize, u64)> = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.extend(segment::parse_path(&entry?.path()));
    }
    // The finest first: what is removed from it while we read is in the coarser ones long since.
    names.sort_unstable();
    let mut index = Index::default();
    for (tier, number) in names {
        // It may have been removed meanwhile.
        let Ok(bytes) = fs::read(segment::path(directory, tier, number)) else { continue };
        let scanned = segment::scan(&bytes);
        let len_ns = scanned.iter().flat_map(|scanned| &scanned.entries).map(|(entry, _)| entry.len_ns).sum();
        index.files.insert((tier, number), (bytes.len() as u64, len_ns));
        let Some(scanned) = scanned else { continue };
        let is_new = !index.runs.contains_key(&scanned.header.run);
        let known = index.runs.entry(scanned.header.run).or_default();
        known.first = if is_new { number } else { known.first.min(number) };
        if is_new || number >= known.newest {
            (known.newest, known.context) = (number, scanned.context);
        }
        let located = scanned.entries.iter().enumerate();
        known.entries.extend(located.map(|(index, (entry, _))| Located { entry: *entry, tier, file: number, index }));
    }
    Ok(index)
}

/// Intervals from the files of a ring, with the file read last kept.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    directory: &'a Path,
    last: Option<Last>,
}

/// A file that was read.
#[derive(Debug)]
struct Last {
    tier: usize,
    file: u64,
    bytes: Vec<u8>,
    /// Where its intervals are.
    ranges: Vec<Range<usize>>,
}

impl<'a> Reader<'a> {
    pub fn new(directory: &'a Path) -> Self {
        Self { directory, last: None }
    }

    /// The interval at a place; `None` if it is not there any more.
    pub fn interval(&mut self, located: &Located) -> Option<Interval> {
        let &Located { tier, file, index, .. } = located;
        if self.last.as_ref().is_none_or(|last| (last.tier, last.file) != (tier, file)) {
            let bytes = fs::read(segment::path(self.directory, tier, file)).ok()?;
            let ranges = segment::scan(&bytes)?.entries.into_iter().map(|(_, range)| range).collect();
            self.last = Some(Last { tier, file, bytes, ranges });
        }
        let last = self.last.as_ref()?;
        unpack(last.bytes.get(last.ranges.get(index)?.clone())?)
    }
}

/// Looks at the ring of a writer that is gone; the one who asks has so many tiers.
pub(super) fn survey(directory: &Path, tiers: usize) -> io::Result<Survey> {
    let index = index(directory)?;
    let mut survey =
        Survey { next: index.files.keys().map(|(_, number)| number + 1).max().unwrap_or(0), ..Survey::default() };
    let mut files = Reader::new(directory);
    let mut runs: Vec<_> = index.runs.into_iter().collect();
    runs.sort_by_key(|(_, known)| known.first);
    for (run, known) in runs {
        let mut behind: Option<Timed> = None;
        for tier in 1..tiers {
            let end = known.entries.iter().filter(|located| located.tier >= tier).map(|located| located.entry.end_ns());
            let end = end.max().unwrap_or(0);
            let finer: Vec<Located> = known
                .entries
                .iter()
                .filter(|located| located.tier + 1 == tier && located.entry.start_ns >= end)
                .copied()
                .collect();
            let mut sum: Option<Timed> = None;
            for located in finest(finer) {
                let Some(interval) = files.interval(&located) else { continue };
                let timed = Timed { interval, unix_end_ns: located.entry.unix_end_ns };
                add(&mut sum, timed);
            }
            // What the tier between has just got.
            if let Some(behind) = behind.take().filter(|behind| behind.interval.start_ns >= end) {
                add(&mut sum, behind);
            }
            if let Some(sum) = &sum {
                survey.unsummed.push(Unsummed {
                    run: run.clone(),
                    context: known.context.clone(),
                    tier,
                    sum: sum.clone(),
                });
            }
            behind = sum;
        }
    }
    Ok(survey)
}

fn add(sum: &mut Option<Timed>, later: Timed) {
    match sum {
        Some(sum) => {
            sum.merge(&later);
        }
        None => *sum = Some(later),
    }
}
