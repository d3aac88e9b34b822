//! Servers of known shapes, with the truth beside them: thousands of scripts of each.
//!
//! In: random lengths of what a server does. Out: each part of each request is what is true, where `docs/attribution.md` calls it exact;
//! elsewhere so much of the time at most is given to the wrong part.

use acgs_perf_common::attribution::Component;
use proptest::prelude::*;

use crate::invariants;
use crate::orders::cases;
use crate::servers::{AtOnce, Pool, Queueing, ns, serve, step};
use crate::truth::{Phase, Truth};
use crate::world::{Block, By, FUTEX, KILL, WRITE};

proptest! {
    #![proptest_config(cases())]

    /// A thread for each connection: everything is exact, and the queue time too.
    #[test]
    fn threads_are_exact(
        requests in prop::collection::vec((prop::collection::vec(step(), 0..8), 10_000..9_000_000u64), 1..6),
        exemplars in any::<bool>(),
    ) {
        let mut truth = Truth::new(1, 1, 1);
        truth.world.every_request_is_an_exemplar = exemplars;
        for (steps, idle) in &requests {
            serve(&mut truth, 0, steps, *idle);
        }
        truth.assert_exact();
        invariants::check(&truth.world);
        for (reply, _) in truth.answers() {
            prop_assert_eq!(reply.of(Component::QueueIdle), 1_000);
            prop_assert_eq!(reply.of(Component::QueueRunQueue), 2_000);
            prop_assert_eq!(reply.of(Component::QueueOnCpu), 300);
        }
    }

    /// A loop with many requests in flight that acts at once: queue time, calls and answers are exact.
    #[test]
    fn a_loop_that_acts_at_once_is_exact(
        rounds in prop::collection::vec((prop::collection::vec((ns(), ns()), 2..8), ns(), ns(), any::<bool>()), 1..6),
    ) {
        let mut server = AtOnce::new(8);
        for (requests, before, meanwhile, together) in &rounds {
            let all = 0..requests.len();
            server.sleeps(*before, |truth| all.clone().for_each(|socket| truth.arrive(socket)));
            for (socket, (cpu, _)) in requests.iter().enumerate() {
                server.starts(socket, *cpu);
            }
            if *together {
                server.sleeps(*meanwhile, |_| {});
                all.clone().for_each(|socket| server.answered(socket));
                for (socket, (_, cpu)) in requests.iter().enumerate() {
                    server.ends(socket, *cpu);
                }
            } else {
                for (socket, (_, cpu)) in requests.iter().enumerate() {
                    server.truth.world.block(0, Block::Poll);
                    server.truth.after(*meanwhile);
                    server.answered(socket);
                    server.truth.world.wake(0, By::Interrupt);
                    server.truth.after(700).world.run(0);
                    server.ends(socket, *cpu);
                }
            }
        }
        invariants::check(&server.truth.world);
        server.truth.assert_exact();
    }

    /// A loop that gives each request to an idle worker, which computes, waits and replies itself.
    #[test]
    fn workers_that_reply_are_exact(jobs in prop::collection::vec((ns(), ns(), ns(), 0..50_000u64), 1..12)) {
        let mut truth = Truth::new(2, 1, 0);
        truth.world.block(1, Block::Job);
        for (read, compute, disk, queue) in &jobs {
            truth.world.block(0, Block::Poll);
            truth.after(50_000).arrive(0);
            truth.world.wake(0, By::Interrupt);
            truth.after(1_000).world.run(0);
            truth.read(0, 0);
            truth.after(*read).world.wake(1, By::Thread(0, FUTEX, 1));
            truth.phases[0] = Phase::Worked(1);
            truth.world.block(0, Block::Poll);
            truth.after(*queue).world.run(1);
            truth.after(*compute).blocked(1, Block::Disk, *disk, *queue);
            truth.after(*compute).reply(1, 0);
            truth.after(400).world.block(1, Block::Job);
            truth.after(100).world.wake(0, By::Interrupt);
            truth.after(100).world.run(0);
        }
        invariants::check(&truth.world);
        truth.assert_exact();
    }

    /// A loop that gives each request to a worker, which hands the result back through an eventfd: the loop replies.
    #[test]
    fn results_that_come_back_are_exact(jobs in prop::collection::vec((ns(), ns(), 0..50_000u64, ns()), 1..12)) {
        let mut truth = Truth::new(2, 1, 0);
        truth.world.block(1, Block::Job);
        for (read, compute, queue, end) in &jobs {
            truth.world.block(0, Block::Poll);
            truth.after(50_000).arrive(0);
            truth.world.wake(0, By::Interrupt);
            truth.after(1_000).world.run(0);
            truth.read(0, 0);
            truth.after(*read).world.wake(1, By::Thread(0, FUTEX, 1));
            truth.phases[0] = Phase::Worked(1);
            truth.world.block(0, Block::Poll);
            truth.after(*queue).world.run(1);
            truth.after(*compute).world.wake(0, By::Thread(1, WRITE, 8));
            truth.phases[0] = Phase::Worked(0);
            truth.after(*queue).world.run(0);
            truth.world.block(1, Block::Job);
            truth.after(*end).reply(0, 0);
        }
        invariants::check(&truth.world);
        truth.assert_exact();
    }

    /// A loop that queues what it reads and acts in order, as asyncio does: replies teach it, in the first rounds.
    /// What it does between the last read and the first act is counted for the latter.
    #[test]
    fn a_loop_that_queues_is_nearly_exact(
        rounds in prop::collection::vec(prop::collection::vec((300_000..3_000_000u64, 1..20_000u64), 2..8), 12..16),
    ) {
        let mut server = AtOnce::new(8);
        for (round, requests) in rounds.iter().enumerate() {
            if round == 8 {
                server.truth.world.replies.clear();
                server.truth.told.clear();
            }
            server.sleeps(100_000, |truth| (0..requests.len()).for_each(|socket| truth.arrive(socket)));
            for (socket, (_, read)) in requests.iter().enumerate() {
                server.truth.read(0, socket);
                server.truth.after(*read);
                server.truth.phases[socket] = Phase::Ready(0);
            }
            for (socket, (cpu, _)) in requests.iter().enumerate() {
                server.truth.phases[socket] = Phase::Worked(0);
                server.truth.after(*cpu).reply(0, socket);
            }
        }
        invariants::check(&server.truth.world);
        let wrong = server.truth.wrong_percent();
        prop_assert!(wrong < 3.0, "{wrong} % of the time is another part's");
    }

    /// The same loop calls a peer for each request: the calls are given out by order.
    #[test]
    fn calls_of_a_loop_that_queues_are_nearly_exact(
        rounds in prop::collection::vec(
            (prop::collection::vec((ns(), 1..60_000u64, ns()), 8), Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(), ns()),
            2..5,
        ),
        opens in any::<bool>(),
    ) {
        let mut server = Queueing::new(8);
        for (requests, order, meanwhile) in &rounds {
            server.round(requests, order, *meanwhile, opens);
        }
        invariants::check(&server.at_once.truth.world);
        let wrong = server.at_once.truth.wrong_percent();
        prop_assert!(wrong < 5.0, "{wrong} % of the time is another part's");
    }

    /// A pool with fewer threads than jobs: who waits for a thread, waits in `pool_wait`.
    #[test]
    fn a_pool_without_a_free_thread_is_pool_wait(
        rounds in prop::collection::vec((prop::collection::vec(100_000..3_000_000u64, 2..6), 0..20_000u64), 3..8),
        queues in any::<bool>(),
        woken_for_each in any::<bool>(),
    ) {
        let mut pool = Pool::new(8, queues);
        for (jobs, queue) in &rounds {
            pool.round(jobs, *queue, woken_for_each);
        }
        invariants::check(&pool.server.truth.world);
        let wrong = pool.server.truth.wrong_percent();
        prop_assert!(wrong < 6.0, "{wrong} % of the time is another part's");
    }

    /// A process of the same service lets another one go on, as the backends of PostgreSQL do.
    #[test]
    fn a_wait_that_another_process_ends_is_a_lock(waits in prop::collection::vec((ns(), ns(), 0..50_000u64), 1..6)) {
        let mut truth = Truth::new(2, 1, 0);
        truth.world.tasks[1].tgid = 200;
        truth.arrive(0);
        truth.read(0, 0);
        for (cpu, locked, queue) in &waits {
            truth.after(*cpu).waits_for[0] = Component::Lock;
            truth.world.block(0, Block::Poll);
            truth.after(*locked).world.wake(0, By::Thread(1, KILL, 10));
            truth.after(*queue).world.run(0);
        }
        truth.after(1_000).reply(0, 0);
        invariants::check(&truth.world);
        truth.assert_exact();
    }
}
