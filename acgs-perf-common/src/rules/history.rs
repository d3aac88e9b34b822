//! The last states of a thread with the time each began, so that a request that was queued can be told what the thread
//! that reads it did meanwhile.

use crate::attribution::{COMPONENTS, Component, QUEUE_COMPONENTS};
use crate::exemplar::segment;

use super::activity::Activity;
use crate::opaque::{self, reload, store};

/// States remembered, a power of two. Longer ago is not known.
const LENGTH: u32 = 64;
/// States looked at for what a loop did since a request could have gone on; that is a moment ago.
const RECENT: u32 = 12;
const COMPONENT_BITS: u32 = 5;
const COMPONENT_MASK: u64 = (1 << COMPONENT_BITS) - 1;
/// A break is short if it is shorter than one such part of the wait that it interrupts.
const SHORT_BREAK: u64 = 32;
/// Segments of a request's queue time that are kept one by one.
const SEGMENTS_KEPT: u32 = 10;
/// Words that a component's number may reach with a mask: those of the queue time are the first.
pub const QUEUE_ROOM: usize = 16;

const _: () = assert!(QUEUE_COMPONENTS <= QUEUE_ROOM && QUEUE_ROOM <= COMPONENTS);

/// A ring of states.
///
/// A walk keeps its variables in `walk`, in memory, so that the ways through one step join again before the next; see `opaque`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct History {
    head: u32,
    padding: u32,
    /// Time at which the state began, shifted left, and its `Component` of queue time; 0 for none.
    entries: [u64; LENGTH as usize],
    walk: Walk,
}

/// Variables of a walk back in time.
#[repr(C)]
#[derive(Clone, Copy)]
struct Walk {
    since: u64,
    end: u64,
    run_queue: u64,
    cpu_quota: u64,
    disk: u64,
}

/// How long a thread waited, by what for.
pub struct Waits {
    /// For a CPU.
    pub run_queue: u64,
    /// For the quota of its control group to be filled.
    pub cpu_quota: u64,
    /// For a disk.
    pub disk: u64,
}

impl History {
    /// The thread enters a state.
    ///
    /// A long wait with short breaks (who waits for an interpreter's global lock looks every 5 ms) is kept as one wait, or
    /// the ring would not reach far enough back. A moment of idleness is no break: requests that come then wait for a thread
    /// that has nothing to do, and not behind what it did before.
    #[inline(always)]
    pub fn push(&mut self, component: Component, now: u64) {
        for break_states in [1, 2] {
            let before = self.entry(break_states + 1);
            if before & COMPONENT_MASK == component as u64 {
                let (first, last) = (self.entry(break_states), self.entry(1));
                let (began, broke) = (before >> COMPONENT_BITS, first >> COMPONENT_BITS);
                // A number instead of a branch, which the verifier would follow both ways: all ones where one of them is idle.
                let busy = |entry: u64| ((entry & COMPONENT_MASK) ^ Component::QueueIdle as u64).wrapping_sub(1);
                let idle = ((busy(first) | busy(last)) as i64 >> 63) as u64;
                if began != 0 && (((now - broke) * SHORT_BREAK) | idle) < broke - began {
                    self.head = self.head.wrapping_sub(break_states);
                    return;
                }
            }
        }
        self.entries[(self.head & (LENGTH - 1)) as usize] = (now << COMPONENT_BITS) | component as u64;
        self.head = self.head.wrapping_add(1);
    }

    /// The entry that many states ago, from 1.
    #[inline(always)]
    fn entry(&self, back: u32) -> u64 {
        self.entries[(self.head.wrapping_sub(back) & (LENGTH - 1)) as usize]
    }

    /// The thread was in another state after all since its last change.
    #[inline(always)]
    pub fn set_last(&mut self, component: Component) {
        let last = &mut self.entries[(self.head.wrapping_sub(1) & (LENGTH - 1)) as usize];
        if *last != 0 {
            *last = (*last >> COMPONENT_BITS << COMPONENT_BITS) | component as u64;
        }
    }

    /// Becomes that of another thread.
    #[inline(always)]
    pub fn copy_from(&mut self, from: &Self) {
        self.head = from.head;
        opaque::copy(&mut self.entries, &from.entries);
    }

    /// One step of the walk: the component of the state before, and how much of it lies within the walk. `None` at its end.
    #[inline(always)]
    fn step(&mut self, back: u32) -> Option<(u32, u64)> {
        let entry = self.entry(back);
        let (since, end) = (reload(&self.walk.since), reload(&self.walk.end));
        if entry == 0 || end <= since {
            return None;
        }
        let began = entry >> COMPONENT_BITS;
        let from = if began > since { began } else { since };
        let component = (entry & COMPONENT_MASK) as u32;
        if from >= end {
            return Some((component, 0));
        }
        store(&mut self.walk.end, from);
        Some((component, end - from))
    }

    /// How long the thread waited for a CPU, its quota and a disk between `since` and `until`, as far as is remembered.
    #[inline(always)]
    pub fn waits(&mut self, since: u64, until: u64) -> Waits {
        store(&mut self.walk.since, since);
        store(&mut self.walk.end, until);
        store(&mut self.walk.run_queue, 0);
        store(&mut self.walk.cpu_quota, 0);
        store(&mut self.walk.disk, 0);
        let mut back = 0;
        while back < RECENT {
            back += 1;
            let Some((component, spent)) = self.step(back) else { break };
            if component == Component::QueueRunQueue as u32 {
                let sum = reload(&self.walk.run_queue);
                store(&mut self.walk.run_queue, sum + spent);
            } else if component == Component::QueueCpuQuota as u32 {
                let sum = reload(&self.walk.cpu_quota);
                store(&mut self.walk.cpu_quota, sum + spent);
            } else if component == Component::QueueDisk as u32 {
                let sum = reload(&self.walk.disk);
                store(&mut self.walk.disk, sum + spent);
            }
        }
        let Walk { run_queue, cpu_quota, disk, .. } = &self.walk;
        Waits { run_queue: reload(run_queue), cpu_quota: reload(cpu_quota), disk: reload(disk) }
    }

    /// Adds to `queue` what the thread did between `since` and `until`, and tells `activity` the segments, newest first.
    #[inline(always)]
    pub fn explain(&mut self, since: u64, until: u64, queue: &mut [u64; QUEUE_ROOM], activity: &mut Activity) {
        store(&mut self.walk.since, since);
        store(&mut self.walk.end, until);
        let mut back = 0;
        // Not a range to its end, which has a step more to go through than there are states.
        while back < LENGTH {
            back += 1;
            let Some((component, spent)) = self.step(back) else { break };
            if spent == 0 {
                continue;
            }
            queue[component as usize & (QUEUE_ROOM - 1)] += spent;
            if back <= SEGMENTS_KEPT {
                activity.push(segment(component, spent, 0));
            }
        }
        let (since, end) = (reload(&self.walk.since), reload(&self.walk.end));
        if end > since {
            queue[Component::QueueOther as usize] += end - since;
            activity.push(segment(Component::QueueOther as u32, end - since, 0));
        }
    }
}
