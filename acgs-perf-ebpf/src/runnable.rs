//! The requests that an event loop has read from, but not acted for yet, oldest first.
//!
//! Some loops act at once for what they read (nginx, Node); others put it in a queue and work that off in order
//! (asyncio, Redis with its replies). Which of the two a thread does is learnt from replies, because the socket of a reply
//! says for whom it is. In a loop that queues, a downstream call belongs to the request that has waited longest.

/// Requests remembered, a power of two.
const LENGTH: u32 = 16;
/// How sure one can become.
const SURE: u32 = 8;

/// A queue of requests.
#[repr(C)]
pub struct Runnable {
    first: u32,
    end: u32,
    /// From 0, it acts at once, to 2 × `SURE`, it queues.
    queues: u32,
    padding: u32,
    requests: [Request; LENGTH as usize],
    /// For whom the loop acted last since it slept.
    last: Request,
}

/// A request by the address of its socket, 0 where it has gone, and the time it was read.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Request {
    pub address: u64,
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
    pub fn push(&mut self, address: u64, began: u64) {
        let last = self.at(self.end.wrapping_sub(1));
        if self.len() != 0 && last.address == address && last.began == began {
            return;
        }
        if self.len() >= LENGTH {
            self.first = self.first.wrapping_add(1);
        }
        self.requests[(self.end & (LENGTH - 1)) as usize] = Request { address, began };
        self.end = self.end.wrapping_add(1);
    }

    /// The request that has waited longest; when there is none, the one that acted last, which may call several at once.
    #[inline(always)]
    pub fn next(&mut self) -> Option<Request> {
        if let Some(first) = self.pop() {
            self.last = first;
        }
        (self.last.address != 0).then_some(self.last)
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<Request> {
        for _ in 0..LENGTH {
            if self.len() == 0 {
                break;
            }
            let first = self.at(self.first);
            self.first = self.first.wrapping_add(1);
            if first.address != 0 {
                return Some(first);
            }
        }
        None
    }

    /// The loop sleeps: whatever could run has run.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.first = self.end;
        self.last.address = 0;
    }

    /// A reply shows that the loop acts for this request now: learns from its place, and forgets it.
    #[inline(always)]
    pub fn acts_for(&mut self, address: u64) {
        let len = self.len();
        if len == 0 {
            return;
        }
        let is_first = self.at(self.first).address == address;
        let is_last = self.at(self.end.wrapping_sub(1)).address == address;
        if len > 1 && is_first && self.queues < 2 * SURE {
            self.queues += 1;
        }
        if len > 1 && is_last && self.queues > 0 {
            self.queues -= 1;
        }
        if is_first {
            self.first = self.first.wrapping_add(1);
        } else if is_last {
            self.end = self.end.wrapping_sub(1);
        } else {
            // Those before it may have yielded, and act later.
            for index in 0..LENGTH {
                if self.requests[index as usize].address == address {
                    self.requests[index as usize].address = 0;
                }
            }
        }
    }
}
