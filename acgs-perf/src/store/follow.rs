//! Follows a ring: what came after a position, in order, for somebody who passes it on and may be late by a day.
//!
//! In: the directory, while somebody writes it. Out: intervals that begin where the one before ended, each with the position behind it.
//! They are as fine as the ring still has them; where a coarser one tells of a time of which the begin was passed on before, that
//! begin is taken away from it. Files are read once, and again when they have grown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::segment::{self, Entry, Run};
use super::select::{Located, finest};
use crate::snapshot::exemplar::Exemplars;
use crate::snapshot::packed::unpack;
use crate::snapshot::{Context, Interval, bring_up};

/// What was passed on is remembered for so long: two intervals of the coarsest tier, and a half.
const REMEMBERED_NS: u64 = 150_000_000_000;

/// How far somebody has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    run: Run,
    /// A file of the run; those of later runs have higher numbers. `None` before all runs.
    file: Option<u64>,
    /// End of what was passed on, on the clock of the programs.
    end_ns: u64,
    /// And by the time of day.
    pub unix_end_ns: u64,
}

/// What comes next.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What happened.
    pub interval: Interval,
    /// Names the run.
    pub run: String,
    /// What was known of the run.
    pub context: Context,
    /// The position behind it.
    pub behind: Position,
    /// Time before it that the ring has no more.
    pub lost_ns: u64,
    /// Time at its begin that was passed on before.
    pub repeated_ns: u64,
}

/// What there is behind a position.
#[derive(Debug)]
pub enum Next {
    /// An interval.
    Piece(Box<Piece>),
    /// Less than was asked for: so much is missing.
    Missing(u64),
}

/// A file that was read.
#[derive(Debug)]
struct Scanned {
    bytes: u64,
    run: Run,
    entries: Vec<(Entry, Range<usize>)>,
}

/// Follows a ring.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    files: BTreeMap<(usize, u64), Scanned>,
    /// What was passed on lately, packed as in the ring.
    lately: VecDeque<(Run, Entry, Vec<u8>)>,
}

impl Follower {
    /// Follows the ring in a directory from a position on, or from what is there now.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn new(directory: &Path, from: Option<Position>) -> io::Result<(Self, Position)> {
        let mut follower = Self { directory: directory.to_owned(), files: BTreeMap::new(), lately: VecDeque::new() };
        follower.refresh(true)?;
        let Some(from) = from else {
            let position = follower.end();
            return Ok((follower, position));
        };
        let newest = follower.files.keys().map(|(_, number)| *number).max();
        if from.file > newest {
            // It is of a ring that was here before.
            return Ok((follower, Position::default()));
        }
        // What was passed on before the agent was started anew.
        for located in follower.entries(&from.run) {
            let is_late = located.entry.end_ns().saturating_add(REMEMBERED_NS) > from.end_ns;
            if is_late
                && located.entry.end_ns() <= from.end_ns
                && let Some(packed) = follower.packed(&located)
            {
                follower.lately.push_back((from.run.clone(), located.entry, packed));
            }
        }
        Ok((follower, from))
    }

    /// The next interval, if there is one that is at least so long, or will never be; at the end of all, any.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn next(&mut self, after: &Position, at_least_ns: u64, is_end: bool) -> io::Result<Next> {
        self.refresh(false)?;
        let behind = self.behind(after);
        // As long as nobody is late, the finest tier has all that is asked for.
        if behind.first().is_none_or(|first| first.entry.start_ns != after.end_ns) {
            self.refresh(true)?;
        }
        let mut after = after.clone();
        loop {
            let behind = self.behind(&after);
            let Some(later) = self.later_run(&after) else {
                return Ok(self.piece(&after, &behind, at_least_ns, is_end));
            };
            if !behind.is_empty() {
                return Ok(self.piece(&after, &behind, at_least_ns, true));
            }
            after = later;
        }
    }

    /// The position behind all that is there.
    fn end(&self) -> Position {
        let newest = self.files.iter().max_by_key(|((_, number), _)| *number);
        let Some(((_, number), scanned)) = newest else { return Position::default() };
        let entries = self.entries(&scanned.run);
        let (end_ns, unix_end_ns) =
            entries.last().map_or((0, 0), |located| (located.entry.end_ns(), located.entry.unix_end_ns));
        Position { run: scanned.run.clone(), file: Some(*number), end_ns, unix_end_ns }
    }

    /// Reads what has changed; of the coarser tiers only if they are wanted.
    fn refresh(&mut self, coarser_too: bool) -> io::Result<()> {
        let mut there = BTreeSet::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let Some(name) = segment::parse_path(&entry.path()) else { continue };
            there.insert(name);
            let Ok(about) = entry.metadata() else { continue };
            let is_known = self.files.get(&name).is_some_and(|known| known.bytes == about.len());
            if is_known || !coarser_too && name.0 > 0 {
                continue;
            }
            let Ok(bytes) = fs::read(entry.path()) else { continue };
            if let Some(found) = segment::scan(&bytes) {
                let scanned = Scanned { bytes: bytes.len() as u64, run: found.header.run, entries: found.entries };
                self.files.insert(name, scanned);
            }
        }
        self.files.retain(|name, _| there.contains(name));
        Ok(())
    }

    /// The finest entries of a run.
    fn entries(&self, run: &Run) -> Vec<Located> {
        let of_run = self.files.iter().filter(|(_, scanned)| scanned.run == *run);
        let located = of_run.flat_map(|((tier, file), scanned)| {
            let entries = scanned.entries.iter().enumerate();
            entries.map(|(index, (entry, _))| Located { entry: *entry, tier: *tier, file: *file, index })
        });
        finest(located.collect())
    }

    /// Those of the run of a position that end behind it.
    fn behind(&self, after: &Position) -> Vec<Located> {
        let mut entries = self.entries(&after.run);
        entries.retain(|located| located.entry.end_ns() > after.end_ns);
        entries
    }

    /// The begin of the run that follows the one of a position.
    fn later_run(&self, after: &Position) -> Option<Position> {
        let is_later = |number: u64| after.file.is_none_or(|file| number > file);
        let later = self.files.iter().filter(|((_, number), scanned)| is_later(*number) && scanned.run != after.run);
        let ((_, number), scanned) = later.min_by_key(|((_, number), _)| *number)?;
        let run = scanned.run.clone();
        Some(Position { end_ns: run.start_ns, run, file: Some(*number), unix_end_ns: after.unix_end_ns })
    }

    /// The first of what is behind a position, together with those that follow it until it is long enough.
    fn piece(&mut self, after: &Position, behind: &[Located], at_least_ns: u64, is_over: bool) -> Next {
        let Some(first) = behind.first() else { return Next::Missing(at_least_ns) };
        let len_of =
            |parts: &[Located]| parts.last().map_or(0, |last| last.entry.end_ns().saturating_sub(first.entry.start_ns));
        let is_next = |pair: &[Located]| pair[0].entry.end_ns() == pair[1].entry.start_ns;
        let count = (1..behind.len())
            .find(|count| len_of(&behind[..*count]) >= at_least_ns || !is_next(&behind[count - 1..=*count]))
            .unwrap_or(behind.len());
        let parts = &behind[..count];
        let last = parts.last().unwrap_or(first);
        let len_ns = len_of(parts);
        // What ends where something is missing gets no longer.
        let is_whole = len_ns >= at_least_ns || is_over || count < behind.len();
        if !is_whole {
            return Next::Missing(at_least_ns - len_ns);
        }
        let Some(context) = self.context(&after.run) else { return Next::Missing(at_least_ns) };
        let mut whole: Option<Interval> = None;
        let mut lost_ns = first.entry.start_ns.saturating_sub(after.end_ns);
        let mut passed = Vec::new();
        for located in parts {
            // It may have been removed since.
            let packed = self.packed(located);
            let Some(interval) = packed.as_deref().and_then(|packed| read(context.layout, packed)) else {
                lost_ns += located.entry.len_ns;
                continue;
            };
            passed.extend(packed.map(|packed| (after.run.clone(), located.entry, packed)));
            match &mut whole {
                Some(whole) => whole.merge(&interval),
                None => whole = Some(interval),
            }
        }
        let mut interval = whole.unwrap_or_else(|| Interval {
            start_ns: last.entry.end_ns(),
            rest_start_ns: last.entry.end_ns(),
            ..Interval::default()
        });
        let repeated_ns = self.take_away(after, &mut interval, context.layout);
        self.remember(passed);
        let behind = Position {
            run: after.run.clone(),
            file: after.file.max(parts.iter().map(|located| located.file).min()),
            end_ns: last.entry.end_ns(),
            unix_end_ns: last.entry.unix_end_ns,
        };
        let run = format!("{} {}", after.run.boot, after.run.start_ns);
        Next::Piece(Box::new(Piece { interval, run, context, behind, lost_ns, repeated_ns }))
    }

    /// Takes away what was passed on of an interval that begins before the position. Gives what it cannot: it is not known any more.
    fn take_away(&self, after: &Position, interval: &mut Interval, layout: u32) -> u64 {
        let before_ns = after.end_ns.saturating_sub(interval.start_ns);
        if before_ns == 0 || interval.len_ns == 0 {
            return 0;
        }
        let is_part = |(run, entry, _): &&(Run, Entry, Vec<u8>)| {
            *run == after.run && entry.start_ns >= interval.start_ns && entry.end_ns() <= after.end_ns
        };
        let parts: Vec<_> = self.lately.iter().filter(is_part).collect();
        if parts.iter().map(|(_, entry, _)| entry.len_ns).sum::<u64>() != before_ns {
            return before_ns;
        }
        let read = parts.iter().map(|(_, _, packed)| read(layout, packed));
        let Some(parts) = read.collect::<Option<Vec<Interval>>>() else { return before_ns };
        parts.iter().for_each(|part| interval.take_away(part));
        0
    }

    fn remember(&mut self, passed: Vec<(Run, Entry, Vec<u8>)>) {
        self.lately.extend(passed);
        let Some((run, end_ns)) = self.lately.back().map(|(run, entry, _)| (run.clone(), entry.end_ns())) else {
            return;
        };
        self.lately.retain(|(of, entry, _)| *of == run && entry.end_ns().saturating_add(REMEMBERED_NS) > end_ns);
    }

    fn packed(&self, located: &Located) -> Option<Vec<u8>> {
        let range = self.files.get(&(located.tier, located.file))?.entries.get(located.index)?.1.clone();
        let mut packed = vec![0; range.len()];
        let file = File::open(segment::path(&self.directory, located.tier, located.file)).ok()?;
        file.read_exact_at(&mut packed, range.start as u64).ok()?;
        Some(packed)
    }

    /// What was known of a run when its newest file was written.
    fn context(&self, run: &Run) -> Option<Context> {
        let of_run = self.files.iter().filter(|(_, scanned)| scanned.run == *run);
        let ((tier, number), _) = of_run.max_by_key(|((_, number), _)| *number)?;
        let bytes = fs::read(segment::path(&self.directory, *tier, *number)).ok()?;
        Some(segment::scan(&bytes)?.context)
    }
}

fn read(layout: u32, packed: &[u8]) -> Option<Interval> {
    let mut interval: Interval = unpack(packed)?;
    bring_up(layout, std::slice::from_mut(&mut interval), &mut Exemplars::new());
    Some(interval)
}
