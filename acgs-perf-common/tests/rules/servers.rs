//! Servers of known shapes: what their threads do for each request, told to the rules and to the truth.

use acgs_perf_common::attribution::Component;
use proptest::prelude::*;

use crate::truth::{Phase, Truth};
use crate::world::{Block, By, FUTEX, WRITE};

/// Something that a thread does for its request.
#[derive(Clone, Debug)]
pub enum Step {
    Cpu(u64),
    Preempted(u64),
    Blocked(Block, u64, u64),
    /// Sends to a peer and waits for its answer, in a read or in poll.
    Calls(bool, u64, u64),
    /// Waits for more of the request, in a read or in poll.
    Reads(bool, u64, u64),
}

pub fn ns() -> impl Strategy<Value = u64> {
    1..3_000_000u64
}

pub fn step() -> impl Strategy<Value = Step> {
    let blocks = vec![Block::Job, Block::Lock, Block::Disk, Block::Sleep, Block::Fault, Block::Other, Block::Send];
    prop_oneof![
        4 => ns().prop_map(Step::Cpu),
        1 => ns().prop_map(Step::Preempted),
        3 => (prop::sample::select(blocks), ns(), 0..100_000u64).prop_map(|(how, ns, queue)| Step::Blocked(how, ns, queue)),
        3 => (any::<bool>(), ns(), 0..100_000u64).prop_map(|(poll, ns, queue)| Step::Calls(poll, ns, queue)),
        2 => (any::<bool>(), ns(), 0..100_000u64).prop_map(|(poll, ns, queue)| Step::Reads(poll, ns, queue)),
    ]
}

/// One request of a thread that has nothing else to do.
pub fn serve(truth: &mut Truth, thread: usize, steps: &[Step], idle: u64) {
    truth.world.block(thread, Block::Socket);
    truth.after(idle).arrive(thread);
    truth.after(1_000).world.wake(thread, By::Interrupt);
    truth.after(2_000).world.run(thread);
    truth.after(300).read(thread, thread);
    let mut has_called = false;
    for step in steps {
        match *step {
            // Who blocks in a read after a call may wait for the rest of its answer.
            Step::Reads(..) if has_called => {}
            Step::Cpu(ns) => drop(truth.after(ns)),
            Step::Preempted(ns) => truth.preempted(thread, ns),
            Step::Blocked(how, ns, queue) => truth.blocked(thread, how, ns, queue),
            Step::Calls(poll, ns, queue) => {
                has_called = true;
                truth.world.call(thread, thread);
                truth.waits_for[thread] = Component::Downstream;
                truth.world.block(thread, if poll { Block::Poll } else { Block::Socket });
                truth.after(ns).world.answer_arrives(thread);
                truth.world.wake(thread, By::Interrupt);
                truth.after(queue).world.run(thread);
                truth.after(200).world.read_answer(thread, thread);
                truth.waits_for[thread] = Component::Idle;
            }
            Step::Reads(poll, ns, queue) => {
                truth.waits_for[thread] = Component::RequestBody;
                truth.world.block(thread, if poll { Block::Poll } else { Block::Socket });
                truth.after(ns).world.arrive(thread);
                truth.world.wake(thread, By::Interrupt);
                truth.after(queue).world.run(thread);
                truth.after(200).world.read(thread, thread);
                truth.waits_for[thread] = Component::Idle;
            }
        }
    }
    truth.reply(thread, thread);
    truth.after(500);
}

/// A loop that acts at once for what it reads, as nginx and Node do: each request computes, calls a peer, computes and replies.
pub struct AtOnce {
    pub truth: Truth,
    pub thread: usize,
}

impl AtOnce {
    pub fn new(in_flight: usize) -> Self {
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
    pub fn sleeps(&mut self, ns: u64, happens: impl FnOnce(&mut Truth)) {
        let thread = self.thread;
        self.truth.world.block(thread, Block::Poll);
        self.truth.after(ns);
        happens(&mut self.truth);
        self.truth.world.wake(thread, By::Interrupt);
        self.truth.after(700).world.run(thread);
    }

    pub fn starts(&mut self, socket: usize, cpu: u64) {
        self.truth.read(self.thread, socket);
        self.truth.after(cpu).world.call(self.thread, socket);
        self.truth.phases[socket] = Phase::Away;
    }

    pub fn answered(&mut self, socket: usize) {
        self.truth.world.answer_arrives(socket);
        self.truth.phases[socket] = Phase::Ready(self.thread);
    }

    pub fn ends(&mut self, socket: usize, cpu: u64) {
        self.truth.world.read_answer(self.thread, socket);
        self.truth.phases[socket] = Phase::Worked(self.thread);
        self.truth.after(cpu).reply(self.thread, socket);
    }
}

/// A loop that queues what it has read, and acts in that order, as asyncio does.
pub struct Queueing {
    pub at_once: AtOnce,
}

impl Queueing {
    /// Replies in order, while others wait, teach what kind of loop it is.
    pub fn new(in_flight: usize) -> Self {
        let mut at_once = AtOnce::new(in_flight);
        for _ in 0..8 {
            at_once.sleeps(1_000, |truth| (0..in_flight).for_each(|socket| truth.arrive(socket)));
            (0..in_flight).for_each(|socket| at_once.truth.read(0, socket));
            (0..in_flight).for_each(|socket| at_once.truth.reply(0, socket));
        }
        at_once.truth.world.replies.clear();
        at_once.truth.told.clear();
        Self { at_once }
    }

    /// The same loop, of which nothing is known yet.
    pub fn unknown(in_flight: usize) -> Self {
        Self { at_once: AtOnce { truth: Truth::new(1, in_flight, in_flight), thread: 0 } }
    }

    /// Reads all requests, calls a peer for each in order (on a connection that it may open), and replies as the answers come.
    pub fn round(&mut self, requests: &[(u64, u64, u64)], order: &[usize], meanwhile: u64, opens: bool) {
        let server = &mut self.at_once;
        server.sleeps(meanwhile, |truth| (0..requests.len()).for_each(|socket| truth.arrive(socket)));
        for (socket, (_, read, _)) in requests.iter().enumerate() {
            server.truth.read(0, socket);
            server.truth.after(*read);
            server.truth.phases[socket] = Phase::Ready(0);
        }
        for (socket, (before, ..)) in requests.iter().enumerate() {
            server.truth.phases[socket] = Phase::Worked(0);
            server.truth.after(*before);
            if opens {
                server.truth.world.connect(0, socket);
            } else {
                server.truth.world.call(0, socket);
            }
            server.truth.phases[socket] = Phase::Away;
        }
        if opens {
            for socket in order {
                server.truth.world.block(0, Block::Poll);
                server.truth.after(meanwhile).world.connected(*socket);
                server.truth.world.wake(0, By::Interrupt);
                server.truth.world.run(0);
                server.truth.world.call(0, *socket);
            }
        }
        for socket in order {
            server.truth.world.block(0, Block::Poll);
            server.truth.after(meanwhile);
            server.answered(*socket);
            server.truth.world.wake(0, By::Interrupt);
            server.truth.after(700).world.run(0);
            server.ends(*socket, requests[*socket].2);
        }
    }
}

/// A loop with one worker, which hands its results back: the loop replies.
pub struct Pool {
    pub server: AtOnce,
}

impl Pool {
    pub fn new(in_flight: usize, queues: bool) -> Self {
        let mut server = if queues { Queueing::new(in_flight).at_once } else { AtOnce::new(in_flight) };
        let worker = server.truth.world.start_thread(0);
        server.truth.waits_for.push(Component::Idle);
        server.truth.world.run(worker);
        server.truth.world.block(worker, Block::Job);
        Self { server }
    }

    /// All requests are read at once; the worker takes one after the other, or is woken for each.
    pub fn round(&mut self, jobs: &[u64], queue: u64, woken_for_each: bool) {
        let server = &mut self.server;
        server.sleeps(50_000, |truth| (0..jobs.len()).for_each(|socket| truth.arrive(socket)));
        for socket in 0..jobs.len() {
            server.truth.read(0, socket);
            server.truth.after(1_000);
            if server.truth.world.is_blocked(1) {
                server.truth.world.wake(1, By::Thread(0, FUTEX, 1));
                server.truth.phases[socket] = Phase::Worked(1);
            } else {
                server.truth.phases[socket] = Phase::Pool;
            }
        }
        server.truth.world.block(0, Block::Poll);
        server.truth.after(queue).world.run(1);
        for (socket, job) in jobs.iter().enumerate() {
            server.truth.phases[socket] = Phase::Worked(1);
            server.truth.after(*job).world.signal(1);
            server.truth.world.wake(0, By::Thread(1, WRITE, 8));
            server.truth.phases[socket] = Phase::Worked(0);
            server.truth.world.run(0);
            if woken_for_each {
                server.truth.world.block(1, Block::Job);
            }
            server.truth.after(2_000).reply(0, socket);
            if woken_for_each && socket + 1 < jobs.len() {
                server.truth.world.wake(1, By::Thread(0, FUTEX, 1));
                server.truth.phases[socket + 1] = Phase::Worked(1);
                server.truth.after(queue).world.run(1);
            }
            server.truth.world.block(0, Block::Poll);
        }
        if !woken_for_each {
            server.truth.world.block(1, Block::Job);
        }
        server.truth.after(10_000).world.wake(0, By::Interrupt);
        server.truth.world.run(0);
    }
}
