//! The requests that an event loop has read from, but not acted for yet, oldest first.
//!
//! Some loops act at once for what they read (nginx, Node); others put it in a queue and work that off in order
//! (asyncio, haproxy). Which of the two a thread does is learnt from replies, because the socket of a reply
//! says for whom it is. In a loop that queues, a downstream call belongs to the request that has waited longest.

use crate::subprogram;

/// Requests remembered, a power of two.
const LENGTH: u32 = 16;
/// Requests remembered that wait for a timer, a thread of the pool or anything else, a power of two.
const WAITING: u32 = 64;
/// Of those, how many that have gone on meanwhile are passed over at a time.
const PASSED_OVER: u32 = 8;
/// Requests that have gone, in a row, that are skipped.
const GONE: u32 = 4;
/// How sure one can become of either.
const SURE: u32 = 3;
/// So much surer one is after a trial; a reply that follows the read of its request weighs 1.
const TRIAL: u32 = 2;
/// A trial whose answer has not come after so long gives way to another.
const TRIAL_NS: u64 = 1_000_000_000;
/// What `acted` can be.
const NOT_YET: u32 = 0;
const ACTED: u32 = 1;
/// Once, for one of several new requests that it has read one upon the other.
const AMBIGUOUSLY: u32 = 2;
/// In `new`, above the bits of the places: a trial is on.
const ON_TRIAL: u32 = 1 << 31;
/// In place of the connection of a trial: its answer was read.
const ANSWERED: u64 = 1;
/// Names of workers begin like that, which those of sockets do not.
const WORKER: u64 = 1;
/// What a trial is of.
const QUEUES: u32 = 0;
const NEW_FIRST: u32 = 1;

/// A queue of requests.
#[repr(C)]
pub struct Runnable {
    first: u32,
    end: u32,
    /// From 0, it acts at once, to 2 × `SURE`, it queues.
    queues: u32,
    /// Whether it has acted since it last read: `NOT_YET`, `ACTED`, or `AMBIGUOUSLY`.
    acted: u32,
    /// Bit per place: the request is new, and not one whose call was answered. And `ON_TRIAL`.
    new: u32,
    /// From 0, it takes what it has read in that order, to 2 × `SURE`, it takes new requests before those whose call was answered.
    new_first: u32,
    requests: [Request; LENGTH as usize],
    /// For whom the loop acted last since it slept.
    last: Request,
    first_waiting: u32,
    end_waiting: u32,
    /// Requests that the loop has acted for before it slept, and that wait for something unknown, oldest first.
    waiting: [u64; WAITING as usize],
    /// See `tries`.
    trial: Trial,
}

/// A call that was for one of two requests.
#[repr(C)]
#[derive(Clone, Copy)]
struct Trial {
    /// Name of the connection that it was made on, or of the worker that got the job; `ANSWERED`, or 0 for none.
    connection: u64,
    /// When it was made.
    since: u64,
    /// Names of the sockets of the two: it is for this one if what the trial is of is so,
    one: u64,
    /// and for this one if not.
    other: u64,
    /// `QUEUES` or `NEW_FIRST`.
    of: u32,
    /// Where `acted` is `AMBIGUOUSLY`: the lower half of the name of the connection or worker.
    acted_on: u32,
}

/// A request: the name of its socket, and the time it was read.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Request {
    /// Name of the socket; 0 where the request has gone.
    pub id: u64,
    /// When it was read.
    pub began: u64,
}

subprogram! {
    /// See `Runnable::tries`.
    fn begin_trial = runnable_begin_trial(runnable: &mut Runnable; connection: u64, now: u64) {
        let trial = &runnable.trial;
        if trial.connection != 0 && now.wrapping_sub(trial.since) < TRIAL_NS {
            return;
        }
        if let Some((one, other, of)) = runnable.candidates() {
            let acted_on = runnable.trial.acted_on;
            runnable.trial = Trial { connection, since: now, one, other, of, acted_on };
            runnable.new |= ON_TRIAL;
        }
    }
}

/// In a trial, a worker stands for the connection to a peer.
#[inline(always)]
pub const fn name_of_worker(pid: u32) -> u64 {
    WORKER << 32 | pid as u64
}

impl Runnable {
    #[inline(always)]
    fn at(&self, index: u32) -> Request {
        self.requests[(index & (LENGTH - 1)) as usize]
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        self.end.wrapping_sub(self.first)
    }

    /// Whether this loop works off in order what it has read.
    #[inline(always)]
    pub fn is_queue(&self) -> bool {
        self.queues > SURE
    }

    /// Whether more than one request could be meant.
    #[inline(always)]
    pub fn is_ambiguous(&self) -> bool {
        self.len() > 1
    }

    /// Something was read for a request.
    #[inline(always)]
    pub fn push(&mut self, id: u64, began: u64, new: bool) {
        let last = self.at(self.end.wrapping_sub(1));
        if self.len() != 0 && last.id == id && last.began == began {
            return;
        }
        if self.len() >= LENGTH {
            self.first = self.first.wrapping_add(1);
        }
        let place = self.end & (LENGTH - 1);
        self.new = if new { self.new | 1 << place } else { self.new & !(1 << place) };
        self.requests[place as usize] = Request { id, began };
        self.end = self.end.wrapping_add(1);
        self.acted = NOT_YET;
    }

    /// It is about to call a peer, to open a connection to one, or to give a job to a worker. Where that is the first act after it has read for several requests, what
    /// it replies to tells for which of them it was: a loop that calls for each request shows nothing else. A loop that acts at once would have acted before it read
    /// the last of them, and has no second act.
    #[inline(always)]
    pub fn tries(&mut self, connection: u64, now: u64) {
        if self.acted == NOT_YET && self.len() > 1 {
            self.acted = if self.has_read_several() { AMBIGUOUSLY } else { ACTED };
            begin_trial(self, connection, now);
            self.trial.acted_on = connection as u32;
        } else if self.acted == AMBIGUOUSLY && self.trial.acted_on != connection as u32 {
            self.acted = ACTED;
            self.learn(QUEUES, true, 1);
        }
    }

    /// Whether the last two that it has read for are new.
    #[inline(always)]
    fn has_read_several(&self) -> bool {
        let last = self.end.wrapping_sub(1) & (LENGTH - 1);
        let before = self.end.wrapping_sub(2) & (LENGTH - 1);
        self.new >> last & self.new >> before & 1 != 0
    }

    /// Which of its requests a loop takes first: the oldest if it queues, the newest if it acts at once; of those in the queue the oldest,
    /// or the oldest new one. `candidates` are the two between which the call decides, as far as nothing else has.
    #[inline(always)]
    fn candidates(&self) -> Option<(u64, u64, u32)> {
        let last = self.end.wrapping_sub(1) & (LENGTH - 1);
        let place = self.oldest_new()?;
        let (oldest_new, oldest) = (self.requests[(place & (LENGTH - 1)) as usize].id, self.at(self.first).id);
        if self.is_queue() && oldest != oldest_new {
            Some((oldest_new, oldest, NEW_FIRST))
        } else if place != last && self.new >> last & 1 != 0 {
            Some((oldest_new, self.requests[last as usize].id, QUEUES))
        } else {
            None
        }
    }

    /// The place of the new request that has waited longest.
    #[inline(always)]
    fn oldest_new(&self) -> Option<u32> {
        for back in 0..LENGTH {
            if back >= self.len() {
                break;
            }
            let place = self.first.wrapping_add(back) & (LENGTH - 1);
            if self.new >> place & 1 != 0 && self.requests[place as usize].id != 0 {
                return Some(place);
            }
        }
        None
    }

    /// The answer on this connection was read, or this worker has given its result back.
    #[inline(always)]
    pub fn answered(&mut self, connection: u64) {
        if self.trial.connection == connection {
            self.trial.connection = ANSWERED;
        }
    }

    /// It replies to this request while a trial is on. The first one after the answer is the one that had called; before that it is one that
    /// has not. A loop that is busy is not told that a worker is done: `has_done` knows whether that has put this request away.
    #[inline(always)]
    fn told(&mut self, id: u64, has_done: impl Fn(u64, u32) -> bool) {
        let Trial { connection, one, other, of, .. } = self.trial;
        let is_of_worker = connection >> 32 == WORKER;
        let worker = connection as u32;
        let is_answered =
            connection == ANSWERED || (is_of_worker && (has_done(one, worker) || has_done(other, worker)));
        if is_of_worker && !is_answered {
            // It may be done, and has told nobody.
        } else if id == one || id == other {
            self.learn(of, (id == one) == is_answered, TRIAL);
        } else if !is_answered {
            return;
        }
        self.new &= !ON_TRIAL;
        self.trial.connection = 0;
    }

    /// It is surer of this, or less sure.
    #[inline(always)]
    fn learn(&mut self, of: u32, is_so: bool, weight: u32) {
        let sure = if of == QUEUES { &mut self.queues } else { &mut self.new_first };
        *sure = match is_so {
            true if *sure + weight < 2 * SURE => *sure + weight,
            true => 2 * SURE,
            false => sure.saturating_sub(weight),
        };
    }

    /// It calls a peer, for this request if it acts at once.
    #[inline(always)]
    pub fn calls_for(&mut self, id: u64) {
        if self.acted == NOT_YET {
            self.acted = ACTED;
        }
        if !self.is_queue() && self.len() != 0 && self.at(self.end.wrapping_sub(1)).id == id {
            self.end = self.end.wrapping_sub(1);
        }
    }

    /// The request whose turn it is to call; when there is none, the one that acted last, which may call several at once.
    #[inline(always)]
    pub fn next_to_act(&mut self) -> Option<Request> {
        if let Some(new) = if self.new_first > SURE { self.oldest_new() } else { None } {
            let place = &mut self.requests[(new & (LENGTH - 1)) as usize];
            self.last = *place;
            place.id = 0;
        } else if let Some(first) = self.pop() {
            self.last = first;
        }
        (self.last.id != 0).then_some(self.last)
    }

    /// The request that has waited longest, and nothing when there is none.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<Request> {
        for _ in 0..GONE {
            if self.len() == 0 {
                break;
            }
            let first = self.at(self.first);
            self.first = self.first.wrapping_add(1);
            if first.id != 0 {
                return Some(first);
            }
        }
        None
    }

    /// The loop sleeps: whatever could run has run, and waits now.
    #[inline(always)]
    pub fn sleeps(&mut self) {
        for back in 0..LENGTH {
            if back >= self.len() {
                break;
            }
            let left = self.at(self.first.wrapping_add(back));
            if left.id != 0 {
                self.waiting[(self.end_waiting & (WAITING - 1)) as usize] = left.id;
                self.end_waiting = self.end_waiting.wrapping_add(1);
            }
        }
        self.first = self.end;
        self.acted = ACTED;
        if self.end_waiting.wrapping_sub(self.first_waiting) > WAITING {
            self.first_waiting = self.end_waiting.wrapping_sub(WAITING);
        }
        self.last.id = 0;
    }

    /// The request that waits longest, of those of which `waits` says that they still do; none if that one was put away at `until` or
    /// later, as all behind it were.
    #[inline(always)]
    pub fn next_waiting(&mut self, until: u64, waits: impl Fn(u64) -> Option<(Request, u64)>) -> Option<Request> {
        for _ in 0..PASSED_OVER {
            if self.first_waiting == self.end_waiting {
                break;
            }
            let id = self.waiting[(self.first_waiting & (WAITING - 1)) as usize];
            let waiting = waits(id);
            if waiting.is_some_and(|(_, put_away)| put_away >= until) {
                break;
            }
            self.first_waiting = self.first_waiting.wrapping_add(1);
            if let Some((request, _)) = waiting {
                return Some(request);
            }
        }
        None
    }

    /// A reply shows that the loop acts for this request now: learns from its place, and forgets it.
    #[inline(always)]
    pub fn acts_for(&mut self, id: u64, has_done: impl Fn(u64, u32) -> bool) {
        if self.new & ON_TRIAL != 0 {
            self.told(id, has_done);
        }
        let len = self.len();
        if len == 0 {
            return;
        }
        let is_first = self.at(self.first).id == id;
        let is_last = self.at(self.end.wrapping_sub(1)).id == id;
        // The first act after a new request was read tells: for that one, or for what was read first. (After an answer of
        // a peer it would not: a request may go on to wait for a timer then.)
        let last = self.end.wrapping_sub(1) & (LENGTH - 1);
        if len > 1 && self.acted == NOT_YET && self.new >> last & 1 != 0 {
            if is_first {
                self.learn(QUEUES, true, 1);
            }
            if is_last {
                self.learn(QUEUES, false, 1);
            }
        }
        self.acted = ACTED;
        if is_first {
            self.first = self.first.wrapping_add(1);
        } else if is_last {
            self.end = self.end.wrapping_sub(1);
        } else {
            // Those before it may have yielded, and act later.
            for index in 0..LENGTH {
                if self.requests[index as usize].id == id {
                    self.requests[index as usize].id = 0;
                }
            }
        }
    }
}
