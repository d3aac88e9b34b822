//! Downstream calls: finds the thread and the peer, counts the calls, and calls the rules of `rules::downstream` of the common crate.
//!
//! In: connections that the service opens, what it sends and reads on them. Out: the request that waits for an answer is
//! found again when it is read.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::DownstreamWord;
use acgs_perf_common::rules::downstream as rules;

use crate::kernel::sock::Sock;
use crate::kernel::task::Task;
use crate::state::socket::SocketState;
use crate::state::thread as thread_state;
use crate::table::downstream;
use crate::table::request::{Requests, id_of};

/// The running thread begins to open a connection.
#[inline(always)]
pub fn connecting(sk: Sock, socket: &mut SocketState, service: u32, now: u64) -> Result<(), Loss> {
    let id = id_of(socket, sk);
    let call = &mut socket.call;
    downstream::find_slot(call, sk, service);
    downstream::add(service, call.slot(), DownstreamWord::Connects, 1);
    let pid = Task::current().pid();
    rules::connecting(&Requests, thread_state::current()?, call, id, pid, now);
    Ok(())
}

/// The running thread has sent on a connection that the service opened.
#[inline(always)]
pub fn sent(sk: Sock, socket: &mut SocketState, service: u32, now: u64) -> Result<(), Loss> {
    let id = id_of(socket, sk);
    let pid = Task::current().pid();
    let count = |peer, word| downstream::add(service, peer, word, 1);
    rules::sent(&Requests, thread_state::current()?, &mut socket.call, id, pid, now, count)
}

/// The running thread has read from such a connection; the bytes had arrived at `arrived`.
#[inline(always)]
pub fn received(socket: &mut SocketState, service: u32, bytes: u64, arrived: u64, now: u64) -> Result<(), Loss> {
    let answered = |peer, latency| downstream::answered(service, peer, latency);
    let (call, id) = (&mut socket.call, socket.id);
    if let Some(called) = rules::ends(&Requests, call, bytes, arrived, answered) {
        rules::received(&Requests, thread_state::current()?, call, id, called, arrived, now);
    }
    Ok(())
}
