//! What a thread works on: for which request, since when, and where the time went. Its parts add up to `at - began`, and to more
//! only once `waited_before` has added the time before.
//!
//! In: times and components. Out: sums per component, and segments in order. The rules that say when an activity begins,
//! parks, moves to another thread and ends are in `attribution`.

use core::mem::offset_of;

use super::standing::{Custody, Mark, Standing};
use crate::attribution::{Component, FIRST_OF_SERVICE_TIME, PEER_SLOTS, SERVICE_COMPONENTS};
use crate::exemplar::{SEGMENTS, segment, segment_add, segment_as, segment_component, segment_kind, segment_more};
use crate::state::State;

use crate::opaque;
use crate::subprogram;

/// Room for the components of the service time.
const PARTS: usize = 16;

const _: () = assert!(SERVICE_COMPONENTS <= PARTS && PEER_SLOTS.is_power_of_two());

/// The work of a thread, or of a request that waits in the table. What every request needs comes first: one cache line, up
/// to the first of the parts.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Activity {
    /// Name of the server-side socket of the request; of a client socket for work whose request is not known; 0 before.
    pub request: u64,
    /// When it began: for a request, when it was read, which tells the requests of a connection apart.
    pub began: u64,
    /// Up to when it is accounted.
    pub at: u64,
    /// When the thread last read or sent for it.
    pub touched: u64,
    /// For whom it is, and where.
    pub standing: Standing,
    /// Thread that parked it.
    pub parked_by: u32,
    /// Wake-ups from thread to thread so far.
    pub depth: u32,
    /// Component of the wait before it began, for the request that it turns out to be for.
    pub waited_in: u32,
    /// Number of segments.
    pub segments_len: u32,
    /// Those at the front that belong to the queue time, newest first.
    pub queue_segments: u32,
    /// ns per component of the service time; a power of two of them, so that a mask keeps an index in bounds.
    pub parts: [u64; PARTS],
    /// ns that were split with other requests.
    pub shared: u64,
    /// Since when `outstanding` holds.
    pub calls_at: u64,
    /// ns with one downstream call outstanding.
    pub one_call: u64,
    /// ns with two or more.
    pub many_calls: u64,
    /// Downstream calls without an answer.
    pub outstanding: u32,
    /// Downstream calls.
    pub calls: u32,
    /// Slot of the peer that was called last.
    pub peer: u32,
    padding: u32,
    /// ns of downstream per peer.
    pub peer_ns: [u64; PEER_SLOTS],
    /// See `acgs_perf_common::exemplar`.
    pub segments: [u64; SEGMENTS],
    /// Since when its thread slept before it began, where `waited_in` says so.
    pub waited_since: u64,
    /// Up to whole cache lines, for the array of those that wait.
    fill: [u64; 2],
}

const _: () = assert!(offset_of!(Activity, parts) + 8 == 64 && size_of::<Activity>().is_multiple_of(64));

impl Activity {
    /// Starts anew; the sums are zero.
    #[inline(always)]
    pub fn start(&mut self, request: u64, custody: Custody, now: u64) {
        self.clear();
        self.request = request;
        self.began = now;
        self.at = now;
        self.touched = now;
        self.standing = Standing::new(custody);
        self.depth = 0;
        self.waited_in = Component::Idle as u32;
        self.segments_len = 0;
        self.queue_segments = 0;
    }

    /// Empties the sums.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.parts[ON_CPU] = 0;
        if self.standing.has(Mark::Plain) {
            return; // there is nothing else
        }
        opaque::clear(&mut self.parts);
        opaque::clear(&mut self.peer_ns);
        // One by one: the compiler would call `memset`, which goes byte by byte.
        for sum in [&mut self.shared, &mut self.one_call, &mut self.many_calls] {
            opaque::store(sum, 0);
        }
        for count in [&mut self.outstanding, &mut self.calls, &mut self.peer] {
            opaque::store(count, 0);
        }
    }

    /// It is no longer only on-CPU.
    #[inline(always)]
    pub fn is_plain_no_more(&mut self) {
        if self.standing.has(Mark::Plain) {
            self.standing.unmark(Mark::Plain);
            self.calls_at = self.at;
            let on_cpu = self.parts[ON_CPU];
            if on_cpu != 0 {
                self.push(segment(Component::OnCpu as u32, on_cpu, 0));
            }
        }
    }

    /// Work of which nobody knows yet for whom it is.
    #[inline(always)]
    pub fn start_anonymous(&mut self, now: u64) {
        self.start(0, Custody::Anonymous, now);
    }

    /// Whether it is the work for this very request.
    #[inline(always)]
    pub fn is_for(&self, request: u64, began: u64) -> bool {
        self.standing.is_active() && self.request == request && self.began == began
    }

    /// Whether it is for a request that was read.
    #[inline(always)]
    pub fn is_for_request(&self) -> bool {
        self.standing.is_for_request()
    }

    /// Whether a thread that blocks in `state` with it waits for a peer: in a call on a socket, if it had to do with one
    /// last; waiting for events, only while an answer is outstanding, because timers are waited for in the same way.
    #[inline(always)]
    pub fn waits_for_peer(&self, state: u32) -> bool {
        if state == State::Poll as u32 {
            self.outstanding != 0 || self.standing.has(Mark::Opening)
        } else {
            self.standing.has(Mark::Away)
        }
    }

    /// When its thread was woken for it from having nothing to do; 0 if it was busy before.
    #[inline(always)]
    pub fn woken_at(&self) -> u64 {
        if self.standing.has(Mark::Woken) { self.began } else { 0 }
    }

    /// Whether somebody could ask for it later.
    #[inline(always)]
    pub fn is_live(&self) -> bool {
        self.standing.is_active() && self.request != 0
    }

    /// Accounts the time up to `until` as `component`; `who` is the peer's slot, or the process behind a wait.
    #[inline(always)]
    pub fn charge(&mut self, component: Component, until: u64, who: u32) {
        self.charge_part(component as u32, until, who);
    }

    /// Accounts the time up to `until` as a component by its number, which must be one of the service time.
    #[inline(always)]
    pub fn charge_part(&mut self, component: u32, until: u64, who: u32) {
        let spent = until.wrapping_sub(self.at);
        if (spent as i64) <= 0 {
            return;
        }
        if component == Component::OnCpu as u32 && self.standing.has(Mark::Plain) {
            self.at = until;
            self.parts[ON_CPU] += spent;
            return;
        }
        charge(self, component, who, until);
    }

    /// Adds a segment; the last one grows when it is of the same kind, or when there is no room.
    #[inline(always)]
    pub fn push(&mut self, new: u64) {
        let len = self.segments_len;
        if len != 0 {
            let last = &mut self.segments[masked(&self.segments_len, u32::MAX)];
            if segment_kind(*last) == segment_kind(new) {
                *last = segment_add(*last, new);
                return;
            }
            if len >= SEGMENTS as u32 {
                *last = segment_more(*last, new);
                return;
            }
        }
        self.segments[masked(&self.segments_len, 0)] = new;
        self.segments_len = len + 1;
    }

    /// Accounts up to now how many calls were outstanding, and changes their number.
    #[inline(always)]
    pub fn calls_changed(&mut self, now: u64, sent: u32, answered: u32) {
        self.is_plain_no_more();
        let spent = now.wrapping_sub(self.calls_at);
        if (spent as i64) > 0 {
            match self.outstanding {
                0 => {}
                1 => self.one_call += spent,
                _ => self.many_calls += spent,
            }
            self.calls_at = now;
        }
        self.calls += sent;
        let open = self.outstanding + sent;
        self.outstanding = open.saturating_sub(answered);
    }

    /// Brings the accounts up to now for a thread that has run on a CPU since.
    #[inline(always)]
    pub fn charge_on_cpu(&mut self, now: u64) {
        if self.standing.is_active() {
            self.charge(Component::OnCpu, now, 0);
        }
    }

    /// So much of its time was split with another request.
    #[inline(always)]
    pub fn share(&mut self, ns: u64) {
        self.is_plain_no_more();
        self.shared += ns;
    }

    /// So much of its sleep was a wait for a lock, at which it looked now and then.
    #[inline(always)]
    pub fn slept_for_lock(&mut self, ns: u64) {
        let slept = self.parts[SLEEP];
        // Less where it changed hands meanwhile.
        let moved = if slept < ns { slept } else { ns };
        self.parts[SLEEP] = slept - moved;
        self.parts[LOCK] += moved;
    }

    /// Its request waited in this component before it began.
    #[inline(always)]
    pub fn waited_before(&mut self, component: Component, ns: u64) {
        self.is_plain_no_more();
        self.parts[component as usize - FIRST_OF_SERVICE_TIME] += ns;
    }

    /// It is for a request that was read at `read`, which is later by less than what the thread has computed and waited to run: takes that off.
    /// Whether it is.
    #[inline(always)]
    pub fn starts_at(&mut self, read: u64) -> bool {
        self.takes_off(read.saturating_sub(self.began))
    }

    /// Its request was answered at `replied`; what another thread did for it after that, or a CPU whose clock was read later, is taken off.
    #[inline(always)]
    pub fn ends_at(&mut self, replied: u64) {
        let late = self.at.wrapping_sub(replied);
        if late as i64 > 0 && self.takes_off(late) {
            self.at = replied;
        }
    }

    /// Takes so much off what was computed and waited to run. Whether there is so much.
    #[inline(always)]
    fn takes_off(&mut self, mut ns: u64) -> bool {
        if ns > self.parts[ON_CPU] + self.waited_to_run() {
            return false;
        }
        for part in [RUN_QUEUE, CPU_QUOTA, LOCK, ON_CPU] {
            let taken = if ns < self.parts[part] { ns } else { self.parts[part] };
            self.parts[part] -= taken;
            ns -= taken;
        }
        true
    }

    /// More of the request was read: what its thread was idle for until then was its client, which was still sending; so were the waits for
    /// events that ended by themselves, `polled` ns, in which a loop looks after its timers.
    #[inline(always)]
    pub fn waited_for_body(&mut self, polled: u64) {
        let slept = self.parts[SLEEP];
        let polled = if polled < slept { polled } else { slept };
        let waited = self.parts[IDLE] + polled;
        if waited == 0 {
            return;
        }
        self.parts[IDLE] = 0;
        self.parts[SLEEP] = slept - polled;
        self.parts[REQUEST_BODY] += waited;
        // The segments of these waits are the last ones, each with a wait for a CPU and a moment on it behind.
        for back in 1..=BODY_SEGMENTS {
            let last = &mut self.segments[masked(&self.segments_len, back.wrapping_neg())];
            let component = segment_component(*last);
            if component == Some(Component::Idle as usize)
                || (polled != 0 && component == Some(Component::Sleep as usize))
            {
                *last = segment_as(*last, Component::RequestBody as u32);
            }
        }
    }

    /// The sum of all parts.
    #[inline(always)]
    pub fn total(&self) -> u64 {
        let mut sum = 0u64;
        for part in 0..SERVICE_COMPONENTS {
            sum = sum.wrapping_add(self.parts[part]);
        }
        sum
    }

    /// For how long its thread waited for locks and for a CPU.
    #[inline(always)]
    #[must_use]
    pub const fn waited_to_run(&self) -> u64 {
        self.parts[LOCK] + self.parts[RUN_QUEUE] + self.parts[CPU_QUOTA]
    }

    /// Whether its thread has waited for anything but to run.
    #[inline(always)]
    #[must_use]
    pub const fn has_blocked(&self) -> bool {
        self.parts[SLEEP] | self.parts[DOWNSTREAM] | self.parts[DISK] != 0
    }

    /// Moves time from on-CPU to waiting for the thread: half of what two requests cannot tell apart.
    #[inline(always)]
    pub fn move_to_loop_wait(&mut self, ns: u64) {
        self.is_plain_no_more();
        let on_cpu = &mut self.parts[ON_CPU];
        let moved = if *on_cpu < ns { *on_cpu } else { ns };
        *on_cpu -= moved;
        self.parts[LOOP_WAIT] += moved;
    }
}

subprogram! {
    /// Accounts the time up to `until`, which lies ahead, as `component`.
    fn charge = activity_charge(activity: &mut Activity; component: u32, who: u32, until: u64) {
        activity.is_plain_no_more();
        let spent = until.wrapping_sub(activity.at);
        activity.at = until;
        let part = component.wrapping_sub(FIRST_OF_SERVICE_TIME as u32);
        activity.parts[part as usize & (PARTS - 1)] += spent;
        if component == Component::Downstream as u32 {
            activity.peer_ns[who as usize & (PEER_SLOTS - 1)] += spent;
        }
        activity.push(segment(component, spent, who));
    }
}

/// `len + change` as an index of a segment. It is read anew, so that the compiler, which knows the bounds from the lines
/// around, leaves the mask in place for the verifier, which does not.
#[inline(always)]
fn masked(len: &u32, change: u32) -> usize {
    (opaque::reload(len).wrapping_add(change) & (SEGMENTS as u32 - 1)) as usize
}

/// Index of on-CPU among the parts.
pub const ON_CPU: usize = Component::OnCpu as usize - FIRST_OF_SERVICE_TIME;
/// Index of the time that was waited for peers.
pub const DOWNSTREAM: usize = Component::Downstream as usize - FIRST_OF_SERVICE_TIME;
const DISK: usize = Component::Disk as usize - FIRST_OF_SERVICE_TIME;
const SLEEP: usize = Component::Sleep as usize - FIRST_OF_SERVICE_TIME;
const RUN_QUEUE: usize = Component::RunQueue as usize - FIRST_OF_SERVICE_TIME;
const CPU_QUOTA: usize = Component::CpuQuota as usize - FIRST_OF_SERVICE_TIME;
/// Index of the waits for locks.
pub const LOCK: usize = Component::Lock as usize - FIRST_OF_SERVICE_TIME;
/// So many segments back may be waits for the rest of a request.
const BODY_SEGMENTS: u32 = 4;
const IDLE: usize = Component::Idle as usize - FIRST_OF_SERVICE_TIME;
const REQUEST_BODY: usize = Component::RequestBody as usize - FIRST_OF_SERVICE_TIME;
const LOOP_WAIT: usize = Component::LoopWait as usize - FIRST_OF_SERVICE_TIME;
/// Index of the time that nobody can account for.
pub const UNKNOWN: usize = Component::Unknown as usize - FIRST_OF_SERVICE_TIME;
