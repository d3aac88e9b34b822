//! Local storage of sockets and tasks: state that the kernel frees together with its owner, about 25 ns a lookup.
//!
//! aya-ebpf's typed maps accept neither the `sk` of a tracing program nor a task, so these call the helpers directly.

use core::ffi::c_void;
use core::ptr::{from_ref, null, null_mut};

use aya_ebpf::bindings::bpf_map_type::{BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_TASK_STORAGE};
use aya_ebpf::helpers::generated::{bpf_sk_storage_get, bpf_task_storage_get};

use super::sock::Sock;
use super::task::Task;
use crate::flags::{CREATE, NO_PREALLOC};

/// Definition of a local-storage map as the loader finds it in BTF; the pointers are never followed.
#[repr(C)]
pub struct LocalStorage<T, const TYPE: usize> {
    r#type: *const [i32; TYPE],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; NO_PREALLOC],
}

// SAFETY: the fields only describe the map to the loader and are never dereferenced.
unsafe impl<T, const TYPE: usize> Sync for LocalStorage<T, TYPE> {}

/// One `T` per socket.
pub type SocketStorage<T> = LocalStorage<T, { BPF_MAP_TYPE_SK_STORAGE as usize }>;
/// One `T` per thread.
pub type TaskStorage<T> = LocalStorage<T, { BPF_MAP_TYPE_TASK_STORAGE as usize }>;

impl<T, const TYPE: usize> LocalStorage<T, TYPE> {
    pub const fn new() -> Self {
        Self { r#type: null(), key: null(), value: null(), max_entries: null(), map_flags: null() }
    }

    #[inline(always)]
    fn map(&self) -> *mut c_void {
        from_ref(self).cast_mut().cast()
    }
}

// The references point into kernel memory that belongs to the socket or task, not to `self`, which is only the map's name.
#[expect(clippy::mut_from_ref)]
impl<T> SocketStorage<T> {
    /// The state of `sk`, if it has one.
    #[inline(always)]
    pub fn get(&self, sk: Sock) -> Option<&mut T> {
        // SAFETY: `sk` came from the kernel as an argument of the tracepoint; the helper returns NULL or a valid value.
        unsafe { bpf_sk_storage_get(self.map(), sk.as_ptr(), null_mut(), 0).cast::<T>().as_mut() }
    }

    /// The state of `sk`, zeroed if it is new; `None` if the kernel refused memory. Of two CPUs that make it at once the kernel
    /// refuses one, which then finds it there.
    #[inline(always)]
    pub fn get_or_create(&self, sk: Sock) -> Option<&mut T> {
        // SAFETY: as in `get`.
        let made = unsafe { bpf_sk_storage_get(self.map(), sk.as_ptr(), null_mut(), CREATE).cast::<T>().as_mut() };
        if made.is_some() { made } else { self.get(sk) }
    }
}

#[expect(clippy::mut_from_ref)]
impl<T> TaskStorage<T> {
    /// The state of `task`, if it has one.
    #[inline(always)]
    pub fn get(&self, task: Task) -> Option<&mut T> {
        // SAFETY: `task` came from the kernel (argument or current); the helper returns NULL or a valid value.
        unsafe { bpf_task_storage_get(self.map(), task.as_ptr().cast(), null_mut(), 0).cast::<T>().as_mut() }
    }

    /// The state of `task`, zeroed if it is new; `None` if the kernel refused memory.
    #[inline(always)]
    pub fn get_or_create(&self, task: Task) -> Option<&mut T> {
        // SAFETY: as in `get`.
        unsafe { bpf_task_storage_get(self.map(), task.as_ptr().cast(), null_mut(), CREATE).cast::<T>().as_mut() }
    }
}
