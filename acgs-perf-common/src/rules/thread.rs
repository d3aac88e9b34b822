//! The state of a thread: what it is doing, for whom, and what it did before.
//!
//! In: nothing. Out: the type, which the kernel side keeps in the local storage of each thread of a service.

use super::activity::Activity;
use super::history::History;
use super::runnable::Runnable;
use super::timer::Timer;
use crate::attribution::Component;
use crate::opaque::store;
use crate::state::State;

/// An answer of a peer, for which another thread may wait.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Answer {
    /// When the peer was called.
    pub since: u64,
    /// When the answer arrived; 0 for none.
    pub arrived: u64,
    /// The peer's slot.
    pub peer: u32,
    padding: u32,
}

impl Answer {
    /// From this peer.
    #[inline(always)]
    #[must_use]
    pub const fn new(since: u64, arrived: u64, peer: u32) -> Self {
        Self { since, arrived, peer, padding: 0 }
    }
}

/// State of a thread, in its task storage.
#[repr(C)]
pub struct ThreadState {
    /// When the thread entered `state`; 0 in a new record.
    pub since: u64,
    /// When the running system call was entered; 0 outside of one.
    pub syscall_entered: u64,
    /// Its number.
    pub syscall: u32,
    /// A `State`.
    pub state: u32,
    /// How often the thread has read a request while another one of its own waited, less its direct replies to requests that
    /// were not only computed; 0 for a thread that is no event loop.
    pub loop_evidence: u32,
    /// 1 if a request that it has read is not answered.
    pub unanswered: u32,
    /// 1 if it is blocked on a futex on which it may wait for a job.
    pub awaits_job: u32,
    /// A new state, on its way through memory; see `opaque`.
    pub scratch: u32,
    /// Sleeps for which a pool is known to give results back to this loop.
    pub pool_sleeps: u32,
    /// Marks, see `standby`.
    pub seen: [u8; 4],
    /// When it last woke from having nothing to do: for events, or for a job.
    pub woke_at: u64,
    /// Since when it had had nothing to do then.
    pub idle_since: u64,
    /// 1 if it waited for events then.
    pub polled_idle: u32,
    padding: u32,
    /// The wait that it is in, or was in last, ends by itself then; 0 without a limit. See `limit`.
    pub limit: u64,
    /// The futex of that wait; 0 for events.
    pub word: u64,
    /// Time in waits for that futex that ended by themselves, one at once upon the other, up to now.
    pub lapsed: u64,
    /// A futex for which it is known to wait again and again, with a limit each time, until somebody wakes it.
    pub retried: u64,
    /// How long each of those waits would have lasted by itself.
    pub lapsed_span: u64,
    /// The same of the waits for `retried`.
    pub retried_span: u64,
    /// When the first of its last waits for events began that ended by themselves, between which it had nothing to do; 0 for none.
    pub slept_since: u64,
    /// How sure it is that the thread is one of a runtime's, each of which goes on with whatever can; see `standing::Mark::Woken`.
    pub takes: u32,
    /// 1 if it is on the run queue because the CPU quota of its control group is used up.
    pub held_back: u32,
    /// 1 if the call on a socket in which it blocks, or has blocked last, is a send: the send buffer is full.
    pub sends: u32,
    /// Requests that it has answered, since its process was last told of them.
    pub answered: u32,
    /// Those of them that were slower than the P99 of the service until then.
    pub slow: u32,
    /// 1 if a futex, on which it waits for its jobs, has woken it last for one; 0 if events have.
    pub does_jobs: u32,
    /// 1 if a worker that had more jobs than it could do has woken it from its last sleep, to give one back.
    pub queue_gave: u32,
    /// 1 if it was at a job of nobody knows whom, which it had found while it was busy, when it last told its loop that it is done.
    pub kept: u32,
    /// How sure it is that it gives jobs to its pool in another order than that in which it has read the requests: a pool with a limit of its own.
    pub misled: u32,
    /// 1 if it was woken for a job of nobody knows whom, and has not told its loop since that it is done.
    pub has_job: u32,
    /// The futex on which it waited when it was last woken for a job; 0 before.
    pub job_word: u64,
    /// When the job was begun of which its process has kept last what this thread has done, and the place of that; see `results`.
    pub kept_job: u64,
    /// See `kept_job`.
    pub kept_place: u32,
    /// 1 if the call that it is in has woken its loop with what it has done, or the last such call has.
    pub has_woken: u32,
    /// Time in waits for events that ended by themselves since it has last read of its request.
    pub polled: u64,
    /// When it last gave what it works on to another thread, or got it back from there; 0 for never.
    pub gave_at: u64,
    /// How long that had waited for locks until then.
    pub gave_locked: u64,
    /// How often it has given it away since it last got it back.
    pub gifts: u32,
    /// How often it has let go on who had given it something, or one of those has that it works with.
    pub helps: u32,
    /// When it last did that with what it works on now; 0 for never.
    pub told_at: u64,
    /// 1 if who wakes it now has done what it has waited for.
    pub is_helped: u32,
    fill: u32,
    /// The answer that it has read last for other threads, or who has woken it has.
    pub answer: Answer,
    /// Its next timer, if it is an event loop.
    pub timer: Timer,
    /// What it works on.
    pub activity: Activity,
    /// For whom it may act next.
    pub runnable: Runnable,
    /// What it did last.
    pub history: History,
}

impl ThreadState {
    /// Whether the thread is known to run.
    #[inline(always)]
    pub fn is_on_cpu(&self) -> bool {
        self.since != 0 && self.state == State::OnCpu as u32
    }

    /// Whether requests go on in whatever thread can: it leaves them in the table wherever another thread may go on with them.
    #[inline(always)]
    pub fn shares_requests(&self) -> bool {
        self.takes != 0
    }

    /// Whether who acts next, after it has called a peer, is another request.
    #[inline(always)]
    pub fn lets_go_at_calls(&self) -> bool {
        self.runnable.is_queue() || self.shares_requests()
    }

    /// In what state its time on the run queue counts.
    #[inline(always)]
    pub fn runnable_state(&self) -> u32 {
        if self.held_back == 0 { State::RunQueue as u32 } else { State::CpuQuota as u32 }
    }

    /// The thread becomes runnable, or stays so without a CPU: what the requests that it will read have waited for meanwhile.
    #[inline(always)]
    pub fn queues(&mut self, now: u64) {
        let component = if self.held_back == 0 { Component::QueueRunQueue } else { Component::QueueCpuQuota };
        self.history.push(component, now);
    }

    /// The thread is in another state since now.
    #[inline(always)]
    pub fn enter(&mut self, state: u32, now: u64) {
        // The state last: a waker on another CPU leaves a thread alone that is not blocked yet.
        store(&mut self.since, now);
        store(&mut self.state, state);
    }
}
