//! `struct task_struct`: ids, state, system call and descriptors of a thread, with offsets from BTF.

use core::ffi::c_void;

use acgs_perf_common::fields::NO_FIELD;
use acgs_perf_common::quota::QuotaFields;
use acgs_perf_common::rules::limit::is_for_mutex;
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs};
use aya_ebpf::programs::BtfTracePointContext;

use super::memory::{load, probe};
use crate::globals::{field, global, offset};

const S_IFMT: u16 = 0o170000;
const S_IFSOCK: u16 = 0o140000;
const S_IFREG: u16 = 0o100000;
const S_IFBLK: u16 = 0o060000;

/// Offsets of the fields of the CPU quota.
#[unsafe(no_mangle)]
static QUOTA_FIELDS: QuotaFields = QuotaFields::ZERO;

/// `struct task_struct *`.
#[derive(Clone, Copy)]
pub struct Task(*const u8);

impl Task {
    #[inline(always)]
    pub fn arg(ctx: &BtfTracePointContext, n: usize) -> Self {
        Self(ctx.arg::<*const u8>(n))
    }

    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the helper has no preconditions.
        Self(unsafe { bpf_get_current_task_btf() }.cast())
    }

    #[inline(always)]
    pub fn from_raw(task: *const u8) -> Self {
        Self(task)
    }

    #[inline(always)]
    pub fn as_ptr(self) -> *mut c_void {
        self.0.cast_mut().cast()
    }

    #[inline(always)]
    pub fn pid(self) -> u32 {
        load(self.0, offset!(task_pid))
    }

    #[inline(always)]
    pub fn tgid(self) -> u32 {
        load(self.0, offset!(task_tgid))
    }

    #[inline(always)]
    pub fn comm(self) -> [u8; 16] {
        probe(self.0, offset!(task_comm)).unwrap_or([0; 16])
    }

    /// Whether the task is waiting for block I/O.
    #[inline(always)]
    pub fn in_iowait(self) -> bool {
        let byte: u8 = load(self.0, offset!(task_in_iowait));
        u32::from(byte) & global!(FIELDS.task_in_iowait_mask) != 0
    }

    #[inline(always)]
    pub fn is_on_cpu(self) -> bool {
        // 0 or 1; an `int` on older kernels, a single byte in 7.3: the first byte is all that may be read everywhere.
        load::<u8>(self.0, offset!(task_on_cpu)) != 0
    }

    #[inline(always)]
    pub fn is_runnable(self) -> bool {
        load::<u32>(self.0, offset!(task_state)) == 0
    }

    /// Whether the CPU quota of its control group is used up, where the kernel holds back thread by thread: known once it has lost its CPU.
    #[inline(always)]
    fn is_throttled(self) -> bool {
        // A `bool`.
        load::<u8>(self.0, field!(QUOTA_FIELDS.throttled)) != 0
    }

    /// Whether that of the run queue is which it is on, or was on last, or of one above: where the kernel holds back whole run queues.
    #[inline(always)]
    fn is_queue_throttled(self) -> bool {
        let queue: *const u8 = probe(self.0, field!(QUOTA_FIELDS.run_queue)).unwrap_or(core::ptr::null());
        probe::<u32>(queue, field!(QUOTA_FIELDS.throttle_count)).is_some_and(|count| count != 0)
    }

    /// Whether the task, which leaves its CPU and could go on, is held back by a CPU quota.
    #[inline(always)]
    pub fn is_held_back(self) -> bool {
        if field!(QUOTA_FIELDS.throttled) != NO_FIELD as usize {
            return self.is_throttled();
        }
        self.wakes_held_back()
    }

    /// Whether the task, which is woken, will be held back. Linux 6.18 and newer let it come as far as its program first.
    #[inline(always)]
    pub fn wakes_held_back(self) -> bool {
        let has = |field: usize| field != NO_FIELD as usize;
        !has(field!(QUOTA_FIELDS.throttled))
            && has(field!(QUOTA_FIELDS.run_queue))
            && has(field!(QUOTA_FIELDS.throttle_count))
            && self.is_queue_throttled()
    }

    #[inline(always)]
    fn regs(self) -> *const u8 {
        // SAFETY: `self` is a valid task.
        unsafe { bpf_task_pt_regs(self.as_ptr().cast()) as *const u8 }
    }

    /// Number of the system call the task is in, negative outside of one (as in a page fault).
    #[inline(always)]
    pub fn syscall(self) -> i64 {
        load(self.regs(), offset!(regs_orig_ax))
    }

    /// First argument of the system call the task is in.
    #[inline(always)]
    pub fn first_argument(self) -> u64 {
        load(self.regs(), offset!(regs_di))
    }

    /// Arguments of the system call the task is in, from the second to the sixth.
    #[inline(always)]
    pub fn later_arguments(self) -> [u64; 5] {
        let regs = self.regs();
        [
            load(regs, offset!(regs_si)),
            load(regs, offset!(regs_dx)),
            load(regs, offset!(regs_r10)),
            load(regs, offset!(regs_r8)),
            load(regs, offset!(regs_r9)),
        ]
    }

    /// Number, second and third argument of the system call the task is in: of those on a descriptor, what is moved.
    #[inline(always)]
    pub fn transfer(self) -> (i64, u64, u64) {
        let regs = self.regs();
        (load(regs, offset!(regs_orig_ax)), load(regs, offset!(regs_si)), load(regs, offset!(regs_dx)))
    }

    /// Third argument of the system call the task is in.
    #[inline(always)]
    pub fn third_argument(self) -> u64 {
        load(self.regs(), offset!(regs_dx))
    }

    /// Whether the futex wait that the task is in is for a mutex.
    #[inline(always)]
    pub fn awaits_mutex(self) -> bool {
        let regs = self.regs();
        let word = |at: usize| load::<u64>(regs, at);
        is_for_mutex(word(offset!(regs_di)), word(offset!(regs_si)), word(offset!(regs_dx)), word(offset!(regs_sp)))
    }

    /// Inode of the user namespace; 0 if it cannot be read.
    #[inline(always)]
    pub fn user_namespace(self) -> u32 {
        let cred: *const u8 = probe(self.0, offset!(task_cred)).unwrap_or(core::ptr::null());
        let namespace: *const u8 = probe(cred, offset!(cred_user_ns)).unwrap_or(core::ptr::null());
        probe(namespace, offset!(user_ns_inum)).unwrap_or(0)
    }

    /// `struct file *` behind descriptor `fd`.
    #[inline(always)]
    fn file(self, fd: u64) -> Option<*const u8> {
        let files: *const u8 = probe(self.0, offset!(task_files))?;
        let table: *const u8 = probe(files, offset!(files_fdt))?;
        let max: u32 = probe(table, offset!(fdtable_max_fds))?;
        if fd >= u64::from(max) {
            return None;
        }
        let array: *const u8 = probe(table, offset!(fdtable_fd))?;
        let file: *const u8 = probe(array, fd as usize * 8)?;
        (!file.is_null()).then_some(file)
    }

    /// What kind of file descriptor `fd` is.
    #[inline(always)]
    pub fn descriptor(self, fd: u64) -> Descriptor {
        let mode = self.file(fd).and_then(|file| {
            let inode: *const u8 = probe(file, offset!(file_inode))?;
            probe::<u16>(inode, offset!(inode_mode))
        });
        match mode.map(|mode| mode & S_IFMT) {
            Some(S_IFSOCK) => Descriptor::Socket,
            Some(S_IFREG | S_IFBLK) => Descriptor::Storage,
            _ => Descriptor::Other,
        }
    }

    /// Address of the `struct sock` behind descriptor `fd`, for comparison only.
    #[inline(always)]
    pub fn sock_address(self, fd: u64) -> Option<u64> {
        let socket: *const u8 = probe(self.file(fd)?, offset!(file_private_data))?;
        probe(socket, offset!(socket_sk))
    }
}

/// Kinds of file descriptor that the thread clock tells apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Descriptor {
    Socket,
    Storage,
    Other,
}
