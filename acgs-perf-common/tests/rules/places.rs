//! Threads that read, and workers that take what was read from a queue, wait, and reply themselves. Who was woken for a request need not be
//! the one that finds it.
//!
//! In: who finds what. Out: each request waited for what its own worker did.

use acgs_perf_common::attribution::Component;

use crate::invariants;
use crate::truth::{Phase, Truth};
use crate::world::{Block, By, FUTEX};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const READERS: usize = 3;

/// Three connections with a thread each, and three workers behind them.
fn server() -> Truth {
    let mut truth = Truth::new(2 * READERS, READERS, 1);
    (0..READERS).for_each(|reader| truth.world.block(reader, Block::Socket));
    (READERS..2 * READERS).for_each(|worker| truth.world.block(worker, Block::Job));
    truth
}

/// A request is read, and a worker is woken for it.
fn is_read(truth: &mut Truth, socket: usize, worker: usize) {
    truth.arrive(socket);
    truth.after(US).world.wake(socket, By::Interrupt);
    truth.after(2 * US).world.run(socket);
    truth.after(2 * US).read(socket, socket);
    truth.after(3 * US).world.wake(worker, By::Thread(socket, FUTEX, 1));
    truth.phases[socket] = Phase::Pool;
    truth.after(US).world.block(socket, Block::Socket);
}

/// The worker, which has a CPU, has found this request.
fn finds(truth: &mut Truth, worker: usize, socket: usize) {
    truth.phases[socket] = Phase::Worked(worker);
    truth.after(4 * US).world.block(worker, Block::Sleep);
}

/// It has slept long enough, and replies.
fn replies(truth: &mut Truth, worker: usize, socket: usize) {
    truth.world.wake(worker, By::Interrupt);
    truth.after(3 * US).world.run(worker);
    truth.after(5 * US).reply(worker, socket);
}

#[test]
fn who_replies_to_what_another_was_woken_for_has_waited_for_it() {
    let mut truth = server();
    let [first, second, third] = [3, 4, 5];
    for _ in 0..5 {
        is_read(&mut truth, 2, third);
        truth.after(2 * US).world.run(third);
        finds(&mut truth, third, 2);
        truth.after(20 * MS);
        replies(&mut truth, third, 2);
        // It goes to look for the next job, but has no CPU for a while.
        truth.after(US).world.preempt(third);
        is_read(&mut truth, 0, first);
        is_read(&mut truth, 1, second);
        truth.after(500 * US).world.run(third);
        finds(&mut truth, third, 0);
        truth.after(2 * US).world.run(first);
        finds(&mut truth, first, 1);
        truth.after(2 * US).world.run(second);
        truth.after(4 * US).world.block(second, Block::Job);
        truth.after(20 * MS);
        replies(&mut truth, first, 1);
        truth.after(3 * US).world.block(first, Block::Job);
        truth.after(15 * MS);
        replies(&mut truth, third, 0);
        truth.after(3 * US).world.block(third, Block::Job);
    }
    invariants::check(&truth.world);
    assert!(truth.world.replies.iter().all(|reply| reply.of(Component::Sleep) >= 20 * MS), "not its own sleep");
    let wrong = truth.wrong_percent();
    assert!(wrong < 3.0, "{wrong} %");
}
