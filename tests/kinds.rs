//! What a service reads or sends and is no request with a reply: farewells, one-way messages, pushes. Each rule has a test of what looks
//! alike and is something else.

use std::io::Write as _;
use std::thread::sleep;
use std::time::Duration;

use acgs_perf_tests::delivery::{self, FAST, How, Wish};
use acgs_perf_tests::fate::{Kind, Server};
use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::report::Report;

const NAME: &str = "delivery";
const PART: u32 = 100;
const PAUSE: Duration = Duration::from_millis(30);

fn kind(report: &Report, name: &str, pointer: &str) -> u64 {
    report.service(name)["kinds"].pointer(pointer).map_or(0, |count| count.as_u64().unwrap())
}

#[test]
fn a_message_behind_which_the_client_closes_is_a_farewell() {
    need_root();
    for kind_of_socket in [Kind::Tcp, Kind::Unix] {
        let server = Server::start(kind_of_socket).unwrap();
        let recording = server.record();
        let mut client = server.connect();
        (0..50).for_each(|_| client.ask(Duration::ZERO, 32));
        for _ in 0..10 {
            let mut leaving = server.connect();
            leaving.ask(Duration::ZERO, 32);
            // The server takes its time, and nobody waits.
            leaving.send(Duration::from_millis(200), 32);
        }
        // This one waits for some time, and then gives up.
        let mut patient = server.connect();
        patient.send(Duration::from_millis(1500), 32);
        sleep(Duration::from_millis(300));
        drop(patient);
        sleep(Duration::from_millis(2000));
        let seen = recording.stop();
        let report = &seen.report;
        assert_eq!(report.requests("fate"), 60, "{kind_of_socket:?}: {:?}", seen.fates);
        // When a UNIX client has left is known only when the service finds it gone: here some time later, by its reply.
        let farewells = if kind_of_socket == Kind::Tcp { 10 } else { 0 };
        assert_eq!(kind(report, "fate", "/farewell"), farewells, "{kind_of_socket:?}: {:?}", seen.fates);
        assert_eq!(seen.fates.abandoned.count, 11 - farewells, "{kind_of_socket:?}");
        assert_eq!(seen.fates.abandoned.into_closed, 11 - farewells, "{kind_of_socket:?}");
        report.assert_nothing_lost(1000);
    }
}

#[test]
fn a_reply_that_goes_on_after_a_pause_is_told_with_both_of_its_ends() {
    need_root();
    let server = delivery::Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut client = server.connect(None);
    let pushes = Wish { pieces: 2, piece: PART, pause_ms: 300, ..Wish::default() };
    (0..5).for_each(|_| client.ask(pushes, FAST));
    // Pieces that come without a pause, and one whose end is held, are no pushes.
    (0..50).for_each(|_| client.ask(Wish { pieces: 3, piece: PART, ..Wish::default() }, FAST));
    (0..5).for_each(|_| client.ask(Wish { pieces: 2, piece: PART, how: How::Nagle, ..Wish::default() }, FAST));
    let report = recording.stop().unwrap();
    report.assert_nothing_lost(60);
    assert_eq!(report.requests(NAME), 60);
    assert_eq!(kind(&report, NAME, "/push/count"), 5);
    let before = kind(&report, NAME, "/push/latency_before/max_ns");
    assert!(before < 200_000_000, "{before}");
    let slow = report.spread(NAME, "/requests/latency").between(290_000_000, 2_000_000_000);
    assert_eq!(slow, 5, "the latency is that of the last byte");
}

/// Sends a request whose body comes in so many parts of what it says it has.
fn upload(client: &mut delivery::Client, wish: Wish, parts: u32) {
    client.stream.set_nodelay(true).unwrap();
    client.stream.write_all(&wish.bytes()).unwrap();
    for _ in 0..parts {
        sleep(PAUSE);
        client.stream.write_all(&[b'b'; PART as usize]).unwrap();
    }
}

#[test]
fn messages_that_nobody_ever_answers_are_one_way() {
    need_root();
    let server = delivery::Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut other = server.connect(None);
    let small = Wish { pieces: 1, piece: PART, ..Wish::default() };
    (0..200).for_each(|_| other.ask(small, FAST));
    let mut client = server.connect(None);
    upload(&mut client, Wish { body: u32::MAX / 2, ..small }, 40);
    sleep(Duration::from_millis(500));
    let report = recording.stop().unwrap();
    assert_eq!(report.requests(NAME), 200);
    assert_eq!(report.integer(NAME, "/fates/in_service/count"), 0);
    let one_way = kind(&report, NAME, "/one_way");
    assert!((35..=41).contains(&one_way), "{one_way}");
    assert_ne!(report.service(NAME)["objective"]["verdict"], "missed");
}

#[test]
fn an_upload_in_pieces_is_a_request_whether_it_is_answered_or_not() {
    need_root();
    let server = delivery::Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut answered = server.connect(None);
    let wish = Wish { pieces: 1, piece: PART, body: 10 * PART, ..Wish::default() };
    upload(&mut answered, wish, 10);
    answered.receive(wish.reply(), FAST);
    // Of this one the server has all, and makes no reply.
    let mut hanging = server.connect(None);
    upload(&mut hanging, Wish { pieces: 0, ..wish }, 10);
    sleep(Duration::from_millis(1500));
    let report = recording.stop().unwrap();
    assert_eq!(report.requests(NAME), 1);
    assert_eq!(report.integer(NAME, "/fates/in_service/count"), 1);
    let oldest = report.integer(NAME, "/fates/in_service/oldest_ns");
    assert!(oldest > 1_500_000_000, "{oldest}");
    assert_eq!(report.service(NAME)["objective"]["verdict"], "missed");
}
