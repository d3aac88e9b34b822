//! A world with the truth beside it: what each request really waits for, integrated as time passes.
//!
//! In: a script of what a server does for which request. Out: the same events to the rules, and for each reply the truth.

use std::collections::BTreeMap;

use acgs_perf_common::attribution::{Component, FIRST_OF_SERVICE_TIME};
use acgs_perf_common::state::State;

use crate::world::{Block, By, Reply, SENDTO, World};

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has not arrived, or is answered.
    None,
    /// It has arrived and was not read.
    Queued,
    /// This thread works for it.
    Worked(usize),
    /// It waits for a peer.
    Away,
    /// It could go on, as soon as this thread turns to it.
    Ready(usize),
    /// It waits for a worker.
    Pool,
    /// It waits for a connection.
    Connection,
}

/// Time by component, by the index of the component.
pub type Parts = BTreeMap<u32, u64>;

/// The world, and the truth of each request by its socket.
pub struct Truth {
    pub world: World,
    pub phases: Vec<Phase>,
    parts: Vec<Parts>,
    /// For what a thread that waits for events or bytes really waits.
    pub waits_for: Vec<Component>,
    /// What was said to be true of each reply.
    pub told: Vec<Parts>,
}

impl Truth {
    pub fn new(threads: usize, sockets: usize, connections: usize) -> Self {
        Self {
            world: World::new(threads, sockets, connections, 1),
            phases: vec![Phase::None; sockets],
            parts: vec![Parts::new(); sockets],
            waits_for: vec![Component::Idle; threads],
            told: Vec::new(),
        }
    }

    /// The component of a request whose thread is in its state.
    fn component_of(&self, thread: usize) -> Component {
        let state = self.world.thread(thread).state;
        let of = |s: State| s as u32 == state;
        match () {
            () if of(State::OnCpu) => Component::OnCpu,
            () if of(State::RunQueue) => Component::RunQueue,
            () if of(State::Lock) => Component::Lock,
            () if of(State::Disk) => Component::Disk,
            () if of(State::Sleep) => Component::Sleep,
            () if of(State::Fault) => Component::Fault,
            () if of(State::Other) => Component::Other,
            () if of(State::Socket) && self.world.tasks[thread].syscall == SENDTO => Component::SendBuffer,
            () => self.waits_for[thread],
        }
    }

    /// Time passes.
    pub fn after(&mut self, ns: u64) -> &mut Self {
        for socket in 0..self.phases.len() {
            if ns == 0 {
                break;
            }
            let component = match self.phases[socket] {
                Phase::None | Phase::Queued => continue,
                Phase::Worked(thread) => self.component_of(thread),
                Phase::Away => Component::Downstream,
                Phase::Ready(thread) if self.world.is_runnable(thread) => Component::RunQueue,
                Phase::Ready(_) => Component::LoopWait,
                Phase::Pool => Component::PoolWait,
                Phase::Connection => Component::ConnectionWait,
            };
            *self.parts[socket].entry(component as u32).or_default() += ns;
        }
        self.world.after(ns);
        self
    }

    pub fn arrive(&mut self, socket: usize) {
        self.world.arrive(socket);
        self.phases[socket] = Phase::Queued;
    }

    pub fn read(&mut self, thread: usize, socket: usize) {
        self.world.read(thread, socket);
        self.parts[socket].clear();
        self.phases[socket] = Phase::Worked(thread);
    }

    pub fn reply(&mut self, thread: usize, socket: usize) {
        self.world.reply(thread, socket);
        self.phases[socket] = Phase::None;
        self.told.push(std::mem::take(&mut self.parts[socket]));
    }

    /// Blocks, sleeps for `ns`, is woken by an interrupt and waits for its CPU for `queue` ns.
    pub fn blocked(&mut self, thread: usize, how: Block, ns: u64, queue: u64) {
        self.world.block(thread, how);
        self.after(ns);
        self.world.wake(thread, By::Interrupt);
        self.after(queue);
        self.world.run(thread);
    }

    /// Loses its CPU for `ns`.
    pub fn preempted(&mut self, thread: usize, ns: u64) {
        self.world.preempt(thread);
        self.after(ns);
        self.world.run(thread);
    }

    /// Each reply with its truth.
    pub fn answers(&self) -> impl Iterator<Item = (&Reply, &Parts)> {
        assert_eq!(self.world.replies.len(), self.told.len());
        self.world.replies.iter().zip(&self.told)
    }

    /// Every part of the service time of every reply is what is true.
    pub fn assert_exact(&self) {
        for (reply, truth) in self.answers() {
            assert_eq!(&service_parts(reply), truth, "socket {}", reply.socket);
        }
    }

    /// The share of the time of all replies that was given to the wrong component, in percent; less than [`CLAIMED_NS`] of a reply is none.
    pub fn wrong_percent(&self) -> f64 {
        let (mut wrong, mut all) = (0, 0);
        for (reply, truth) in self.answers() {
            let said = service_parts(reply);
            all += reply.sent - reply.read;
            let components = said.keys().chain(truth.keys()).collect::<std::collections::BTreeSet<_>>();
            let of = |parts: &Parts, component: &u32| parts.get(component).copied().unwrap_or(0);
            let missing = components.into_iter().map(|part| of(truth, part).saturating_sub(of(&said, part)));
            wrong += missing.sum::<u64>().saturating_sub(CLAIMED_NS);
        }
        100.0 * wrong as f64 / (all as f64).max(1.0)
    }
}

/// Nothing below is claimed of a single request.
const CLAIMED_NS: u64 = 2_000;

/// The parts of the service time that are not 0.
pub fn service_parts(reply: &Reply) -> Parts {
    let of_service = |(component, ns): (Component, u64)| (component as u32, ns);
    reply
        .parts()
        .into_iter()
        .filter(|(component, _)| *component as usize >= FIRST_OF_SERVICE_TIME)
        .map(of_service)
        .collect()
}
