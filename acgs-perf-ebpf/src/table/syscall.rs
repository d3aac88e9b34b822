//! System calls: number, errors and latency of each that a service uses, in a slot that it gets at first sight. Those that come when there are
//! no more share the last one.
//!
//! In: calls that have returned. Out: their records, and the failed ones by errno.

use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::{
    ERRNOS, OTHER_CALLS, OTHER_CALLS_SLOT, SYSCALL_HEADER, SYSCALL_SLOTS, SYSCALL_WORDS, errno_key, syscall_slot_index,
};
use acgs_perf_common::state::SYSCALLS;
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::macros::btf_map;

use super::slots;
use crate::count::atomic_add;
use crate::flags::{MMAPABLE, NO_EXIST};

/// (service, system call) → slot + 1.
#[btf_map]
static SYSCALL_SLOT: Array<u64, 1, MMAPABLE> = Array::new();
/// (service, slot) → system call + 1 that owns it; usually one slot a call.
#[btf_map]
static SYSCALL_OWNER: Array<u64, 1, MMAPABLE> = Array::new();
/// Which slots are taken. A hash map: touched once per system call that a service uses.
#[btf_map]
static SYSCALL_CLAIMS: HashMap<u64, u64, 8192> = HashMap::new();
/// Per service: slots handed out.
#[btf_map]
static SYSCALL_SLOTS_USED: Array<u64, 1, MMAPABLE> = Array::new();
/// Records of system calls; see `acgs_perf_common::maps::SYSCALL_WORDS`.
#[btf_map]
static SYSCALL_RECORDS: Array<u64, 1, MMAPABLE> = Array::new();
/// Failed calls by errno. A hash map: failures are rare beside the call itself, and the key space is sparse.
#[btf_map]
static ERRNO: HashMap<u64, u64, { ERRNOS as usize }> = HashMap::new();

const MAX_ERRNO: i64 = 4095;
/// Slots that a claim tries, in case other CPUs claim at the same time.
const CLAIM_TRIES: u64 = 8;

/// Counts a call `nr` that took so many ns and returned `result`.
#[inline(always)]
pub fn count(service: u32, nr: u32, took: u64, result: i64) -> Result<(), Loss> {
    let slot = slot_of(service, nr)?;
    let record = (service * SYSCALL_SLOTS + slot) * SYSCALL_WORDS;
    add(record, 0, 1);
    add(record, 2, took);
    let bucket = bucket_index(took) as u32;
    if bucket < BUCKETS as u32 {
        add(record, SYSCALL_HEADER + bucket, 1)
    } else {
        add(record, 3, 1)
    }
    if (-MAX_ERRNO..0).contains(&result) {
        add(record, 1, 1);
        let nr = if slot == OTHER_CALLS_SLOT { OTHER_CALLS } else { nr };
        failed(errno_key(service, nr, result.unsigned_abs() as u32))?;
    }
    Ok(())
}

/// The call's slot, which it gets at first sight.
#[inline(always)]
fn slot_of(service: u32, nr: u32) -> Result<u32, Loss> {
    if nr >= SYSCALLS as u32 {
        return Err(Loss::SyscallSlots);
    }
    let slot = SYSCALL_SLOT.get_ptr_mut(syscall_slot_index(service, nr)).ok_or(Loss::SyscallSlots)?;
    // SAFETY: `slot` points into the map's value.
    let mut at = unsafe { slot.read_volatile() };
    if at == 0 {
        at = claim(service, nr)?;
        // SAFETY: as above. Two CPUs may have claimed a slot each for the same call; the later store wins, and the agent
        // adds up all slots that the call owns.
        unsafe { slot.write_volatile(at) };
    }
    Ok(at as u32 - 1)
}

/// Claims a free slot for a call, or gives the others' where there is none.
#[inline(always)]
fn claim(service: u32, nr: u32) -> Result<u64, Loss> {
    let used = SYSCALL_SLOTS_USED.get_ptr_mut(service).ok_or(Loss::SyscallSlots)?;
    // SAFETY: `used` points into the map's value.
    let free = unsafe { used.read_volatile() };
    let end = u64::from(OTHER_CALLS_SLOT);
    let (at, nr) = match slots::claim::<_, _, CLAIM_TRIES>(&SYSCALL_CLAIMS, service, free, end) {
        Some(at) => {
            atomic_add(used, 1);
            (at, nr)
        }
        None => (end, OTHER_CALLS),
    };
    if let Some(owner) = SYSCALL_OWNER.get_ptr_mut(service * SYSCALL_SLOTS + at as u32) {
        // SAFETY: `owner` points into the map's value.
        unsafe { owner.write_volatile(u64::from(nr) + 1) };
    }
    Ok(at + 1)
}

#[inline(always)]
fn add(record: u32, word: u32, value: u64) {
    if let Some(slot) = SYSCALL_RECORDS.get_ptr_mut(record + word) {
        atomic_add(slot, value);
    }
}

#[inline(always)]
fn failed(key: u64) -> Result<(), Loss> {
    if ERRNO.get_ptr_mut(key).is_none() {
        let _exists_meanwhile = ERRNO.insert(key, 0, NO_EXIST);
    }
    let entry = ERRNO.get_ptr_mut(key).ok_or(Loss::ErrnoTableFull)?;
    atomic_add(entry, 1);
    Ok(())
}
