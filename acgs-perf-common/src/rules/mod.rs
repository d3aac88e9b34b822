//! Which request a thread works for, and where its time goes: states and the rules that change them.
//!
//! In: what the hooks of the kernel side see, as numbers. Out: states changed. Nothing here reads a clock, a map or kernel memory,
//! so that a script of events is a test on the host; the kernel side calls the same code.

pub mod activity;
pub mod call;
pub mod history;
pub mod runnable;
pub mod thread;
pub mod transfer;
