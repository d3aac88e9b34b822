//! The kernel side: programs on tracepoints that turn kernel events into counters and histograms in maps.
//!
//! In: kernel events and the read-only globals that the agent wrote. Out: the maps of `maps`. A hook in `hooks/` is a few
//! lines around one of the two clocks; `kernel` is the only place that touches kernel memory.
#![no_std]
#![no_main]
#![allow(internal_features)]
#![feature(core_intrinsics)]

mod attribution;
mod calls;
mod count;
mod flags;
mod globals;
mod handoff;
mod opaque;
mod standby;
mod subprogram;

mod kernel {
    //! What the kernel has: threads, sockets, time. The only place that touches kernel memory.
    mod memory;
    pub mod preemption;
    pub mod sock;
    pub mod storage;
    pub mod task;
    pub mod time;
}

mod state {
    //! What is kept of a socket, a thread, a request, with the maps that keep it.
    pub mod activity;
    pub mod call;
    pub mod history;
    pub mod runnable;
    pub mod socket;
    pub mod thread;
}

mod table {
    //! What is kept by key, each table with its maps.
    pub mod accept;
    mod bytes;
    pub mod downstream;
    pub mod exec;
    pub mod exemplar;
    pub mod peer;
    pub mod preemptor;
    pub mod request;
    pub mod service;
    mod slots;
    pub mod syscall;
    pub mod syscall_class;
}

mod clock {
    //! From event to event: the request clock of a socket, the clock of a thread.
    pub mod request;
    pub mod thread;
}

mod hooks {
    //! One file per kernel subsystem.
    mod account;
    mod process;
    mod sched;
    mod socket;
    mod socket_functions;
    mod syscall;
    mod task_iter;
    mod tcp;
}

use acgs_perf_common::ledger::Loss;

/// Runs the body of a hook and counts what it lost.
#[inline(always)]
pub(crate) fn run(body: impl FnOnce() -> Result<(), Loss>) -> i32 {
    if let Err(loss) = body() {
        count::lose(loss);
    }
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
