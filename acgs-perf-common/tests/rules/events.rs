//! Events in any order, as a property of random ones and a fuzzer try them.
//!
//! In: events, of which those are left out that a kernel could not see (a thread that sleeps reads nothing). Out: the world after them.

use acgs_perf_common::ledger::Loss;

use crate::invariants;
use crate::world::{Block, By, FUTEX, KILL, SENDTO, WRITE, World};

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
    OthersAreFaster,
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
        Event::OthersAreFaster => world.tables.others_are_faster.set(true),
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

/// More than this take long, and tell no more.
const MOST: usize = 250;
/// Nanoseconds between two events.
const PAUSES: [u64; 8] = [0, 1, 900, 20_000, 60_000, 1_500_000, 40_000_000, 20_000_000_000];
const WAKES: [i64; 5] = [FUTEX, WRITE, SENDTO, -1, KILL];

/// Three bytes are an event: how long after the one before and of which kind, whose, and with whom.
fn event([kind, whose, with]: [u8; 3]) -> (u64, Event) {
    let pause = PAUSES[usize::from(kind >> 5)];
    let (first, second) = (usize::from(whose), usize::from(with));
    let (thread, socket, connection) = (first % THREADS, second % SOCKETS, second % CONNECTIONS);
    let event = match kind & 31 {
        0 | 1 => Event::Arrive(socket),
        2..=4 => Event::Read(thread, socket),
        5..=7 => Event::Reply(thread, socket),
        8 => Event::Close(socket),
        9 => Event::Connect(thread, connection),
        10 => Event::Connected(connection),
        11 | 12 => Event::Call(thread, connection),
        13 => Event::AnswerArrives(connection),
        14 | 15 => Event::ReadAnswer(thread, connection),
        16..=18 => Event::Block(thread, Block::EVERY[second % Block::EVERY.len()]),
        19 => Event::Preempt(thread),
        20..=22 => Event::Run(thread),
        23 => Event::Interrupt(thread),
        24..=27 => {
            let argument = u64::from(kind & 3) + 1;
            Event::Wake(thread, second % THREADS, WAKES[second / THREADS % WAKES.len()], argument)
        }
        28 => Event::Signal(thread),
        29 => Event::Start(thread),
        30 => Event::OtherProcess(thread),
        _ if second & 1 != 0 => Event::OthersAreFaster,
        _ => Event::Arrive(first % SOCKETS),
    };
    (pause, event)
}

/// Tries the events that these bytes are, of which the first says how: parts add up, nothing is lost, nothing counted twice, and what is
/// told of a request changes nothing of what is counted.
pub fn try_bytes(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let mut events: Vec<_> = rest.as_chunks::<3>().0.iter().take(MOST).map(|bytes| event(*bytes)).collect();
    // Whoever is told of is looked for in the table, where a thread on another CPU can have it.
    let is_alone = how & 16 == 0;
    if is_alone {
        events.retain(|(_, event)| !matches!(event, Event::OthersAreFaster));
    }
    let (loops, sharing) = (usize::from(how & 3), u64::from(how >> 2 & 1) + 1);
    let room = if how & 8 == 0 { usize::MAX } else { 0 };
    let [short, long] = [false, true].map(|exemplars| run(&events, loops, exemplars, sharing, room));
    for world in [&short, &long] {
        check(world);
        assert!(room == 0 || world.tables.lost(Loss::RequestTableFull) == 0);
    }
    if is_alone && room != 0 && sharing == 2 {
        assert_eq!(short.replies.len(), long.replies.len());
        short.replies.iter().zip(&long.replies).for_each(|(short, long)| assert_eq!(short.parts(), long.parts()));
    }
}
