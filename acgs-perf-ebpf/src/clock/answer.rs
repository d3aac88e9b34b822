//! The answers of peers, as a step has found them.
//!
//! In: findings about what a service reads from a peer, and the calls that wait. Out: the figures of the peer's endpoints. A call takes
//! from the send to the arrival of the first bytes of its answer.

use acgs_perf_common::rules::downstream::SEND_RETURNS_NS;
use acgs_perf_protocol::Found;
use acgs_perf_protocol::pending::Reading;

use crate::state::talk::{News, Talk};
use crate::table::endpoint;

/// Something of the reply to a call that waits. It counts at its first bytes, or at the end where its call was not seen before.
#[inline(always)]
pub fn replied(talk: &mut Talk, news: &News, found: Found, place: endpoint::Place, reading: Reading) {
    let is_counted = talk.is_replying != 0 && talk.has_ended == 0;
    if found.has(Found::BEGAN) || (found.has(Found::ENDED) && !is_counted) {
        let latency = news.arrived.wrapping_sub(reading.arrived);
        endpoint::answered(place, if (latency as i64) < 0 { 0 } else { latency });
        (talk.is_replying, talk.has_ended) = (1, 0);
    }
}

/// A reply to what nobody has seen yet.
#[inline(always)]
pub fn replied_early(talk: &mut Talk, news: &News, found: Found) {
    if found.has(Found::ENDED) && !found.has(Found::PUSH) && talk.is_streaming == 0 {
        talk.early = talk.early.saturating_add(1);
        talk.arrived = news.now;
    }
}

/// Whether the answer to a call that is seen now was read a moment before; it counts then.
#[inline(always)]
pub fn is_answered_already(talk: &mut Talk, news: &News, endpoint: u16) -> bool {
    if news.owner.called == 0 || talk.early == 0 {
        return false;
    }
    if news.now.wrapping_sub(talk.arrived) >= SEND_RETURNS_NS {
        // That was something else.
        talk.early = 0;
        return false;
    }
    talk.early -= 1;
    endpoint::answered(endpoint::figures(news.owner, endpoint), 0);
    true
}
