//! An array map of the kernel as memory of the agent: reads and writes are plain loads and stores, no system call.
//!
//! In: the loaded object and a map's name. Out: its words, accessed atomically.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use aya::Ebpf;
use aya::maps::Map;
use memmap2::{MmapOptions, MmapRaw};

use crate::probe::ProbeError;

/// An array map as memory.
pub(super) struct Words {
    memory: MmapRaw,
    pub(super) len: usize,
}

impl Words {
    pub(super) fn open(ebpf: &Ebpf, name: &'static str) -> Result<Self, ProbeError> {
        use std::os::fd::{AsFd as _, AsRawFd as _};
        let error = |reason: String| ProbeError::Map { name, reason };
        let Some(Map::Array(data)) = ebpf.map(name) else { return Err(error("not an array in the object".into())) };
        let info = data.info().map_err(|e| error(e.to_string()))?;
        // The kernel keeps entries eight bytes aligned.
        let len = info.max_entries() as usize * (info.value_size() as usize).div_ceil(8);
        let memory =
            MmapOptions::new().len(len * 8).map_raw(data.fd().as_fd().as_raw_fd()).map_err(|e| error(e.to_string()))?;
        Ok(Self { memory, len })
    }

    /// Entry `at`; beyond the end it reads as 0, which the layouts never ask for.
    pub(super) fn get(&self, at: usize) -> u64 {
        if at >= self.len {
            return 0;
        }
        // SAFETY: `at` is within the mapping, aligned, and only accessed atomically on this side.
        unsafe { &*self.memory.as_mut_ptr().cast::<AtomicU64>().add(at) }.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, at: usize, value: u64) {
        if at < self.len {
            // SAFETY: as in `get`.
            unsafe { &*self.memory.as_mut_ptr().cast::<AtomicU64>().add(at) }.store(value, Ordering::Relaxed);
        }
    }

    /// Stores one byte; the kernel side changes bytes of the same word meanwhile.
    pub(super) fn set_byte(&self, at: usize, value: u8) -> bool {
        if at >= self.len * 8 {
            return false;
        }
        // SAFETY: as in `get`.
        unsafe { &*self.memory.as_mut_ptr().cast::<AtomicU8>().add(at) }.store(value, Ordering::Relaxed);
        true
    }

    /// Sets a byte to 0 if it is `value`; the kernel side may have changed it meanwhile.
    pub(super) fn clear_byte(&self, at: usize, value: u8) {
        if at < self.len * 8 {
            // SAFETY: as in `get`.
            let byte = unsafe { &*self.memory.as_mut_ptr().cast::<AtomicU8>().add(at) };
            let _changed_meanwhile = byte.compare_exchange(value, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        if at >= self.len * 8 {
            return 0;
        }
        // SAFETY: as in `get`.
        unsafe { &*self.memory.as_mut_ptr().cast::<AtomicU8>().add(at) }.load(Ordering::Relaxed)
    }
}
