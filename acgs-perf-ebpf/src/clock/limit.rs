//! Until when a wait lasts by itself: reads the time limit that the running thread, which blocks now, gave its system call.
//!
//! In: where the call has its limit, as the table of calls says. Out: the limit in the thread's state; the rules of `rules::limit` of the
//! common crate say what it means.

use acgs_perf_common::rules::limit::{self, Clock};
use acgs_perf_common::rules::sleep;
use acgs_perf_common::rules::thread::ThreadState;
use acgs_perf_common::state::{LimitIn, limit_of_entry};
use acgs_perf_common::subprogram;

use crate::globals::wall_ahead_ns;
use crate::kernel::memory::probe_user;
use crate::kernel::task::Task;
use crate::table::request::Requests;

const US_PER_S: u64 = 1_000_000;
const NS_PER_US: u64 = 1_000;
/// Flag of `io_uring_enter`: the fifth argument is a struct, which has the address of the limit at this place.
const RING_HAS_STRUCT: u64 = 8;
const RING_ABSOLUTE: u64 = 32;
const RING_LIMIT_AT: u64 = 16;

/// The running thread blocks in the call with this entry of the table of calls.
#[inline(always)]
pub fn of_wait(thread: &mut ThreadState, entry: u64, now: u64) {
    let place = limit_of_entry(entry);
    if place != 0 {
        read(thread, place, now);
    } else {
        thread.limit = 0;
        thread.lapsed = 0;
    }
}

subprogram! {
    /// The running thread blocks; `place` says where its system call has the limit.
    fn read = thread_limit(thread: &mut ThreadState; place: u32, now: u64) {
        let task = Task::current();
        let [second, third, fourth, fifth, sixth] = task.later_arguments();
        let is_at = |place_of: LimitIn| place == place_of as u32;
        let mut word = 0;
        let (mut clock, mut address, mut unit) = (Clock::FromNow, 0, 1);
        thread.limit = 0;
        if is_at(LimitIn::FourthMs) {
            thread.limit = limit::of_ms(fourth, now);
        } else if is_at(LimitIn::ThirdMs) {
            thread.limit = limit::of_ms(third, now);
        } else if is_at(LimitIn::Futex) {
            (clock, address, word) = (limit::clock_of_futex(second), fourth, task.first_argument());
        } else if is_at(LimitIn::ThirdSpan) {
            address = third;
        } else if is_at(LimitIn::FourthSpan) {
            address = fourth;
        } else if is_at(LimitIn::FifthSpan) {
            address = fifth;
        } else if is_at(LimitIn::FifthTimeval) {
            (address, unit) = (fifth, NS_PER_US);
        } else if is_at(LimitIn::FourthMoment) {
            (clock, address, word) = (limit::clock_of_number(fifth), fourth, task.first_argument());
        } else if is_at(LimitIn::FifthMoment) {
            (clock, address, word) = (limit::clock_of_number(sixth), fifth, task.first_argument());
        } else if is_at(LimitIn::Ring) && fourth & (RING_HAS_STRUCT | RING_ABSOLUTE) == RING_HAS_STRUCT {
            address = probe_user::<u64>(fifth.wrapping_add(RING_LIMIT_AT)).unwrap_or(0);
        }
        limit::waits_for(thread, word, now);
        if address != 0 && let Some([seconds, part]) = probe_user::<[u64; 2]>(address) {
            // A `timeval` has microseconds behind its seconds, less than a million of them.
            if unit == 1 || part < US_PER_S {
                thread.limit = limit::of_time(clock, seconds, part * unit, wall_ahead_ns(), now);
            }
        }
        if word == 0 {
            sleep::waits_for_timer(&Requests, thread, now);
        }
    }
}
