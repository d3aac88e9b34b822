//! A server-side socket's request begins, goes on, and is answered: finds the thread and the name of the socket, and calls the rules of
//! `rules::request` of the common crate.
//!
//! In: reads and sends on sockets. Out: each request's row.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::NO_SERVICE;
use acgs_perf_common::rules::Table as _;
use acgs_perf_common::rules::request as rules;

use crate::kernel::sock::Sock;
use crate::kernel::task::Task;
use crate::kernel::time::now;
use crate::state::socket::SocketState;
use crate::state::thread as thread_state;
use crate::table::exemplar;
use crate::table::request::{Requests, id_of};

/// The running thread has read the first bytes of a request; `accepted` is when its connection was, if it waited for that.
#[inline(always)]
pub fn began(sk: Sock, socket: &mut SocketState, accepted: u64, now: u64) -> Result<(), Loss> {
    let task = Task::current();
    let pid = task.pid();
    rules::queue_unknown(socket, now);
    let thread = thread_state::of(task)?;
    let id = id_of(socket, sk);
    rules::began(&Requests, thread, socket, id, pid, accepted, now);
    Ok(())
}

/// The running thread has read more bytes of a request; they had arrived at `arrived`.
#[inline(always)]
pub fn continued(sk: Sock, socket: &mut SocketState, arrived: u64) -> Result<(), Loss> {
    let thread = thread_state::current()?;
    let request = id_of(socket, sk);
    rules::continued(&Requests, thread, request, socket.read, arrived, now);
    Ok(())
}

/// The running thread has sent the first bytes of the reply: fills the socket's row.
#[inline(always)]
pub fn answered(sk: Sock, socket: &mut SocketState, service: u32, now: u64) -> Result<(), Loss> {
    let task = Task::current();
    let thread = thread_state::of(task)?;
    let request = id_of(socket, sk);
    rules::replies(&Requests, thread, request, now);
    if service != NO_SERVICE {
        // Within the window.
        thread.answered = thread.answered.wrapping_add(1);
    }
    if exemplar::is_wanted(socket, service) {
        if exemplar::is_slow(socket, service) {
            thread.slow = thread.slow.wrapping_add(1);
        }
        socket.note_client(sk);
    } else if rules::fill_quickly(&Requests, thread, socket, request, task.pid(), now) {
        return Ok(());
    }
    Requests.answer(thread, socket, service, now);
    Ok(())
}
