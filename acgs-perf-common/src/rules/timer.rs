//! The next timer of an event loop, or of a process whose threads wait for it in turn.
//!
//! In: waits for events with a time limit. Out: which timer is awaited, since when, and whether it is due; `sleep` says what follows for requests.

/// Nanoseconds of a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;
/// Limits that differ by less than this part are the same.
const SAME_PART: u32 = 3;
/// A runtime goes on with what is due in so short a time, if it has a CPU.
const GOES_ON_NS: u64 = 2 * NS_PER_MS;
/// Processes whose timers are known, a power of two.
pub const PROCESSES: u32 = 64;

/// A timer, as the waits for it show it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer {
    /// When it is due.
    pub due: u64,
    /// Since when it is waited for, however often other events have ended the wait.
    pub since: u64,
    /// For how long the timer before was waited for.
    pub before: u64,
}

/// The timers of a process whose threads wait for them in turn.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Timers {
    /// Whose they are.
    pub process: u64,
    /// The one that is waited for, or was waited for last.
    pub next: Timer,
    /// The one before, if it was due.
    pub last: Timer,
}

impl Timer {
    /// It is waited for since `now`: another one, unless the thread goes on with a wait that was rounded down, or both are due at one moment.
    #[inline(always)]
    pub fn is_awaited(&mut self, due: u64, goes_on: bool, now: u64) {
        if goes_on {
            self.due = due;
        } else if !self.is_at(due) {
            *self = Self { due, since: now, before: self.due.wrapping_sub(self.since) };
        }
    }

    /// Whether it is due at that moment.
    #[inline(always)]
    #[must_use]
    pub const fn is_at(&self, due: u64) -> bool {
        due.wrapping_sub(self.due).wrapping_add(NS_PER_MS) <= 2 * NS_PER_MS
    }

    /// Whether each timer is set when the one before was due, as where one after the other sleeps while it holds a lock: both were as long. Timers
    /// of requests that have nothing to do with each other are hidden behind those that are due earlier, for times that differ; where there are
    /// so many that the next one is never far, all waits are rounded to the same millisecond.
    #[inline(always)]
    const fn is_set_in_turn(&self) -> bool {
        let awaited = self.due.wrapping_sub(self.since);
        awaited > NS_PER_MS && is_as_long(awaited, self.before)
    }

    /// Whether what goes on at `now` may do so because of this timer: waits are rounded up to milliseconds.
    #[inline(always)]
    #[must_use]
    pub const fn has_let_go_on(&self, now: u64) -> bool {
        self.due != 0 && now.wrapping_sub(self.due).wrapping_add(NS_PER_MS) < NS_PER_MS + GOES_ON_NS
    }

    /// Since when who has waited since `waiting` has slept.
    #[inline(always)]
    #[must_use]
    pub const fn slept_since(&self, waiting: u64) -> u64 {
        if self.is_set_in_turn() && self.since > waiting { self.since } else { waiting }
    }
}

/// Whether two limits are the same, but for what passes until the thread blocks.
#[inline(always)]
#[must_use]
pub const fn is_as_long(span: u64, other: u64) -> bool {
    let part = other >> SAME_PART;
    span.wrapping_sub(other).wrapping_add(part) <= 2 * part
}
