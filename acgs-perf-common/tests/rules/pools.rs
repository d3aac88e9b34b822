//! Pools of threads whose jobs wait for something, as those of libuv do: a name that is looked up, a file.
//!
//! In: a loop that acts at once, and a pool of one thread, which hands its results back. Out: who waited for that thread, waited in `pool_wait`.

use std::collections::VecDeque;

use acgs_perf_common::attribution::Component;

use crate::invariants;
use crate::servers::{AtOnce, Pool};
use crate::truth::{Phase, Truth};
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
    replies_after(pool, 1, socket);
}

/// The same for any worker.
fn replies_after(pool: &mut Pool, worker: usize, socket: usize) {
    let truth = &mut pool.server.truth;
    truth.world.signal(worker);
    truth.world.wake(0, By::Thread(worker, WRITE, 8));
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

/// A loop of which nothing is known yet, without a worker.
fn unknown(sockets: usize) -> Pool {
    Pool { server: AtOnce { truth: Truth::new(1, sockets, sockets), thread: 0 } }
}

fn add_worker(pool: &mut Pool) -> usize {
    let truth = &mut pool.server.truth;
    let worker = truth.world.start_thread(0);
    truth.waits_for.push(Component::Idle);
    truth.world.run(worker);
    truth.world.block(worker, Block::Job);
    worker
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
    let other = add_worker(&mut pool);
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

/// One client: nothing shows that its thread is a loop, which keeps what it has read. The worker first waits for the interpreter's lock.
#[test]
fn a_job_of_a_loop_with_one_client_is_its_workers() {
    let mut pool = unknown(1);
    let worker = add_worker(&mut pool);
    for round in 0..6 {
        pool.server.sleeps(50_000, |truth| truth.arrive(0));
        let truth = &mut pool.server.truth;
        truth.read(0, 0);
        truth.after(200_000).world.wake(worker, By::Thread(0, FUTEX, 1));
        truth.phases[0] = Phase::Worked(worker);
        truth.after(5_000).world.run(worker);
        let locks = if round % 2 == 0 { &[Block::LockFor(5 * MS), Block::Mutex][..] } else { &[] };
        for how in locks {
            truth.after(5_000).world.block(worker, *how);
            truth.after(10_000).world.wake(worker, By::Thread(0, FUTEX, 1));
            truth.after(10_000).world.run(worker);
        }
        truth.after(2_000).world.block(0, Block::Poll);
        truth.after(5_000).blocked(worker, Block::Sleep, 20 * MS, 5_000);
        replies(&mut pool, 0);
        pool.server.truth.world.block(worker, Block::Job);
    }
    assert_nearly_exact(&pool);
}

/// A worker that finds its next job without having slept tells nobody so; the loop learns of it when it is done. Waits for a mutex within
/// the job are no waits for the next one.
#[test]
fn a_job_that_a_busy_worker_finds_is_its_own() {
    let mut pool = Pool::new(8, false);
    for _ in 0..3 {
        reads(&mut pool, 1);
        for socket in 0..2 {
            let truth = &mut pool.server.truth;
            truth.phases[socket] = Phase::Worked(1);
            truth.after(1_000).blocked(1, Block::Sleep, 20 * MS, 5_000);
            truth.after(1_000).blocked(1, Block::LockFor(5 * MS), 30_000, 5_000);
            truth.after(1_000).blocked(1, Block::Mutex, 30_000, 5_000);
            replies(&mut pool, socket);
            if socket == 0 {
                pool.server.sleeps(10_000, |truth| truth.arrive(1));
                pool.server.truth.read(0, 1);
                pool.server.truth.world.block(0, Block::Poll);
            }
        }
        pool.server.truth.world.block(1, Block::Job);
    }
    assert_nearly_exact(&pool);
}

/// The loop still holds the lock of the queue when the worker wakes; when it lets go it has read another request, which is not that worker's.
#[test]
fn a_worker_that_waits_for_a_lock_amid_its_job_goes_on_with_it() {
    for queues in [false, true] {
        let mut pool = Pool::new(8, queues);
        for _ in 0..3 {
            pool.server.sleeps(50_000, |truth| (0..2).for_each(|socket| truth.arrive(socket)));
            let truth = &mut pool.server.truth;
            truth.read(0, 0);
            truth.after(1_000).world.wake(1, By::Thread(0, FUTEX, 1));
            truth.phases[0] = Phase::Worked(1);
            truth.after(5_000).world.run(1);
            truth.after(5_000).world.block(1, Block::Semaphore);
            truth.read(0, 1);
            truth.after(1_000).world.wake(1, By::Thread(0, FUTEX, 1));
            truth.after(5_000).world.run(1);
            truth.after(5_000).reply(0, 1);
            truth.world.block(0, Block::Poll);
            truth.blocked(1, Block::Sleep, 20 * MS, 5_000);
            replies(&mut pool, 0);
            pool.server.truth.world.block(1, Block::Job);
        }
        assert_nearly_exact(&pool);
    }
}

/// Two requests are read before the first of them is given away: what comes back shows for which each worker was.
#[test]
fn a_loop_that_queues_its_jobs_is_learnt_from_what_comes_back() {
    let mut pool = unknown(2);
    let other = [add_worker(&mut pool), add_worker(&mut pool)][1];
    for round in 0..8 {
        if round == 2 {
            pool.server.truth.world.replies.clear();
            pool.server.truth.told.clear();
        }
        pool.server.sleeps(50_000, |truth| (0..2).for_each(|socket| truth.arrive(socket)));
        let truth = &mut pool.server.truth;
        for socket in 0..2 {
            truth.read(0, socket);
            truth.phases[socket] = Phase::Ready(0);
            truth.after(20_000);
        }
        for (socket, worker) in [(0, 1), (1, other)] {
            truth.after(1_000).world.wake(worker, By::Thread(0, FUTEX, 1));
            truth.phases[socket] = Phase::Worked(worker);
        }
        truth.world.block(0, Block::Poll);
        truth.after(5_000);
        for (worker, ns) in [(1, 20 * MS), (other, 30 * MS)] {
            truth.world.run(worker);
            truth.world.block(worker, Block::Sleep);
            truth.after(ns / 2);
        }
        for (socket, worker) in [(0, 1), (1, other)] {
            let truth = &mut pool.server.truth;
            truth.world.wake(worker, By::Interrupt);
            truth.world.run(worker);
            truth.after(2_000);
            replies_after(&mut pool, worker, socket);
            pool.server.truth.world.block(worker, Block::Job);
        }
    }
    assert_nearly_exact(&pool);
}

/// The loop is awake, for another client, when the worker gives back the job that it had found: nothing tells that but the worker's own write.
#[test]
fn a_job_that_comes_back_to_a_busy_loop_is_its_requests() {
    let mut pool = Pool::new(8, false);
    for _ in 0..3 {
        reads(&mut pool, 3);
        for socket in 0..3 {
            let truth = &mut pool.server.truth;
            truth.phases[socket] = Phase::Worked(1);
            truth.after(1_000).blocked(1, Block::Sleep, 20 * MS, 5_000);
            if socket == 0 {
                replies(&mut pool, socket);
                continue;
            }
            truth.arrive(3);
            truth.world.wake(0, By::Interrupt);
            truth.after(1_000).world.run(0);
            truth.read(0, 3);
            truth.after(1_000).world.signal(1);
            truth.phases[socket] = Phase::Ready(0);
            truth.after(10_000).reply(0, 3);
            truth.phases[socket] = Phase::Worked(0);
            truth.after(2_000).reply(0, socket);
            truth.world.block(0, Block::Poll);
        }
        pool.server.truth.world.block(1, Block::Job);
    }
    assert_nearly_exact(&pool);
}

/// A pool with a limit of its own: two jobs at a time, though more workers are free, as that of FastAPI's plain functions has it. Whoever
/// waits does so in order, but the worker that gets the job was free all the while.
#[test]
fn a_pool_with_a_limit_and_free_workers_is_pool_wait() {
    const WORKERS: usize = 4;
    const CLIENTS: usize = 6;
    let mut pool = unknown(CLIENTS);
    let mut free: VecDeque<usize> = (0..WORKERS).map(|_| add_worker(&mut pool)).collect();
    let (mut waiting, mut busy) = (VecDeque::new(), VecDeque::new());
    let truth = &mut pool.server.truth;
    for socket in 0..CLIENTS {
        truth.arrive(socket);
    }
    for round in 0..200 {
        if round == 50 {
            truth.world.replies.clear();
            truth.told.clear();
        }
        // The loop reads what has arrived, and gives jobs away as far as the limit lets it.
        for socket in (0..CLIENTS).filter(|socket| truth.phases[*socket] == Phase::Queued).collect::<Vec<_>>() {
            truth.after(2_000).read(0, socket);
            truth.phases[socket] = Phase::Pool;
            waiting.push_back(socket);
        }
        while busy.len() < 2
            && let Some(socket) = waiting.pop_front()
            && let Some(worker) = free.pop_front()
        {
            truth.after(2_000).world.wake(worker, By::Thread(0, FUTEX, 1));
            truth.phases[socket] = Phase::Worked(worker);
            truth.world.run(worker);
            truth.world.block(worker, Block::Sleep);
            busy.push_back((socket, worker));
        }
        truth.world.block(0, Block::Poll);
        truth.after(10 * MS);
        let Some((socket, worker)) = busy.pop_front() else { break };
        truth.world.wake(worker, By::Interrupt);
        truth.world.run(worker);
        truth.after(2_000).world.signal(worker);
        truth.world.wake(0, By::Thread(worker, WRITE, 8));
        truth.phases[socket] = Phase::Worked(0);
        truth.after(3_000).world.run(0);
        truth.world.block(worker, Block::Job);
        free.push_back(worker);
        truth.after(2_000).reply(0, socket);
        truth.after(1_000).arrive(socket);
    }
    assert_nearly_exact(&pool);
}

/// One request takes the only worker for long; what waits behind it does so for the pool, and has not slept itself, though the long job's result is
/// the oldest when it goes on.
#[test]
fn who_waits_behind_a_long_job_has_not_done_it() {
    let mut pool = unknown(6);
    let worker = add_worker(&mut pool);
    pool.server.truth.world.thread(0).misled = 64;
    pool.server.truth.world.thread(0).pool_sleeps = 64;
    for _ in 0..3 {
        pool.server.sleeps(50_000, |truth| truth.arrive(0));
        let truth = &mut pool.server.truth;
        truth.read(0, 0);
        truth.after(20_000).world.wake(worker, By::Thread(0, FUTEX, 1));
        truth.phases[0] = Phase::Worked(worker);
        truth.world.run(worker);
        truth.world.block(worker, Block::Sleep);
        for socket in 1..6 {
            pool.server.sleeps(10 * MS, |truth| truth.arrive(socket));
            pool.server.truth.read(0, socket);
            pool.server.truth.phases[socket] = Phase::Pool;
        }
        pool.server.sleeps(10 * MS, |truth| {
            truth.world.wake(worker, By::Interrupt);
            truth.after(1_000).world.run(worker);
            truth.after(1_000);
        });
        // The loop is awake when all of them come back, and replies to the long one last.
        let truth = &mut pool.server.truth;
        truth.world.signal(worker);
        truth.phases[0] = Phase::Ready(0);
        for socket in 1..6 {
            truth.phases[socket] = Phase::Worked(worker);
            truth.after(200_000).world.signal(worker);
            truth.phases[socket] = Phase::Ready(0);
        }
        for socket in (0..6).rev() {
            truth.phases[socket] = Phase::Worked(0);
            truth.after(2_000).reply(0, socket);
        }
        truth.world.block(0, Block::Poll);
        truth.world.block(worker, Block::Job);
    }
    assert_nearly_exact(&pool);
}
