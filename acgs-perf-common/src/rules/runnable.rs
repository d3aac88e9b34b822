//! The requests that an event loop has read from, but not acted for yet, oldest first.
//!
//! Some loops act at once for what they read (nginx, Node); others put it in a queue and work that off in order
//! (asyncio). Which of the two a thread does is learnt from replies, because the socket of a reply
//! says for whom it is. In a loop that queues, a downstream call belongs to the request that has waited longest.

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

/// A queue of requests.
#[repr(C)]
pub struct Runnable {
    first: u32,
    end: u32,
    /// From 0, it acts at once, to 2 × `SURE`, it queues.
    queues: u32,
    /// 1 if it has acted since it last read.
    acted: u32,
    /// Bit per place: the request is new, and not one whose call was answered.
    new: u32,
    padding: u32,
    requests: [Request; LENGTH as usize],
    /// For whom the loop acted last since it slept.
    last: Request,
    first_waiting: u32,
    end_waiting: u32,
    /// Requests that the loop has acted for before it slept, and that wait for something unknown, oldest first.
    waiting: [u64; WAITING as usize],
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
        self.acted = 0;
    }

    /// It calls a peer, for this request if it acts at once.
    #[inline(always)]
    pub fn calls_for(&mut self, id: u64) {
        self.acted = 1;
        if !self.is_queue() && self.len() != 0 && self.at(self.end.wrapping_sub(1)).id == id {
            self.end = self.end.wrapping_sub(1);
        }
    }

    /// The request that has waited longest; when there is none, the one that acted last, which may call several at once.
    #[inline(always)]
    pub fn next_to_act(&mut self) -> Option<Request> {
        if let Some(first) = self.pop() {
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
    pub fn acts_for(&mut self, id: u64) {
        let len = self.len();
        if len == 0 {
            return;
        }
        let is_first = self.at(self.first).id == id;
        let is_last = self.at(self.end.wrapping_sub(1)).id == id;
        // The first act after a new request was read tells: for that one, or for what was read first. (After an answer of
        // a peer it would not: a request may go on to wait for a timer then.)
        let last = self.end.wrapping_sub(1) & (LENGTH - 1);
        if len > 1 && self.acted == 0 && self.new >> last & 1 != 0 {
            if is_first && self.queues < 2 * SURE {
                self.queues += 1;
            }
            if is_last && self.queues > 0 {
                self.queues -= 1;
            }
        }
        self.acted = 1;
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
