//! Proxies: loops and runtimes that call a peer for each request, with the truth beside them.
//!
//! In: random lengths of what they do. Out: each call is given to its request, so that the time is `downstream`, or the wait for a
//! connection.

use proptest::prelude::*;

use crate::invariants;
use crate::orders::cases;
use crate::servers::{AtOnce, Queueing, ns};
use crate::truth::{Phase, Truth};
use crate::world::{Block, By, FUTEX};

proptest! {
    #![proptest_config(cases())]

    /// A proxy that queues what it reads and then calls for each in order, as haproxy: it replies to nothing before a peer has answered,
    /// and the replies after answers teach.
    #[test]
    fn a_proxy_that_queues_is_learnt_from_answers(
        rounds in prop::collection::vec(
            (prop::collection::vec((ns(), 1..60_000u64, ns()), 2..8), 1_000_000..30_000_000u64),
            2..5,
        ),
        opens in any::<bool>(),
    ) {
        let mut server = Queueing::unknown(8);
        let in_order: Vec<usize> = (0..8).collect();
        for _ in 0..6 {
            server.round(&[(1_000, 1_000, 1_000); 8], &in_order, 1_000_000, opens);
        }
        server.at_once.truth.world.replies.clear();
        server.at_once.truth.told.clear();
        for (requests, meanwhile) in &rounds {
            server.round(requests, &in_order[..requests.len()], *meanwhile, opens);
        }
        invariants::check(&server.at_once.truth.world);
        let wrong = server.at_once.truth.wrong_percent();
        prop_assert!(wrong < 5.0, "{wrong} % of the time is another part's");
    }

    /// The same, and where it reads answers and new requests together, the new ones go first, as in haproxy.
    #[test]
    fn a_proxy_that_takes_new_requests_first_is_learnt(
        rounds in prop::collection::vec((ns(), 1..60_000u64, 1_000_000..30_000_000u64), 2..20),
    ) {
        let mut server = Queueing::unknown(4);
        let in_order: Vec<usize> = (0..4).collect();
        for _ in 0..4 {
            server.round(&[(1_000, 1_000, 1_000); 4], &in_order, 1_000_000, false);
        }
        let server = &mut server.at_once;
        server.sleeps(1_000, |truth| truth.arrive(0));
        server.starts(0, 1_000);
        let warm_up = [(1_000, 1_000, 1_000_000); 4];
        for (round, (before, after, meanwhile)) in warm_up.iter().chain(&rounds).enumerate() {
            let (old, new) = (round % 2, 1 - round % 2);
            server.truth.world.block(0, Block::Poll);
            server.truth.after(*meanwhile);
            server.answered(old);
            server.truth.arrive(new);
            server.truth.world.wake(0, By::Interrupt);
            server.truth.world.run(0);
            server.truth.world.read_answer(0, old);
            server.starts(new, *before);
            server.truth.phases[old] = Phase::Worked(0);
            server.truth.after(*after).reply(0, old);
            if round < warm_up.len() {
                server.truth.world.replies.clear();
                server.truth.told.clear();
            }
        }
        invariants::check(&server.truth.world);
        let wrong = server.truth.wrong_percent();
        prop_assert!(wrong < 5.0, "{wrong} % of the time is another part's");
    }

    /// A loop that acts at once, and where every second request waits for a timer before it goes on: it is none that queues.
    #[test]
    fn who_waits_for_a_timer_is_not_taken_for_one_that_queues(rounds in prop::collection::vec((ns(), ns()), 6..20)) {
        let mut server = AtOnce { truth: Truth::new(1, 2, 2), thread: 0 };
        for (meanwhile, cpu) in rounds {
            server.sleeps(meanwhile, |truth| (0..2).for_each(|socket| truth.arrive(socket)));
            server.truth.read(0, 0);
            server.truth.phases[0] = Phase::Ready(0);
            server.starts(1, cpu);
            server.sleeps(meanwhile, |_| {});
            server.answered(1);
            server.ends(1, cpu);
            server.sleeps(meanwhile, |_| {});
            server.truth.reply(0, 0);
        }
        prop_assert!(!server.truth.world.thread(0).runnable.is_queue());
    }

    /// A proxy whose tasks go from thread to thread, as in Go: one thread calls, the other one, which waits for events meanwhile, reads the
    /// answer, and one of them replies. What one knows the other one finds.
    #[test]
    fn calls_of_a_runtime_are_nearly_exact(
        rounds in prop::collection::vec((ns(), 1_000_000..30_000_000u64, 1..60_000u64, any::<bool>()), 4..12),
    ) {
        let mut truth = Truth::new(2, 1, 1);
        truth.world.block(1, Block::Job);
        let warm_up = [(1_000, 20_000_000, 1_000, true), (1_000, 20_000_000, 1_000, false)];
        for (round, (before, meanwhile, after, changes)) in warm_up.iter().cycle().take(4).chain(&rounds).enumerate() {
            let (caller, reader) = (round % 2, 1 - round % 2);
            truth.world.block(caller, Block::Poll);
            truth.after(*after).arrive(0);
            truth.world.wake(caller, By::Interrupt);
            truth.after(700).world.run(caller);
            truth.read(caller, 0);
            truth.after(*before).world.call(caller, 0);
            truth.phases[0] = Phase::Away;
            // It wakes the other one to wait for events, and has nothing to do.
            truth.world.wake(reader, By::Thread(caller, FUTEX, 1));
            truth.world.run(reader);
            truth.world.block(reader, Block::Poll);
            truth.world.block(caller, Block::Job);
            truth.after(*meanwhile).world.answer_arrives(0);
            truth.world.wake(reader, By::Interrupt);
            truth.phases[0] = Phase::Worked(reader);
            truth.after(700).world.run(reader);
            truth.world.read_answer(reader, 0);
            truth.after(*after);
            let replies = if *changes { caller } else { reader };
            if *changes {
                truth.world.wake(caller, By::Thread(reader, FUTEX, 1));
                truth.phases[0] = Phase::Worked(caller);
                truth.after(700).world.run(caller);
            }
            truth.after(*after).reply(replies, 0);
            if *changes {
                truth.world.block(caller, Block::Job);
            }
            if round < 4 {
                truth.world.replies.clear();
                truth.told.clear();
            }
            if !*changes {
                truth.world.wake(caller, By::Thread(reader, FUTEX, 1));
                truth.world.run(caller);
                truth.world.block(caller, Block::Job);
            }
        }
        invariants::check(&truth.world);
        let wrong = truth.wrong_percent();
        prop_assert!(wrong < 5.0, "{wrong} % of the time is another part's");
    }

    /// A proxy with one connection to its peer, as a pool of connections that is too small: who waits for it, waits in `connection_wait`.
    #[test]
    fn a_pool_without_a_free_connection_is_connection_wait(
        rounds in prop::collection::vec(prop::collection::vec((1_000_000..30_000_000u64, 1..30_000u64), 2..8), 1..4),
    ) {
        let mut truth = Truth::new(1, 8, 1);
        for requests in &rounds {
            truth.world.block(0, Block::Poll);
            (0..requests.len()).for_each(|socket| truth.arrive(socket));
            truth.world.wake(0, By::Interrupt);
            truth.after(700).world.run(0);
            truth.read(0, 0);
            truth.after(1_000).world.call(0, 0);
            truth.phases[0] = Phase::Away;
            for socket in 1..requests.len() {
                truth.read(0, socket);
                truth.phases[socket] = Phase::Connection;
            }
            for (socket, (meanwhile, cpu)) in requests.iter().enumerate() {
                truth.world.block(0, Block::Poll);
                truth.after(*meanwhile).world.answer_arrives(0);
                truth.world.wake(0, By::Interrupt);
                truth.phases[socket] = Phase::Ready(0);
                truth.after(700).world.run(0);
                truth.world.read_answer(0, 0);
                truth.phases[socket] = Phase::Worked(0);
                truth.after(*cpu).reply(0, socket);
                if socket + 1 < requests.len() {
                    truth.phases[socket + 1] = Phase::Worked(0);
                    truth.after(*cpu).world.call(0, 0);
                    truth.phases[socket + 1] = Phase::Away;
                }
            }
        }
        invariants::check(&truth.world);
        let wrong = truth.wrong_percent();
        prop_assert!(wrong < 5.0, "{wrong} % of the time is another part's");
    }

    /// A proxy with its own connection for each client, as haproxy and nginx pin them: each call is the request's own.
    #[test]
    fn calls_of_a_proxy_are_exact(
        orders in prop::collection::vec((Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(), ns(), 1..60_000u64), 1..5),
    ) {
        let mut server = AtOnce::new(8);
        for (order, meanwhile, cpu) in &orders {
            server.sleeps(*meanwhile, |truth| (0..8).for_each(|socket| truth.arrive(socket)));
            (0..8).for_each(|socket| server.starts(socket, *cpu));
            for pair in order.chunks(2) {
                server.truth.world.block(0, Block::Poll);
                server.truth.after(*meanwhile);
                pair.iter().for_each(|socket| server.answered(*socket));
                server.truth.world.wake(0, By::Interrupt);
                server.truth.after(700).world.run(0);
                pair.iter().for_each(|socket| server.ends(*socket, *cpu));
            }
        }
        invariants::check(&server.truth.world);
        server.truth.assert_exact();
    }

    /// A proxy that opens a connection for each request, as haproxy does without reuse: opening it and the call are the request's.
    #[test]
    fn a_proxy_that_connects_for_each_request_is_exact(
        orders in prop::collection::vec((Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(), ns(), 1..60_000u64), 1..5),
    ) {
        let mut server = AtOnce::new(8);
        for (order, meanwhile, cpu) in &orders {
            server.sleeps(*meanwhile, |truth| (0..8).for_each(|socket| truth.arrive(socket)));
            for socket in 0..8 {
                server.truth.read(0, socket);
                server.truth.after(*cpu).world.connect(0, socket);
                server.truth.phases[socket] = Phase::Away;
            }
            for socket in order {
                server.sleeps(*meanwhile, |truth| truth.world.connected(*socket));
                server.truth.world.call(0, *socket);
            }
            for socket in order {
                server.truth.world.block(0, Block::Poll);
                server.truth.after(*meanwhile);
                server.answered(*socket);
                server.truth.world.wake(0, By::Interrupt);
                server.truth.after(700).world.run(0);
                server.ends(*socket, *cpu);
            }
        }
        invariants::check(&server.truth.world);
        let wrong = server.truth.wrong_percent();
        prop_assert!(wrong < 1.0, "{wrong} % of the time is another part's");
    }
}
