//! Threads on two CPUs that are at one request at the same moment.
//!
//! In: the one that is faster has the entry of the table. Out: the other leaves it alone, and what it tells adds up.

use acgs_perf_common::attribution::Component;
use acgs_perf_common::rules::table::find;

use crate::invariants;
use crate::world::World;

/// Thread 0 has read a request and put it away, because it has read another one.
fn put_away() -> World {
    let mut world = World::new(2, 2, 0, 1);
    for socket in 0..2 {
        world.after(1_000).arrive(socket);
        world.after(1_000).read(0, socket);
    }
    world
}

fn is_found(world: &World) -> bool {
    let socket = &world.sockets[0];
    find(&world.tables, socket.id, socket.read).is_some()
}

#[test]
fn who_replies_to_what_another_thread_is_at_knows_nothing_of_it() {
    for others_are_faster in [false, true] {
        let mut world = put_away();
        assert!(is_found(&world));
        world.every_request_is_an_exemplar = true;
        world.tables.others_are_faster.set(others_are_faster);
        world.after(50_000).reply(1, 0);
        invariants::check(&world);
        let on_cpu = world.replies[0].of(Component::OnCpu);
        assert_eq!(on_cpu == 0, others_are_faster, "{:?}", world.replies[0].parts());
        // It is answered, whoever was at it.
        assert!(!is_found(&world));
        world.after(1_000).reply(0, 1);
        invariants::check(&world);
    }
}

#[test]
fn what_another_thread_is_at_is_not_written_over() {
    let mut world = put_away();
    world.after(1_000).reply(0, 1);
    // More of the first request comes, and it is put away again.
    world.after(1_000).arrive(0);
    world.read(0, 0);
    world.tables.others_are_faster.set(true);
    world.after(70_000).arrive(1);
    world.read(0, 1);
    let socket = &world.sockets[0];
    let at = find(&world.tables, socket.id, socket.read).expect("the older copy").at;
    assert_eq!(at, world.now - 70_000, "the copy of who was faster");
    world.after(1_000).reply(1, 0);
    invariants::check(&world);
}

/// The thread that replies has looked at its clock before the other one, on another CPU, put the request away.
#[test]
fn what_was_put_away_after_the_reply_was_sent_does_not_count() {
    let mut world = put_away();
    world.now -= 600;
    world.reply(1, 0);
    world.now += 600;
    invariants::check(&world);
    let reply = &world.replies[0];
    assert_eq!(reply.of(Component::Unknown), 0, "{:?}", reply.parts());
    assert_eq!(reply.of(Component::OnCpu), reply.sent - reply.read, "{:?}", reply.parts());
}
