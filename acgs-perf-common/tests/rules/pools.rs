//! Pools of threads whose jobs wait for something, as those of libuv do: a name that is looked up, a file.
//!
//! In: a loop that acts at once, and a pool of one thread, which hands its results back. Out: who waited for that thread, waited in `pool_wait`.

use acgs_perf_common::attribution::Component;

use crate::invariants;
use crate::servers::Pool;
use crate::truth::Phase;
use crate::world::{Block, By, FUTEX, WRITE};

const MS: u64 = 1_000_000;

/// The worker waits for events during its job, as it does for the answer to a look-up.
fn waits_for_events(pool: &mut Pool, ns: u64) {
    let truth = &mut pool.server.truth;
    truth.after(20_000).blocked(1, Block::Poll, ns, 5_000);
    truth.after(20_000);
}

/// The worker has finished the job of `socket`; the loop, which slept, replies and sleeps on.
fn replies(pool: &mut Pool, socket: usize) {
    let truth = &mut pool.server.truth;
    truth.world.signal(1);
    truth.world.wake(0, By::Thread(1, WRITE, 8));
    truth.phases[socket] = Phase::Worked(0);
    truth.after(3_000).world.run(0);
    truth.after(2_000).reply(0, socket);
    truth.world.block(0, Block::Poll);
}

/// The loop reads all of them in one pass: the worker is woken for the first one.
fn reads(pool: &mut Pool, sockets: usize) {
    pool.server.sleeps(50_000, |truth| (0..sockets).for_each(|socket| truth.arrive(socket)));
    for socket in 0..sockets {
        let truth = &mut pool.server.truth;
        truth.read(0, socket);
        truth.after(1_000);
        if socket == 0 {
            truth.world.wake(1, By::Thread(0, FUTEX, 1));
        }
        truth.phases[socket] = if socket == 0 { Phase::Worked(1) } else { Phase::Pool };
    }
    pool.server.truth.world.block(0, Block::Poll);
    pool.server.truth.after(5_000).world.run(1);
}

fn assert_nearly_exact(pool: &Pool) {
    invariants::check(&pool.server.truth.world);
    let wrong = pool.server.truth.wrong_percent();
    assert!(wrong < 3.0, "{wrong} % of the time is another part's");
}

#[test]
fn who_waits_for_a_worker_that_waits_for_events_waits_for_the_pool() {
    let mut pool = Pool::new(8, false);
    for _ in 0..3 {
        reads(&mut pool, 4);
        for socket in 0..4 {
            pool.server.truth.phases[socket] = Phase::Worked(1);
            waits_for_events(&mut pool, 200 * MS);
            replies(&mut pool, socket);
        }
        pool.server.truth.world.block(1, Block::Job);
    }
    assert_nearly_exact(&pool);
    let waited = |at: usize| pool.server.truth.world.replies[at].of(Component::PoolWait);
    assert!(waited(0) == 0 && waited(3) > 590 * MS, "{} {}", waited(0), waited(3));
}

#[test]
fn results_that_come_back_together_have_all_waited_for_the_pool() {
    let mut pool = Pool::new(8, false);
    for _ in 0..3 {
        reads(&mut pool, 4);
        pool.server.truth.phases[0] = Phase::Worked(1);
        waits_for_events(&mut pool, 200 * MS);
        replies(&mut pool, 0);
        pool.server.truth.phases[1] = Phase::Worked(1);
        waits_for_events(&mut pool, 200 * MS);
        let truth = &mut pool.server.truth;
        truth.phases[1] = Phase::Ready(0);
        for socket in 2..4 {
            truth.phases[socket] = Phase::Worked(1);
            truth.after(1_000);
            truth.phases[socket] = Phase::Ready(0);
        }
        truth.world.signal(1);
        truth.world.wake(0, By::Thread(1, WRITE, 8));
        truth.after(3_000).world.run(0);
        for socket in 1..4 {
            truth.phases[socket] = Phase::Worked(0);
            truth.after(2_000).reply(0, socket);
        }
        truth.world.block(0, Block::Poll);
        truth.world.block(1, Block::Job);
    }
    assert_nearly_exact(&pool);
}

/// A worker that was idle gives its result back: what else the loop goes on with then did not wait for a worker.
#[test]
fn a_free_worker_tells_nothing_of_others() {
    let mut pool = Pool::new(8, false);
    for _ in 0..3 {
        reads(&mut pool, 2);
        let truth = &mut pool.server.truth;
        truth.phases[1] = Phase::Worked(0); // a timer, which ends in the same pass
        truth.after(20 * MS);
        truth.world.signal(1);
        truth.world.wake(0, By::Thread(1, WRITE, 8));
        truth.phases[0] = Phase::Worked(0);
        truth.after(3_000).world.run(0);
        for socket in 0..2 {
            truth.after(2_000).reply(0, socket);
        }
        truth.world.block(0, Block::Poll);
        truth.world.block(1, Block::Job);
    }
    assert_nearly_exact(&pool);
}

/// libuv lets half of its threads look names up: one that is woken for another look-up sleeps on, and a busy one does it later.
#[test]
fn a_job_that_the_woken_worker_leaves_waits_for_the_pool() {
    let mut pool = Pool::new(8, false);
    let other = pool.server.truth.world.start_thread(0);
    pool.server.truth.waits_for.push(Component::Idle);
    pool.server.truth.world.run(other);
    pool.server.truth.world.block(other, Block::Job);
    for _ in 0..3 {
        reads(&mut pool, 1);
        let truth = &mut pool.server.truth;
        truth.after(MS).arrive(1);
        truth.world.wake(0, By::Interrupt);
        truth.after(700).world.run(0);
        truth.read(0, 1);
        truth.after(1_000).world.wake(other, By::Thread(0, FUTEX, 1));
        truth.phases[1] = Phase::Pool;
        truth.world.block(0, Block::Poll);
        truth.after(2_000).world.run(other);
        truth.after(2_000).world.block(other, Block::Job);
        for socket in 0..2 {
            pool.server.truth.phases[socket] = Phase::Worked(1);
            waits_for_events(&mut pool, 200 * MS);
            replies(&mut pool, socket);
        }
        pool.server.truth.world.block(1, Block::Job);
    }
    assert_nearly_exact(&pool);
}
