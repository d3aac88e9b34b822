//! Which of a service's processes has answered how many requests, and how many slow ones.
//!
//! In: what threads have counted by themselves, when a thread ends and when the recording does. Out: per service and process their sums;
//! what has no room counts for all others.

use acgs_perf_common::maps::{OTHER_WORKERS, WORKERS, Worker};
use acgs_perf_common::rules::thread::ThreadState;
use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::macros::btf_map;

use crate::count::{Figures, atomic_add};
use crate::flags::{NO_EXIST, NO_PREALLOC};

/// (service, tgid) → what the process has answered. A hash map: touched when a thread ends, never per request.
#[btf_map]
static WORKER: HashMap<u64, Worker, { WORKERS as usize }, NO_PREALLOC> = HashMap::new();

/// Tells the process of a thread what that has answered since the last time.
#[inline(always)]
pub fn settle(thread: &mut ThreadState, service: u32, tgid: u32) {
    let (requests, slow) = (u64::from(thread.answered), u64::from(thread.slow));
    if requests == 0 {
        return;
    }
    (thread.answered, thread.slow) = (0, 0);
    let key = (u64::from(service) << 32) | u64::from(tgid);
    let mut entry = WORKER.get_ptr_mut(key);
    if entry.is_none() {
        let _exists_meanwhile = WORKER.insert(key, Worker::default(), NO_EXIST);
        entry = WORKER.get_ptr_mut(key);
    }
    let Some(entry) = entry else {
        let figures = Figures::at_any_time(service);
        figures.add_at(OTHER_WORKERS, requests);
        figures.add_at(OTHER_WORKERS + 1, slow);
        return;
    };
    // SAFETY: `entry` points into the map's value.
    unsafe {
        atomic_add(&raw mut (*entry).requests, requests);
        atomic_add(&raw mut (*entry).slow, slow);
    }
}
