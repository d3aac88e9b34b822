//! A file of the ring: intervals of one tier of one run, oldest first.
//!
//! In: intervals. Out: bytes that are appended, and back. The first line names format, version and constitutional hash. Frames follow,
//! each a kind, a length, a CRC-32 and a payload: the header with run, tier and context, then the intervals. A file that is finished
//! ends with the SHA-256 of all before. A frame that is cut off or does not fit its checksum ends what is read of a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use acgs_perf_common::CONSTITUTIONAL_HASH;
use flate2::Crc;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::snapshot::packed::{pack, pack_fast, unpack};
use crate::snapshot::{Context, Interval};

const MAGIC: &str = "acgs-perf intervals 1";
/// How names of files end.
const EXTENSION: &str = "intervals";

const HEADER: u8 = b'H';
const INTERVAL: u8 = b'I';
const CONTEXT: u8 = b'C';
const END: u8 = b'E';
/// Kind, length and checksum.
const FRAME: usize = 9;
/// What stands before a packed interval: begin, length, the time of day at its end.
const ENTRY: usize = 24;

/// Which recording it was: the engine counts from its start on, so that nothing is known of what two runs have in common but their
/// services' names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Run {
    /// The kernel's name of the boot, in which the monotonic clock is one.
    pub boot: String,
    /// When it began, on the clock of the programs.
    pub start_ns: u64,
}

/// What stands at the begin of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Whose intervals these are.
    pub run: Run,
    /// How coarse they are, from 0.
    pub tier: usize,
    /// What was known of the run when the file was begun.
    pub context: Context,
}

/// An interval, and the time of day at its end.
#[derive(Clone, Debug)]
pub struct Timed {
    /// The interval.
    pub interval: Interval,
    /// When it ended, since 1970.
    pub unix_end_ns: u64,
}

impl Timed {
    /// Becomes the interval that ends where `later` does.
    pub fn merge(&mut self, later: &Self) {
        self.interval.merge(&later.interval);
        self.unix_end_ns = later.unix_end_ns;
    }
}

/// Where an interval lies in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Begin, on the clock of the programs.
    pub start_ns: u64,
    /// Length.
    pub len_ns: u64,
    /// The time of day at its end, since 1970.
    pub unix_end_ns: u64,
}

impl Entry {
    /// Of an interval that ended at this time of day.
    pub fn of(interval: &Interval, unix_end_ns: u64) -> Self {
        Self { start_ns: interval.start_ns, len_ns: interval.len_ns, unix_end_ns }
    }

    /// End, on the clock of the programs.
    pub fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.len_ns)
    }

    /// The time of day at its begin, were the clock not set meanwhile.
    pub fn unix_start_ns(&self) -> u64 {
        self.unix_end_ns.saturating_sub(self.len_ns)
    }

    fn bytes(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let words = [self.start_ns, self.len_ns, self.unix_end_ns];
        bytes.chunks_exact_mut(8).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Self { start_ns: word(0)?, len_ns: word(8)?, unix_end_ns: word(16)? })
    }
}

/// Name of a file: those of a tier in the order in which they were begun.
pub fn path(directory: &Path, tier: usize, number: u64) -> PathBuf {
    directory.join(format!("{tier}-{number:012}.{EXTENSION}"))
}

/// Tier and number of a file, by its name; `None` if it is none of ours.
pub fn parse_path(path: &Path) -> Option<(usize, u64)> {
    let (tier, number) = path.file_name()?.to_str()?.strip_suffix(EXTENSION)?.strip_suffix('.')?.split_once('-')?;
    Some((tier.parse().ok()?, number.parse().ok()?))
}

/// A file that is being written.
#[derive(Debug)]
pub struct Writer {
    file: File,
    digest: Sha256,
    /// Bytes so far.
    pub bytes: u64,
    /// Sum of the lengths of its intervals.
    pub len_ns: u64,
    /// Whether half a frame is at its end, behind which nothing would be found.
    pub is_broken: bool,
}

impl Writer {
    /// Begins a file that is not there yet.
    pub fn create(path: &Path, header: &Header) -> io::Result<Self> {
        let packed = pack(header).map_err(io::Error::other)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)?;
        let mut writer = Self { file, digest: Sha256::new(), bytes: 0, len_ns: 0, is_broken: false };
        let mut bytes = format!("{MAGIC} {CONSTITUTIONAL_HASH}\n").into_bytes();
        bytes.extend(frame(HEADER, &packed)?);
        writer.append(&bytes).inspect_err(|_| {
            // A file without header is of no use; the disk may be full, so it should not stay either.
            let _ = std::fs::remove_file(path);
        })?;
        Ok(writer)
    }

    /// Appends a frame that [`interval`] has made.
    pub fn add_interval(&mut self, entry: &Entry, frame: &[u8]) -> io::Result<()> {
        self.append(frame)?;
        self.len_ns = self.len_ns.saturating_add(entry.len_ns);
        Ok(())
    }

    /// Appends what is known of the run now.
    pub fn add_context(&mut self, context: &Context) -> io::Result<()> {
        self.append(&frame(CONTEXT, &pack(context).map_err(io::Error::other)?)?)
    }

    /// Says that the file is whole, and brings it to the disk.
    pub fn seal(mut self) -> io::Result<u64> {
        let digest = self.digest.clone().finalize();
        self.append(&frame(END, &digest)?)?;
        self.file.sync_data()?;
        Ok(self.bytes)
    }

    /// Appends all or, as far as the file system lets us, nothing: half a frame would hide those behind it.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            let back = self.file.set_len(self.bytes).and_then(|()| self.file.seek(io::SeekFrom::Start(self.bytes)));
            self.is_broken = back.is_err();
            return Err(error);
        }
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// An interval as a frame. Those of the finest tier come each second and are soon removed: what they take in time counts for more than
/// what they take on the disk.
pub fn interval(entry: &Entry, interval: &Interval, tier: usize) -> io::Result<Vec<u8>> {
    let mut payload = entry.bytes().to_vec();
    let packed = if tier == 0 { pack_fast(interval) } else { pack(interval) };
    payload.extend(packed.map_err(io::Error::other)?);
    frame(INTERVAL, &payload)
}

fn frame(kind: u8, payload: &[u8]) -> io::Result<Vec<u8>> {
    let len = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(FRAME + payload.len());
    bytes.push(kind);
    bytes.extend(len.to_le_bytes());
    bytes.extend(checksum(kind, payload).to_le_bytes());
    bytes.extend(payload);
    Ok(bytes)
}

fn checksum(kind: u8, payload: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&[kind]);
    crc.update(payload);
    crc.sum()
}

/// What is whole of a file.
#[derive(Debug)]
pub struct Segment {
    /// What stands at its begin.
    pub header: Header,
    /// What was known of the run at the end.
    pub context: Context,
    /// Its intervals, and where their packed bytes are.
    pub entries: Vec<(Entry, Range<usize>)>,
    /// Whether it was finished, and not changed since.
    pub is_sealed: bool,
}

/// Reads a file; `None` if it is none of ours, or not even its header is whole.
pub fn scan(bytes: &[u8]) -> Option<Segment> {
    let end = bytes.iter().take(200).position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    if line.strip_prefix(MAGIC)?.trim() != CONSTITUTIONAL_HASH {
        return None;
    }
    let (kind, payload, mut at) = next_frame(bytes, end + 1)?;
    let header: Header = unpack(&bytes[payload]).filter(|_| kind == HEADER)?;
    let mut segment = Segment { context: header.context.clone(), header, entries: Vec::new(), is_sealed: false };
    while let Some((kind, payload, next)) = next_frame(bytes, at) {
        match kind {
            INTERVAL => {
                let entry = Entry::read(&bytes[payload.clone()])?;
                segment.entries.push((entry, payload.start + ENTRY..payload.end));
            }
            CONTEXT => segment.context = unpack(&bytes[payload])?,
            END => {
                segment.is_sealed = bytes[payload] == *Sha256::digest(&bytes[..at]);
                break;
            }
            // A kind of later agents.
            _ => {}
        }
        at = next;
    }
    Some(segment)
}

/// The frame at `at`: its kind, where its payload is, and where the next one begins.
fn next_frame(bytes: &[u8], at: usize) -> Option<(u8, Range<usize>, usize)> {
    let head = bytes.get(at..at.checked_add(FRAME)?)?;
    let word = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let payload = at + FRAME..(at + FRAME).checked_add(word(1)? as usize)?;
    let is_whole = checksum(head[0], bytes.get(payload.clone())?) == word(5)?;
    is_whole.then(|| (head[0], payload.clone(), payload.end))
}
