//! The loop against servers that stall, reset, refuse, greet.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::echo::{MESSAGE, serve};
use crate::fixed::Fixed;
use crate::message::Messages;
use crate::postgres::{Mode, Postgres};
use crate::protocol::{Protocol, ReplyReader};
use crate::redis::{self, Redis};
use crate::schedule::{Arrivals, Segment, Spacing};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// A server that does this with each connection, in a thread of its own.
fn server(each: impl Fn(std::net::TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let each = each.clone();
            thread::spawn(move || each(stream.unwrap()));
        }
    });
    address
}

fn bounds(milliseconds: u64, timeout: u64) -> Bounds {
    let duration = Duration::from_millis(milliseconds);
    let timeout = Duration::from_millis(timeout);
    Bounds {
        requests: u64::MAX,
        duration: Some(duration),
        limit: duration + timeout,
        timeout: Some(timeout),
        log: true,
        stop: None,
    }
}

fn even(rate: f64, milliseconds: u64) -> Schedule {
    let segment = Segment { duration_ns: milliseconds * MILLISECOND, from: rate, to: rate, slice: 0 };
    Schedule::shaped(Spacing::Even, vec![segment], 1)
}

fn one(client: &mut Client, schedule: Schedule, bounds: &Bounds) -> Outcome {
    client.drive(schedule, bounds).unwrap().remove(0)
}

/// The value of rank ⌈q·n⌉.
fn quantile(sorted: &[u64], q: f64) -> u64 {
    sorted[((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len()) - 1]
}

/// Messages that begin with the number of their request.
#[derive(Debug)]
struct Numbered;

impl Protocol for Numbered {
    fn number(&self, request: &mut [u8], id: u64) {
        request[..8].copy_from_slice(&id.to_le_bytes());
    }

    fn reader(&self) -> Box<dyn ReplyReader> {
        Fixed(MESSAGE).reader()
    }
}

#[test]
fn a_server_that_stalls_once_is_as_slow_as_the_schedule_says() {
    const RATE: u64 = 250;
    let (begin, end) = (clock::now() + 300 * MILLISECOND, clock::now() + 1_300 * MILLISECOND);
    // When each request was answered, by the server's own stamp.
    let answers: Arc<Mutex<BTreeMap<u64, u64>>> = Arc::default();
    let stamps = Arc::clone(&answers);
    let address = server(move |mut stream| {
        stream.set_nodelay(true).unwrap();
        let mut message = [0; MESSAGE];
        while stream.read_exact(&mut message).is_ok() {
            let now = clock::now();
            let left = if (begin..end).contains(&now) { end - now } else { 0 };
            thread::sleep(Duration::from_nanos(left));
            let id = u64::from_le_bytes(*message.first_chunk().unwrap());
            stamps.lock().unwrap().insert(id, clock::now());
            let _ = stream.write_all(&message);
        }
    });
    let mut client = Client::new(address, 3, Messages::new(vec![0; MESSAGE], Numbered), false).unwrap();
    client.open().unwrap();
    let bounds = Bounds { requests: 450, duration: None, ..bounds(1_800, 20_000) };
    let outcome = one(&mut client, even(RATE as f64, 1_800), &bounds);
    assert_eq!((outcome.sent, outcome.completed, outcome.errors(), outcome.not_sent), (450, 450, 0, 0));
    // The truth: from the moment that the schedule has for a request to the server's stamp of its answer. Who was due in the stall
    // waited for its end at least.
    let start = outcome.log.iter().map(|entry| entry.intended_ns).min().unwrap();
    let due = |id: u64| start + (id - 1) * SECOND / RATE;
    let mut truth: Vec<u64> = answers.lock().unwrap().iter().map(|(id, at)| at.saturating_sub(due(*id))).collect();
    let mut least: Vec<u64> =
        (1..=450).map(due).map(|due| if due > begin { end.saturating_sub(due) } else { 0 }).collect();
    truth.sort_unstable();
    least.sort_unstable();
    for q in [0.75, 0.9, 0.99, 1.0] {
        let (seen, truth, least) = (outcome.latency.value_at_quantile(q), quantile(&truth, q), quantile(&least, q));
        println!("{q}: seen {seen}, truth {truth}, the stall alone {least}");
        assert!(seen.abs_diff(truth) * 20 <= truth && seen >= least, "{q}: {seen} for {truth}, {least}");
    }
    // The three in flight met the stall, of 450.
    let blind = outcome.from_sending.value_at_quantile(0.9);
    assert!(blind < outcome.latency.value_at_quantile(0.9) / 2, "{}", outcome.to_json());
    assert!(outcome.waited > 200, "{} waited", outcome.waited);
    let sums = outcome.sums;
    assert!(sums.latency_ns.abs_diff(sums.waited_ns + sums.late_ns + sums.from_sending_ns) < 1_000, "{sums:?}");
}

#[test]
fn steps_are_counted_apart() {
    let (address, _) = serve(None);
    let mut client = Client::connect(address, 4, &[1; MESSAGE], MESSAGE).unwrap();
    let segment = |rate, slice| Segment { duration_ns: 100 * MILLISECOND, from: rate, to: rate, slice };
    let schedule = Schedule::shaped(Spacing::Even, vec![segment(100.0, 0), segment(1_000.0, 1), segment(0.0, 2)], 1);
    let outcomes = client.drive(schedule, &bounds(300, 1_000)).unwrap();
    let due: Vec<u64> = outcomes.iter().map(|outcome| outcome.completed + outcome.not_sent).collect();
    assert_eq!(due, [10, 100, 0]);
    assert_eq!(outcomes[0].sending_ns, 300 * MILLISECOND);
}

#[test]
fn what_takes_too_long_has_failed_and_its_age_is_known() {
    let address = server(|mut stream| {
        let _ = stream.read(&mut [0; MESSAGE]);
        thread::sleep(Duration::from_secs(2));
    });
    let mut client = Client::connect(address, 2, &[1; MESSAGE], MESSAGE).unwrap();
    let outcome = one(&mut client, even(100.0, 200), &bounds(200, 100));
    // Two at a time, for 100 ms each; of the 20 that were due the others were never sent.
    assert!((1..=6).contains(&outcome.sent) && outcome.completed == 0, "{}", outcome.to_json());
    assert_eq!(outcome.timeouts + outcome.unanswered(), outcome.sent);
    assert_eq!(outcome.failures.get(&Failure::Timeout).copied().unwrap_or(0), outcome.timeouts);
    assert_eq!(outcome.sent + outcome.not_sent, 20);
    assert_eq!(outcome.without_end.len(), 20);
    assert!(outcome.without_end.max() >= 100 * MILLISECOND);
}

#[test]
fn failures_have_their_kinds() {
    // Resets: a socket that is closed with bytes unread.
    let address = server(|stream| {
        let _ = stream.peek(&mut [0; 1]);
    });
    let mut client = Client::connect(address, 1, &[1; MESSAGE], MESSAGE).unwrap();
    let outcome = one(&mut client, even(100.0, 100), &bounds(100, 1_000));
    assert_eq!(outcome.failures, [(Failure::Reset, outcome.sent)].into(), "{}", outcome.to_json());
    assert!(outcome.sent > 0 && outcome.closed == outcome.sent, "{}", outcome.to_json());
    // Nobody listens any more.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut client = Client::new(address, 1, Messages::fixed(vec![1], 1), false).unwrap();
    assert!(client.open().is_err());
    let outcome = one(&mut client, even(100.0, 100), &bounds(100, 1_000));
    assert_eq!(outcome.failures, [(Failure::ConnectRefused, outcome.sent)].into());
    assert!(outcome.sent > 0 && outcome.sent + outcome.not_sent == 10, "{}", outcome.to_json());
}

#[test]
fn a_number_that_was_asked_for_is_sent_also_late() {
    let (address, _) = serve(None);
    let mut client = Client::connect(address, 1, &[1; MESSAGE], MESSAGE).unwrap();
    // Far more than one connection can do.
    let bounds = Bounds { requests: 1_000, duration: None, ..bounds(10, 20_000) };
    let outcome = one(&mut client, even(1_000_000.0, 1), &bounds);
    assert_eq!((outcome.completed, outcome.not_sent), (1_000, 0));
    assert!(outcome.sending_ns > 2 * MILLISECOND && outcome.sending_ns <= outcome.elapsed_ns, "{}", outcome.sending_ns);
}

#[test]
fn a_flag_ends_a_run_with_its_result() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let (address, _) = serve(None);
    let mut client = Client::connect(address, 2, &[1; MESSAGE], MESSAGE).unwrap();
    thread::spawn(|| {
        thread::sleep(Duration::from_millis(100));
        STOP.store(true, Ordering::Relaxed);
    });
    let bounds = Bounds { stop: Some(&STOP), ..bounds(60_000, 1_000) };
    let outcome = one(&mut client, even(1_000.0, 60_000), &bounds);
    assert!((50..1_000).contains(&outcome.completed) && outcome.completed == outcome.sent, "{}", outcome.to_json());
    assert!(outcome.sending_ns < 2 * SECOND);
}

#[test]
fn greetings_come_first_also_on_a_connection_that_is_made_again() {
    // Takes AUTH and two commands, then leaves.
    let address = server(|mut stream| {
        for _ in 0..3 {
            let mut bytes = [0; 64];
            let Ok(count) = stream.read(&mut bytes) else { return };
            let is_greeting = bytes[..count].windows(4).any(|word| word == b"AUTH");
            let _ = stream.write_all(if is_greeting { b"+OK\r\n" } else { b"$1\r\nv\r\n" });
        }
    });
    let protocol = Redis { greeting: vec![redis::command(&["AUTH", "secret"])] };
    let messages = Messages::new(redis::command(&["GET", "k"]), protocol);
    let mut client = Client::new(address, 1, messages, false).unwrap();
    client.open().unwrap();
    let outcome = one(&mut client, even(200.0, 100), &bounds(100, 1_000));
    // A request may go out just when the server leaves, and on a busy machine the last ones may not go out in time.
    let all = outcome.completed + outcome.closed + outcome.not_sent;
    assert_eq!((all, outcome.error_codes.len()), (20, 0), "{}", outcome.to_json());
    let connections = outcome.completed.div_ceil(2);
    assert!(outcome.reconnects + 2 >= connections && outcome.completed > 4, "{}", outcome.to_json());
}

#[test]
fn a_greeting_that_is_refused_says_why() {
    let address = server(|mut stream| {
        let _ = stream.read(&mut [0; 256]);
        let _ = stream.write_all(b"E\0\0\0\x1dSFATAL\0C28000\0Mno entry\0\0");
    });
    let (protocol, requests) = Postgres::new("u", "d", &["SELECT 1"], Mode::Simple);
    let mut client = Client::new(address, 1, Messages::rotating(requests, protocol), false).unwrap();
    let line = client.open().unwrap_err().to_string();
    assert!(line.contains("28000: no entry"), "{line}");
    let outcome = one(&mut client, even(100.0, 50), &bounds(50, 1_000));
    assert_eq!(outcome.failures.keys().collect::<Vec<_>>(), [&Failure::NotWelcome], "{}", outcome.to_json());
}

#[test]
fn errors_among_replies_have_their_codes() {
    let address = server(|mut stream| {
        while stream.read(&mut [0; 256]).is_ok_and(|count| count > 0) {
            let _ = stream.write_all(b"-WRONGTYPE no\r\n");
        }
    });
    let messages = Messages::new(redis::command(&["GET", "k"]), Redis::default());
    let mut client = Client::new(address, 1, messages, false).unwrap();
    let outcome = one(&mut client, Schedule::new(Arrivals::Constant(100.0), 1), &bounds(50, 1_000));
    let codes: Vec<(String, u64)> = outcome.error_codes.iter().map(|(code, n)| (code.to_string(), *n)).collect();
    assert_eq!(codes, [("WRONGTYPE".to_owned(), outcome.sent)]);
    assert_eq!(outcome.first_error.as_deref(), Some("WRONGTYPE: WRONGTYPE no"));
}
