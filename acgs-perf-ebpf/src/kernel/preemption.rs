//! Keeps the running thread on its CPU, with functions of the kernel that are no helpers (*kfuncs*).
//!
//! In: nothing; the agent has put the ids of the functions where their marks were. Out: a thread that cannot be stopped between
//! the two calls.

use core::mem::MaybeUninit;

use acgs_perf_common::kfuncs::{MARK_IRQ_RESTORE, MARK_IRQ_SAVE, MARK_PREEMPT_DISABLE, MARK_PREEMPT_ENABLE};

/// Calls a kernel function by the mark that the agent replaces with its BTF id; the compiler knows only helpers, by number.
#[inline(always)]
fn run_kfunc(mark: u32) {
    // SAFETY: the agent has put a function without arguments in place of the mark, or the verifier has removed the call.
    unsafe { core::mem::transmute::<usize, extern "C" fn()>(mark as usize)() }
}

/// Calls a kernel function that keeps the state of interrupts in `flags`; see `run_kfunc`.
#[inline(always)]
fn run_kfunc_with(mark: u32, flags: &mut MaybeUninit<u64>) {
    // SAFETY: the agent has put a function with this argument in place of the mark, or the verifier has removed the call.
    unsafe { core::mem::transmute::<usize, extern "C" fn(*mut u64)>(mark as usize)(flags.as_mut_ptr()) }
}

/// From here on the thread keeps its CPU.
#[inline(always)]
pub fn preempt_disable() {
    run_kfunc(MARK_PREEMPT_DISABLE);
}

/// The thread may lose its CPU again, but not here. The kernel looks for who has become due where preemption is enabled, so that
/// interrupts are off there, which forbids it; the next place to look is behind the program.
#[inline(always)]
pub fn preempt_enable() {
    let mut flags = MaybeUninit::uninit();
    run_kfunc_with(MARK_IRQ_SAVE, &mut flags);
    run_kfunc(MARK_PREEMPT_ENABLE);
    run_kfunc_with(MARK_IRQ_RESTORE, &mut flags);
}
