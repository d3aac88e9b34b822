//! Any order of events on a host of five threads, as the rules of attribution: parts add up, nothing is lost, nothing counted twice, and
//! what is told of a request changes nothing of what is counted.
#![no_main]

#[path = "../../../acgs-perf-common/tests/rules/events.rs"]
mod events;
#[path = "../../../acgs-perf-common/tests/rules/invariants.rs"]
mod invariants;
#[path = "../../../acgs-perf-common/tests/rules/socket.rs"]
mod socket;
#[path = "../../../acgs-perf-common/tests/rules/tables.rs"]
mod tables;
#[expect(dead_code, reason = "the tests ask it more")]
#[path = "../../../acgs-perf-common/tests/rules/world.rs"]
mod world;

use acgs_perf_common::ledger::Loss;
use events::{CONNECTIONS, Event, SOCKETS, THREADS};
use world::{Block, FUTEX, KILL, SENDTO, WRITE};

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
        _ => Event::Arrive(first % SOCKETS),
    };
    (pause, event)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else { return };
    let events: Vec<_> = rest.as_chunks::<3>().0.iter().take(MOST).map(|bytes| event(*bytes)).collect();
    let (loops, sharing) = (usize::from(how & 3), u64::from(how >> 2 & 1) + 1);
    let room = if how & 8 == 0 { usize::MAX } else { 0 };
    let [short, long] = [false, true].map(|exemplars| events::run(&events, loops, exemplars, sharing, room));
    for world in [&short, &long] {
        events::check(world);
        assert!(room == 0 || world.tables.lost(Loss::RequestTableFull) == 0);
    }
    if room != 0 && sharing == 2 {
        assert_eq!(short.replies.len(), long.replies.len());
        short.replies.iter().zip(&long.replies).for_each(|(short, long)| assert_eq!(short.parts(), long.parts()));
    }
});
