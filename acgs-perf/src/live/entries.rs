//! All entries of a hash map, in as few calls as the kernel lets us: a call per entry and key was a third of all calls of an agent
//! that serves.
//!
//! In: a map's descriptor, its types. Out: keys and values; or the error, such as `EINVAL` where the kernel cannot do it so.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

/// `BPF_MAP_LOOKUP_BATCH`, of hash maps since Linux 5.6.
const LOOK_UP: libc::c_long = 24;
/// Entries that are read at a time.
const AT_A_TIME: usize = 256;
/// No bucket has more entries than this: no map has.
const MOST_AT_A_TIME: usize = 1 << 20;

/// What the call takes, the begin of that part of `union bpf_attr`.
#[repr(C)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Reads all entries. `K` and `V` are as large as the map's keys and values.
///
/// # Errors
/// What the kernel said.
pub fn read<K: aya::Pod, V: aya::Pod>(map: BorrowedFd<'_>) -> io::Result<Vec<(K, V)>> {
    let mut all = Vec::new();
    let mut at_a_time = AT_A_TIME;
    let (mut keys, mut values) = (room(at_a_time), room(at_a_time));
    // Where the next call goes on; a hash map's is the number of a bucket.
    let (mut position, mut next) = (None::<u32>, 0u32);
    loop {
        let mut batch = Batch {
            from: position.as_ref().map_or(0, |position| ptr::from_ref(position) as u64),
            to: ptr::from_mut(&mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: at_a_time as u32,
            map: map.as_raw_fd() as u32,
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: `batch` is laid out as the call wants it; it names room for `count` keys and values of the map's sizes, and two words,
        // all of which outlive the call.
        let failed =
            unsafe { libc::syscall(libc::SYS_bpf, LOOK_UP, ptr::from_mut(&mut batch), size_of::<Batch>()) } != 0;
        let error = failed.then(io::Error::last_os_error);
        let is_end = match error.as_ref().map(io::Error::raw_os_error) {
            None => false,
            Some(Some(libc::ENOENT)) => true,
            // A bucket that has more entries than there was room for.
            Some(Some(libc::ENOSPC)) if at_a_time < MOST_AT_A_TIME => {
                at_a_time *= 2;
                (keys, values) = (room(at_a_time), room(at_a_time));
                continue;
            }
            Some(_) => return Err(error.unwrap_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))),
        };
        let read = (batch.count as usize).min(at_a_time);
        let entry = |(key, value): (&MaybeUninit<K>, &MaybeUninit<V>)| {
            // SAFETY: the kernel has written so many of both, whose types are valid for every bit pattern.
            unsafe { (key.assume_init(), value.assume_init()) }
        };
        all.extend(keys.iter().zip(&values).take(read).map(entry));
        if is_end {
            return Ok(all);
        }
        position = Some(next);
    }
}

fn room<T: aya::Pod>(len: usize) -> Vec<MaybeUninit<T>> {
    let mut room = Vec::with_capacity(len);
    room.resize(len, MaybeUninit::uninit());
    room
}
