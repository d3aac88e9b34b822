//! Events in any order: whatever the order, the parts of each request add up and nothing is lost.
//!
//! In: random events, of which those are left out that a kernel could not see (a thread that sleeps reads nothing). With
//! `ACGS_PERF_LONG` in the environment a thousand times as many.

use acgs_perf_common::ledger::Loss;
use proptest::prelude::*;

use crate::invariants;
use crate::world::{Block, By, FUTEX, KILL, SENDTO, WRITE, World};

const THREADS: usize = 5;
/// Of one process.
const RESULTS: usize = 65;
const SOCKETS: usize = 6;
const CONNECTIONS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Event {
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

fn event() -> impl Strategy<Value = Event> {
    let thread = 0..THREADS;
    let socket = 0..SOCKETS;
    let connection = 0..CONNECTIONS;
    prop_oneof![
        4 => socket.clone().prop_map(Event::Arrive),
        6 => (thread.clone(), socket.clone()).prop_map(|(t, s)| Event::Read(t, s)),
        6 => (thread.clone(), socket.clone()).prop_map(|(t, s)| Event::Reply(t, s)),
        1 => socket.prop_map(Event::Close),
        1 => (thread.clone(), connection.clone()).prop_map(|(t, c)| Event::Connect(t, c)),
        1 => connection.clone().prop_map(Event::Connected),
        4 => (thread.clone(), connection.clone()).prop_map(|(t, c)| Event::Call(t, c)),
        3 => connection.clone().prop_map(Event::AnswerArrives),
        4 => (thread.clone(), connection).prop_map(|(t, c)| Event::ReadAnswer(t, c)),
        6 => (thread.clone(), prop::sample::select(&Block::EVERY[..])).prop_map(|(t, b)| Event::Block(t, b)),
        2 => thread.clone().prop_map(Event::Preempt),
        8 => thread.clone().prop_map(Event::Run),
        3 => thread.clone().prop_map(Event::Interrupt),
        5 => (thread.clone(), thread.clone(), prop::sample::select(vec![FUTEX, WRITE, SENDTO, -1, KILL]), 1..20u64)
            .prop_map(|(t, by, call, argument)| Event::Wake(t, by, call, argument)),
        2 => thread.clone().prop_map(Event::Signal),
        1 => thread.clone().prop_map(Event::Start),
        1 => thread.prop_map(Event::OtherProcess),
    ]
}

/// How long until the next event.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0u64), 6 => 1..50_000u64, 2 => 50_000..5_000_000u64, 1 => 1_000_000_000..90_000_000_000u64]
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
fn run(events: &[(u64, Event)], loops: usize, exemplars: bool, sharing: u64, room: usize) -> World {
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

/// Cases of a property: more with `ACGS_PERF_LONG` in the environment.
pub fn cases() -> ProptestConfig {
    let cases = if std::env::var_os("ACGS_PERF_LONG").is_some() { 500_000 } else { 300 };
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn parts_add_up_whatever_the_order(
        events in prop::collection::vec((pause(), event()), 1..160),
        loops in 0..3usize,
        exemplars in any::<bool>(),
        sharing in 1..3u64,
        room in prop_oneof![Just(usize::MAX), Just(0usize)],
    ) {
        let world = run(&events, loops, exemplars, sharing, room);
        invariants::check(&world);
        if room != 0 {
            assert_eq!(world.tables.lost(Loss::RequestTableFull), 0);
        }
        assert!(world.tables.spilled_len() <= SOCKETS + CONNECTIONS + RESULTS, "entries of requests that are gone");
    }

    /// Exemplars are the same requests with more told of them: what is told must not change what is counted.
    #[test]
    fn the_short_cut_gives_the_same_figures(
        events in prop::collection::vec((pause(), event()), 1..160),
        loops in 0..3usize,
    ) {
        let (short, long) = (run(&events, loops, false, 2, usize::MAX), run(&events, loops, true, 2, usize::MAX));
        prop_assert_eq!(short.replies.len(), long.replies.len());
        for (short, long) in short.replies.iter().zip(&long.replies) {
            prop_assert_eq!(short.parts(), long.parts());
        }
    }
}
