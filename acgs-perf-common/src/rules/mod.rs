//! Which request a thread works for, and where its time goes: states and the rules that change them.
//!
//! In: what the hooks of the kernel side see, as numbers. Out: states changed. Nothing here reads a clock, a map or kernel memory,
//! so that a script of events is a test on the host; the kernel side calls the same code.

pub mod activity;
pub mod call;
pub mod caller;
pub mod delivery;
pub mod downstream;
pub mod handoff;
pub mod helper;
pub mod history;
pub mod limit;
pub mod request;
pub mod results;
pub mod row;
pub mod runnable;
pub mod sleep;
pub mod standing;
pub mod table;
pub mod thread;
pub mod timer;
pub mod transfer;
pub mod turn;
pub mod waited;
pub mod worker;

use activity::Activity;
use runnable::Request;
use standing::Standing;
use thread::ThreadState;
use timer::Timers;
use turn::Resume;

use crate::attribution::ATTRIBUTION_WORDS;
use crate::ledger::Loss;

/// The words of a row of the attribution histogram.
pub type Row = [u64; ATTRIBUTION_WORDS];

/// The server's end of a connection, as far as the rules look at it.
pub trait Served {
    /// Names the socket in `Activity::request`.
    fn id(&self) -> u64;
    /// When the request that was read last had arrived.
    fn arrived(&self) -> u64;
    /// When it was read.
    fn read(&self) -> u64;
    /// When the first byte of the reply was sent.
    fn replied(&self) -> u64;
    /// What the request adds to its row of the attribution histogram.
    fn row(&mut self) -> &mut Row;
    /// 1 if only the components of a request that was computed in one go can be other than 0 in the row.
    fn is_narrow(&mut self) -> &mut u8;
}

/// What the rules need from outside: where requests wait, and whom they tell of what.
///
/// The methods from `park` on are rules themselves. The kernel side runs each as a subprogram, which its verifier checks by itself;
/// a rule that needs another one of them asks the table for it.
#[allow(clippy::mut_from_ref, reason = "entries are changed by the threads that work for the request, in turn")]
pub trait Table: Sized {
    /// The server's end of a connection.
    type Socket: Served;

    /// The place with this number, from 0 to `PARKING_PLACES`.
    fn place(&self, index: u32) -> Option<&mut Activity>;
    /// The entry of the map at this address.
    fn spilled(&self, address: u64) -> Option<&mut Activity>;
    /// Makes a new entry of the map, which begins as `first`; false if there is no room.
    fn spill(&self, address: u64, first: &Activity) -> bool;
    /// Takes an entry out of the map.
    fn unspill(&self, address: u64);
    /// Puts `new` into `standing` if that is still `old`; whether it was. Of two CPUs with the same `old`, one succeeds.
    fn exchange(&self, standing: &mut Standing, old: Standing, new: Standing) -> bool;
    /// Number of the running thread.
    fn running(&self) -> u32;
    /// Number of its process.
    fn process(&self) -> u32;
    /// Room for the timers of this process, or of another one.
    fn timers(&self, process: u32) -> Option<&mut Timers>;
    /// Counts a loss.
    fn lose(&self, loss: Loss);
    /// The request was answered; `work` has its segments.
    fn offer(&self, socket: &mut Self::Socket, work: &mut Activity, service: u32);

    /// See [`table::park`].
    #[inline(always)]
    fn park(&self, activity: &mut Activity, by: u32) {
        table::park(self, activity, by);
    }
    /// See [`table::forget_tabled`].
    #[inline(always)]
    fn forget_tabled(&self, request: u64, began: u64, standing: Standing) {
        table::forget_tabled(self, request, began, standing);
    }
    /// See [`turn::resume`].
    #[inline(always)]
    fn resume(&self, thread: &mut ThreadState, how: &mut Resume, now: u64) {
        turn::resume(self, thread, how, now);
    }
    /// See [`turn::turn_to_oldest`].
    #[inline(always)]
    fn turn_to_oldest(&self, thread: &mut ThreadState, pid: u32, now: u64) {
        turn::turn_to_oldest(self, thread, pid, now);
    }
    /// See [`turn::turn_to`].
    #[inline(always)]
    fn turn_to(&self, thread: &mut ThreadState, next: &mut Request, wait: u32, pid: u32, now: u64) {
        turn::turn_to(self, thread, next, wait, pid, now);
    }
    /// See [`turn::turn_to_job`].
    #[inline(always)]
    fn turn_to_job(&self, thread: &mut ThreadState, pid: u32, free_since: u64, now: u64) {
        turn::turn_to_job(self, thread, pid, free_since, now);
    }
    /// See [`request::answer`].
    #[inline(always)]
    fn answer(&self, thread: &mut ThreadState, socket: &mut Self::Socket, service: u32, now: u64) {
        request::answer(self, thread, socket, service, now);
    }
    /// See [`row::fill`].
    #[inline(always)]
    fn fill(&self, socket: &mut Self::Socket, work: &mut Activity, now: u64) {
        row::fill(self, socket, work, now);
    }
    /// See [`results::keep`].
    #[inline(always)]
    fn keep(&self, thread: &mut ThreadState, finished: bool) {
        results::keep(self, thread, finished);
    }
    /// See [`results::claim`].
    #[inline(always)]
    fn claim(&self, entry: &mut Activity) {
        results::claim(self, entry);
    }
    /// Finds the running thread, which wakes `thread`, and calls [`handoff::take_over`].
    fn take_over(&self, thread: &mut ThreadState, pid: u32, state: u32, now: u64);
    /// Finds the running thread, which wakes `thread`, and calls [`helper::helped`].
    fn helped(&self, thread: &mut ThreadState, now: u64);
}
