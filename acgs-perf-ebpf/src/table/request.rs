//! Requests that wait, in the kernel's maps: an array of places, and a hash map behind it. What is put where, and what becomes of it
//! there, is in `rules::table` of the common crate.
//!
//! In: rules that ask for a request. Out: its entry, and the rules that the verifier checks by themselves.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::{PARKED_REQUESTS, PARKING_PLACES};
use acgs_perf_common::rules::activity::Activity;
use acgs_perf_common::rules::runnable::Request;
use acgs_perf_common::rules::standing::Standing;
use acgs_perf_common::rules::table::{self, place_of};
use acgs_perf_common::rules::thread::ThreadState;
use acgs_perf_common::rules::timer::{self, Timers};
use acgs_perf_common::rules::turn::{self, Resume};
use acgs_perf_common::rules::{Table, handoff, helper, request, results, row};
use acgs_perf_common::subprogram;
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::macros::btf_map;

use super::exemplar;
use crate::count::{lose, prefetch, replaced};
use crate::flags::{MMAPABLE, NO_PREALLOC};
use crate::kernel::sock::Sock;
use crate::kernel::task::Task;
use crate::state::socket::SocketState;
use crate::state::thread::THREADS;

/// Places of `PARKING` given out so far.
#[btf_map]
static NEXT_PLACE: Array<u64, 1> = Array::new();
/// Requests that wait, each in the place that its socket's name gives. The agent has no use for it: an array that can be mapped
/// begins with a page, and so each place with a cache line.
#[btf_map]
static PARKING: Array<Activity, { PARKING_PLACES as usize }, MMAPABLE> = Array::new();
/// Requests whose place is taken, by the address of their socket. Memory is taken only for those that do wait. No LRU hash map:
/// that takes memory for all entries at once (46 MB), and drops requests that still wait before it is full.
#[btf_map]
static PARKED: HashMap<u64, Activity, { PARKED_REQUESTS as usize }, NO_PREALLOC> = HashMap::new();

/// Timers of runtimes, by the last bits of the number of their process.
#[btf_map]
static TIMERS: Array<Timers, { timer::PROCESSES as usize }> = Array::new();

/// A number that names the socket: its address, and where its requests wait. The verifier lets nobody compute with the
/// pointer itself, so the number goes through memory.
#[inline(always)]
pub fn id_of(socket: &mut SocketState, sk: Sock) -> u64 {
    if socket.id == 0 {
        socket.id = sk.address();
        socket.id = table::name(socket.known_id(), next_place());
    }
    socket.known_id()
}

/// The number of the next place in the array, counted on and on.
#[inline(always)]
fn next_place() -> u64 {
    let Some(slot) = NEXT_PLACE.get_ptr_mut(0) else { return 0 };
    // SAFETY: the pointer is into the map's value. Two CPUs may give out one place twice, which the hash map makes good.
    unsafe {
        let next = slot.read_volatile();
        slot.write_volatile(next.wrapping_add(1));
        next
    }
}

/// Prefetches the first cache line of a request's place.
#[inline(always)]
pub fn prefetch_place(request: u64) {
    if let Some(entry) = place_of(&Requests, request) {
        prefetch(&raw mut entry.request);
    }
}

/// Forgets whatever there is of a socket that is closed.
#[inline(always)]
pub fn forget(request: u64) {
    table::forget(&Requests, request);
}

/// The table of requests that wait.
pub struct Requests;

impl Table for Requests {
    type Socket = SocketState;

    #[inline(always)]
    fn place(&self, index: u32) -> Option<&mut Activity> {
        // SAFETY: the pointer is into the map's value; entries are changed by the threads that work for the request, in turn.
        PARKING.get_ptr_mut(index).map(|entry| unsafe { &mut *entry })
    }

    #[inline(always)]
    fn spilled(&self, address: u64) -> Option<&mut Activity> {
        // SAFETY: as in `place`.
        PARKED.get_ptr_mut(address).map(|entry| unsafe { &mut *entry })
    }

    #[inline(always)]
    fn spill(&self, address: u64, first: &Activity) -> bool {
        PARKED.insert(address, first, 0).is_ok()
    }

    #[inline(always)]
    fn unspill(&self, address: u64) {
        let _gone_meanwhile = PARKED.remove(address);
    }

    #[inline(always)]
    fn exchange(&self, standing: &mut Standing, old: Standing, new: Standing) -> bool {
        replaced((&raw mut *standing).cast::<u32>(), old.word(), new.word())
    }

    #[inline(always)]
    fn running(&self) -> u32 {
        Task::current().pid()
    }

    #[inline(always)]
    fn process(&self) -> u32 {
        Task::current().tgid()
    }

    #[inline(always)]
    fn timers(&self, process: u32) -> Option<&mut Timers> {
        // SAFETY: the pointer is into the map's value; two threads of a runtime that write at once leave one of two timers, or a mixture of both,
        // by which a wait of that moment is named.
        TIMERS.get_ptr_mut(process & (timer::PROCESSES - 1)).map(|timers| unsafe { &mut *timers })
    }

    #[inline(always)]
    fn lose(&self, loss: Loss) {
        lose(loss);
    }

    #[inline(always)]
    fn offer(&self, socket: &mut SocketState, work: &mut Activity, service: u32) {
        exemplar::offer(socket, work, service);
    }

    #[inline(always)]
    fn park(&self, activity: &mut Activity, by: u32) {
        park(activity, by);
    }

    #[inline(always)]
    fn forget_tabled(&self, request: u64, began: u64, standing: Standing) {
        forget_tabled(request, began, standing.word());
    }

    #[inline(always)]
    fn resume(&self, thread: &mut ThreadState, how: &mut Resume, now: u64) {
        resume(thread, how, now);
    }

    #[inline(always)]
    fn turn_to_oldest(&self, thread: &mut ThreadState, pid: u32, now: u64) {
        turn_to_oldest(thread, pid, now);
    }

    #[inline(always)]
    fn turn_to(&self, thread: &mut ThreadState, next: &mut Request, wait: u32, pid: u32, now: u64) {
        turn_to(thread, next, wait, pid, now);
    }

    #[inline(always)]
    fn turn_to_job(&self, thread: &mut ThreadState, pid: u32, free_since: u64, now: u64) {
        turn_to_job(thread, pid, free_since, now);
    }

    #[inline(always)]
    fn answer(&self, thread: &mut ThreadState, socket: &mut SocketState, service: u32, now: u64) {
        answer(thread, socket, service, now);
    }

    #[inline(always)]
    fn fill(&self, socket: &mut SocketState, work: &mut Activity, now: u64) {
        fill(socket, work, now);
    }

    #[inline(always)]
    fn keep(&self, thread: &mut ThreadState, finished: bool) {
        keep(thread, u64::from(finished));
    }

    #[inline(always)]
    fn claim(&self, entry: &mut Activity) {
        claim(entry);
    }

    #[inline(always)]
    fn take_over(&self, thread: &mut ThreadState, pid: u32, state: u32, now: u64) {
        take_over(thread, pid, state, now);
    }

    #[inline(always)]
    fn helped(&self, thread: &mut ThreadState, now: u64) {
        helped(thread, now);
    }
}

subprogram! {
    fn park = request_park(activity: &mut Activity; by: u32) {
        table::park(&Requests, activity, by);
    }
}

subprogram! {
    fn forget_tabled = request_forget(; request: u64, began: u64, standing: u32) {
        table::forget_tabled(&Requests, request, began, Standing::from_word(standing));
    }
}

subprogram! {
    fn resume = attribution_resume(thread: &mut ThreadState, how: &mut Resume; now: u64) {
        turn::resume(&Requests, thread, how, now);
    }
}

subprogram! {
    fn turn_to_oldest = attribution_turn_to_oldest(thread: &mut ThreadState; pid: u32, now: u64) {
        turn::turn_to_oldest(&Requests, thread, pid, now);
    }
}

subprogram! {
    fn turn_to = attribution_turn_to(thread: &mut ThreadState, next: &mut Request; wait: u32, pid: u32, now: u64) {
        turn::turn_to(&Requests, thread, next, wait, pid, now);
    }
}

subprogram! {
    fn turn_to_job = attribution_turn_to_job(thread: &mut ThreadState; pid: u32, free_since: u64, now: u64) {
        turn::turn_to_job(&Requests, thread, pid, free_since, now);
    }
}

subprogram! {
    fn answer = attribution_answer(thread: &mut ThreadState, socket: &mut SocketState; service: u32, now: u64) {
        request::answer(&Requests, thread, socket, service, now);
    }
}

subprogram! {
    fn fill = attribution_fill(socket: &mut SocketState, work: &mut Activity; now: u64) {
        row::fill(&Requests, socket, work, now);
    }
}

subprogram! {
    fn keep = result_keep(thread: &mut ThreadState; finished: u64) {
        results::keep(&Requests, thread, finished != 0);
    }
}

subprogram! {
    fn claim = result_claim(entry: &mut Activity) {
        results::claim(&Requests, entry);
    }
}

subprogram! {
    /// The woken thread `pid` works for whom the running one works for.
    fn take_over = thread_take_over(thread: &mut ThreadState; pid: u32, state: u32, now: u64) {
        let waker = Task::current();
        if let Some(giver) = THREADS.get(waker) {
            handoff::take_over(&Requests, giver, waker.pid(), thread, pid, state, now);
        }
    }
}

subprogram! {
    /// The running one lets the other thread go on, which may have waited for it.
    fn helped = thread_helped(thread: &mut ThreadState; now: u64) {
        if let Some(running) = THREADS.get(Task::current()) {
            helper::helped(running, thread, now);
        }
    }
}
