//! What must hold after any events whatsoever.

use acgs_perf_common::attribution::{
    ALL, CALLS_WORD, Component, FIRST_OF_SERVICE_TIME, MANY_CALLS_WORD, ONE_CALL_WORD, PEER_SLOTS, PEER_WORD,
    SHARED_WORD,
};
use acgs_perf_common::ledger::Loss;
use acgs_perf_common::rules::standing::{Copies, Custody, Mark, Place, Standing};
use acgs_perf_common::rules::table;

use crate::world::{Reply, World};

/// The parts of each reply add up to its latency, and none of them is negative or longer than what it is a part of.
pub fn check(world: &World) {
    for reply in &world.replies {
        check_reply(reply);
        let left = table::find(&world.tables, reply.id, reply.read).is_some();
        // Where sockets share a place, the mark of one that was answered may give way to a neighbour's, and a thread that still has a copy
        // puts it there again.
        assert!(!left || world.sharing > 1, "a request that was answered was put away again");
    }
    // Said where the parts are longer than the whole: time that was counted twice.
    assert_eq!(world.tables.lost(Loss::Inconsistent), 0, "time that was counted twice");
    world.tables.standings().for_each(|standing| check_standing(standing, true));
    for task in 0..world.tasks.len() {
        let thread = world.thread(task);
        let work = &thread.activity;
        assert!(work.at <= world.now, "a thread is accounted up to a time that has not come");
        check_standing(work.standing, false);
    }
}

/// Work stands in one of the ways that `Standing` names: that of a thread, or that of an entry of the table.
fn check_standing(standing: Standing, in_table: bool) {
    assert!(!standing.has(Mark::Taken), "nobody is at it between two events");
    let (custody, place, copies) = (standing.custody(), standing.place(), standing.copies());
    let is_legal = match (custody, place, copies) {
        (None, ..) | (_, None, _) | (.., None) => false,
        (Some(Custody::Free), Some(Place::Thread), Some(Copies::One)) => true,
        (Some(Custody::Free), Some(Place::Done), Some(Copies::One)) => in_table,
        (Some(Custody::Free), ..) | (_, Some(Place::Done), _) => false,
        (_, Some(Place::Finished), _) => in_table && standing.is_handed(),
        (_, Some(Place::Thread), _) => !in_table,
        (_, Some(Place::Parked), _) => true,
    };
    assert!(is_legal, "{custody:?} {place:?} {copies:?}, in the table: {in_table}");
}

fn check_reply(reply: &Reply) {
    let latency = reply.latency();
    let parts: u64 = ALL.iter().map(|component| reply.of(*component)).sum();
    assert_eq!(parts, latency, "parts add up: {:?}", reply.parts());
    for component in ALL {
        assert!(reply.of(component) <= latency, "{component:?} of {latency}");
    }
    let queue: u64 = ALL[..FIRST_OF_SERVICE_TIME].iter().map(|component| reply.of(*component)).sum();
    assert_eq!(queue, reply.read - reply.arrived, "the queue time: {:?}", reply.parts());
    let service = reply.sent - reply.read;
    assert!(reply.row[SHARED_WORD] <= service, "shared {} of {service}", reply.row[SHARED_WORD]);
    let outstanding = reply.row[ONE_CALL_WORD] + reply.row[MANY_CALLS_WORD];
    assert!(outstanding <= service, "calls outstanding for {outstanding} of {service}");
    let peers: u64 = reply.row[PEER_WORD..PEER_WORD + PEER_SLOTS].iter().sum();
    assert!(peers <= service, "peers {peers} of {service}");
    let rounded = reply.of(Component::Downstream) - peers;
    assert!(
        rounded == 0 || (rounded < 1_000 && reply.row[SHARED_WORD] != 0),
        "{rounded} ns of a wait for a peer have none"
    );
    assert!(reply.row[CALLS_WORD] < 1 << 32);
}
