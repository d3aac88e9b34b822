//! The kernel side: programs on tracepoints that turn kernel events into counters and histograms in maps.
//!
//! In: kernel events and the read-only globals that the agent wrote. Out: the maps of `maps`. A hook in `hooks/` is a few
//! lines around one of the two clocks; `kernel` is the only place that touches kernel memory.
#![no_std]
#![no_main]
#![allow(internal_features)]
#![feature(core_intrinsics)]

mod activity;
mod attribution;
mod calls;
mod count;
mod downstream;
mod exemplar;
mod flags;
mod globals;
mod handoff;
mod history;
mod maps;
mod opaque;
mod request_clock;
mod request_table;
mod runnable;
mod service_table;
mod standby;
mod subprogram;
mod thread_clock;

mod kernel {
    //! What the kernel has: threads, sockets, time. The only place that touches kernel memory.
    mod memory;
    pub mod preemption;
    pub mod sock;
    pub mod storage;
    pub mod task;
    pub mod time;
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

/// Why a program stopped early with information lost; counted in the ledger.
pub(crate) use acgs_perf_common::ledger::Loss;

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
