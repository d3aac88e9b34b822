//! Redis: each command by itself and by name, in pipelines that are cut anywhere; the truth is `INFO commandstats`.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::Duration;

use acgs_perf_load::random::Random;
use acgs_perf_tests::endpoints::{Named, assert_named, endpoints, find, requests};
use acgs_perf_tests::harness::{Service, need_root, run};
use acgs_perf_tests::recording::{Recorder, Recording};
use acgs_perf_tests::redis;

use super::resp::{Resp, counted, reset, words};

pub fn record(service: &Service) -> Recording {
    Recorder::new("redis", &format!("port:{}", service.port)).start().unwrap()
}

/// A Redis with a string, a number and a list, that has counted nothing.
pub fn prepared() -> Service {
    let service = redis::start().unwrap();
    let mut client = Resp::connect(service.address());
    client.ask(&["SET", "text", "some text"]);
    client.ask(&["SET", "number", "1"]);
    client.ask(&["RPUSH", "list", "a", "b", "c"]);
    reset(service.address());
    service
}

/// What Redis does not know, and so does not count.
const UNKNOWN: [(&str, &[&str]); 2] =
    [("NOSUCHCOMMAND", &["NoSuchCommand", "text"]), ("CONFIG BOGUS", &["CONFIG", "bogus"])];

/// The next number, from 0 up to but not including `end`.
fn below(random: &mut Random, end: u32) -> usize {
    (random.uniform() * f64::from(end)) as usize
}

/// Commands in any order, one after the other, and how many of each Redis does not know.
struct Conversation {
    bytes: Vec<u8>,
    /// Where each command ends.
    ends: Vec<usize>,
    unknown: Named,
}

impl Conversation {
    fn new(commands: usize, random: &mut Random) -> Self {
        let mut conversation = Self { bytes: Vec::new(), ends: Vec::new(), unknown: Named::new() };
        for number in 0..commands {
            let value = "v".repeat(below(random, 40));
            let key = format!("key:{}", below(random, 1000));
            // A connection is known by its first command, which is no line.
            let command = match if number == 0 { 0 } else { below(random, 16) } {
                0 => words(&["GET", &key]),
                1 => words(&["get", "text"]),
                2 => words(&["SET", &key, &value]),
                3 => words(&["INCR", "number"]),
                4 => words(&["LRANGE", "list", "0", "-1"]),
                5 => words(&["HSET", "hash", &key, &value]),
                6 => words(&["CONFIG", "GET", "maxmemory*"]),
                7 => words(&["OBJECT", "encoding", "text"]),
                8 => words(&["CLIENT", "GETNAME"]),
                9 => b"PING\r\n".to_vec(),
                10 => b"ECHO hello\r\n".to_vec(),
                // Errors: a list is no string, a text no number, a word is missing.
                11 => words(&["GET", "list"]),
                12 => words(&["INCR", "text"]),
                13 => words(&["SET", "text"]),
                14 => words(&["MGET", "text", "number", &key, "list"]),
                _ => {
                    let (name, command) = UNKNOWN[number % UNKNOWN.len()];
                    conversation.unknown.entry(name.to_owned()).or_default().add(1, 1);
                    words(command)
                }
            };
            conversation.bytes.extend(command);
            conversation.ends.push(conversation.bytes.len());
        }
        conversation
    }

    /// Sends all of it in pieces, and waits for the replies to what is whole before it has sent `most` commands more.
    fn hold(&self, client: &mut Resp, most: usize, mut piece: impl FnMut() -> usize) {
        let (mut at, mut answered) = (0, 0);
        while at < self.bytes.len() {
            let beyond = self.ends.get(answered + most - 1).copied().unwrap_or(self.bytes.len());
            let end = (at + piece()).min(beyond);
            client.send(&self.bytes[at..end]);
            at = end;
            let whole = self.ends.partition_point(|&end| end <= at);
            if at == beyond || whole - answered > most / 2 {
                (answered..whole).for_each(|_| drop(client.reply()));
                answered = whole;
            }
        }
    }
}

fn merge(mut truth: Named, more: &[Conversation]) -> Named {
    for (name, counts) in more.iter().flat_map(|conversation| &conversation.unknown) {
        truth.entry(name.clone()).or_default().add(counts.requests, counts.failed);
    }
    truth
}

#[test]
fn a_mixed_pipeline_that_is_cut_anywhere_is_counted_by_command() {
    need_root();
    let service = prepared();
    let mut random = Random::new(1);
    let conversations = [16_000, 4_000, 2_000].map(|commands| Conversation::new(commands, &mut random));
    let recording = record(&service);
    let address = service.address();
    thread::scope(|scope| {
        for (number, conversation) in conversations.iter().enumerate() {
            scope.spawn(move || {
                let (mut client, mut random) = (Resp::connect(address), Random::new(number as u64));
                match number {
                    0 => conversation.hold(&mut client, 40, || 1 + below(&mut random, 500)),
                    1 => conversation.hold(&mut client, 12, || 1 + below(&mut random, 20)),
                    _ => conversation.hold(&mut client, 4, || 1),
                }
            });
        }
    });
    let report = recording.stop().unwrap();
    assert_named(&report, "redis", &merge(counted(service.address()), &conversations));
}

/// So deep that the kernel side cannot keep the name of each request that waits: all are counted, and none by the name of another.
#[test]
fn a_pipeline_of_hundreds_is_counted_and_none_by_a_wrong_name() {
    need_root();
    let service = prepared();
    let conversation = Conversation::new(8_000, &mut Random::new(3));
    let recording = record(&service);
    conversation.hold(&mut Resp::connect(service.address()), 700, || 9_000);
    let report = recording.stop().unwrap();
    let truth = merge(counted(service.address()), &[conversation]);
    let all: u64 = truth.values().map(|counts| counts.requests).sum();
    let seen = requests(&endpoints(&report, "redis"));
    println!("{all} requests: {seen:?}");
    for (name, counts) in seen.iter().filter(|(name, _)| *name != "others") {
        let most = truth.get(name).unwrap_or_else(|| panic!("nobody has asked for {name}"));
        assert!(counts.requests <= most.requests && counts.failed <= most.failed, "{name}: {counts:?} of {most:?}");
    }
    assert_eq!(seen.values().map(|counts| counts.requests).sum::<u64>(), all);
    assert_eq!(report.requests("redis"), all);
    report.assert_nothing_lost(all);
}

#[test]
fn each_request_of_the_benchmarks_pipeline_is_one() {
    need_root();
    let service = prepared();
    let recording = record(&service);
    let port = service.port.to_string();
    run(Command::new("redis-benchmark").args(["-p", &port, "-t", "get", "-n", "100000", "-P", "16", "-q"])).unwrap();
    let mut client = Resp::connect(service.address());
    for length in [100_000, 1 << 20] {
        assert_eq!(client.ask(&["SET", "long", &"x".repeat(length)]), "+OK\r\n");
        assert_eq!(client.ask(&["GET", "long"]).len(), length + format!("${length}\r\n\r\n").len());
    }
    let report = recording.stop().unwrap();
    // What waits behind others of its pipeline waits for a thread that works on these.
    let mut parts = BTreeMap::<String, u64>::new();
    for row in report.service("redis")["attribution"]["rows"].as_array().unwrap() {
        for (part, ns) in row["component_ns"].as_object().unwrap() {
            *parts.entry(part.clone()).or_default() += ns.as_u64().unwrap();
        }
    }
    let part = |name: &str| parts.get(name).copied().unwrap_or(0);
    // They are many times its own time, so a hundredth of them is little, and what they were taken for once was most of them.
    let queue: u64 = parts.iter().filter(|(part, _)| part.starts_with("queue_")).map(|(_, ns)| ns).sum();
    println!("{parts:?}");
    assert!(part("queue_on_cpu") > 0 && part("queue_other") * 100 < queue, "{parts:?}");
    let truth = counted(service.address());
    assert_eq!(truth["GET"].requests, 100_002);
    assert!(truth["CONFIG GET"].requests > 0, "{truth:?}");
    assert_named(&report, "redis", &truth);
    assert!(find(&endpoints(&report, "redis"), "SET").latency.get("count") == 2);
}

#[test]
fn connections_from_before_the_recording_are_followed() {
    need_root();
    let service = prepared();
    let mut clients: Vec<Resp> = (0..4).map(|_| Resp::connect(service.address())).collect();
    clients.iter_mut().for_each(|client| drop(client.ask(&["PING"])));
    let conversation = Conversation::new(2_000, &mut Random::new(5));
    reset(service.address());
    let recording = record(&service);
    clients.iter_mut().for_each(|client| conversation.hold(client, 20, || 64));
    let report = recording.stop().unwrap();
    let mut truth = counted(service.address());
    for (name, counts) in &conversation.unknown {
        truth.entry(name.clone()).or_default().add(4 * counts.requests, 4 * counts.failed);
    }
    assert_named(&report, "redis", &truth);
}

/// What the client does not want to be answered is no request.
#[test]
fn without_replies_commands_are_one_way() {
    need_root();
    let service = prepared();
    let recording = record(&service);
    let mut client = Resp::connect(service.address());
    client.ask(&["PING"]);
    client.send(&[words(&["CLIENT", "REPLY", "OFF"]), words(&["INCR", "number"]).repeat(10)].concat());
    thread::sleep(Duration::from_millis(20));
    client.send(&words(&["INCR", "number"]).repeat(10));
    assert_eq!(client.ask(&["CLIENT", "REPLY", "ON"]), "+OK\r\n");
    client.send(&[words(&["CLIENT", "REPLY", "SKIP"]), words(&["INCR", "number"])].concat());
    assert_eq!(client.ask(&["GET", "number"]), "$2\r\n22\r\n");
    let report = recording.stop().unwrap();
    assert_eq!(report.integer("redis", "/kinds/one_way"), 23, "{}", report.service("redis")["kinds"]);
    assert_eq!(report.requests("redis"), 3);
    let rows = endpoints(&report, "redis");
    assert_eq!((find(&rows, "PING").counts.requests, find(&rows, "GET").counts.requests), (1, 1));
    report.assert_nothing_lost(3);
}

/// As health checks do.
#[test]
fn a_line_may_be_the_first_command() {
    need_root();
    let service = prepared();
    let recording = record(&service);
    for _ in 0..20 {
        let mut client = Resp::connect(service.address());
        client.send(b"PING\r\n");
        assert_eq!(client.reply(), b"+PONG\r\n");
        client.ask(&["GET", "text"]);
    }
    let report = recording.stop().unwrap();
    assert_named(&report, "redis", &counted(service.address()));
}

/// Most of a long value comes after the recording began.
#[test]
fn a_connection_that_is_met_within_a_command_is_followed_from_the_next_one() {
    need_root();
    let service = prepared();
    let mut client = Resp::connect(service.address());
    let long = words(&["SET", "long", &"x".repeat(1 << 20)]);
    client.send(&long[..1 << 18]);
    thread::sleep(Duration::from_millis(50));
    let recording = record(&service);
    client.send(&long[1 << 18..]);
    assert_eq!(client.reply(), b"+OK\r\n");
    reset(service.address());
    (0..100).for_each(|_| drop(client.ask(&["GET", "text"])));
    let report = recording.stop().unwrap();
    let gets = find(&endpoints(&report, "redis"), "GET").counts.requests;
    assert_eq!(gets, counted(service.address())["GET"].requests);
}

/// Answered or not: two kinds of messages by one name.
#[test]
fn a_name_may_be_of_two_kinds() {
    need_root();
    let service = prepared();
    let recording = record(&service);
    let mut client = Resp::connect(service.address());
    client.send(&[words(&["CLIENT", "REPLY", "OFF"]), words(&["INCR", "number"]).repeat(10)].concat());
    assert_eq!(client.ask(&["CLIENT", "REPLY", "ON"]), "+OK\r\n");
    (0..5).for_each(|_| drop(client.ask(&["INCR", "number"])));
    let report = recording.stop().unwrap();
    let mut truth = Named::new();
    truth.entry("CLIENT REPLY".to_owned()).or_default().add(1, 0);
    truth.entry("INCR".to_owned()).or_default().add(5, 0);
    assert_named(&report, "redis", &truth);
}

/// Without the probe a read is a request, as it is of a protocol that nobody knows.
#[test]
fn without_the_probe_there_are_no_names() {
    need_root();
    let service = prepared();
    let probes = ["--probes", "sched,syscalls,tcp,request,attribution"];
    let recorder = probes.iter().fold(Recorder::new("redis", &format!("port:{}", service.port)), |r, a| r.arg(a));
    let recording = recorder.start().unwrap();
    let mut client = Resp::connect(service.address());
    for _ in 0..1_000 {
        client.send(&words(&["INCR", "number"]).repeat(16));
        (0..16).for_each(|_| drop(client.reply()));
    }
    let report = recording.stop().unwrap();
    assert_eq!(endpoints(&report, "redis").len(), 0);
    report.assert_exact("redis", 1_000);
}
