//! The queue of requests that wait, beside one that is as long as it gets.
//!
//! Each byte is a request, a mark, or a reply. Both queues must give the same kinds and rules of replies in the same order, and the same
//! name wherever the one has kept it; what it has no room for it must say.

use std::collections::VecDeque;

use acgs_perf_protocol::Kind;
use acgs_perf_protocol::pending::{Pending, Reading};

/// [`acgs_perf_protocol::Stream::reply_rule`] of a mark.
const MARK: u8 = 3;

/// Goes through the bytes.
pub fn try_queue(bytes: &[u8]) {
    let (mut queue, mut truth) = (Pending::EMPTY, VecDeque::new());
    let mut readings = 0;
    for byte in bytes {
        let (what, how) = (byte >> 6, byte & 63);
        match what {
            // As many replies as `how` says, at least one.
            3 => (0..=how).for_each(|_| answer(&mut queue, &mut truth)),
            _ => {
                let kind = match how & 7 {
                    6 => Kind::WaitByDesign,
                    7 => Kind::Mark,
                    _ => Kind::Request,
                };
                let rule = if kind == Kind::Mark { MARK } else { 1 + (how >> 3 & 1) };
                // Endpoints 1 and 2, and now and then others.
                let endpoint = if how >> 4 == 3 { 3 + (how & 7) } else { 1 + (how >> 4 & 1) };
                readings += u64::from(what == 1);
                let reading = Reading { arrived: readings, read: readings };
                for _ in 0..if what == 2 { 40 } else { 1 } {
                    if queue.push(endpoint, kind, rule, reading) {
                        truth.push_back((endpoint, kind, rule));
                    }
                }
            }
        }
        assert_eq!(queue.is_empty(), truth.is_empty());
        assert!(!queue.is_single() || truth.iter().filter(|(_, kind, _)| *kind != Kind::Mark).count() <= 1);
    }
    while !truth.is_empty() {
        answer(&mut queue, &mut truth);
    }
    assert!(queue.is_empty());
}

fn answer(queue: &mut Pending, truth: &mut VecDeque<(u8, Kind, u8)>) {
    let Some((endpoint, kind, rule)) = truth.pop_front() else {
        assert!(queue.front().is_none());
        return;
    };
    let Some((waiting, _)) = queue.front() else { panic!("it has forgotten one") };
    assert_eq!((waiting.kind, waiting.reply_rule, queue.reply_rule()), (kind as u8, rule, rule));
    // A mark has no name; 0 is one that was not kept.
    assert!(kind == Kind::Mark || [endpoint, 0].contains(&waiting.endpoint), "another's name");
    queue.pop();
}
