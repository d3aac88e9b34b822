//! An array map of the kernel as memory of the agent: reads and writes are atomic accesses, no system call.
//!
//! In: the loaded object and a map's name. Out: its words. Where the kernel side changes a word too, a load and a store are two
//! steps with its change lost between them: such words take [`Array::add`] and [`Array::take`].
//!
//! Pages of a map count as memory of the agent from the moment they are mapped, touched or not, and the kernel has no way to
//! unmap some of them. So of a large array only the part is mapped that is being read.

use std::cell::{Cell, OnceCell};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use aya::maps::MapData;
use memmap2::{MmapOptions, MmapRaw};

use super::LiveError;
use crate::sums::Sums;

/// Bytes of the largest array that is mapped whole, and of a larger one that stay mapped: rows are read in turns from the copies of all
/// shards.
const WHOLE: usize = 64 << 10;
/// Bytes of a part of a larger one, if no more are asked for: what is read next is often behind it.
const PART: usize = 16 << 10;
/// Copies that are no further apart are read from one part: histograms of all shards.
const NEAR: usize = 128 << 10;

/// An array map as memory.
pub struct Array {
    memory: Memory,
    /// Its words.
    pub len: usize,
}

enum Memory {
    Whole(MmapRaw),
    Parts(Parts),
}

/// A large array, of which some words at a time are memory.
struct Parts {
    map: OwnedFd,
    /// The parts that were read last, the last one at the end.
    kept: Cell<Vec<Part>>,
    /// Why a part could not be mapped.
    error: OnceCell<String>,
}

struct Part {
    /// Its first word, in the array.
    first: usize,
    words: usize,
    memory: MmapRaw,
}

impl Array {
    /// Maps an array.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn open(data: &MapData, name: &'static str) -> Result<Self, LiveError> {
        let error = |reason: String| LiveError::Map { name, reason };
        let info = data.info().map_err(|e| error(e.to_string()))?;
        // The kernel keeps entries eight bytes aligned.
        let len = info.max_entries() as usize * (info.value_size() as usize).div_ceil(8);
        let memory = if len * 8 > WHOLE {
            let map = data.fd().as_fd().try_clone_to_owned().map_err(|e| error(e.to_string()))?;
            Memory::Parts(Parts { map, kept: Cell::default(), error: OnceCell::new() })
        } else {
            let map = MmapOptions::new().len(len * 8).map_raw(data.fd().as_fd().as_raw_fd());
            Memory::Whole(map.map_err(|e| error(e.to_string()))?)
        };
        Ok(Self { memory, len })
    }

    /// An array without entries.
    ///
    /// # Errors
    /// When there is no memory for a page.
    pub fn empty() -> Result<Self, LiveError> {
        let page = MmapOptions::new().len(1).map_anon();
        let memory = page.map_err(|e| LiveError::Map { name: "none", reason: e.to_string() })?.into();
        Ok(Self { memory: Memory::Whole(memory), len: 0 })
    }

    /// Why a part could not be read; its words count as 0.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match &self.memory {
            Memory::Whole(_) => None,
            Memory::Parts(parts) => parts.error.get().map(String::as_str),
        }
    }

    /// Entry `at`; beyond the end it reads as 0, which the layouts never ask for.
    pub fn get(&self, at: usize) -> u64 {
        self.word(at, |word| word.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// What `of` makes of some entries; those beyond the end are missing.
    fn words<R>(&self, first: usize, len: usize, of: impl FnOnce(&[AtomicU64]) -> R) -> R {
        let (first, end) = (first.min(self.len), first.saturating_add(len).min(self.len));
        match &self.memory {
            Memory::Whole(memory) => of(slice(memory, first, end - first)),
            Memory::Parts(parts) => {
                let mut kept = parts.kept.take();
                let known = kept.iter().position(|part| part.first <= first && end <= part.first + part.words);
                let part = match known {
                    Some(at) => Some(kept.remove(at)),
                    None => {
                        let words = (end - first).max(PART / 8).min(self.len - first);
                        // Others go before it comes.
                        while !kept.is_empty() && kept.iter().map(|part| part.words).sum::<usize>() + words > WHOLE / 8
                        {
                            kept.remove(0);
                        }
                        parts.map(first, words)
                    }
                };
                let words = part.as_ref().map_or(&[][..], |part| slice(&part.memory, first - part.first, end - first));
                let result = of(words);
                kept.extend(part);
                parts.kept.set(kept);
                result
            }
        }
    }

    /// The sums of words that stand at the same place in several copies of a record: each begins at one of `copies`, and has `len`
    /// words. Wrapping: what is added in one copy may be taken back in another.
    #[must_use]
    pub fn sums(&self, copies: impl Iterator<Item = usize>, len: usize) -> Sums {
        let copies: Vec<usize> = copies.collect();
        let mut sums = vec![0u64; len];
        let mut add = |words: &[AtomicU64]| {
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum = sum.wrapping_add(word.load(Ordering::Relaxed));
            }
        };
        let begin = copies.iter().min().copied().unwrap_or(0);
        let span = copies.iter().max().copied().unwrap_or(0) - begin + len;
        if span * 8 <= NEAR {
            self.words(begin, span, |words| {
                copies.iter().filter_map(|first| words.get(first - begin..)).for_each(&mut add);
            });
        } else {
            copies.iter().for_each(|first| self.words(*first, len, &mut add));
        }
        Sums::dense(sums.into_iter().map(|sum| sum as i64))
    }

    /// Stores an entry.
    pub fn set(&self, at: usize, value: u64) {
        self.word(at, |word| word.store(value, Ordering::Relaxed));
    }

    /// Adds to an entry that the kernel side adds to as well.
    pub fn add(&self, at: usize, value: u64) {
        self.word(at, |word| word.fetch_add(value, Ordering::Relaxed));
    }

    /// Reads an entry and leaves 0 in it; what the kernel side stores meanwhile is either read or still there.
    pub fn take(&self, at: usize) -> u64 {
        self.word(at, |word| word.swap(0, Ordering::Relaxed)).unwrap_or(0)
    }

    /// Changes an entry in one step, if `change` does. Whether it did; `None` beyond the end.
    pub fn change(&self, at: usize, change: impl Fn(u64) -> Option<u64>) -> Option<bool> {
        self.word(at, |word| word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok())
    }

    fn word<R>(&self, at: usize, of: impl FnOnce(&AtomicU64) -> R) -> Option<R> {
        self.words(at, 1, |words| words.first().map(of))
    }

    /// Stores one byte; the kernel side changes bytes of the same word meanwhile.
    pub fn set_byte(&self, at: usize, value: u8) -> bool {
        self.at_byte(at, |byte| byte.store(value, Ordering::Relaxed)).is_some()
    }

    /// One byte; 0 beyond the end.
    pub fn byte(&self, at: usize) -> u8 {
        self.at_byte(at, |byte| byte.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn at_byte<R>(&self, at: usize, of: impl FnOnce(&AtomicU8) -> R) -> Option<R> {
        self.word(at / 8, |word| {
            // SAFETY: the byte is within the word, which is shared memory that is only accessed atomically on this side.
            of(unsafe { &*word.as_ptr().cast::<AtomicU8>().add(at % 8) })
        })
    }
}

impl Parts {
    fn map(&self, first: usize, words: usize) -> Option<Part> {
        let mapped = MmapOptions::new().offset(first as u64 * 8).len(words * 8).map_raw(self.map.as_raw_fd());
        match mapped {
            Ok(memory) => Some(Part { first, words, memory }),
            Err(error) => {
                self.error.get_or_init(|| error.to_string());
                None
            }
        }
    }
}

/// Words of a mapping that has them.
fn slice(memory: &MmapRaw, first: usize, len: usize) -> &[AtomicU64] {
    // SAFETY: the callers have checked that these words are within the mapping, which is aligned, lives as long as the borrow, and
    // is only accessed atomically on this side.
    unsafe { std::slice::from_raw_parts(memory.as_ptr().cast::<AtomicU64>().add(first), len) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// Two mappings of the same words, as the kernel's and ours.
    fn arrays(len: usize) -> [Array; 2] {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len as u64 * 8).unwrap();
        [0; 2].map(|_| Array { memory: Memory::Whole(MmapOptions::new().map_raw(&file).unwrap()), len })
    }

    /// An array that is read in parts, of a file with these words.
    fn parts(words: &[u64]) -> (Array, File) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>()).unwrap();
        let map = file.try_clone().unwrap().into();
        let memory = Memory::Parts(Parts { map, kept: Cell::default(), error: OnceCell::new() });
        (Array { memory, len: words.len() }, file)
    }

    #[test]
    fn an_array_in_parts_reads_as_one() {
        let words: Vec<u64> = (0..3 * WHOLE as u64 / 8 + 17).map(|at| at * at).collect();
        let (array, file) = parts(&words);
        let ends = PART / 8;
        for at in [0, 1, ends - 1, ends, ends + 1, 5, 3 * ends, words.len() - 1, 0] {
            assert_eq!(array.get(at), words[at], "{at}");
        }
        // Longer than a part, over the border of two, and beyond the end.
        for (first, len) in [(7, 2 * ends), (ends - 3, 6), (words.len() - 2, 5)] {
            let wanted: Vec<u64> = words.iter().skip(first).take(len).copied().collect();
            let read = array
                .words(first, len, |words| words.iter().map(|word| word.load(Ordering::Relaxed)).collect::<Vec<_>>());
            assert_eq!(read, wanted, "{first}");
        }
        // Copies beside each other, and far apart; twice, since parts are kept.
        let far = words.len() - 9;
        assert!(far * 8 > NEAR);
        for copies in [vec![3, 2 * ends + 1], vec![3, far], vec![far, 3], vec![5, 5 + far / 2, far, 9, far - 7], vec![]]
        {
            let sum = |at: usize| copies.iter().map(|first| words[first + at]).sum::<u64>() as i64;
            for _ in 0..2 {
                assert_eq!(array.sums(copies.iter().copied(), 4), Sums::dense((0..4).map(sum)), "{copies:?}");
            }
        }
        assert_eq!(
            array.sums([words.len() - 2].into_iter(), 4),
            Sums::dense([words[words.len() - 2] as i64, words[words.len() - 1] as i64])
        );
        assert_eq!(array.error(), None);
        // What others write is seen, and what is written is there for others.
        file.write_at(&7u64.to_le_bytes(), ends as u64 * 8).unwrap();
        array.add(ends + 1, 1);
        array.get(0);
        assert_eq!((array.get(ends), array.get(ends + 1)), (7, words[ends + 1] + 1));
    }

    #[test]
    fn a_part_that_cannot_be_mapped_is_an_error_and_reads_as_nothing() {
        let no_memory = File::open("/proc/self/status").unwrap().into();
        let memory = Memory::Parts(Parts { map: no_memory, kept: Cell::default(), error: OnceCell::new() });
        let array = Array { memory, len: PART };
        assert_eq!((array.get(3), array.sums([0].into_iter(), 2)), (0, Sums::dense([0, 0])));
        assert!(array.error().is_some());
    }

    /// A second thread stands for the kernel side: both are other CPUs that change the same memory.
    #[test]
    fn what_both_sides_add_is_all_there() {
        const EACH: u64 = 200_000;
        let [words, theirs] = arrays(1);
        std::thread::scope(|scope| {
            scope.spawn(move || (0..EACH).for_each(|_| theirs.add(0, 1)));
            (0..EACH).for_each(|_| words.add(0, 1));
        });
        assert_eq!(words.get(0), 2 * EACH);
    }

    #[test]
    fn what_is_stored_while_it_is_taken_comes_once() {
        const VALUES: u64 = 20_000;
        let [words, theirs] = arrays(1);
        let mut taken = 0;
        std::thread::scope(|scope| {
            let kernel = scope.spawn(move || {
                for value in 1..=VALUES {
                    while theirs.get(0) != 0 {
                        std::hint::spin_loop();
                    }
                    theirs.set(0, value);
                }
            });
            while !kernel.is_finished() || words.get(0) != 0 {
                taken += words.take(0);
            }
        });
        assert_eq!(taken, VALUES * (VALUES + 1) / 2);
    }

    #[test]
    fn beyond_the_end_nothing_is_touched() {
        let [words, _] = arrays(2);
        words.add(2, 1);
        words.set(2, 1);
        assert_eq!((words.get(2), words.take(2), words.byte(16), words.set_byte(16, 1)), (0, 0, 0, false));
        assert_eq!(
            (words.change(2, Some), words.change(1, |_| None), words.change(1, Some)),
            (None, Some(false), Some(true))
        );
    }

    #[test]
    fn a_byte_is_the_one_of_its_word() {
        let [words, _] = arrays(2);
        assert!(words.set_byte(9, 0xab));
        assert_eq!((words.get(1), words.byte(9), words.byte(8)), (0xab00, 0xab, 0));
    }
}
