//! haproxy before nginx, with connections that both sides keep: requests by method and route, as its own log has them; its health checks are
//! requests of nginx's, and none of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use acgs_perf_tests::endpoints::{Counts, Named, assert_named, called, endpoints, requests};
use acgs_perf_tests::harness::{Service, free_port, need_root};
use acgs_perf_tests::recording::Recorder;

use super::http::{Http, request, with_body};
use super::nginx;

const NAME: &str = "haproxy";
const CHECK: &str = "GET /health";

/// haproxy's log, as datagrams: what two of its threads write to a file at the same time it drops once in a while.
struct Log {
    address: SocketAddr,
    reader: JoinHandle<Vec<String>>,
}

impl Log {
    fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let reader = thread::spawn(move || {
            let (mut lines, mut buffer) = (Vec::new(), [0; 1024]);
            loop {
                let length = socket.recv(&mut buffer).expect("a socket of our own");
                if length == 0 {
                    return lines;
                }
                lines.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
            }
        });
        Self { address, reader }
    }

    /// What was logged up to now.
    fn read(self) -> Named {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().send_to(&[], self.address).unwrap();
        let mut counts = Named::new();
        for line in self.reader.join().unwrap() {
            let Some(line) = line.strip_prefix("seen|") else { continue };
            let [method, target, status] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
            if method != "<BADREQ>" {
                counts.entry(nginx::route(method, target)).or_default().add(1, u64::from(status >= "400"));
            }
        }
        counts
    }
}

fn start(behind: &Service, log: &Log) -> Service {
    let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    let file = directory.path().join("haproxy.cfg");
    let configuration = format!(
        "global\n nbthread 2\n maxconn 200\n log {} format raw local0\n\
         defaults\n mode http\n log global\n option http-keep-alive\n log-format \"seen|%HM|%HU|%ST\"\n\
         timeout connect 2s\n timeout client 10s\n timeout server 10s\n\
         frontend clients\n bind 127.0.0.1:{port}\n http-request deny deny_status 403 if {{ path_beg /denied/ }}\n\
         use_backend nobody if {{ path_beg /nobody/ }}\n default_backend servers\n\
         backend nobody\n\
         backend servers\n option httpchk GET /health\n server one 127.0.0.1:{} check inter 50ms\n",
        log.address, behind.port
    );
    fs::write(&file, configuration).unwrap();
    Service::start_in(Command::new("haproxy").arg("-db").arg("-f").arg(&file), port, directory).unwrap()
}

/// How often nginx has logged a check.
fn checks(behind: &Service) -> u64 {
    nginx::logged(behind).0.get(CHECK).map_or(0, |counts| counts.requests)
}

#[test]
fn its_requests_are_those_of_its_log_and_its_health_checks_are_none() {
    need_root();
    let behind = nginx::start(2);
    let log = Log::new();
    let haproxy = start(&behind, &log);
    let recorder = Recorder::new(NAME, &format!("port:{}", haproxy.port));
    let before = nginx::logged(&behind).0;
    let recording = recorder.arg("--service").arg(&format!("nginx=port:{}", behind.port)).start().unwrap();
    let checks_at_begin = checks(&behind);
    nginx::ab(&haproxy, &["-k"], 4_000, "/users/17?x=1");
    nginx::ab(&haproxy, &[], 500, "/users/18/orders");
    nginx::ab(&haproxy, &["-k"], 500, "/missing/4711");
    nginx::ab(&haproxy, &["-k"], 300, "/file");
    nginx::ab(&haproxy, &["-k"], 200, "/denied/1");
    nginx::ab(&haproxy, &["-k"], 200, "/nobody/1");
    let mut client = Http::connect(haproxy.address());
    for number in 0..100 {
        assert_eq!(client.ask("GET", &format!("/nothing/{number}")), 204);
        assert_eq!(client.ask("HEAD", "/file"), 200);
        // Three at once, which it takes one after the other.
        client
            .send(&[request("GET", "/plain"), with_body("POST", "/items", b"body"), request("GET", "/v1/a")].concat());
        (0..3).for_each(|_| assert_eq!(client.reply(false), 200));
    }
    drop(client);
    thread::sleep(Duration::from_millis(300));
    let checks_at_end = checks(&behind);
    let report = recording.stop().unwrap();
    // The last check may be under way.
    let (least, most) =
        (checks_at_end - checks_at_begin, checks(&behind) - before.get(CHECK).map_or(0, |of| of.requests));
    let truth = log.read();
    assert_named(&report, NAME, &truth);
    let seen = requests(&endpoints(&report, "nginx"));
    assert!((least.max(1)..=most).contains(&seen[CHECK].requests), "{least} to {most} checks: {seen:?}");
    let mut passed_on: Named =
        truth.into_iter().filter(|(name, _)| !name.contains("/denied") && !name.contains("/nobody")).collect();
    passed_on.insert(CHECK.to_owned(), seen[CHECK]);
    assert_eq!(seen, passed_on);
    // What it asks nginx for has a name, and counts once for each request.
    let peer = report.service(NAME)["downstream"][0].clone();
    assert_eq!(peer["address"], behind.address().to_string());
    let (named, counted) = (peer["coverage"]["named"].as_u64().unwrap(), peer["coverage"]["counted"].as_u64().unwrap());
    assert_eq!(named, counted, "{peer}");
    let asked: Vec<(String, Counts)> =
        called(&report, NAME).into_iter().map(|row| (row.endpoint.name, row.endpoint.counts)).collect();
    let sum: u64 = asked.iter().filter(|(name, _)| name != CHECK).map(|(_, counts)| counts.requests).sum();
    let passed: u64 = passed_on.iter().filter(|(name, _)| *name != CHECK).map(|(_, counts)| counts.requests).sum();
    assert_eq!(sum, passed, "{asked:?}");
}
