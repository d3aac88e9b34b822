//! memcached: commands that nobody answers, and one that asks for many values; the truth is what the server counts.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use acgs_perf_tests::endpoints::{Named, assert_named, endpoints, find};
use acgs_perf_tests::harness::{Service, free_port, need_root};
use acgs_perf_tests::recording::{Recorder, Recording};

const MS: u64 = 1_000_000;

fn start() -> Service {
    let port = free_port().unwrap();
    let mut command = Command::new("memcached");
    command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-U", "0", "-t", "2", "-u", "nobody"]);
    Service::start(&mut command, port).unwrap()
}

fn record(service: &Service) -> Recording {
    Recorder::new("memcached", &format!("port:{}", service.port)).start().unwrap()
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(service: &Service) -> Self {
        let stream = TcpStream::connect(service.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Values up to the end of the reply; how many.
    fn values(&mut self) -> usize {
        for count in 0.. {
            let line = self.line();
            if line == "END" {
                return count;
            }
            let length: usize = line.split(' ').nth(3).unwrap().parse().unwrap();
            self.0.read_exact(&mut vec![0; length + 2]).unwrap();
        }
        unreachable!()
    }

    /// The server's counters.
    fn stats(&mut self) -> BTreeMap<String, u64> {
        self.send("stats\r\n");
        let mut all = BTreeMap::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.strip_prefix("STAT ").and_then(|rest| rest.split_once(' ')) else {
                return all;
            };
            all.extend(value.parse().ok().map(|value| (name.to_owned(), value)));
        }
    }
}

/// What a client of Python's does by default: a value is set without a reply, and asked for when it is needed.
#[test]
fn what_is_set_without_a_reply_is_no_slow_request() {
    need_root();
    let service = start();
    let recording = record(&service);
    let mut client = Client::connect(&service);
    for number in 0..3 {
        client.send(&format!("set key {number} 0 5 noreply\r\nhello\r\n"));
        thread::sleep(Duration::from_millis(700));
        client.send("get key\r\n");
        assert_eq!(client.values(), 1);
    }
    let report = recording.stop().unwrap();
    let mut truth = Named::new();
    truth.entry("get".to_owned()).or_default().add(3, 0);
    assert_named(&report, "memcached", &truth);
    assert_eq!(report.integer("memcached", "/kinds/one_way"), 3, "{}", report.service("memcached")["kinds"]);
    let longest = find(&endpoints(&report, "memcached"), "get").latency.get("max_ns");
    assert!(longest < 500 * MS, "{longest}");
}

/// Commands one by one and in pipelines, with errors and with values that look like commands.
#[test]
fn commands_are_counted_as_the_server_counts_them() {
    need_root();
    let service = start();
    let recording = record(&service);
    thread::scope(|scope| {
        for number in 0..4 {
            let service = &service;
            scope.spawn(move || {
                let mut client = Client::connect(service);
                for round in 0..500 {
                    let value = "END\r\nget a\r\n".repeat(1 + round % 40);
                    client.send(&format!("set key:{number} 0 0 {}\r\n{value}\r\n", value.len()));
                    assert_eq!(client.line(), "STORED");
                    // One request for three values, of which one is missing.
                    client.send(&format!("get key:{number} nothing key:{number}\r\n"));
                    assert_eq!(client.values(), 2);
                    let key = format!("n:{number}");
                    let several =
                        format!("incr nothing 1\r\nset {key} 0 0 1 noreply\r\n1\r\nincr {key} 1\r\ntouch {key} 0\r\n");
                    client.send(&several.repeat(5));
                    for _ in 0..5 {
                        assert_eq!([client.line(), client.line()], ["NOT_FOUND", "2"]);
                        assert_eq!(client.line(), "TOUCHED");
                    }
                }
                client.send("incr key:0 1\r\nquit\r\n");
                assert!(client.line().starts_with("CLIENT_ERROR"));
            });
        }
    });
    let report = recording.stop().unwrap();
    let stats = Client::connect(&service).stats();
    assert_eq!(stats["cmd_set"], 2_000 + 10_000);
    let mut truth = Named::new();
    // The server counts keys, of which there are three each time.
    truth.entry("get".to_owned()).or_default().add(stats["cmd_get"] / 3, 0);
    truth.entry("set".to_owned()).or_default().add(stats["cmd_set"] - 10_000, 0);
    truth.entry("incr".to_owned()).or_default().add(stats["incr_hits"] + stats["incr_misses"] + 4, 4);
    truth.entry("touch".to_owned()).or_default().add(stats["cmd_touch"], 0);
    assert_named(&report, "memcached", &truth);
    assert_eq!(report.integer("memcached", "/kinds/one_way"), 10_000);
    assert_eq!(report.integer("memcached", "/kinds/farewell"), 4);
}
