//! Events in any order: whatever the order, the parts of each request add up and nothing is lost.
//!
//! In: random events; with `ACGS_PERF_LONG` in the environment a thousand times as many.

use acgs_perf_common::ledger::Loss;
use proptest::prelude::*;

use crate::events::{self, CONNECTIONS, Event, SOCKETS, THREADS, run};
use crate::world::{Block, FUTEX, KILL, SENDTO, WRITE};

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

fn event_or_other_cpu() -> impl Strategy<Value = Event> {
    prop_oneof![30 => event(), 1 => Just(Event::OthersAreFaster)]
}

/// How long until the next event.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0u64), 6 => 1..50_000u64, 2 => 50_000..5_000_000u64, 1 => 1_000_000_000..90_000_000_000u64]
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
        events in prop::collection::vec((pause(), event_or_other_cpu()), 1..160),
        loops in 0..3usize,
        exemplars in any::<bool>(),
        sharing in 1..3u64,
        room in prop_oneof![Just(usize::MAX), Just(0usize)],
    ) {
        let world = run(&events, loops, exemplars, sharing, room);
        events::check(&world);
        if room != 0 {
            assert_eq!(world.tables.lost(Loss::RequestTableFull), 0);
        }
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
