//! The end of a request is when its reply has left, and not when `send` returned. Each reply is sent by a server of our own to clients that
//! know how long they have waited, and the report has to say the same, and why.

use std::thread::sleep;
use std::time::Duration;

use acgs_perf_tests::delivery::{Client, FAST, How, Losing, Reading, Server, Wish};
use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::hostile::in_vm;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::vm;

const NAME: &str = "delivery";
/// Reads 8 KiB every 2 ms.
const SLOW: Reading = Reading { bytes: 8 << 10, pause: Duration::from_millis(2) };
/// What lies in the buffer of a client that reads slowly, nobody on the server sees.
const SMALL_BUFFER: Option<usize> = Some(8 << 10);

/// Nanoseconds in each component, over all requests; they add up to the latency.
fn component(report: &Report, name: &str) -> u64 {
    let rows = report.service(NAME)["attribution"]["rows"].as_array().unwrap().clone();
    let (mut all, mut latency, mut wanted) = (0, 0, 0);
    for row in &rows {
        latency += row["latency_ns"].as_u64().unwrap();
        for (part, ns) in row["component_ns"].as_object().unwrap() {
            all += ns.as_u64().unwrap();
            wanted += if part == name { ns.as_u64().unwrap() } else { 0 };
        }
    }
    assert_eq!(all, latency, "the components do not add up");
    wanted
}

fn sum(clients: &[&Client]) -> u64 {
    clients.iter().flat_map(|client| &client.took).map(|took| took.as_nanos() as u64).sum()
}

/// The report's percentile is the clients' own, to 5 % or `slack`.
fn assert_percentile(report: &Report, clients: &[&Client], percent: usize, slack: Duration) {
    let mut took: Vec<u64> =
        clients.iter().flat_map(|client| &client.took).map(|took| took.as_nanos() as u64).collect();
    took.sort_unstable();
    let theirs = took[(took.len() * percent).div_ceil(100).max(1) - 1];
    let ours = report.integer(NAME, &format!("/requests/latency/p{percent}_ns"));
    // In emulation the clients' own clocks say little.
    let slack = if in_vm() { Duration::from_millis(50) } else { slack };
    let bound = (theirs / 20).max(slack.as_nanos() as u64);
    assert!(ours.abs_diff(theirs) <= bound, "p{percent}: report {ours} ns, clients {theirs} ns of {}", took.len());
}

fn assert_held(report: &Report, count: u64, part: &str, of: u64) {
    assert_eq!(report.integer(NAME, "/requests/delivery/count"), count);
    let held = component(report, part);
    // In emulation the clients' own clocks run on while they wait for a CPU.
    let least = vm::amount(90, 80);
    assert!(held * 100 >= of * least && held <= of, "{part}: {held} of {of} ns");
}

#[test]
fn a_reply_whose_end_waits_for_an_acknowledgement_ends_when_it_leaves() {
    need_root();
    let server = Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut client = server.connect(None);
    let wish = Wish { pieces: 2, piece: 100, how: How::Nagle, ..Wish::default() };
    (0..50).for_each(|_| client.ask(wish, FAST));
    let report = recording.stop().unwrap();
    report.assert_nothing_lost(50);
    assert_eq!(report.requests(NAME), 50);
    let clients = [&client];
    assert_percentile(&report, &clients, 50, Duration::from_micros(200));
    assert_percentile(&report, &clients, 99, Duration::from_millis(1));
    // A few are acknowledged at once, as the kernel does at the begin of a connection.
    let held = component(&report, "delivery_nagle");
    assert!(held >= 40 * 30_000_000 && held < sum(&clients), "{held} of {} ns", sum(&clients));
    assert_eq!(report.integer(NAME, "/requests/held_ns/nagle_ns"), held);
    assert!(report.found("tail_nagle"));
}

#[test]
fn replies_that_leave_at_once_are_not_held() {
    need_root();
    let server = Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut client = server.connect(None);
    let wish = Wish { pieces: 1, piece: 1000, ..Wish::default() };
    (0..2000).for_each(|_| client.ask(wish, FAST));
    // Sent piece by piece, the time between is the service's own.
    let wish = Wish { pieces: 3, piece: 1000, pause_ms: 20, ..Wish::default() };
    (0..20).for_each(|_| client.ask(wish, FAST));
    let report = recording.stop().unwrap();
    report.assert_nothing_lost(2020);
    assert_eq!(report.requests(NAME), 2020);
    assert!(report.service(NAME)["requests"].get("delivery").is_none(), "{}", report.service(NAME)["requests"]);
    let reply = component(&report, "reply");
    assert!(reply >= 20 * 40_000_000, "{reply}");
    assert_percentile(&report, &[&client], 99, Duration::from_millis(2));
}

#[test]
fn a_client_that_reads_slowly_has_the_time_that_it_takes() {
    need_root();
    for how in [How::AtOnce, How::Nonblocking, How::Close] {
        let server = Server::start().unwrap();
        let recording = server.recorder().start().unwrap();
        let wish = Wish { pieces: 1, piece: 1_000_000, how, ..Wish::default() };
        let mut clients = Vec::new();
        for _ in 0..if in_vm() { 2 } else { 6 } {
            if how == How::Close || clients.is_empty() {
                clients.push(server.connect(SMALL_BUFFER));
            }
            clients.last_mut().unwrap().ask(wish, SLOW);
        }
        let report = recording.stop().unwrap();
        let clients: Vec<&Client> = clients.iter().collect();
        let count = clients.iter().map(|client| client.took.len() as u64).sum();
        report.assert_nothing_lost(count);
        assert_eq!(report.requests(NAME), count, "{how:?}");
        assert_percentile(&report, &clients, 50, Duration::ZERO);
        assert_held(&report, count, "delivery_window", sum(&clients));
    }
}

#[test]
fn a_send_that_waits_for_the_client_is_not_idle() {
    need_root();
    let server = Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut client = server.connect(SMALL_BUFFER);
    let wish = Wish { pieces: 1, piece: 1_000_000, how: How::Blocking, ..Wish::default() };
    let count = if in_vm() { 2 } else { 5 };
    (0..count).for_each(|_| client.ask(wish, SLOW));
    let report = recording.stop().unwrap();
    report.assert_nothing_lost(count);
    assert_eq!(report.requests(NAME), count);
    assert_percentile(&report, &[&client], 50, Duration::ZERO);
    let (blocked, held) = (component(&report, "send_buffer"), component(&report, "delivery_window"));
    let of = sum(&[&client]);
    assert!((blocked + held) * 100 >= of * vm::amount(90, 80) && blocked > held, "{blocked} and {held} of {of} ns");
}

#[test]
fn a_reply_that_has_not_left_at_the_end_has_no_end() {
    need_root();
    let server = Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut client = server.connect(None);
    let small = Wish { pieces: 1, piece: 100, ..Wish::default() };
    (0..20).for_each(|_| client.ask(small, FAST));
    let mut slow = server.connect(SMALL_BUFFER);
    slow.send(Wish { pieces: 1, piece: 2_000_000, ..Wish::default() });
    sleep(Duration::from_millis(1500));
    let report = recording.stop().unwrap();
    report.assert_nothing_lost(21);
    assert_eq!(report.requests(NAME), 21);
    assert_eq!(report.integer(NAME, "/fates/undelivered/count"), 1);
    assert_eq!(report.integer(NAME, "/requests/latency/without_end"), 1);
    let at_least = report.integer(NAME, "/requests/latency/p99_at_least_ns");
    assert!((1_400_000_000..10_000_000_000).contains(&at_least), "{at_least}");
    assert!(report.found("replies_undelivered") && !report.found("counts_disagree"));
    assert_eq!(report.service(NAME)["objective"]["verdict"], "missed");
    component(&report, "delivery_window");
}

#[test]
fn a_cork_holds_what_lies_behind_it() {
    need_root();
    let server = Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut client = server.connect(None);
    let wish = Wish { pieces: 1, piece: 100, pause_ms: 30, how: How::Cork, ..Wish::default() };
    (0..20).for_each(|_| client.ask(wish, FAST));
    let report = recording.stop().unwrap();
    report.assert_nothing_lost(20);
    assert_eq!(report.requests(NAME), 20);
    assert_percentile(&report, &[&client], 50, Duration::from_millis(1));
    assert_held(&report, 20, "delivery_nagle", sum(&[&client]));
}

#[test]
fn pieces_that_come_late_are_the_services_own_whatever_waits_meanwhile() {
    need_root();
    let server = Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut client = server.connect(None);
    let pause = 60_000_000;
    // The end of each piece waits behind the cork.
    let wish = Wish { pieces: 3, piece: 200_000, pause_ms: 60, how: How::Cork, ..Wish::default() };
    (0..10).for_each(|_| client.ask(wish, FAST));
    let report = recording.stop().unwrap();
    report.assert_nothing_lost(10);
    let (reply, held) = (component(&report, "reply"), component(&report, "delivery_nagle"));
    assert!(reply >= 10 * 2 * pause / 100 * 95, "reply {reply}, cork {held}");
    assert!(held >= 10 * pause / 100 * 90 && held <= sum(&[&client]) - reply, "reply {reply}, cork {held}");
    assert_percentile(&report, &[&client], 50, Duration::from_millis(2));
}

#[test]
fn a_segment_that_is_lost_is_part_of_the_latency() {
    need_root();
    let server = Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut client = server.connect(None);
    let wish = Wish { pieces: 1, piece: 1000, ..Wish::default() };
    for at in 0..100 {
        if at % 20 != 19 {
            client.ask(wish, FAST);
            continue;
        }
        client.loses(Losing::Payload);
        let sent = std::time::Instant::now();
        client.send(wish);
        sleep(Duration::from_millis(60));
        client.loses(Losing::Nothing);
        client.receive(wish.reply(), FAST);
        client.took.push(sent.elapsed());
    }
    let report = recording.stop().unwrap();
    report.assert_nothing_lost(100);
    assert_eq!(report.requests(NAME), 100);
    assert!(report.integer(NAME, "/tcp/retransmits") >= 5);
    assert_percentile(&report, &[&client], 99, Duration::from_millis(5));
    let lost: u64 = client.took.iter().map(|took| took.as_nanos() as u64).filter(|ns| *ns > 60_000_000).sum();
    assert_held(&report, 5, "delivery_network", lost);
    assert!(report.found("tail_network"));
}

#[test]
fn the_time_in_which_the_client_was_still_sending_is_its_own() {
    need_root();
    let server = Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut client = server.connect(None);
    let wish = Wish { pieces: 1, piece: 100, body: 90_000, ..Wish::default() };
    (0..5).for_each(|_| client.ask(wish, FAST));
    client.took.clear();
    (0..5).for_each(|_| client.ask_slowly(wish, 9, Duration::from_millis(30)));
    let report = recording.stop().unwrap();
    report.assert_nothing_lost(10);
    assert_eq!(report.requests(NAME), 10);
    assert_percentile(&report, &[&client], 99, Duration::from_millis(2));
    let (body, of) = (component(&report, "request_body"), sum(&[&client]));
    assert!(body * 100 >= of * 90 && body <= of, "{body} of {of} ns");
}

#[test]
fn the_end_of_a_connection_that_is_lost_is_no_part_of_the_reply() {
    need_root();
    let server = Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    // The server closes some time after the reply, and what it sends then does not come through at first.
    let wish = Wish { pieces: 1, piece: 1000, pause_ms: 200, how: How::CloseLate, ..Wish::default() };
    for _ in 0..5 {
        let mut client = server.connect(None);
        client.ask(wish, FAST);
        client.loses(Losing::Everything);
        sleep(Duration::from_millis(260));
        client.loses(Losing::Nothing);
        sleep(Duration::from_millis(300));
    }
    // And here the reply itself is lost, with the end right behind it.
    let mut client = server.connect(None);
    client.loses(Losing::Payload);
    client.send(Wish { how: How::Close, ..wish });
    sleep(Duration::from_millis(60));
    client.loses(Losing::Nothing);
    client.receive(wish.reply(), FAST);
    let report = recording.stop().unwrap();
    assert_eq!(report.requests(NAME), 6);
    let spread = report.spread(NAME, "/requests/latency");
    assert_eq!(spread.between(0, 150_000_000), 5);
    assert_eq!(spread.between(150_000_000, 2_000_000_000), 1);
    component(&report, "delivery_network");
}

#[test]
fn a_client_that_does_not_wait_for_its_reply_loses_none_of_them() {
    need_root();
    let server = Server::start().unwrap();
    let recording = server.recorder().start().unwrap();
    let mut client = server.connect(SMALL_BUFFER);
    let wish = Wish { pieces: 2, piece: 100_000, how: How::Nagle, ..Wish::default() };
    for _ in 0..10 {
        client.send(wish);
        sleep(Duration::from_millis(30));
        client.send(wish);
        client.receive(2 * wish.reply(), SLOW);
    }
    let report = recording.stop().unwrap();
    // The second request of each two has arrived while the first was answered.
    assert_eq!(report.requests(NAME), 20);
    assert!(component(&report, "delivery_window") > 0);
    assert!(!report.found("counts_disagree") && !report.found("attribution_not_conserved"));
}
