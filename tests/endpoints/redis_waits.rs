//! Redis: commands that wait by design, subscriptions and replicas are no requests, and slow down none.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_tests::endpoints::{Counts, Named, assert_named, endpoints, find, requests};
use acgs_perf_tests::harness::{Service, free_port, need_root};
use acgs_perf_tests::redis;
use acgs_perf_tests::report::Report;

use super::redis::{prepared, record};
use super::resp::{Resp, counted, words};

/// No request of this test takes as long.
const SLOW_NS: u64 = 500_000_000;

/// Asks for the same once in `every`, so many times.
fn steadily(service: &Service, command: &[&str], times: u32, every: Duration) {
    let mut client = Resp::connect(service.address());
    let start = Instant::now();
    for number in 0..times {
        thread::sleep((every * number).saturating_sub(start.elapsed()));
        client.ask(command);
    }
}

fn no_request_is_slow(report: &Report, service: &str) {
    let latency = report.spread(service, "/requests/latency");
    assert!(latency.get("max_ns") < SLOW_NS, "{}", report.service(service)["requests"]);
}

#[test]
fn waits_by_design_are_no_slow_requests() {
    need_root();
    let service = prepared();
    let recording = record(&service);
    thread::scope(|scope| {
        for number in 0..4 {
            let mut client = Resp::connect(service.address());
            scope.spawn(move || {
                // None comes: they end by their own limit of a second.
                (0..3).for_each(|_| assert_eq!(client.ask(&["BRPOP", &format!("queue:{number}"), "1"]), "*-1\r\n"));
            });
        }
        scope.spawn(|| steadily(&service, &["GET", "text"], 600, Duration::from_millis(5)));
    });
    let report = recording.stop().unwrap();
    let rows = endpoints(&report, "redis");
    assert_eq!(requests(&rows), Named::from([("GET".to_owned(), Counts { requests: 600, failed: 0 })]));
    assert_eq!(report.requests("redis"), 600);
    no_request_is_slow(&report, "redis");
    assert!(find(&rows, "GET").latency.get("p99_ns") < SLOW_NS);
    let waits = find(&rows, "BRPOP");
    assert_eq!((waits.kind.as_str(), waits.counts), ("wait_by_design", Counts { requests: 12, failed: 0 }));
    assert_eq!(report.integer("redis", "/kinds/wait_by_design/count"), 12);
    let median = waits.latency.get("p50_ns");
    assert!((900_000_000..1_500_000_000).contains(&median), "{median}");
    report.assert_nothing_lost(600);
}

#[test]
fn messages_of_a_subscription_are_pushes() {
    need_root();
    let service = prepared();
    let recording = record(&service);
    let mut subscriber = Resp::connect(service.address());
    assert!(subscriber.ask(&["SUBSCRIBE", "news"]).contains("subscribe"));
    thread::sleep(Duration::from_millis(600));
    steadily(&service, &["PUBLISH", "news", "something"], 100, Duration::from_millis(5));
    (0..100).for_each(|_| assert!(String::from_utf8_lossy(&subscriber.reply()).contains("something")));
    let report = recording.stop().unwrap();
    let rows = endpoints(&report, "redis");
    assert_eq!(requests(&rows), Named::from([("PUBLISH".to_owned(), Counts { requests: 100, failed: 0 })]));
    assert_eq!(report.requests("redis"), 100);
    // What the server says to the subscription itself is a message too.
    assert_eq!(report.integer("redis", "/kinds/push/count"), 101);
    assert_eq!(find(&rows, "SUBSCRIBE").kind, "one_way");
    no_request_is_slow(&report, "redis");
    report.assert_nothing_lost(100);
}

/// In version 3 a subscriber may ask for anything; in version 2 it may once it has unsubscribed. What it asked before is answered too.
#[test]
fn what_a_subscriber_asks_for_beside_is_counted() {
    need_root();
    let service = prepared();
    let recording = record(&service);
    let mut client = Resp::connect(service.address());
    let subscribe = words(&["SUBSCRIBE", "news"]);
    client.send(&[words(&["INCR", "number"]), words(&["GET", "text"]), subscribe.clone()].concat());
    (0..3).for_each(|_| drop(client.reply()));
    assert!(client.ask(&["UNSUBSCRIBE", "news"]).contains("unsubscribe"));
    (0..10).for_each(|_| assert!(client.ask(&["GET", "text"]).contains("some text")));
    let mut client = Resp::connect(service.address());
    assert!(client.ask(&["HELLO", "3"]).contains("proto"));
    client.send(&subscribe);
    assert!(String::from_utf8_lossy(&client.reply()).starts_with('>'));
    (0..10).for_each(|_| assert!(client.ask(&["GET", "text"]).contains("some text")));
    let report = recording.stop().unwrap();
    let mut truth = counted(service.address());
    assert_eq!((truth["GET"].requests, truth.remove("SUBSCRIBE").unwrap().requests), (21, 2));
    assert_eq!(truth.remove("UNSUBSCRIBE").unwrap().requests, 1);
    assert_named(&report, "redis", &truth);
}

fn replica_of(master: &Service) -> Service {
    let port = free_port().unwrap();
    // It writes down what it gets.
    let directory = tempfile::tempdir().unwrap();
    let mut command: Command = redis::command(port);
    command.arg("--dir").arg(directory.path());
    command.args(["--replicaof", "127.0.0.1", &master.port.to_string(), "--repl-diskless-sync-delay", "0"]);
    Service::start_in(&mut command, port, directory).unwrap()
}

fn wait_for_replica(client: &mut Resp) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !client.ask(&["INFO", "replication"]).contains("state=online") {
        assert!(Instant::now() < limit, "the replica does not come");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Once with a replica that comes meanwhile, once with one that was there before.
#[test]
fn a_replica_adds_no_requests_but_its_first() {
    need_root();
    let service = prepared();
    let mut client = Resp::connect(service.address());
    client.ask(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    super::resp::reset(service.address());
    let recording = record(&service);
    let _replica = replica_of(&service);
    steadily(&service, &["SET", "text", "value"], 250, Duration::from_millis(10));
    let report = recording.stop().unwrap();
    let truth = counted(service.address());
    println!("{truth:?} {:?}", report.service("redis")["kinds"]);
    assert!(truth.contains_key("PSYNC") && truth["REPLCONF"].requests > 3, "{truth:?}");
    let wanted: Named = truth.into_iter().filter(|(name, _)| name == "SET" || name == "PING").collect();
    let handshake = wanted["PING"].requests;
    assert_eq!(requests(&endpoints(&report, "redis")), wanted);
    assert_eq!(report.requests("redis"), 250 + handshake);
    assert!(report.integer("redis", "/kinds/one_way") > 0);
    no_request_is_slow(&report, "redis");
    report.assert_nothing_lost(250);

    wait_for_replica(&mut client);
    let recording = record(&service);
    steadily(&service, &["SET", "text", "value"], 250, Duration::from_millis(10));
    let report = recording.stop().unwrap();
    let sets = Named::from([("SET".to_owned(), Counts { requests: 250, failed: 0 })]);
    assert_eq!(requests(&endpoints(&report, "redis")), sets, "{}", report.service("redis")["endpoints"]);
    assert_eq!(report.requests("redis"), 250);
    no_request_is_slow(&report, "redis");
    report.assert_nothing_lost(250);
}
