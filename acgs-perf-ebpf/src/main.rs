//! The kernel side: programs on tracepoints that turn kernel events into counters and histograms in maps.
//!
//! In: kernel events and the read-only globals that the agent wrote. Out: maps. The modules stand here from the ground up, and each
//! uses only those above it: hooks → clocks → rules → tables → state → kernel → globals. A map stands beside its owner: the type
//! that it keeps, or the table that it is.
#![no_std]
#![no_main]
#![allow(internal_features)]
#![feature(core_intrinsics)]

mod flags;
mod globals;

mod kernel {
    //! What the kernel has: threads, sockets, time. The only place that touches kernel memory; a probe that stands in a file of
    //! its own reads what nobody else does through `memory`.
    pub mod fate;
    pub mod memory;
    pub mod preemption;
    pub mod sock;
    pub mod storage;
    pub mod task;
    pub mod time;
    pub mod transmit;
    pub mod user;
}

mod count;

mod state {
    //! What is kept of a socket, a thread and a request: types, with the maps of local storage. No rules.
    mod served;
    pub mod socket;
    pub mod talk;
    pub mod thread;
}

mod table {
    //! What is kept by key: each table with its maps, and the only place that looks into them.
    pub mod accept;
    pub mod delivery;
    pub mod downstream;
    pub mod endpoint;
    pub mod exec;
    pub mod exemplar;
    pub mod fates;
    pub mod member;
    pub mod peer;
    pub mod preemptor;
    pub mod request;
    pub mod service;
    mod slots;
    pub mod statement;
    pub mod syscall;
    pub mod syscall_class;
    pub mod worker;
}

mod rules {
    //! Which request a thread works for. A thread that reads a request works for it until it replies, reads another socket, or
    //! goes to wait for events; the answer to a downstream call brings the request back to the thread that reads it; a thread
    //! woken by one that works for a request works for it too.
    pub mod downstream;
    pub mod handoff;
    pub mod request;
}

mod clock {
    //! From event to event: the request clock of a socket, the clock of a thread.
    mod answer;
    pub mod call;
    pub mod delivery;
    mod found;
    pub mod leave;
    mod limit;
    mod record;
    pub mod request;
    pub mod talk;
    pub mod thread;
    mod walk;
}

mod hooks {
    //! The programs, one file per kernel subsystem. Each is a few lines around a clock, a rule or a table.
    mod account;
    mod block_io;
    mod entry;
    mod memory;
    mod process;
    mod sched;
    mod socket;
    mod socket_functions;
    mod socket_iter;
    mod standby;
    mod syscall;
    mod task_iter;
    mod tcp;
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
