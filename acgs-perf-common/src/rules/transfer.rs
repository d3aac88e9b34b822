//! Work that becomes part of another one, or a copy of it: when its request is found, is put away, or goes to another thread.

use crate::attribution::{Component, PEER_SLOTS, SERVICE_COMPONENTS};
use crate::exemplar::segment;

use super::activity::{Activity, DOWNSTREAM, ON_CPU, UNKNOWN};
use super::standing::Mark;
use crate::opaque;
use crate::subprogram;

/// So many segments are copied at once; most requests have no more.
const FEW_SEGMENTS: usize = 8;
/// Bits behind the point of a portion.
const PORTION_BITS: u32 = 16;
/// Segments of unknown work that are kept when its request is found.
const APPENDED: usize = 5;

subprogram! {
    /// Adds what a thread did before it was known for whom: `work` began at or after `to.at`, and ends now. What began
    /// earlier is counted in proportion, as shared.
    pub fn append = activity_append(to: &mut Activity, work: &mut Activity) {
        let end = work.at;
        let overlap = end.wrapping_sub(to.at);
        let whole = end.wrapping_sub(work.began);
        if (overlap as i64) <= 0 || whole == 0 {
            return;
        }
        to.is_plain_no_more();
        let clipped = overlap < whole;
        // Exact enough where it is less than the whole, and no product overflows before three days have passed.
        let portion = if clipped { (overlap << PORTION_BITS) / whole } else { 1 << PORTION_BITS };
        let mut added = 0;
        for part in 0..SERVICE_COMPONENTS {
            let spent = work.parts[part];
            if spent != 0 {
                let spent = portion_of(spent, portion);
                to.parts[part] += spent;
                added += spent;
            }
        }
        if work.calls != 0 || work.parts[DOWNSTREAM] != 0 {
            for slot in 0..PEER_SLOTS {
                to.peer_ns[slot] += portion_of(work.peer_ns[slot], portion);
            }
            to.calls += work.calls;
            to.one_call += portion_of(work.one_call, portion);
            to.many_calls += portion_of(work.many_calls, portion);
            to.peer = work.peer;
        }
        if clipped {
            // What rounding left.
            to.shared += overlap;
            if added <= overlap {
                to.parts[UNKNOWN] += overlap - added;
            }
            to.push(segment(Component::OnCpu as u32, overlap, 0));
        } else {
            for at in 0..APPENDED {
                if at >= work.segments_len as usize {
                    break;
                }
                to.push(work.segments[at]);
            }
            if work.standing.has(Mark::Plain) {
                to.push(segment(Component::OnCpu as u32, overlap, 0));
            }
        }
        to.at = end;
        to.calls_changed(end, 0, 0);
        to.depth = work.depth;
    }
}

/// So much of a time.
#[inline(always)]
fn portion_of(ns: u64, portion: u64) -> u64 {
    (ns * portion) >> PORTION_BITS
}

subprogram! {
    /// See [`copy_inline`].
    pub fn copy = activity_copy(to: &mut Activity, from: &mut Activity) {
        copy_inline(to, from);
    }
}

/// Makes `to` a copy, but for its standing, which the caller gives it last: in the table that is what lets others see the rest. What `from`
/// does not use is left alone. A function of its own, so that the compiler knows that `from` does not change meanwhile.
#[inline(always)]
fn copy_inline(to: &mut Activity, from: &Activity) {
    if from.standing.has(Mark::Plain) {
        to.clear();
    }
    to.request = from.request;
    to.began = from.began;
    to.at = from.at;
    to.touched = from.touched;
    to.parked_by = from.parked_by;
    to.depth = from.depth;
    to.waited_in = from.waited_in;
    to.waited_since = from.waited_since;
    to.segments_len = from.segments_len;
    to.queue_segments = from.queue_segments;
    to.parts[ON_CPU] = from.parts[ON_CPU];
    if from.segments_len != 0 {
        let (few, more) = (&from.segments[..FEW_SEGMENTS], &from.segments[FEW_SEGMENTS..]);
        opaque::copy_slice(&mut to.segments[..FEW_SEGMENTS], few);
        if from.segments_len > FEW_SEGMENTS as u32 {
            opaque::copy_slice(&mut to.segments[FEW_SEGMENTS..], more);
        }
    }
    if from.standing.has(Mark::Plain) {
        return;
    }
    opaque::copy(&mut to.parts, &from.parts);
    opaque::copy(&mut to.peer_ns, &from.peer_ns);
    to.shared = from.shared;
    to.calls_at = from.calls_at;
    to.one_call = from.one_call;
    to.many_calls = from.many_calls;
    to.outstanding = from.outstanding;
    to.calls = from.calls;
    to.peer = from.peer;
}
