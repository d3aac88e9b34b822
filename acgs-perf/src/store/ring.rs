//! Writes the ring: each interval into the finest tier, sums into the coarser ones, and removes what is old.
//!
//! In: intervals of a run, in order, each with the time of day at its end. Out: files. Nobody but the holder of the lock writes.
//! What cannot be written now, because the disk is full or read-only, is kept as one interval and written with the next one: then the
//! time is told less finely, and every count is there.

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::recover;
use super::segment::{self, Entry, Header, Run, Timed, Writer};
use crate::snapshot::{Context, Interval};

/// A tier has so many files at least, so that what is removed at once is a small part of it.
const FILES: u64 = 8;
/// And at most so many, however often the agent is started anew.
const MAX_FILES: usize = 256;
/// Who writes holds a lock on this file.
const LOCK: &str = "lock";
const SECOND: u64 = 1_000_000_000;

/// How long the intervals of a tier are, and for how long they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Length of an interval, about.
    pub every_ns: u64,
    /// So much recorded time is kept at least, as far as the bytes allow.
    pub keep_ns: u64,
    /// Its part of the bytes, in percent.
    pub percent: u64,
}

/// How large the ring may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// The tiers, finest first.
    pub tiers: Vec<Tier>,
}

impl Limits {
    /// 1 s for 10 minutes, 10 s for an hour, a minute for a day.
    #[must_use]
    pub fn of_bytes(bytes: u64) -> Self {
        let tier = |every: u64, keep: u64, percent| Tier { every_ns: every * SECOND, keep_ns: keep * SECOND, percent };
        Self { bytes, tiers: vec![tier(1, 600, 30), tier(10, 3600, 20), tier(60, 86_400, 50)] }
    }
}

/// Why the ring cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory.
    #[error("{}: {why}; name another directory with --state-dir", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// Somebody else writes there.
    #[error("{}: another acgs-perf writes there; end it, or name another directory with --state-dir", .0.display())]
    Locked(PathBuf),
}

/// Fails unless files can be made in a directory by this thread, as what it may do is now.
///
/// # Errors
/// What the system says.
pub fn check_writable(directory: &Path) -> Result<(), OpenError> {
    let failed = |why| OpenError::Directory { path: directory.to_owned(), why };
    let path = CString::new(directory.as_os_str().as_bytes()).map_err(|why| failed(why.into()))?;
    // SAFETY: the path ends in a zero; the rest are numbers.
    match unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) } {
        0 => Ok(()),
        _ => Err(failed(io::Error::last_os_error())),
    }
}

/// A file that is there.
#[derive(Clone, Copy, Debug)]
struct Stored {
    number: u64,
    bytes: u64,
    len_ns: u64,
}

#[derive(Debug)]
struct Rung {
    tier: Tier,
    /// Files that nobody writes any more, oldest first.
    old: VecDeque<Stored>,
    open: Option<(u64, Writer)>,
    /// What is summed up until it is as long as an interval of this tier.
    pending: Option<Timed>,
    /// What could not be written.
    unwritten: Option<Timed>,
}

/// A ring that is being written.
#[derive(Debug)]
pub struct Ring {
    directory: PathBuf,
    bytes: u64,
    rungs: Vec<Rung>,
    /// Number of the next file.
    next: u64,
    /// Of the run under way; `None` before the first.
    run: Option<(Run, Context)>,
    _lock: File,
}

impl Ring {
    /// Opens the ring in a directory, which is made if it is not there. What a writer before us had not summed up because it was
    /// killed is summed up now.
    ///
    /// # Errors
    /// When it cannot be written there, or somebody else does.
    pub fn open(directory: &Path, limits: &Limits) -> Result<Self, OpenError> {
        let failed = |why| OpenError::Directory { path: directory.to_owned(), why };
        DirBuilder::new().recursive(true).mode(0o750).create(directory).map_err(failed)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(directory.join(LOCK));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(OpenError::Locked(directory.to_owned())),
            Err(fs::TryLockError::Error(why)) => return Err(failed(why)),
        }
        let rung = |tier: &Tier| Rung { tier: *tier, old: VecDeque::new(), open: None, pending: None, unwritten: None };
        let mut ring = Self {
            directory: directory.to_owned(),
            bytes: limits.bytes,
            rungs: limits.tiers.iter().map(rung).collect(),
            next: 0,
            run: None,
            _lock: lock,
        };
        let found = recover::survey(directory, limits.tiers.len()).map_err(failed)?;
        ring.next = found.next;
        for ((tier, number), (bytes, len_ns)) in found.files {
            match ring.rungs.get_mut(tier) {
                Some(rung) => rung.old.push_back(Stored { number, bytes, len_ns }),
                // A ring with more tiers was here.
                None => drop(fs::remove_file(segment::path(directory, tier, number))),
            }
        }
        for lost in found.unsummed {
            ring.run = Some((lost.run, lost.context));
            // If the disk is full now, this is lost to the coarser tier; the finer one has it for a while.
            drop(ring.write(lost.tier, &lost.sum));
            drop(ring.close());
        }
        ring.run = None;
        Ok(ring)
    }

    /// Begins another run. The one before is closed.
    ///
    /// # Errors
    /// What of the run before could not be written.
    pub fn begin(&mut self, boot: &str, context: &Context) -> io::Result<()> {
        let closed = self.close();
        self.run = Some((Run { boot: boot.to_owned(), start_ns: context.start_ns }, context.clone()));
        closed
    }

    /// Takes what is known of the run now; it is written when the next file is begun.
    pub fn set_context(&mut self, context: &Context) {
        if let Some((_, known)) = &mut self.run {
            known.clone_from(context);
        }
    }

    /// Adds the next interval of the run.
    ///
    /// # Errors
    /// What could not be written now; it is tried again with the next interval.
    pub fn push(&mut self, interval: Interval, unix_end_ns: u64) -> io::Result<()> {
        let mut result = Ok(());
        let mut finer = Some(Timed { interval, unix_end_ns });
        for tier in 0..self.rungs.len() {
            let Some(timed) = finer.take() else { break };
            let whole = if tier == 0 { None } else { self.rungs[tier].take_whole(&timed) };
            if tier == 0 {
                result = result.and(self.write(0, &timed));
                finer = Some(timed);
                continue;
            }
            let rung = &mut self.rungs[tier];
            match &mut rung.pending {
                Some(pending) => pending.merge(&timed),
                None => rung.pending = Some(timed),
            }
            if let Some(whole) = whole {
                result = result.and(self.write(tier, &whole));
                finer = Some(whole);
            }
        }
        result
    }

    /// Ends the run: what is summed up so far is written, however short it is, and the files are sealed.
    ///
    /// # Errors
    /// What could not be written; that is lost.
    pub fn close(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        let mut finer: Option<Timed> = None;
        for tier in 0..self.rungs.len() {
            let rung = &mut self.rungs[tier];
            let last = match (rung.pending.take(), finer.take()) {
                (Some(mut pending), Some(finer)) => {
                    pending.merge(&finer);
                    Some(pending)
                }
                (pending, finer) => pending.or(finer),
            };
            let unwritten = rung.unwritten.take();
            let to_write = match (unwritten, last.clone()) {
                (Some(mut unwritten), Some(last)) => {
                    unwritten.merge(&last);
                    Some(unwritten)
                }
                (unwritten, last) => unwritten.or(last),
            };
            if let Some(timed) = to_write {
                result = result.and(self.write(tier, &timed));
            }
            finer = last;
            result = result.and(self.rotate(tier));
            self.rungs[tier].unwritten = None;
        }
        self.run = None;
        result
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.rungs.iter().map(Rung::bytes).sum()
    }

    /// Writes an interval into a tier, behind what could not be written before.
    fn write(&mut self, tier: usize, timed: &Timed) -> io::Result<()> {
        let all = match self.rungs[tier].unwritten.take() {
            Some(mut before) => {
                before.merge(timed);
                before
            }
            None => timed.clone(),
        };
        let written = self.try_write(tier, &all);
        if written.is_err() {
            self.rungs[tier].unwritten = Some(all);
        }
        written
    }

    fn try_write(&mut self, tier: usize, timed: &Timed) -> io::Result<()> {
        let entry = Entry::of(&timed.interval, timed.unix_end_ns);
        let frame = segment::interval(&entry, &timed.interval, tier)?;
        let limit = self.bytes * self.rungs[tier].tier.percent / 100;
        let is_full = |(_, writer): &(u64, Writer)| {
            let is_long = writer.len_ns >= self.rungs[tier].tier.keep_ns / FILES;
            writer.is_broken || writer.len_ns > 0 && (is_long || writer.bytes + frame.len() as u64 > limit / FILES)
        };
        if self.rungs[tier].open.as_ref().is_some_and(is_full) {
            // A file that is not sealed is read all the same.
            drop(self.rotate(tier));
        }
        // What comes behind the last interval of a file has room too.
        let room = limit.saturating_sub(frame.len() as u64 + limit / 16);
        self.make_room(tier, room);
        if self.rungs[tier].open.is_none() {
            let Some((run, context)) = &self.run else { return Ok(()) };
            let header = Header { run: run.clone(), tier, context: context.clone() };
            let number = self.next;
            let writer = Writer::create(&segment::path(&self.directory, tier, number), &header)?;
            self.next += 1;
            self.rungs[tier].open = Some((number, writer));
            self.make_room(tier, room);
        }
        match &mut self.rungs[tier].open {
            Some((_, writer)) if writer.bytes + frame.len() as u64 <= limit => writer.add_interval(&entry, &frame),
            _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, "an interval is larger than its part of the ring")),
        }
    }

    /// Removes the oldest files of a tier until it has at most so many bytes, and no more than it is to keep.
    fn make_room(&mut self, tier: usize, bytes: u64) {
        let directory = &self.directory;
        let rung = &mut self.rungs[tier];
        while let Some(oldest) = rung.old.front() {
            let kept = rung.len_ns() - oldest.len_ns;
            if rung.bytes() <= bytes && kept < rung.tier.keep_ns && rung.old.len() < MAX_FILES {
                break;
            }
            // If it cannot be removed, it is in nobody's way but the disk's.
            drop(fs::remove_file(segment::path(directory, tier, oldest.number)));
            rung.old.pop_front();
        }
    }

    /// Finishes the file under way of a tier. The finest one keeps what is known of the run.
    fn rotate(&mut self, tier: usize) -> io::Result<()> {
        let Some((number, mut writer)) = self.rungs[tier].open.take() else { return Ok(()) };
        let noted = match &self.run {
            Some((_, context)) if tier == 0 => writer.add_context(context),
            _ => Ok(()),
        };
        let mut stored = Stored { number, bytes: writer.bytes, len_ns: writer.len_ns };
        let sealed = writer.seal().map(|bytes| stored.bytes = bytes);
        self.rungs[tier].old.push_back(stored);
        noted.and(sealed)
    }
}

impl Rung {
    /// What is summed up, if it is as long as it should be and `next` does not belong to it.
    fn take_whole(&mut self, next: &Timed) -> Option<Timed> {
        self.pending.take_if(|pending| {
            // Half of the next one would be too much.
            let is_long = pending.interval.len_ns + next.interval.len_ns / 2 >= self.tier.every_ns;
            // What is read less often should lie in the interval that it counts for; but nobody waits for it for ever.
            let is_whole = next.interval.rest_start_ns >= pending.interval.end_ns();
            is_long && (is_whole || pending.interval.len_ns >= 2 * self.tier.every_ns)
        })
    }

    fn bytes(&self) -> u64 {
        self.old.iter().map(|file| file.bytes).sum::<u64>() + self.open.as_ref().map_or(0, |(_, writer)| writer.bytes)
    }

    fn len_ns(&self) -> u64 {
        self.old.iter().map(|file| file.len_ns).sum::<u64>() + self.open.as_ref().map_or(0, |(_, writer)| writer.len_ns)
    }
}
