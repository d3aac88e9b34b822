//! An array map of the kernel as memory of the agent: reads and writes are atomic accesses, no system call.
//!
//! In: the loaded object and a map's name. Out: its words. Where the kernel side changes a word too, a load and a store are two
//! steps with its change lost between them: such words take [`Array::add`] and [`Array::take`].

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use aya::Ebpf;
use aya::maps::Map;
use memmap2::{MmapOptions, MmapRaw};

use super::LiveError;
use crate::sums::Sums;

/// An array map as memory.
pub struct Array {
    memory: MmapRaw,
    /// Its words.
    pub len: usize,
}

impl Array {
    /// Maps an array of the object.
    ///
    /// # Errors
    /// When it is none, or cannot be mapped.
    pub fn open(ebpf: &Ebpf, name: &'static str) -> Result<Self, LiveError> {
        use std::os::fd::{AsFd as _, AsRawFd as _};
        let error = |reason: String| LiveError::Map { name, reason };
        let Some(Map::Array(data)) = ebpf.map(name) else { return Err(error("not an array in the object".into())) };
        let info = data.info().map_err(|e| error(e.to_string()))?;
        // The kernel keeps entries eight bytes aligned.
        let len = info.max_entries() as usize * (info.value_size() as usize).div_ceil(8);
        let memory =
            MmapOptions::new().len(len * 8).map_raw(data.fd().as_fd().as_raw_fd()).map_err(|e| error(e.to_string()))?;
        Ok(Self { memory, len })
    }

    /// An array without entries.
    ///
    /// # Errors
    /// When there is no memory for a page.
    pub fn empty() -> Result<Self, LiveError> {
        let page = MmapOptions::new().len(1).map_anon();
        let memory = page.map_err(|e| LiveError::Map { name: "none", reason: e.to_string() })?.into();
        Ok(Self { memory, len: 0 })
    }

    /// Entry `at`; beyond the end it reads as 0, which the layouts never ask for.
    pub fn get(&self, at: usize) -> u64 {
        self.word(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Some entries; those beyond the end are missing.
    #[must_use]
    pub fn words(&self, first: usize, len: usize) -> &[AtomicU64] {
        let (first, end) = (first.min(self.len), first.saturating_add(len).min(self.len));
        // SAFETY: `first` to `end` is within the mapping, which is aligned, lives as long as `self`, and is only accessed
        // atomically on this side.
        unsafe { std::slice::from_raw_parts(self.memory.as_mut_ptr().cast::<AtomicU64>().add(first), end - first) }
    }

    /// The sums of words that stand at the same place in several copies of a record: each begins at one of `copies`, and has `len`
    /// words. Wrapping: what is added in one copy may be taken back in another.
    #[must_use]
    pub fn sums(&self, copies: impl Iterator<Item = usize>, len: usize) -> Sums {
        let copies: Vec<&[AtomicU64]> = copies.map(|first| self.words(first, len)).collect();
        let word = |at: usize| {
            let words = copies.iter().filter_map(|copy| copy.get(at));
            words.fold(0u64, |sum, word| sum.wrapping_add(word.load(Ordering::Relaxed))) as i64
        };
        Sums::dense((0..len).map(word))
    }

    /// Stores an entry.
    pub fn set(&self, at: usize, value: u64) {
        if let Some(word) = self.word(at) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Adds to an entry that the kernel side adds to as well.
    pub fn add(&self, at: usize, value: u64) {
        if let Some(word) = self.word(at) {
            word.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// Reads an entry and leaves 0 in it; what the kernel side stores meanwhile is either read or still there.
    pub fn take(&self, at: usize) -> u64 {
        self.word(at).map_or(0, |word| word.swap(0, Ordering::Relaxed))
    }

    fn word(&self, at: usize) -> Option<&AtomicU64> {
        // SAFETY: `at` is within the mapping, which is aligned, lives as long as `self`, and is only accessed atomically on
        // this side.
        (at < self.len).then(|| unsafe { &*self.memory.as_mut_ptr().cast::<AtomicU64>().add(at) })
    }

    /// Stores one byte; the kernel side changes bytes of the same word meanwhile.
    pub fn set_byte(&self, at: usize, value: u8) -> bool {
        if at >= self.len * 8 {
            return false;
        }
        // SAFETY: as in `word`.
        unsafe { &*self.memory.as_mut_ptr().cast::<AtomicU8>().add(at) }.store(value, Ordering::Relaxed);
        true
    }

    /// One byte; 0 beyond the end.
    pub fn byte(&self, at: usize) -> u8 {
        if at >= self.len * 8 {
            return 0;
        }
        // SAFETY: as in `word`.
        unsafe { &*self.memory.as_mut_ptr().cast::<AtomicU8>().add(at) }.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(len: usize) -> Array {
        Array { memory: MmapOptions::new().len(len * 8).map_anon().unwrap().into(), len }
    }

    /// A second thread stands for the kernel side: both are other CPUs that change the same memory.
    #[test]
    fn what_both_sides_add_is_all_there() {
        const EACH: u64 = 200_000;
        let words = array(1);
        let add = || (0..EACH).for_each(|_| words.add(0, 1));
        std::thread::scope(|scope| {
            scope.spawn(add);
            add();
        });
        assert_eq!(words.get(0), 2 * EACH);
    }

    #[test]
    fn what_is_stored_while_it_is_taken_comes_once() {
        const VALUES: u64 = 20_000;
        let words = array(1);
        let mut taken = 0;
        std::thread::scope(|scope| {
            let kernel = scope.spawn(|| {
                for value in 1..=VALUES {
                    while words.get(0) != 0 {
                        std::hint::spin_loop();
                    }
                    words.set(0, value);
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
        let words = array(2);
        words.add(2, 1);
        words.set(2, 1);
        assert_eq!((words.get(2), words.take(2), words.byte(16), words.set_byte(16, 1)), (0, 0, 0, false));
    }
}
