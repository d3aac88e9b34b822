//! Threads that give their request to a helper and wait for it: on a condition, on a future, until all of several are done.
//!
//! In: scripts of such threads. Out: the request has spent its time as the helper has; a lock that a stranger to it held stays one, and so does
//! what the thread did itself meanwhile.

use acgs_perf_common::attribution::Component;

use crate::invariants;
use crate::world::{Block, By, FUTEX, Reply, WRITE, World};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// Thread 0 has read a request; the others wait for jobs.
fn with_helpers(helpers: usize) -> World {
    let mut world = World::new(1 + helpers, 2, helpers, 1);
    for helper in 1..=helpers {
        world.block(helper, Block::Job);
    }
    world.after(MS).arrive(0);
    world.read(0, 0);
    world.after(10 * US);
    world
}

/// The thread gives its request to a helper, which runs at once.
fn gives(world: &mut World, helper: usize) {
    world.wake(helper, By::Thread(0, FUTEX, 1));
    world.after(2 * US).run(helper);
}

/// The helper calls its peer, which answers after so long.
fn calls(world: &mut World, helper: usize, ns: u64) {
    let connection = helper - 1;
    world.after(5 * US).call(helper, connection);
    world.block(helper, Block::Socket);
    world.after(ns).answer_arrives(connection);
    world.wake(helper, By::Interrupt);
    world.after(3 * US).run(helper);
    world.read_answer(helper, connection);
}

/// The helper lets the thread go on, and waits for its next job.
fn comes_back(world: &mut World, helper: usize) {
    world.after(4 * US).wake(0, By::Thread(helper, FUTEX, 1));
    world.after(2 * US).block(helper, Block::Job);
    world.after(3 * US).run(0);
}

fn replies(world: &mut World) {
    world.after(10 * US).reply(0, 0);
    invariants::check(world);
}

/// The thread waits for its client's next request.
fn reads_next(world: &mut World) {
    world.after(US).block(0, Block::Socket);
    world.after(MS).arrive(0);
    world.wake(0, By::Interrupt);
    world.after(US).run(0);
    world.read(0, 0);
}

fn of(world: &World, component: Component) -> u64 {
    world.replies[world.replies.len() - 1].of(component)
}

#[test]
fn who_waits_for_a_helper_waits_for_what_that_waits_for() {
    for wait in [Block::Job, Block::Semaphore, Block::LockFor(500 * MS), Block::LockFor(5_000 * MS)] {
        let mut world = with_helpers(1);
        gives(&mut world, 1);
        world.after(20 * US).block(0, wait);
        calls(&mut world, 1, 20 * MS);
        comes_back(&mut world, 1);
        replies(&mut world);
        assert_eq!(of(&world, Component::Downstream), 20 * MS, "{wait:?}");
        assert_eq!(of(&world, Component::Lock), 0, "{wait:?}");
    }
}

/// An interpreter's threads wait for its lock in between, the helper's first wake-up among them.
#[test]
fn the_helper_may_let_go_on_more_than_once() {
    let mut world = with_helpers(1);
    gives(&mut world, 1);
    world.after(20 * US).block(0, Block::LockFor(5 * MS));
    world.after(100 * US).wake(0, By::Thread(1, FUTEX, 1));
    world.after(2 * US).run(0);
    world.after(10 * US).block(0, Block::Semaphore);
    world.block(1, Block::Sleep);
    world.after(20 * MS).wake(1, By::Interrupt);
    world.run(1);
    comes_back(&mut world, 1);
    replies(&mut world);
    assert_eq!(of(&world, Component::Sleep), 20 * MS);
    assert_eq!(of(&world, Component::Lock), 0);
}

#[test]
fn who_waits_for_several_helpers_waits_for_the_last_one() {
    let mut world = with_helpers(2);
    for helper in [1, 2] {
        gives(&mut world, helper);
    }
    world.block(0, Block::JobAt(0x30));
    for helper in [1, 2] {
        calls(&mut world, helper, 20 * MS);
        comes_back(&mut world, helper);
        if helper == 1 {
            world.after(10 * US).block(0, Block::JobAt(0x60));
        }
    }
    replies(&mut world);
    let waited = of(&world, Component::Downstream);
    assert!((20 * MS..=40 * MS).contains(&waited), "{waited}");
    assert!(of(&world, Component::Lock) < MS, "{}", of(&world, Component::Lock));
}

/// A request after the other: each with its own helper's account.
#[test]
fn the_next_request_waits_for_its_own_helper() {
    let mut world = with_helpers(1);
    for round in 1..=4 {
        gives(&mut world, 1);
        world.after(20 * US).block(0, Block::JobAt(0x40 * round));
        calls(&mut world, 1, round * 10 * MS);
        comes_back(&mut world, 1);
        replies(&mut world);
        assert_eq!(of(&world, Component::Downstream), round * 10 * MS);
        assert_eq!(of(&world, Component::Lock), 0);
        reads_next(&mut world);
    }
}

/// It has given its request away, and then waits for a lock which a thread holds that has nothing to do with that.
#[test]
fn a_lock_that_a_stranger_holds_stays_one() {
    let mut world = with_helpers(2);
    gives(&mut world, 1);
    world.block(1, Block::Sleep);
    world.after(20 * US).block(0, Block::Mutex);
    world.wake(2, By::Interrupt);
    world.run(2);
    world.after(20 * MS).wake(0, By::Thread(2, FUTEX, 1));
    world.after(3 * US).run(0);
    replies(&mut world);
    assert_eq!(of(&world, Component::Lock), 20 * MS);
}

/// It computes for as long as its helper works, and longer than it then waits.
#[test]
fn what_the_thread_does_itself_meanwhile_stays() {
    let mut world = with_helpers(1);
    gives(&mut world, 1);
    world.block(1, Block::Sleep);
    world.after(15 * MS).block(0, Block::Semaphore);
    world.after(5 * MS).wake(1, By::Interrupt);
    world.run(1);
    comes_back(&mut world, 1);
    replies(&mut world);
    assert!(of(&world, Component::OnCpu) > 15 * MS, "{}", of(&world, Component::OnCpu));
    assert!(of(&world, Component::Sleep) == 0 && of(&world, Component::Lock) > 5 * MS);
}

/// All are done at the same time: it waits for the first one only, and never looks at the others' wake-ups.
#[test]
fn helpers_that_are_done_before_they_are_asked() {
    for order in [[1, 2, 3], [2, 1, 3], [3, 2, 1], [2, 3, 1]] {
        let mut world = with_helpers(3);
        for _ in 0..6 {
            for helper in 1..=3 {
                gives(&mut world, helper);
                world.after(10 * US).block(helper, Block::Sleep);
            }
            world.after(20 * US).block(0, Block::JobAt(0x30));
            world.after(20 * MS);
            for helper in order {
                world.after(US).wake(helper, By::Interrupt);
            }
            for helper in order {
                world.after(20 * US).run(helper);
                if helper == 1 {
                    comes_back(&mut world, helper);
                } else {
                    world.after(2 * US).block(helper, Block::Job);
                }
            }
            replies(&mut world);
            let slept = of(&world, Component::Sleep);
            assert!((20 * MS..21 * MS).contains(&slept), "{:?}", world.replies[world.replies.len() - 1].parts());
            reads_next(&mut world);
        }
    }
}

/// More clients than helpers: who waits finds no helper idle, wakes nobody, and its job is found in a queue.
#[test]
fn who_waits_for_a_busy_helper_waits_for_the_pool_and_then_for_what_it_does() {
    let mut world = World::new(3, 2, 0, 1);
    let helper = 2;
    world.block(helper, Block::Job);
    for round in 0..6 {
        for thread in [0, 1] {
            world.after(10 * US).arrive(thread);
            world.read(thread, thread);
            if world.is_blocked(helper) && world.thread(helper).awaits_job != 0 {
                world.after(10 * US).wake(helper, By::Thread(thread, FUTEX, 1));
                world.after(2 * US).run(helper);
                world.after(3 * US).block(helper, Block::Sleep);
            }
            world.after(10 * US).block(thread, Block::JobAt(0x40));
        }
        // Now the one job, then the other, which another thread may have found.
        for thread in [0, 1] {
            world.after(20 * MS).wake(helper, By::Interrupt);
            world.after(2 * US).run(helper);
            world.after(2 * US).wake(thread, By::Thread(helper, FUTEX, 1));
            world.after(2 * US).block(helper, if thread == 0 { Block::Sleep } else { Block::Job });
            world.after(2 * US).run(thread);
            world.after(10 * US).reply(thread, thread);
            invariants::check(&world);
            let known = round > 1 || thread == 0;
            assert!(!known || of(&world, Component::Lock) < 100 * US, "{:?}", world.replies.last().map(Reply::parts));
            let slept = of(&world, Component::Sleep);
            assert!(!known || (20 * MS..20 * MS + 100 * US).contains(&slept), "{slept}");
            let waited = of(&world, Component::PoolWait);
            assert!(thread == 0 || !known || waited > 19 * MS, "{waited}");
            world.after(US).block(thread, Block::Socket);
        }
        for thread in [0, 1] {
            world.after(MS).wake(thread, By::Interrupt);
            world.run(thread);
        }
    }
}

/// A client library with a thread of its own for its connections, which reads the answer and gives it to a worker.
#[test]
fn an_answer_that_another_thread_reads_is_waited_for() {
    let mut world = with_helpers(2);
    let (reader, worker) = (1, 2);
    world.thread(reader).activity.standing.free();
    for round in 0..4 {
        // The thread, whose wake-up the reader, which is busy, does not need, sends the call itself or has the worker do it.
        gives(&mut world, worker);
        world.after(5 * US).call(if round % 2 == 0 { 0 } else { worker }, 0);
        world.after(5 * US).block(worker, Block::Job);
        world.after(5 * US).block(0, Block::Semaphore);
        world.block(reader, Block::Poll);
        world.after(20 * MS).answer_arrives(0);
        world.wake(reader, By::Interrupt);
        world.after(3 * US).run(reader);
        world.read_answer(reader, 0);
        world.after(3 * US).wake(worker, By::Thread(reader, FUTEX, 1));
        world.after(3 * US).run(worker);
        // It first tells the reader to go on, which looks like a result that is given back to a loop.
        world.after(3 * US).block(reader, Block::Poll);
        world.after(3 * US).wake(reader, By::Thread(worker, WRITE, 1));
        comes_back(&mut world, worker);
        world.after(2 * US).run(reader);
        world.after(2 * US).block(reader, Block::Poll);
        replies(&mut world);
        let waited = of(&world, Component::Downstream);
        let parts = world.replies[world.replies.len() - 1].parts();
        assert!((20 * MS - 50 * US..20 * MS + 50 * US).contains(&waited), "{round}: {parts:?}");
        reads_next(&mut world);
        world.after(10 * US);
    }
}

/// A helper that has called a peer, and waits until another thread tells it that there is an answer, as Varnish's do.
#[test]
fn a_helper_that_is_told_of_its_answer_has_waited_for_the_peer() {
    let mut world = with_helpers(2);
    let (helper, poller) = (1, 2);
    gives(&mut world, helper);
    world.after(20 * US).block(0, Block::JobAt(0x30));
    world.after(5 * US).call(helper, 0);
    world.block(helper, Block::LockFor(60_000 * MS));
    world.after(20 * MS).answer_arrives(0);
    world.wake(poller, By::Interrupt);
    world.after(2 * US).run(poller);
    world.after(2 * US).wake(helper, By::Thread(poller, FUTEX, 1));
    world.after(2 * US).run(helper);
    world.read_answer(helper, 0);
    comes_back(&mut world, helper);
    replies(&mut world);
    assert!(of(&world, Component::Downstream) >= 20 * MS);
    assert_eq!(of(&world, Component::Lock), 0);
}
