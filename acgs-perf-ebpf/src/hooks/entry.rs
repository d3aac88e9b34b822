//! What every program does around its body.

use acgs_perf_common::ledger::Loss;

use crate::count::lose;

/// Runs the body of a hook and counts what it lost.
#[inline(always)]
pub fn run(body: impl FnOnce() -> Result<(), Loss>) -> i32 {
    if let Err(loss) = body() {
        lose(loss);
    }
    0
}
