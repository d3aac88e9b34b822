//! What every program does around its body.

use acgs_perf_common::ledger::Loss;

use crate::count::lose;

/// Runs the body of a hook and counts what it lost.
#[inline(always)]
pub fn run(body: impl FnOnce() -> Result<(), Loss>) -> i32 {
    finish(body())
}

/// Ends a hook, and counts what it lost.
#[inline(always)]
pub fn finish(done: Result<(), Loss>) -> i32 {
    if let Err(loss) = done {
        lose(loss);
    }
    0
}
