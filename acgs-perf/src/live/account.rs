//! What the kernel's account of run times costs by itself: it reads its clock before and after each run of each program.
//!
//! In: the loaded object. Out: what an empty program seems to take, which is in every run's time and is not paid while the
//! account is off. The agent runs that program itself, so nothing on the host is touched.

use std::time::Duration;

use aya::programs::ProgramError;

use super::object::Object;
use super::program::Wanted;
use super::{LiveError, bpf, program};

/// The program; it is loaded when it is needed.
pub const PROGRAM: &str = "empty_run";
/// Runs in a batch, and batches. The cheapest batch counts: interrupts and cold caches are no part of the account.
const RUNS: u64 = 64;
const BATCHES: u32 = 5;
/// Readings of the clock in a run, of which one falls between the two stamps.
const READINGS: u32 = 2;

/// What one run costs the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// As much of each run's measured time is the account's own.
    pub in_run_time: Duration,
    /// As much is paid per run while the account is on.
    pub per_run: Duration,
}

impl Account {
    /// Measures it. The account must be on.
    ///
    /// # Errors
    /// When the kernel refuses the program, or to run it.
    pub fn measure(object: &mut Object) -> Result<Self, LiveError> {
        let refused = |error| program::refused(PROGRAM, ProgramError::IOError(error));
        if object.program(PROGRAM).is_err() {
            object.load(&[&Wanted::raw(PROGRAM)]).remove(PROGRAM).transpose()?;
        }
        let empty = object.program(PROGRAM)?;
        let mut cheapest = Duration::MAX;
        for _ in 0..BATCHES {
            let before = bpf::info(empty).map_err(refused)?;
            for _ in 0..RUNS {
                bpf::test_run(empty).map_err(refused)?;
            }
            let after = bpf::info(empty).map_err(refused)?;
            let runs = u32::try_from(after.run_cnt - before.run_cnt).unwrap_or(u32::MAX);
            if runs > 0 {
                cheapest = cheapest.min(Duration::from_nanos(after.run_time_ns - before.run_time_ns) / runs);
            }
        }
        // A kernel that does not count such runs says nothing; then nothing is taken off.
        let in_run_time = if cheapest == Duration::MAX { Duration::ZERO } else { cheapest };
        Ok(Self { in_run_time, per_run: in_run_time * READINGS })
    }
}
