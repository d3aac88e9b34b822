//! Both directions of a connection: which reply belongs to which request.
//!
//! The requests come first, all of them; each reply is then read by the rule of the one that has waited longest.

use std::collections::HashMap;

use acgs_perf_protocol::pending::{Pending, Reading};
use acgs_perf_protocol::{Found, Kind, Protocol};

use super::drive::{Direction, Request, requests};

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub name: String,
    /// Behind which byte of the server's the reply was seen to begin, and where it ended.
    pub began: Option<usize>,
    pub ended: Option<usize>,
    pub failed: bool,
    /// `value` of the reply when it ended: what kind of failure it is.
    pub class: u32,
    /// The server said nothing, because a request before it had failed.
    pub skipped: bool,
}

/// What a connection came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Those that are answered, in order; marks not among them.
    pub answers: Vec<Answer>,
    pub pushes: usize,
    pub marks: usize,
    /// Replies that go on for as long as there is something to tell.
    pub streams: usize,
    /// The connection left the clock.
    pub left: bool,
    /// It speaks TLS from there on.
    pub turned: bool,
    pub lost: bool,
    /// The server's side ended between two messages.
    pub between: bool,
}

/// The requests among what was `found`, with the names of the statements that they run.
pub fn resolve(found: &[Request]) -> Vec<Request> {
    let (mut statements, mut bound) = (HashMap::new(), None);
    let mut requests = Vec::new();
    for one in found {
        if one.what.has(Found::DEFINED) {
            statements.insert(one.value, one.name.clone());
        }
        if one.what.has(Found::BINDS) {
            bound = statements.get(&one.value).cloned();
        }
        if one.what.has(Found::REQUEST) {
            let mut request = one.clone();
            if one.what.has(Found::BOUND) {
                request.name = bound.clone().unwrap_or_else(|| "(prepared before)".into());
            }
            requests.push(request);
        }
    }
    requests
}

/// The server's `pieces`, behind what the client sent.
pub fn exchange(protocol: Protocol, client: &[u8], server: &[&[u8]]) -> Exchange {
    let sent = requests(protocol, &[client]);
    assert!(!sent.lost, "the client's side: {:?}", String::from_utf8_lossy(client));
    let mut pending = Pending::EMPTY;
    let mut seen = Exchange::default();
    let mut names = Vec::new();
    for (at, request) in resolve(&sent.found).into_iter().enumerate().filter(|(_, request)| request.kind.is_answered())
    {
        let reading = Reading { arrived: at as u64, read: 0 };
        let is_kept = pending.push(names.len() as u8, request.kind, request.reply_rule, reading);
        assert!(is_kept, "more requests than a test should send at once");
        names.push(request.name);
    }
    let new = |at: usize| {
        let name = names[at].clone();
        Answer { name, began: None, ended: None, failed: false, class: 0, skipped: false }
    };
    let mut direction = Direction::new(protocol);
    let mut began = None;
    direction.stream.reply_rule = pending.front().map_or(0, |(front, _)| front.reply_rule);
    for piece in server {
        direction.take(piece, true, |direction, what, behind| {
            if what.has(Found::BEGAN) {
                assert_eq!(began, None, "a reply began twice");
                began = Some(behind);
            }
            seen.pushes += usize::from(what.has(Found::PUSH));
            seen.streams += usize::from(what.has(Found::STREAM));
            seen.left |= what.has(Found::LEFT);
            seen.turned |= what.has(Found::TURNS);
            if what.has(Found::ENDED) {
                let (front, _) = pending.front().expect("a reply to nobody");
                assert_ne!(front.kind, Kind::Mark as u8, "a mark is not a request");
                let ended = Some(behind + direction.stream.skip as usize);
                let (failed, class) = (what.has(Found::FAILED), direction.stream.value);
                seen.answers.push(Answer { began: began.take(), ended, failed, class, ..new(front.endpoint.into()) });
                assert!(seen.answers.last().unwrap().began.is_some(), "a reply that ends begins");
                pending.pop();
            }
            if what.has(Found::SKIPPED) {
                while let Some((front, _)) = pending.front().filter(|(front, _)| front.kind != Kind::Mark as u8) {
                    seen.answers.push(Answer { skipped: true, ..new(front.endpoint.into()) });
                    pending.pop();
                }
            }
            if what.has(Found::MARK) {
                let (front, _) = pending.front().expect("a mark that nobody set");
                assert_eq!(front.kind, Kind::Mark as u8);
                seen.marks += 1;
                pending.pop();
            }
            direction.stream.reply_rule = pending.front().map_or(0, |(front, _)| front.reply_rule);
        });
    }
    seen.answers.extend(began.is_some().then(|| {
        let (front, _) = pending.front().expect("a reply to nobody");
        Answer { began, ..new(front.endpoint.into()) }
    }));
    seen.lost = direction.lost;
    seen.between = direction.stream.is_between();
    seen
}

/// The same in one piece, cut in two at every byte, and byte by byte: what is found must not depend on it.
pub fn exchange_however_cut(protocol: Protocol, client: &[u8], server: &[u8]) -> Exchange {
    let whole = exchange(protocol, client, &[server]);
    for at in 0..=server.len() {
        let (one, two) = server.split_at(at);
        assert_eq!(
            exchange(protocol, client, &[one, two]),
            whole,
            "cut at {at} of {:?}",
            String::from_utf8_lossy(server)
        );
    }
    let single: Vec<&[u8]> = server.chunks(1).collect();
    assert_eq!(exchange(protocol, client, &single), whole, "byte by byte: {:?}", String::from_utf8_lossy(server));
    whole
}
