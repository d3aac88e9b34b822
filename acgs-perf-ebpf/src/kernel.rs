//! Reads of kernel memory: typed handles over the pointers that tracepoints pass, with offsets from BTF.
//!
//! Loads through an argument of a BTF tracepoint are direct and checked by the verifier; where a pointer has lost its
//! type (socket of another family, table of files) the read goes through `bpf_probe_read_kernel`.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::read_volatile;

use acgs_perf_common::kfuncs::{MARK_IRQ_RESTORE, MARK_IRQ_SAVE, MARK_PREEMPT_DISABLE, MARK_PREEMPT_ENABLE};
use acgs_perf_common::maps::{COUNTING, STOPPED_ATTRIBUTION, STOPPED_SCHED};
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_task_pt_regs};
use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_kernel_buf};
use aya_ebpf::programs::BtfTracePointContext;

use crate::Loss;
use crate::maps::{FIELDS, SWITCHES};

/// The offset of a kernel field, a constant to the verifier.
macro_rules! offset {
    ($field:ident) => {
        // SAFETY: the global is read-only memory that the agent filled before the program was loaded.
        unsafe { read_volatile(&raw const FIELDS.$field) as usize }
    };
}

/// Reads a read-only global that the agent overrode.
macro_rules! global {
    ($name:ident) => {
        // SAFETY: the global is read-only memory that the agent filled before the program was loaded.
        unsafe { core::ptr::read_volatile(&raw const $crate::maps::$name) }
    };
}
pub(crate) use global;

/// Whether the agent has set this bit of `SWITCHES`.
#[inline(always)]
fn is_set(bit: u64) -> bool {
    // SAFETY: the pointer is into the map's value, which the agent changes meanwhile.
    SWITCHES.get_ptr(0).is_some_and(|switches| unsafe { (&raw const (*switches).bits).read_volatile() } & bit != 0)
}

/// Whether the window is open: what happens now is part of the recording.
#[inline(always)]
pub fn counts() -> bool {
    is_set(COUNTING)
}

/// How much of the time from `since` to `now` lies in the window.
#[inline(always)]
pub fn within_window(since: u64, now: u64) -> u64 {
    let Some(switches) = SWITCHES.get_ptr(0) else { return 0 };
    // SAFETY: as in `is_set`.
    let (opened, closed) = unsafe {
        ((&raw const (*switches).opened_ns).read_volatile(), (&raw const (*switches).closed_ns).read_volatile())
    };
    now.min(closed).saturating_sub(since.max(opened))
}

/// Whether the probe `attribution` is on: chosen, and not stopped since. It is only ever switched off, so that a later
/// answer of yes within a run means that an earlier one was yes too.
#[inline(always)]
pub fn attributes() -> bool {
    global!(ATTRIBUTION_ACTIVE) != 0 && !is_set(STOPPED_ATTRIBUTION)
}

/// The same of the thread clocks of the probe `sched`, for hooks that are not its own.
#[inline(always)]
pub fn keeps_thread_clocks() -> bool {
    global!(SCHED_ACTIVE) != 0 && !is_set(STOPPED_SCHED)
}

/// Calls a kernel function by the mark that the agent replaces with its BTF id; the compiler knows only helpers, by number.
#[inline(always)]
fn call_marked(mark: u32) {
    // SAFETY: the agent has put a function without arguments in place of the mark, or the verifier has removed the call.
    unsafe { core::mem::transmute::<usize, extern "C" fn()>(mark as usize)() }
}

/// The same of a function that keeps the state of interrupts in `flags`.
#[inline(always)]
fn call_marked_with(mark: u32, flags: &mut MaybeUninit<u64>) {
    // SAFETY: the agent has put a function with this argument in place of the mark, or the verifier has removed the call.
    unsafe { core::mem::transmute::<usize, extern "C" fn(*mut u64)>(mark as usize)(flags.as_mut_ptr()) }
}

/// From here on the thread keeps its CPU.
#[inline(always)]
pub fn preempt_disable() {
    call_marked(MARK_PREEMPT_DISABLE);
}

/// The thread may lose its CPU again, but not here. The kernel looks for who has become due where preemption is enabled, so that
/// interrupts are off there, which forbids it; the next place to look is behind the program.
#[inline(always)]
pub fn preempt_enable() {
    let mut flags = MaybeUninit::uninit();
    call_marked_with(MARK_IRQ_SAVE, &mut flags);
    call_marked(MARK_PREEMPT_ENABLE);
    call_marked_with(MARK_IRQ_RESTORE, &mut flags);
}

pub const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
/// In `sock.sk_shutdown`.
const RCV_SHUTDOWN: u8 = 1;
/// Offset of the path in `struct sockaddr_un`, part of the user interface.
const UNIX_PATH: usize = 2;
const S_IFMT: u16 = 0o170000;
const S_IFSOCK: u16 = 0o140000;
const S_IFREG: u16 = 0o100000;
const S_IFBLK: u16 = 0o060000;

/// Monotonic time in ns; about 40 ns a call, so at most once per event and only after the filters.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// The clock can step back where the kernel corrects its pace while a program reads it: by less than this, in ns. See
/// `ktime_get_mono_fast_ns`, which says so of itself: <https://docs.kernel.org/core-api/timekeeping.html>.
const STEP_BACK: u64 = 1_000;

/// Time from `since` to `now`.
#[inline(always)]
pub fn elapsed(since: u64, now: u64) -> Result<u64, Loss> {
    let ns = now.wrapping_sub(since);
    let sign = (ns as i64 >> 63) as u64;
    // A mask instead of a branch, and through memory so that the compiler makes none of it: the verifier would go through all
    // that follows twice, half as many instructions again in `sys_exit`.
    // SAFETY: a reference is valid for reads.
    let negative = unsafe { core::ptr::from_ref(&sign).read_volatile() };
    if ns.wrapping_neg() & negative >= STEP_BACK {
        return Err(Loss::NegativeDifference);
    }
    Ok(ns & !negative)
}

/// A direct load, checked by the verifier against BTF.
#[inline(always)]
fn load<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: `base` is a BTF pointer from the kernel and `offset` a field of its type; a fault reads as zero.
    unsafe { base.add(offset).cast::<T>().read_volatile() }
}

/// A load through a pointer without a type.
#[inline(always)]
fn probe<T: Copy>(base: *const u8, offset: usize) -> Option<T> {
    // SAFETY: the helper checks the address and fails on a fault.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset).cast::<T>()).ok() }
}

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
        u32::from(byte) & offset!(task_in_iowait_mask) as u32 != 0
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

    /// Third argument of the system call the task is in.
    #[inline(always)]
    pub fn third_argument(self) -> u64 {
        load(self.regs(), offset!(regs_dx))
    }

    /// Whether the futex wait that the task is in has no time limit.
    #[inline(always)]
    pub fn waits_without_limit(self) -> bool {
        load::<u64>(self.regs(), offset!(regs_r10)) == 0
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

/// The path of a UNIX address object, without its family; an abstract one begins with 0.
#[inline(always)]
pub fn read_unix_path(address: u64, path: &mut [u8; 112]) {
    let name = (address as usize + offset!(unix_address_name) + UNIX_PATH) as *const u8;
    // SAFETY: the helper checks the address and fails on a fault.
    let _unreadable = unsafe { bpf_probe_read_kernel_buf(name, &mut path[..108]) };
}

/// Kinds of file descriptor that the thread clock tells apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Descriptor {
    Socket,
    Storage,
    Other,
}

/// `struct sock *`, never null.
#[derive(Clone, Copy)]
pub struct Sock(*const u8);

impl Sock {
    #[inline(always)]
    pub fn arg(ctx: &BtfTracePointContext, n: usize) -> Option<Self> {
        Self::from_raw(ctx.arg::<*const u8>(n))
    }

    /// The socket behind a `struct socket *`.
    #[inline(always)]
    pub fn behind(socket: *const u8) -> Option<Self> {
        let sk: *const u8 = load(socket, offset!(socket_sk));
        (!sk.is_null()).then_some(Self(sk))
    }

    /// A `struct sock *`.
    #[inline(always)]
    pub fn from_raw(sk: *const u8) -> Option<Self> {
        (!sk.is_null()).then_some(Self(sk))
    }

    #[inline(always)]
    pub fn as_ptr(self) -> *mut c_void {
        self.0.cast_mut().cast()
    }

    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub fn family(self) -> u16 {
        load(self.0, offset!(sock_family))
    }

    #[inline(always)]
    pub fn state(self) -> u8 {
        load(self.0, offset!(sock_state))
    }

    #[inline(always)]
    pub fn is_stream(self) -> bool {
        load::<u16>(self.0, offset!(sock_type)) == SOCK_STREAM
    }

    #[inline(always)]
    pub fn local_port(self) -> u16 {
        load(self.0, offset!(sock_num))
    }

    #[inline(always)]
    pub fn peer_port(self) -> u16 {
        u16::from_be(load(self.0, offset!(sock_dport)))
    }

    /// Address of the peer, IPv4 as an IPv6-mapped one, network byte order.
    #[inline(always)]
    pub fn peer_address(self) -> [u32; 4] {
        if self.family() == AF_INET6 {
            let at = |word: usize| probe::<u32>(self.0, offset!(sock_v6_daddr) + 4 * word).unwrap_or(0);
            return [at(0), at(1), at(2), at(3)];
        }
        [0, 0, 0xffff_u32.to_be(), load(self.0, offset!(sock_daddr))]
    }

    /// Inode of the network namespace; 0 if it cannot be read.
    #[inline(always)]
    pub fn network(self) -> u32 {
        let network: *const u8 = probe(self.0, offset!(sock_net)).unwrap_or(core::ptr::null());
        probe(network, offset!(net_inum)).unwrap_or(0)
    }

    /// Whether something waits in the receive queue.
    #[inline(always)]
    pub fn has_unread(self) -> bool {
        load::<u32>(self.0, offset!(sock_unread)) != 0
    }

    /// Whether a BPF program has put something into the socket's storage. Those of strangers have nothing there, and this is one
    /// load, where a lookup is a call.
    #[inline(always)]
    pub fn has_storage(self) -> bool {
        load::<u64>(self.0, offset!(sock_storage)) != 0
    }

    /// Whether no more will come: the peer has closed, or this end reads no longer.
    #[inline(always)]
    pub fn has_ended(self) -> bool {
        load::<u8>(self.0, offset!(sock_shutdown)) & RCV_SHUTDOWN != 0
    }

    /// Whether the connection has been accepted by the application, or is the client's end.
    #[inline(always)]
    pub fn is_accepted(self) -> bool {
        probe::<u64>(self.0, offset!(sock_socket)).is_none_or(|socket| socket != 0)
    }

    /// The address object of the listener to which a UNIX socket is connected, if this is the client's end.
    #[inline(always)]
    pub fn unix_peer_address(self) -> Option<u64> {
        let peer: *const u8 = probe(self.0, offset!(unix_peer))?;
        if peer.is_null() {
            return None;
        }
        let address: u64 = probe(peer, offset!(unix_addr))?;
        (address != 0).then_some(address)
    }

    /// Smoothed round-trip time in µs, 0 before the first sample. The kernel keeps it times eight.
    #[inline(always)]
    pub fn srtt_us(self) -> u32 {
        probe::<u32>(self.0, offset!(tcp_srtt_us)).unwrap_or(0) >> 3
    }

    /// For a UNIX stream socket: the process that listened, if this is the end that was accepted. That end carries the
    /// listener's address, and its peer remembers the listener's process.
    #[inline(always)]
    pub fn unix_listener(self) -> Option<u32> {
        let address: u64 = probe(self.0, offset!(unix_addr))?;
        if address == 0 {
            return None;
        }
        let peer: *const u8 = probe(self.0, offset!(unix_peer))?;
        if peer.is_null() {
            return None;
        }
        let pid: *const u8 = probe(peer, offset!(sock_peer_pid))?;
        if pid.is_null() {
            return None;
        }
        probe(pid, offset!(pid_numbers) + offset!(upid_nr))
    }
}
