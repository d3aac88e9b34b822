//! The last states of a thread with the time each began, so that a request that was queued can be told what the thread
//! that reads it did meanwhile.

use acgs_perf_common::attribution::{Component, QUEUE_COMPONENTS};
use acgs_perf_common::exemplar::segment;

use crate::activity::Activity;

/// States remembered, a power of two. Longer ago is not known.
const LENGTH: u32 = 32;
const COMPONENT_BITS: u32 = 5;
/// Segments of a request's queue time that are kept one by one.
const SEGMENTS_KEPT: u32 = 10;

/// A ring of states.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct History {
    head: u32,
    padding: u32,
    /// Time at which the state began, shifted left, and its `Component` of queue time; 0 for none.
    entries: [u64; LENGTH as usize],
}

impl History {
    /// The thread enters a state.
    #[inline(always)]
    pub fn push(&mut self, component: Component, now: u64) {
        self.entries[(self.head & (LENGTH - 1)) as usize] = (now << COMPONENT_BITS) | component as u64;
        self.head = self.head.wrapping_add(1);
    }

    /// The thread was idle after all since it entered its last state.
    #[inline(always)]
    pub fn set_last(&mut self, component: Component) {
        let last = &mut self.entries[(self.head.wrapping_sub(1) & (LENGTH - 1)) as usize];
        *last = (*last >> COMPONENT_BITS << COMPONENT_BITS) | component as u64;
    }

    /// Adds to `queue` what the thread did between `since` and `until`, and tells `activity` the segments, newest first.
    #[inline(always)]
    pub fn explain(&self, since: u64, until: u64, queue: &mut [u64], activity: &mut Activity) {
        let mut end = until;
        let head = self.head;
        for back in 1..=LENGTH {
            let entry = self.entries[(head.wrapping_sub(back) & (LENGTH - 1)) as usize];
            let began = entry >> COMPONENT_BITS;
            if entry == 0 || end <= since {
                break;
            }
            if began >= end {
                continue;
            }
            let from = if began > since { began } else { since };
            let spent = end - from;
            let component = (entry & ((1 << COMPONENT_BITS) - 1)) as usize;
            if component < QUEUE_COMPONENTS && component < queue.len() {
                queue[component] += spent;
            }
            if back <= SEGMENTS_KEPT {
                activity.push(segment(component as u32, spent, 0));
            }
            end = from;
        }
        if end > since {
            queue[Component::QueueOther as usize] += end - since;
            activity.push(segment(Component::QueueOther as u32, end - since, 0));
        }
    }
}
