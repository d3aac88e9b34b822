//! What a service asks its peers for: follows what it sends on the connections that it has opened, and what comes back.
//!
//! In: sends and reads. Out: in the downstream call which of the peer's endpoints it is for; what was found, to `found`. An answer may be
//! read before the send has returned, which is when a call is seen, and at the same moment, on another CPU.

use acgs_perf_common::endpoint::{CALLED_SHIFT, NO_ENDPOINT};
use acgs_perf_common::rules::call::{CALLED, MIXED};

use super::walk::follow;
use crate::count::replaced;
use crate::globals::follows_protocols;
use crate::state::socket::SocketState;
use crate::state::talk::{News, Owner};
use crate::table::endpoint;

/// States of `Talk::followers`.
const NOBODY: u64 = 0;
const ONE: u64 = 1;
const TORN: u64 = 3;

/// The service sends `bytes`; the rules of downstream calls have not heard of it yet. Whether it asks for something that has a name.
#[inline(always)]
pub fn asks(socket: &mut SocketState, service: u32, bytes: u64, now: u64) -> bool {
    let is_open = matches!(socket.call.phase, CALLED | MIXED);
    if !follows_protocols() || (is_open && !socket.talk.is_followed()) {
        // No protocol begins in the middle of a request.
        return false;
    }
    let Some(news) = News::begin(owner(socket, service), bytes, now, now, false) else { return false };
    follow_alone(socket, news);
    let is_named = news.last_endpoint != u32::from(NO_ENDPOINT);
    if is_named || !is_open {
        socket.call.asks_for(news.last_endpoint);
    }
    is_named
}

/// The service has read `bytes`, which had arrived at `arrived`.
#[inline(always)]
pub fn hears(socket: &mut SocketState, service: u32, bytes: u64, arrived: u64, now: u64) {
    if follows_protocols()
        && socket.talk.is_followed()
        && let Some(news) = News::begin(owner(socket, service), bytes, arrived, now, true)
    {
        follow_alone(socket, news);
    }
}

/// A call was made, for whom the rules know now. Counts it if the one before it, on this connection and for the same request, was for the
/// same.
#[inline(always)]
pub fn asked(socket: &mut SocketState, service: u32) {
    let (endpoint, call) = ((socket.call.peer >> CALLED_SHIFT) as u16, &socket.call);
    // These three are of no other use on a connection that the service has opened.
    if (socket.endpoint, socket.arrived, socket.read) == (endpoint, call.request, call.began) {
        endpoint::repeated(endpoint::figures(owner(socket, service), endpoint));
    }
    (socket.arrived, socket.read) = (socket.call.request, socket.call.began);
    socket.endpoint = endpoint;
}

#[inline(always)]
fn owner(socket: &SocketState, service: u32) -> Owner {
    Owner { service, called: socket.call.slot().wrapping_add(1) }
}

/// Follows it unless another CPU does at this moment, and then not either: who sends what is lost.
#[inline(always)]
fn follow_alone(socket: &mut SocketState, news: &mut News) {
    let followers = &raw mut socket.talk.followers;
    if !replaced(followers, NOBODY, ONE) {
        // SAFETY: the pointer is into the socket's state; whoever follows it sees this behind.
        unsafe { followers.write_volatile(TORN) };
        return;
    }
    follow(socket, news);
    let followers = &raw mut socket.talk.followers;
    if !replaced(followers, ONE, NOBODY) {
        socket.talk.lost();
        // SAFETY: as above.
        unsafe { followers.write_volatile(NOBODY) };
    }
}
