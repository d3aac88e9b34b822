//! What the kernel's account of run times costs by itself: it reads its clock before and after each run of each program.
//!
//! In: the loaded object. Out: what an empty program seems to take, which is in every run's time and is not paid while the
//! account is off. The agent runs that program itself, so nothing on the host is touched.

use std::time::Duration;

use aya::Ebpf;
use aya::programs::{RawTracePoint, RawTracePointRunOptions, TestRun as _};

use super::{LiveError, program};

const PROGRAM: &str = "empty_run";
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
    pub fn measure(ebpf: &mut Ebpf) -> Result<Self, LiveError> {
        let refused = |error| program::refused(PROGRAM, error);
        let found = ebpf
            .program_mut(PROGRAM)
            .ok_or(LiveError::Map { name: PROGRAM, reason: "no such program in the object".to_owned() })?;
        let empty: &mut RawTracePoint = found.try_into().map_err(refused)?;
        if empty.fd().is_err() {
            empty.load().map_err(refused)?;
        }
        let mut cheapest = Duration::MAX;
        for _ in 0..BATCHES {
            let before = empty.info().map_err(refused)?;
            for _ in 0..RUNS {
                empty.test_run(RawTracePointRunOptions::new()).map_err(refused)?;
            }
            let after = empty.info().map_err(refused)?;
            let runs = u32::try_from(after.run_count() - before.run_count()).unwrap_or(u32::MAX);
            if runs > 0 {
                cheapest = cheapest.min((after.run_time() - before.run_time()) / runs);
            }
        }
        // A kernel that does not count such runs says nothing; then nothing is taken off.
        let in_run_time = if cheapest == Duration::MAX { Duration::ZERO } else { cheapest };
        Ok(Self { in_run_time, per_run: in_run_time * READINGS })
    }
}
