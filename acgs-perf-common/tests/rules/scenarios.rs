//! Servers of known shapes, with the truth beside them: thousands of scripts of each.
//!
//! In: random lengths of what a server does. Out: each part of each request is what is true, where `docs/attribution.md` calls it exact;
//! elsewhere so much of the time at most is given to the wrong part.

use acgs_perf_common::attribution::Component;
use proptest::prelude::*;

use crate::invariants;
use crate::orders::cases;
use crate::truth::{Phase, Truth};
use crate::world::{Block, By, FUTEX, WRITE};

/// Something that a thread does for its request.
#[derive(Clone, Debug)]
enum Step {
    Cpu(u64),
    Preempted(u64),
    Blocked(Block, u64, u64),
    /// Sends to a peer and waits for its answer, in a read or in poll.
    Calls(bool, u64, u64),
}

fn ns() -> impl Strategy<Value = u64> {
    1..3_000_000u64
}

fn step() -> impl Strategy<Value = Step> {
    let blocks = vec![Block::Job, Block::Lock, Block::Disk, Block::Sleep, Block::Fault, Block::Other];
    prop_oneof![
        4 => ns().prop_map(Step::Cpu),
        1 => ns().prop_map(Step::Preempted),
        3 => (prop::sample::select(blocks), ns(), 0..100_000u64).prop_map(|(how, ns, queue)| Step::Blocked(how, ns, queue)),
        3 => (any::<bool>(), ns(), 0..100_000u64).prop_map(|(poll, ns, queue)| Step::Calls(poll, ns, queue)),
    ]
}

/// One request of a thread that has nothing else to do.
fn serve(truth: &mut Truth, thread: usize, steps: &[Step], idle: u64) {
    truth.world.block(thread, Block::Socket);
    truth.after(idle).arrive(thread);
    truth.after(1_000).world.wake(thread, By::Interrupt);
    truth.after(2_000).world.run(thread);
    truth.after(300).read(thread, thread);
    for step in steps {
        match *step {
            Step::Cpu(ns) => drop(truth.after(ns)),
            Step::Preempted(ns) => truth.preempted(thread, ns),
            Step::Blocked(how, ns, queue) => truth.blocked(thread, how, ns, queue),
            Step::Calls(poll, ns, queue) => {
                truth.world.call(thread, thread);
                truth.awaits_peer[thread] = true;
                truth.world.block(thread, if poll { Block::Poll } else { Block::Socket });
                truth.after(ns).world.answer_arrives(thread);
                truth.world.wake(thread, By::Interrupt);
                truth.after(queue).world.run(thread);
                truth.after(200).world.read_answer(thread, thread);
                truth.awaits_peer[thread] = false;
            }
        }
    }
    truth.reply(thread, thread);
    truth.after(500);
}

/// A loop that acts at once for what it reads, as nginx and Node do: each request computes, calls a peer, computes and replies.
struct AtOnce {
    truth: Truth,
    thread: usize,
}

impl AtOnce {
    fn new(in_flight: usize) -> Self {
        let mut this = Self { truth: Truth::new(1, in_flight, in_flight), thread: 0 };
        // Two requests at once show that it is a loop.
        for _ in 0..8 {
            for socket in 0..2 {
                this.truth.arrive(socket);
                this.truth.read(0, socket);
            }
            for socket in 0..2 {
                this.truth.reply(0, socket);
            }
        }
        this.truth.world.replies.clear();
        this.truth.told.clear();
        this
    }

    /// Sleeps until something happens after `ns`, which the caller says.
    fn sleeps(&mut self, ns: u64, happens: impl FnOnce(&mut Truth)) {
        let thread = self.thread;
        self.truth.world.block(thread, Block::Poll);
        self.truth.after(ns);
        happens(&mut self.truth);
        self.truth.world.wake(thread, By::Interrupt);
        self.truth.after(700).world.run(thread);
    }

    fn starts(&mut self, socket: usize, cpu: u64) {
        self.truth.read(self.thread, socket);
        self.truth.after(cpu).world.call(self.thread, socket);
        self.truth.phases[socket] = Phase::Away;
    }

    fn answered(&mut self, socket: usize) {
        self.truth.world.answer_arrives(socket);
        self.truth.phases[socket] = Phase::Ready(self.thread);
    }

    fn ends(&mut self, socket: usize, cpu: u64) {
        self.truth.world.read_answer(self.thread, socket);
        self.truth.phases[socket] = Phase::Worked(self.thread);
        self.truth.after(cpu).reply(self.thread, socket);
    }
}

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

    /// A loop that queues what it reads and acts in order, as asyncio does: replies teach it, and what it computes is true but for
    /// what the order of acting does not tell.
    #[test]
    fn a_loop_that_queues_is_nearly_exact(
        rounds in prop::collection::vec(prop::collection::vec((ns(), 1..200_000u64), 2..8), 12..16),
    ) {
        let mut server = AtOnce::new(8);
        for requests in &rounds {
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
}
