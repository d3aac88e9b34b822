//! Who ran while a service's thread waited for a CPU.
//!
//! In: the waits of `sched`. Out: per service and process their number and sum; what has no room counts for all others.

use acgs_perf_common::maps::{PREEMPTORS, Preemptor};
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::macros::btf_map;

use crate::count::atomic_add;
use crate::flags::{MMAPABLE, NO_EXIST};
use crate::kernel::task::Task;

/// (service, tgid) → who ran instead. A hash map: touched only when a thread really waited behind another one.
#[btf_map]
static PREEMPTOR: HashMap<u64, Preemptor, { PREEMPTORS as usize }> = HashMap::new();
/// Per service, those beyond that table.
#[btf_map]
static PREEMPTOR_OTHERS: Array<Preemptor, 1, MMAPABLE> = Array::new();

/// The process of `prev` held the CPU at the end of a wait of `waited` ns.
#[inline(always)]
pub fn ran_instead(service: u32, prev: Task, waited: u64) {
    let key = (u64::from(service) << 32) | u64::from(prev.tgid());
    let mut entry = PREEMPTOR.get_ptr_mut(key);
    if entry.is_none() {
        let fresh = Preemptor { waits: 0, wait_ns: 0, comm: prev.comm() };
        let _exists_meanwhile = PREEMPTOR.insert(key, fresh, NO_EXIST);
        entry = PREEMPTOR.get_ptr_mut(key).or_else(|| PREEMPTOR_OTHERS.get_ptr_mut(service));
    }
    let Some(entry) = entry else { return };
    // SAFETY: `entry` points into the map's value.
    unsafe {
        atomic_add(&raw mut (*entry).waits, 1);
        atomic_add(&raw mut (*entry).wait_ns, waited);
    }
}
