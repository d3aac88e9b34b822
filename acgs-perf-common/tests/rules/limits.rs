//! How a wait ended says what it was: waits with a time limit.
//!
//! In: scripts of threads that wait with a limit. Out: each part of the request is what the script says.

use acgs_perf_common::attribution::Component;

use crate::invariants;
use crate::world::{Block, By, FUTEX, WRITE, World};

const MS: u64 = 1_000_000;

/// A thread that has read a request, and a second one.
pub fn reads() -> World {
    let mut world = World::new(2, 4, 1, 1);
    world.arrive(0);
    world.read(0, 0);
    world
}

/// Thread 0 waits for `ns`, is woken, and runs.
fn waits(world: &mut World, how: Block, ns: u64, by: By) {
    world.block(0, how);
    world.after(ns).wake(0, by);
    world.run(0);
}

/// What the only reply says, beside the time on the CPU.
pub fn parts(world: &World) -> Vec<(Component, u64)> {
    invariants::check(world);
    let [reply] = world.replies.as_slice() else { panic!("{} replies", world.replies.len()) };
    reply.parts().into_iter().filter(|(component, _)| *component != Component::OnCpu).collect()
}

#[test]
fn a_wait_that_its_own_limit_ended_is_a_sleep() {
    for how in [Block::LockFor(20 * MS), Block::PollFor(20 * MS)] {
        for by in [By::Interrupt, By::Thread(1, FUTEX, 1), By::Thread(1, WRITE, 8)] {
            let mut world = reads();
            waits(&mut world, how, 20 * MS, by);
            world.reply(0, 0);
            assert_eq!(parts(&world), [(Component::Sleep, 20 * MS)], "{how:?} {by:?}");
        }
    }
}

#[test]
fn a_wait_that_somebody_ended_before_is_what_it_was_entered_as() {
    let mut world = reads();
    waits(&mut world, Block::LockFor(20 * MS), 3 * MS, By::Thread(1, FUTEX, 1));
    world.reply(0, 0);
    assert_eq!(parts(&world), [(Component::Lock, 3 * MS)]);
    let mut world = reads();
    waits(&mut world, Block::PollFor(20 * MS), 3 * MS, By::Interrupt);
    world.reply(0, 0);
    assert_eq!(parts(&world), [(Component::Idle, 3 * MS)]);
}

#[test]
fn an_answer_that_is_late_is_still_waited_for() {
    let mut world = reads();
    world.call(0, 0);
    waits(&mut world, Block::PollFor(20 * MS), 20 * MS, By::Interrupt);
    world.reply(0, 0);
    assert_eq!(parts(&world), [(Component::Downstream, 20 * MS)]);
}

#[test]
fn who_looks_for_a_lock_again_and_again_waits_for_it() {
    let mut world = reads();
    let five = Block::LockFor(5 * MS);
    for _ in 0..3 {
        waits(&mut world, five, 5 * MS, By::Interrupt);
        world.after(2_000);
    }
    waits(&mut world, five, MS, By::Thread(1, FUTEX, 1));
    world.after(MS).reply(0, 0);
    assert_eq!(parts(&world), [(Component::Lock, 16 * MS)]);
    // From then on it is known, and its queue is explained so too.
    world.replies.clear();
    waits(&mut world, five, 5 * MS, By::Interrupt);
    world.arrive(1);
    world.after(1_000);
    waits(&mut world, five, 5 * MS, By::Interrupt);
    world.read(0, 1);
    world.reply(0, 1);
    // A short look between two waits is part of them.
    assert_eq!(parts(&world), [(Component::QueueLock, 5 * MS + 1_000)]);
}

/// Ruby's threads sleep on the futex on which they wait for the global lock, one of them with a limit of its own.
#[test]
fn a_sleep_and_a_lock_on_one_futex_are_two_things() {
    let mut world = reads();
    for _ in 0..3 {
        waits(&mut world, Block::LockFor(20 * MS), 20 * MS, By::Interrupt);
        world.after(2_000);
        waits(&mut world, Block::LockFor(100 * MS), MS, By::Thread(1, FUTEX, 1));
    }
    world.reply(0, 0);
    assert_eq!(parts(&world), [(Component::Lock, 3 * MS), (Component::Sleep, 60 * MS)]);
}

#[test]
fn one_sleep_after_the_other_is_no_lock() {
    let mut world = reads();
    for _ in 0..3 {
        waits(&mut world, Block::LockFor(5 * MS), 5 * MS, By::Interrupt);
    }
    world.reply(0, 0);
    assert_eq!(parts(&world), [(Component::Sleep, 15 * MS)]);
}

#[test]
fn a_sleep_and_a_lock_after_some_work_are_two_things() {
    let mut world = reads();
    waits(&mut world, Block::LockFor(5 * MS), 5 * MS, By::Interrupt);
    world.after(MS);
    waits(&mut world, Block::LockFor(5 * MS), 2 * MS, By::Thread(1, FUTEX, 1));
    world.reply(0, 0);
    assert_eq!(parts(&world), [(Component::Lock, 2 * MS), (Component::Sleep, 5 * MS)]);
}

#[test]
fn a_request_queues_while_the_thread_that_reads_it_sleeps() {
    for how in [Block::LockFor(20 * MS), Block::PollFor(20 * MS)] {
        let mut world = reads();
        world.block(0, how);
        world.after(5 * MS).arrive(1);
        world.after(15 * MS).wake(0, By::Interrupt);
        world.run(0);
        world.reply(0, 0);
        world.replies.clear();
        world.read(0, 1);
        world.reply(0, 1);
        assert_eq!(parts(&world), [(Component::QueueSleep, 15 * MS)], "{how:?}");
    }
}

/// A loop that reads one request after the other, each of which sets a timer of so many ms; other events wake it in between.
fn sleeping_loop() -> World {
    let mut world = World::new(2, 4, 1, 1);
    // It learns that it is a loop.
    for socket in [0, 1] {
        world.after(10_000).arrive(socket);
        world.read(0, socket);
    }
    for socket in [0, 1] {
        world.after(10_000).reply(0, socket);
    }
    world.replies.clear();
    world
}

/// What each reply says, beside the time on the CPU and the wait for the loop.
fn waited(world: &World) -> Vec<Vec<(Component, u64)>> {
    invariants::check(world);
    let is_wait = |part: &(Component, u64)| matches!(part.0, Component::Idle | Component::Sleep);
    world.replies.iter().map(|reply| reply.parts().into_iter().filter(is_wait).collect()).collect()
}

#[test]
fn a_timer_of_a_loop_is_one_sleep_whatever_else_wakes_the_loop() {
    let mut world = sleeping_loop();
    world.arrive(0);
    world.read(0, 0);
    world.block(0, Block::PollFor(10 * MS));
    world.after(4 * MS).arrive(1);
    world.wake(0, By::Interrupt);
    world.run(0);
    world.read(0, 1);
    world.block(0, Block::PollFor(6 * MS));
    world.after(6 * MS).wake(0, By::Interrupt);
    world.run(0);
    world.reply(0, 0);
    // That of the second one, which was hidden behind the first, is due too early for the loop's milliseconds: it comes with another event.
    world.block(0, Block::PollFor(4 * MS));
    world.after(3_500_000).arrive(2);
    world.wake(0, By::Interrupt);
    world.run(0);
    world.read(0, 2);
    world.reply(0, 1);
    assert_eq!(waited(&world), [[(Component::Sleep, 10 * MS)], [(Component::Sleep, 9_500_000)]]);
}

#[test]
fn timers_that_are_due_together_are_sleeps() {
    let mut world = sleeping_loop();
    for socket in [0, 1] {
        world.arrive(socket);
        world.read(0, socket);
    }
    world.block(0, Block::PollFor(5 * MS));
    world.after(5 * MS).wake(0, By::Interrupt);
    world.run(0);
    world.reply(0, 0);
    world.reply(0, 1);
    assert_eq!(waited(&world), [[(Component::Sleep, 5 * MS)], [(Component::Sleep, 5 * MS)]]);
}

/// As under a lock of the runtime, whose holder sleeps: before its own timer was set a request has waited for nobody knows what.
#[test]
fn timers_that_are_set_one_after_the_other_are_not_one_sleep() {
    let mut world = sleeping_loop();
    for socket in 0..4 {
        world.arrive(socket);
        world.read(0, socket);
    }
    for socket in 0..4 {
        // Who rounds down waits twice.
        world.block(0, Block::PollFor(3 * MS));
        world.after(3 * MS).wake(0, By::Interrupt);
        world.run(0);
        world.block(0, Block::PollFor(2 * MS));
        world.after(2 * MS).wake(0, By::Interrupt);
        world.run(0);
        world.reply(0, socket);
    }
    let waited = waited(&world);
    assert_eq!(waited[0], [(Component::Sleep, 5 * MS)]);
    assert_eq!(waited[3], [(Component::Idle, 15 * MS), (Component::Sleep, 5 * MS)]);
}

/// Of a loop that has a pool a worker could have woken it.
#[test]
fn a_loop_with_a_pool_has_slept_where_its_wait_ended_by_itself() {
    for (ns, component) in [(10 * MS, Component::Sleep), (9_500_000, Component::Idle)] {
        let mut world = sleeping_loop();
        world.thread(0).pool_sleeps = 8;
        world.arrive(0);
        world.read(0, 0);
        waits(&mut world, Block::PollFor(10 * MS), ns, By::Interrupt);
        world.reply(0, 0);
        assert_eq!(waited(&world), [[(component, ns)]]);
    }
}

#[test]
fn an_unknown_event_of_a_loop_is_none_of_its_timers() {
    let mut world = sleeping_loop();
    world.arrive(0);
    world.read(0, 0);
    world.block(0, Block::PollFor(10 * MS));
    world.after(4 * MS).wake(0, By::Interrupt);
    world.run(0);
    world.reply(0, 0);
    assert_eq!(waited(&world), [[(Component::Idle, 4 * MS)]]);
}

/// That it has waited without a limit in between says nothing of its timers.
#[test]
fn a_loop_without_a_timer_in_between_sets_none_in_turn() {
    let mut world = sleeping_loop();
    waits(&mut world, Block::PollFor(3 * MS), 3 * MS, By::Interrupt);
    waits(&mut world, Block::Poll, MS, By::Interrupt);
    for socket in [0, 1] {
        world.arrive(socket);
        world.read(0, socket);
        world.after(MS / 2);
    }
    waits(&mut world, Block::PollFor(5 * MS), 5 * MS, By::Interrupt);
    world.reply(0, 0);
    waits(&mut world, Block::PollFor(2 * MS), 2 * MS, By::Interrupt);
    world.reply(0, 1);
    assert!(
        waited(&world).iter().flatten().all(|(component, _)| *component == Component::Sleep),
        "{:?}",
        waited(&world)
    );
}
