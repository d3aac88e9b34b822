//! Events in any order, as a property of random ones and a fuzzer try them.
//!
//! In: events, of which those are left out that a kernel could not see (a thread that sleeps reads nothing). Out: the world after them.

use crate::invariants;
use crate::world::{Block, By, World};

pub const THREADS: usize = 5;
pub const SOCKETS: usize = 6;
pub const CONNECTIONS: usize = 4;
/// Of one process.
const RESULTS: usize = 65;

#[derive(Clone, Copy, Debug)]
pub enum Event {
    Arrive(usize),
    Read(usize, usize),
    Reply(usize, usize),
    Close(usize),
    Connect(usize, usize),
    Connected(usize),
    Call(usize, usize),
    AnswerArrives(usize),
    ReadAnswer(usize, usize),
    Block(usize, Block),
    Preempt(usize),
    Run(usize),
    Interrupt(usize),
    Wake(usize, usize, i64, u64),
    Signal(usize),
    Start(usize),
    OtherProcess(usize),
}

fn apply(world: &mut World, event: Event) {
    match event {
        Event::Arrive(socket) => world.arrive(socket),
        Event::Read(thread, socket) if world.is_on_cpu(thread) => world.read(thread, socket),
        Event::Reply(thread, socket) if world.is_on_cpu(thread) => world.reply(thread, socket),
        Event::Close(socket) => world.close(socket),
        Event::Connect(thread, connection) if world.is_on_cpu(thread) => world.connect(thread, connection),
        Event::Connected(connection) => world.connected(connection),
        Event::Call(thread, connection) if world.is_on_cpu(thread) => world.call(thread, connection),
        Event::AnswerArrives(connection) => world.answer_arrives(connection),
        Event::ReadAnswer(thread, connection) if world.is_on_cpu(thread) => world.read_answer(thread, connection),
        Event::Block(thread, how) if world.is_on_cpu(thread) => world.block(thread, how),
        Event::Preempt(thread) if world.is_on_cpu(thread) => world.preempt(thread),
        // Blocked or runnable: a wake-up that came before the switch was not seen.
        Event::Run(thread) if !world.is_on_cpu(thread) => world.run(thread),
        Event::Interrupt(thread) if world.is_blocked(thread) => world.wake(thread, By::Interrupt),
        Event::Wake(thread, by, call, argument) if thread != by && world.is_blocked(thread) && world.is_on_cpu(by) => {
            world.wake(thread, By::Thread(by, call, argument));
        }
        Event::Signal(thread) if world.is_on_cpu(thread) => world.signal(thread),
        Event::Start(thread) if world.is_on_cpu(thread) && world.tasks.len() < 2 * THREADS => {
            world.start_thread(thread);
        }
        Event::OtherProcess(thread) => world.tasks[thread].tgid = 100 + thread as u32,
        _ => {}
    }
}

/// Replies in the order of reading, while others wait: the thread is a loop that queues.
fn teach(world: &mut World, thread: usize) {
    for _ in 0..8 {
        (0..SOCKETS).for_each(|socket| world.after(1_000).read(thread, socket));
        (0..SOCKETS).for_each(|socket| world.after(1_000).reply(thread, socket));
    }
}

/// Runs the events, of which the threads before `loops` know already that they queue.
pub fn run(events: &[(u64, Event)], loops: usize, exemplars: bool, sharing: u64, room: usize) -> World {
    let mut world = World::new(THREADS, SOCKETS, CONNECTIONS, sharing);
    (0..loops).for_each(|thread| teach(&mut world, thread));
    world.every_request_is_an_exemplar = exemplars;
    world.tables.room.set(room);
    for (pause, event) in events {
        world.after(*pause);
        apply(&mut world, *event);
    }
    world
}

/// Whether all that must hold after any events does.
pub fn check(world: &World) {
    invariants::check(world);
    assert!(world.tables.spilled_len() <= SOCKETS + CONNECTIONS + RESULTS, "entries of requests that are gone");
}
