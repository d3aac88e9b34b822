//! Whoever follows a ring gets every count once, however late.

use super::follow::{Follower, Next, Piece, Position};
use super::ring::Ring;
use super::tests::{SECOND, context, interval, limits, push, random, sum, written};
use crate::snapshot::Interval;
use crate::sums::Difference as _;

const TEN: u64 = 10 * SECOND;

fn all(follower: &mut Follower, position: &mut Position) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Next::Piece(piece) = follower.next(position, TEN, false).unwrap() {
        *position = piece.behind.clone();
        pieces.push(*piece);
    }
    pieces
}

fn assert_whole(pieces: &[Piece], pushed: &[Interval]) {
    let mut intervals: Vec<Interval> = pieces.iter().map(|piece| piece.interval.clone()).collect();
    assert!(intervals.windows(2).all(|pair| pair[0].end_ns() == pair[1].start_ns));
    let mut whole = intervals.remove(0);
    intervals.iter().for_each(|interval| whole.merge(interval));
    let pushed = sum(pushed);
    assert_eq!((whole.start_ns, whole.len_ns), (pushed.start_ns, pushed.len_ns));
    whole.subjects.subtract(&pushed.subjects);
    assert!(whole.subjects.values().flat_map(|sections| sections.values()).all(|section| section.is_empty()));
    assert_eq!((whole.ledger, whole.agent_cpu_ns), (pushed.ledger, pushed.agent_cpu_ns));
    assert!(pieces.iter().all(|piece| (piece.lost_ns, piece.repeated_ns) == (0, 0)));
}

#[test]
fn whoever_follows_gets_every_count_once() {
    for pause in [7, 95, 350] {
        let mut state = pause;
        let (directory, mut ring, mut pushed) = written(13, &mut state);
        let (mut follower, _) = Follower::new(directory.path(), None).unwrap();
        let (mut position, mut pieces) = (Position::default(), Vec::new());
        while pushed.len() < 500 {
            // Now and then he is late, so that the finer tiers have dropped what he wants.
            let until = pushed.len() as u64 + if random(&mut state).is_multiple_of(4) { pause } else { 3 };
            for at in pushed.len() as u64..until {
                let interval = interval(at, 2, &mut state);
                push(&mut ring, &interval);
                pushed.push(interval);
            }
            if random(&mut state).is_multiple_of(5) {
                // And now and then he is started anew.
                (follower, position) = Follower::new(directory.path(), Some(position)).unwrap();
            }
            pieces.extend(all(&mut follower, &mut position));
        }
        // The next run, which says that this one is over.
        ring.begin("boot", &context(5_000, &["x"])).unwrap();
        push(&mut ring, &interval(5_000, 1, &mut state));
        pieces.extend(all(&mut follower, &mut position));
        assert_whole(&pieces, &pushed);
    }
}

#[test]
fn from_now_on_means_from_now_on() {
    let (directory, mut ring, _) = written(25, &mut 3);
    let (mut follower, mut position) = Follower::new(directory.path(), None).unwrap();
    assert!(all(&mut follower, &mut position).is_empty());
    ring.begin("boot", &context(40, &["x"])).unwrap();
    let pushed: Vec<Interval> = (40..51).map(|at| interval(at, 1, &mut 9)).collect();
    pushed.iter().for_each(|interval| push(&mut ring, interval));
    let pieces = all(&mut follower, &mut position);
    assert_eq!((pieces.len(), pieces[0].run.as_str()), (1, "boot 40000000000"));
    assert_whole(&pieces, &pushed[..10]);
    let Next::Missing(missing_ns) = follower.next(&position, TEN, false).unwrap() else { panic!() };
    assert_eq!(missing_ns, 9 * SECOND);
}

#[test]
fn what_the_ring_has_no_more_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let mut limits = limits(8 << 20);
    limits.tiers.truncate(1);
    let mut ring = Ring::open(directory.path(), &limits).unwrap();
    ring.begin("boot", &context(0, &["x"])).unwrap();
    let mut state = 1;
    (0..100).for_each(|at| push(&mut ring, &interval(at, 1, &mut state)));
    let (mut follower, mut position) = (Follower::new(directory.path(), None).unwrap().0, Position::default());
    let pieces = all(&mut follower, &mut position);
    // The last two are not ten yet.
    let told: u64 = pieces.iter().map(|piece| piece.interval.len_ns + piece.lost_ns).sum();
    assert!(pieces[0].lost_ns >= 70 * SECOND && told == 98 * SECOND, "{} {told}", pieces[0].lost_ns);
    // Another ring in its place, whose files are numbered anew.
    drop(ring);
    std::fs::remove_dir_all(directory.path()).unwrap();
    let mut ring = Ring::open(directory.path(), &limits).unwrap();
    ring.begin("other", &context(7, &["x"])).unwrap();
    (7..17).for_each(|at| push(&mut ring, &interval(at, 1, &mut state)));
    let (mut follower, mut position) = Follower::new(directory.path(), Some(position)).unwrap();
    assert_eq!(all(&mut follower, &mut position).len(), 1);
}
