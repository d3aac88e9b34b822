//! Waits with a time limit: until when they last, and which of two ways they ended.
//!
//! In: the limit, as the system call was given it, and when the thread wakes. Out: a wait that its own limit ended is a sleep; one that
//! somebody ended before is what it was entered as. Who wakes the thread tells nothing: a timer comes upon whoever runs.
//!
//! Who waits for an interpreter's global lock has a limit of some milliseconds, looks, and waits for the same futex again. These waits
//! are one, and how the last of them ended says what it was.

use super::thread::ThreadState;
use super::timer::{NS_PER_MS, is_as_long};
use crate::attribution::Component;
use crate::opaque::store;
use crate::state::State;

const NS_PER_S: u64 = 1_000_000_000;
/// Beyond this many seconds there is no limit that anybody lives to see.
const MAX_S: u64 = 1 << 32;
/// The kernel has set its timer before the thread leaves its CPU, where we read the clock: by less than this part of a short limit, and
/// than this many ns of a long one.
const EARLY_PART: u32 = 4;
const EARLY_NS: u64 = 50_000;
/// Who has computed for longer between two waits did not only look whether it can go on.
pub(super) const LOOK_NS: u64 = 100_000;
/// Futexes that are so near belong to one lock or condition.
const ONE_LOCK: u64 = 64;

/// Operation of `futex` without its flags, and the flag that names the wall clock.
const FUTEX_OPERATION: u64 = 0x7f;
const FUTEX_WAIT: u64 = 0;
const FUTEX_LOCK_PI: u64 = 6;
const FUTEX_CLOCK_REALTIME: u64 = 256;
/// What the word of a mutex says while others wait for it.
const MUTEX_HAS_WAITERS: u32 = 2;
/// So far above the stack pointer a word is still one of the function that waits, or of those that called it.
const STACK_NEAR: u64 = 4096;

/// The clocks on which a limit can be; `Wall` is ahead of the programs' by so many ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The limit counts from the call on.
    FromNow,
    /// The clock of the programs.
    Monotonic,
    /// The time of day.
    Wall,
}

/// How the limit of a futex wait is meant, by the second argument of the call.
#[inline(always)]
#[must_use]
pub const fn clock_of_futex(operation: u64) -> Clock {
    match operation & FUTEX_OPERATION {
        FUTEX_WAIT => Clock::FromNow,
        FUTEX_LOCK_PI => Clock::Wall,
        _ if operation & FUTEX_CLOCK_REALTIME != 0 => Clock::Wall,
        _ => Clock::Monotonic,
    }
}

/// Whether a wait for a futex, the word at this address, is one for a mutex, as glibc waits for it: while the word says "held, and
/// waited for", and without a mask. musl waits in the same way for a condition, on a word of the waiting thread's stack.
#[inline(always)]
#[must_use]
pub const fn is_for_mutex(word: u64, operation: u64, expected: u64, stack: u64) -> bool {
    operation & FUTEX_OPERATION == FUTEX_WAIT
        && expected as u32 == MUTEX_HAS_WAITERS
        && word.wrapping_sub(stack) > STACK_NEAR
}

/// The clock with this number, as `clock_gettime` calls it.
#[inline(always)]
#[must_use]
pub const fn clock_of_number(number: u64) -> Clock {
    if number as u32 == 0 { Clock::Wall } else { Clock::Monotonic }
}

/// When a wait ends that begins `now` and was given so many milliseconds; 0 for never.
#[inline(always)]
#[must_use]
pub const fn of_ms(ms: u64, now: u64) -> u64 {
    let ms = ms as u32;
    if ms as i32 <= 0 {
        return 0;
    }
    from_now(ms as u64 * NS_PER_MS, now)
}

/// When a wait ends that begins `now` and was given seconds and nanoseconds; 0 for never, and for what cannot be.
#[inline(always)]
#[must_use]
pub const fn of_time(clock: Clock, seconds: u64, ns: u64, wall_ahead: u64, now: u64) -> u64 {
    if seconds >= MAX_S || ns >= NS_PER_S {
        return 0;
    }
    let time = seconds * NS_PER_S + ns;
    let moment = match clock {
        Clock::FromNow => return from_now(time, now),
        Clock::Monotonic => time,
        Clock::Wall => time.wrapping_sub(wall_ahead),
    };
    // Who sleeps has a limit that lies ahead: another one is on a clock that we do not know.
    if (moment.wrapping_sub(now) as i64) > 0 { moment } else { 0 }
}

#[inline(always)]
const fn from_now(span: u64, now: u64) -> u64 {
    let part = span >> EARLY_PART;
    let early = if part < EARLY_NS { part } else { EARLY_NS };
    now.wrapping_add(span - early)
}

/// The thread, whose time on the CPU began at `thread.since`, blocks on the futex `word` with a time limit; 0 for events.
#[inline(always)]
pub fn waits_for(thread: &mut ThreadState, word: u64, now: u64) {
    let looked_only = now.wrapping_sub(thread.since) < LOOK_NS;
    if thread.lapsed != 0 && !(looked_only && word != 0 && is_near(word, thread.word)) {
        thread.lapsed = 0;
    }
    thread.word = word;
}

/// The thread is about to be woken. Goes before all else: if the limit of its wait has passed, it slept.
#[inline(always)]
pub fn wakes(thread: &mut ThreadState, now: u64) {
    let limit = thread.limit;
    if limit == 0 {
        return;
    }
    if now < limit {
        if thread.lapsed != 0 {
            is_retried(thread, limit.wrapping_sub(thread.since));
        }
        return;
    }
    lapses(thread, now);
}

/// Somebody has woken it, and it had waited for the same before: all of that was one wait for a lock. Not so where it had waited with
/// another limit: Ruby's threads sleep, and then wait for the global lock, on one futex.
#[inline(always)]
fn is_retried(thread: &mut ThreadState, span: u64) {
    let lapsed = thread.lapsed;
    thread.lapsed = 0;
    if !is_as_long(span, thread.lapsed_span) {
        return;
    }
    thread.retried = thread.word;
    thread.retried_span = span;
    let work = &mut thread.activity;
    if work.standing.is_active() {
        work.slept_for_lock(lapsed);
    }
}

/// The wait has ended by itself.
#[inline(always)]
fn lapses(thread: &mut ThreadState, now: u64) {
    let since = thread.since;
    if thread.state == State::Poll as u32 {
        let work = &thread.activity;
        if work.standing.is_active() && work.waits_for_peer(State::Poll as u32) {
            return; // the answer is late, and what was waited for is the answer
        }
        (thread.woke_at, thread.idle_since, thread.polled_idle) = (now, since, 1);
        thread.polled = thread.polled.wrapping_add(now.wrapping_sub(since));
    } else if thread.state != State::Lock as u32 || is_look(thread) {
        return;
    } else {
        thread.lapsed_span = thread.limit.wrapping_sub(since);
        thread.lapsed = thread.lapsed.wrapping_add(now.wrapping_sub(since));
    }
    thread.history.set_last(Component::QueueSleep);
    store(&mut thread.state, State::Sleep as u32);
}

/// Whether it has waited for a lock, at which it looks again and again.
#[inline(always)]
fn is_look(thread: &ThreadState) -> bool {
    is_near(thread.word, thread.retried) && is_as_long(thread.limit.wrapping_sub(thread.since), thread.retried_span)
}

#[inline(always)]
const fn is_near(word: u64, other: u64) -> bool {
    word.wrapping_sub(other).wrapping_add(ONE_LOCK) < 2 * ONE_LOCK
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 5 * NS_PER_S;

    #[test]
    fn a_limit_in_milliseconds_counts_from_the_call_on() {
        assert_eq!(of_ms(20, NOW), NOW + 19_950_000);
        // No limit, and no wait.
        assert_eq!((of_ms(u64::from(u32::MAX), NOW), of_ms(u64::MAX, NOW), of_ms(0, NOW)), (0, 0, 0));
        // The upper half of the register is not the argument's.
        assert_eq!(of_ms(1 << 32 | 20, NOW), of_ms(20, NOW));
    }

    #[test]
    fn a_span_is_met_a_little_early() {
        let span = |ns| of_time(Clock::FromNow, 0, ns, 0, NOW) - NOW;
        assert_eq!((span(160), span(800_000), span(900_000_000)), (150, 750_000, 899_950_000));
    }

    #[test]
    fn a_moment_is_on_a_clock() {
        assert_eq!(of_time(Clock::Monotonic, 5, 20, 0, NOW), NOW + 20);
        assert_eq!(of_time(Clock::Wall, 1_005, 20, 1_000 * NS_PER_S, NOW), NOW + 20);
        // What has passed already is on another clock, and what is no time is none.
        assert_eq!(of_time(Clock::Monotonic, 4, 999_999_999, 0, NOW), 0);
        assert_eq!(of_time(Clock::Wall, 5, 20, 1_000 * NS_PER_S, NOW), 0);
        assert_eq!(of_time(Clock::Monotonic, u64::MAX, 0, 0, NOW), 0);
        assert_eq!(of_time(Clock::FromNow, 1, NS_PER_S, 0, NOW), 0);
    }

    #[test]
    fn a_mutex_is_told_from_a_condition() {
        const PRIVATE: u64 = 128;
        let (heap, stack) = (0x7f00_0000_1000, 0x7f10_0000_0000);
        assert!(is_for_mutex(heap, PRIVATE, 2, stack) && is_for_mutex(stack + 0x1000_0000, 0, 2, stack));
        // A semaphore, a condition of glibc, one of musl.
        assert!(!is_for_mutex(heap, PRIVATE, 0, stack));
        assert!(!is_for_mutex(heap, PRIVATE | 9, 2, stack));
        assert!(!is_for_mutex(stack + 64, PRIVATE, 2, stack));
    }

    #[test]
    fn the_operation_says_how_a_futex_means_it() {
        const PRIVATE: u64 = 128;
        assert_eq!(clock_of_futex(PRIVATE), Clock::FromNow);
        assert_eq!(clock_of_futex(PRIVATE | FUTEX_CLOCK_REALTIME), Clock::FromNow);
        assert_eq!(clock_of_futex(PRIVATE | 9), Clock::Monotonic);
        assert_eq!(clock_of_futex(PRIVATE | FUTEX_CLOCK_REALTIME | 9), Clock::Wall);
        assert_eq!(clock_of_futex(PRIVATE | FUTEX_LOCK_PI), Clock::Wall);
        assert_eq!((clock_of_number(0), clock_of_number(1)), (Clock::Wall, Clock::Monotonic));
    }
}
