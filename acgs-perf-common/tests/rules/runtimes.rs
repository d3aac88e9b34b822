//! Threads of a runtime, as Go's or tokio's, take from each other what can go on, and wait in turn for the timers of all; workers of a pool, which
//! find in a queue what another thread has read, do not.
//!
//! In: scripts of such threads. Out: a timer is a sleep whoever has waited for it, and who waits for a worker waits for the pool.

use acgs_perf_common::attribution::Component;

use crate::invariants;
use crate::limits::{parts, reads};
use crate::world::{Block, By, FUTEX, Reply, WRITE, World};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// Percent of the latency of all replies but those of the first rounds, in which the threads are learnt.
fn share(world: &World, component: Component) -> u64 {
    let replies = &world.replies[world.replies.len() / 4..];
    let all: u64 = replies.iter().map(Reply::latency).sum();
    replies.iter().map(|reply| reply.of(component)).sum::<u64>() * 100 / all
}

/// A runtime with threads that read, wait for a timer of the one that waits for events, and take from each other what can go on.
#[test]
fn what_waits_in_a_runtime_does_not_wait_for_a_thread() {
    let mut world = reads();
    world.block(1, Block::PollFor(20 * MS));
    world.block(0, Block::Job);
    world.after(20 * MS).wake(1, By::Interrupt);
    world.run(1);
    world.after(MS).reply(1, 0);
    assert_eq!(parts(&world), [(Component::Sleep, 20 * MS)]);
}

/// The one that waits for events rounds its time limits down, and so waits twice.
#[test]
fn a_timer_that_was_rounded_down_is_one_sleep() {
    let mut world = reads();
    world.block(1, Block::PollFor(19 * MS));
    world.block(0, Block::Job);
    world.after(19 * MS).wake(1, By::Interrupt);
    world.run(1);
    world.after(3_000).block(1, Block::PollFor(MS));
    world.after(MS).wake(1, By::Interrupt);
    world.run(1);
    world.reply(1, 0);
    assert_eq!(parts(&world), [(Component::Sleep, 20 * MS + 3_000)]);
}

/// The same with more requests than threads, and with a lock inside of the runtime, of which nothing is to be seen.
#[test]
fn what_waits_in_a_busy_runtime_does_not_wait_for_a_thread() {
    let mut world = World::new(2, 4, 1, 1);
    for round in 0..40 {
        // They take turns: one reads and has nothing more to do, the other one waits for the next timer.
        let (reader, other) = (round % 2, 1 - round % 2);
        world.after(10_000).block(other, Block::PollFor(20 * MS));
        for socket in 0..4 {
            world.after(10_000).arrive(socket);
            world.read(reader, socket);
        }
        world.block(reader, Block::Job);
        world.after(20 * MS).wake(other, By::Interrupt);
        world.run(other);
        // It finds that more can go on than it can do at once.
        world.after(10_000).wake(reader, By::Thread(other, FUTEX, 1));
        world.run(reader);
        for socket in 0..4 {
            world.after(20_000).reply((socket + round / 2) % 2, socket);
        }
    }
    invariants::check(&world);
    let sum = |component| world.replies.iter().map(|reply: &Reply| reply.of(component)).sum::<u64>();
    let all = world.replies.iter().map(Reply::latency).sum::<u64>();
    assert!(sum(Component::PoolWait) * 100 < all, "{} of {all} is a pool", sum(Component::PoolWait));
    assert!(sum(Component::Lock) * 50 < all, "{} of {all} is a lock", sum(Component::Lock));
    assert!(sum(Component::Sleep) * 10 > all * 8, "{:?}", world.replies[30].parts());
}

/// Requests of a runtime that sleep, by the moment at which each is due.
struct Sleepers {
    world: World,
    due: Vec<u64>,
    at: u64,
    poller: usize,
    threads: usize,
}

impl Sleepers {
    /// As many as there are sockets, all asleep: each for so long.
    fn new(threads: usize, sleeps: &[u64]) -> Self {
        let sockets = sleeps.len();
        let mut world = World::new(threads, sockets, 1, 1);
        (1..threads).for_each(|thread| world.block(thread, Block::Job));
        for socket in 0..sockets {
            world.arrive(socket);
            world.read(0, socket);
        }
        Self { world, due: sleeps.to_vec(), at: 0, poller: 0, threads }
    }

    /// The thread that waits for events waits for the next timer, which is `socket`'s; another one is woken, and one of the two replies.
    fn next(&mut self, reply_by: usize) -> usize {
        let (socket, due) = self.due.iter().copied().enumerate().min_by_key(|(_, due)| *due).unwrap();
        let poller = self.poller;
        if due > self.at {
            self.world.block(poller, Block::PollFor(due - self.at));
            self.world.after(due - self.at).wake(poller, By::Interrupt);
            self.world.run(poller);
            self.at = due;
        }
        let other = (poller + 1) % self.threads;
        self.world.after(5 * US).wake(other, By::Thread(poller, FUTEX, 1));
        self.world.run(other);
        let by = if reply_by.is_multiple_of(2) { poller } else { other };
        self.world.after(20 * US).reply(by, socket);
        self.at += 25 * US;
        // The other one is the next to wait for events.
        self.world.block(poller, Block::Job);
        self.poller = other;
        socket
    }
}

#[test]
fn a_timer_of_a_runtime_is_a_sleep_whoever_waits_for_it() {
    // At one moment, and at moments that have nothing to do with each other.
    for apart in [[0, 300, 600, 900, 1_200, 1_500], [0, 400, 3_100, 5_000, 9_400, 16_000]] {
        let mut of = Sleepers::new(3, &apart.map(|us| 20 * MS + us * US));
        for round in 0..300 {
            let socket = of.next(round / 3);
            of.world.after(100 * US).arrive(socket);
            of.at += 100 * US;
            of.world.read(of.poller, socket);
            of.due[socket] = of.at + 20 * MS;
        }
        invariants::check(&of.world);
        let [slept, idle] = [Component::Sleep, Component::Idle].map(|component| share(&of.world, component));
        assert!(slept >= 90 && idle <= 5, "{apart:?}: {slept} % sleep, {idle} % idle");
    }
}

/// One after the other sleeps while it holds the lock: before that nobody knows what it waits for.
#[test]
fn timers_of_a_runtime_that_are_set_in_turn_are_not_one_sleep() {
    let mut of = Sleepers::new(3, &[u64::MAX / 2; 6]);
    let mut line: Vec<usize> = (0..6).collect();
    for round in 0..200 {
        of.due[line[0]] = of.at + 4 * MS;
        let socket = of.next(round);
        of.due[socket] = u64::MAX / 2;
        line.remove(0);
        line.push(socket);
        of.world.after(50 * US).arrive(socket);
        of.at += 50 * US;
        of.world.read(of.poller, socket);
    }
    invariants::check(&of.world);
    let [slept, idle] = [Component::Sleep, Component::Idle].map(|component| share(&of.world, component));
    assert!((10..30).contains(&slept) && idle >= 70, "{slept} % sleep, {idle} % idle");
}

/// As waitress': a loop reads and puts into a queue, workers find it there when they have done the job before, and reply themselves. They wait
/// for the lock of the queue for a moment, on what looks like a wait for a job; the first jobs they find as they are woken for others.
#[test]
fn workers_that_wait_for_the_lock_of_their_queue_are_no_runtime() {
    const WORKERS: [usize; 2] = [1, 2];
    let mut world = World::new(3, 6, 1, 1);
    WORKERS.into_iter().for_each(|worker| world.block(worker, Block::Job));
    let mut line: Vec<usize> = (0..6).collect();
    let mut at = [0; 3];
    for socket in 0..6 {
        world.after(10 * US).arrive(socket);
        world.read(0, socket);
    }
    world.block(0, Block::Poll);
    for worker in WORKERS {
        world.after(300 * US).wake(worker, By::Thread(0, FUTEX, 1));
        world.run(worker);
        world.after(10 * US).block(worker, Block::Sleep);
        at[worker] = line.remove(0);
    }
    for _ in 0..150 {
        for worker in WORKERS {
            let socket = at[worker];
            world.after(10 * MS).wake(worker, By::Interrupt);
            world.run(worker);
            world.after(20 * US).reply(worker, socket);
            // The loop, which the worker wakes, has the lock.
            world.after(5 * US).wake(0, By::Thread(worker, WRITE, 1));
            world.run(0);
            world.block(worker, Block::Job);
            world.after(200 * US).wake(worker, By::Thread(0, FUTEX, 1));
            world.after(50 * US).arrive(socket);
            world.read(0, socket);
            world.block(0, Block::Poll);
            world.run(worker);
            line.push(socket);
            at[worker] = line.remove(0);
            world.after(10 * US).block(worker, Block::Sleep);
        }
    }
    invariants::check(&world);
    let [idle, pool, slept] =
        [Component::Idle, Component::PoolWait, Component::Sleep].map(|component| share(&world, component));
    assert!(idle <= 5 && pool + slept >= 85, "{idle} % idle, {pool} % pool_wait, {slept} % sleep");
}
