//! Alerts of the agent's own: what is planted is told, once, with its cause, to a command and to a webhook, also after the agent was
//! killed; its end is told too. The windows of the alerts pass faster than the host's clock.
//!
//! In: a server of which a part of the requests is slow. Out: the events that a command and a webhook get.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::harness::{Service, is_long, need_root, program};
use acgs_perf_tests::recording::agent;
use acgs_perf_tests::serving::Serving;
use acgs_perf_tests::truth::protocol::{messages, request};
use serde_json::Value;

const RATE: u32 = 150;
const LIMIT: Duration = Duration::from_secs(90);

/// Servers, the first of them under a load of which so many of a thousand are slow: by more than a busy machine makes them.
struct Load {
    servers: Vec<(&'static str, Service)>,
    scripts: [&'static str; 2],
    slow: AtomicU64,
    ends: AtomicBool,
}

fn truth(arguments: &[&str]) -> Service {
    Service::truth(program("truth-server"), &[&["--mode", "threads"], arguments].concat()).unwrap()
}

impl Load {
    fn new() -> Self {
        Self::of(vec![("truth", truth(&[]))], ["", "sleep:700000"])
    }

    /// A server that asks another one, which is the slow one.
    fn behind() -> Self {
        let db = truth(&[]);
        let api = truth(&["--peer", &format!("db={}", db.address())]);
        Self::of(vec![("api", api), ("db", db)], ["call:db", "call:db[sleep:700000]"])
    }

    fn of(servers: Vec<(&'static str, Service)>, scripts: [&'static str; 2]) -> Self {
        Self { servers, scripts, slow: AtomicU64::new(0), ends: AtomicBool::new(false) }
    }

    fn run(&self) {
        let ([fast, slow], mut seed) = (self.scripts, 0);
        while !self.ends.load(Ordering::Relaxed) {
            seed += 1;
            let share = self.slow.load(Ordering::Relaxed) as f64 / 1000.0;
            let messages = messages(fast).with_slow(request(slow), share, seed);
            let mut client = Client::new(self.servers[0].1.address(), 96, messages, false).unwrap();
            client.open().unwrap();
            let plan = Plan { rate: Some(RATE), requests: 2 * u64::from(RATE), limit: LIMIT };
            client.run(plan).unwrap();
        }
    }

    fn set_slow(&self, of_a_thousand: u64) {
        self.slow.store(of_a_thousand, Ordering::Relaxed);
    }
}

/// Ends the load, also when the test fails.
struct Ends<'a>(&'a Load);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.ends.store(true, Ordering::Relaxed);
    }
}

/// Directories in which everybody may write, and a command's file in it.
fn places() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let open = directory.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    (directory, open.join("events"))
}

fn serve(load: &Load, directory: &Path, command: &[&str], webhook: &str, speed: u32) -> Command {
    let config = directory.join("config.toml");
    let service = |(name, server): &(&str, Service)| {
        format!("{name} = {{ selector = \"port:{}\", p99_ms = 300 }}\n", server.port)
    };
    let services: String = load.servers.iter().map(service).collect();
    let text = format!("[services]\n{services}[alerts]\ncommand = {command:?}\nwebhook = {webhook:?}\n");
    fs::write(&config, text).unwrap();
    let mut agent = Command::new(agent());
    agent.arg("serve").arg("--config").arg(config).arg("--state-dir").arg(directory.join("state"));
    agent.args(["--alert-speed", &speed.to_string()]);
    agent
}

/// Somebody who takes events.
fn webhook() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, events) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut len = 0;
            loop {
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                if let Some(text) = line.strip_prefix("Content-Length: ") {
                    len = text.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; len];
            lines.read_exact(&mut body).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                break;
            }
        }
    });
    (url, events)
}

/// What the command has written, a line for each event.
fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn wait_for_lines(path: &Path, count: usize) -> Vec<String> {
    let end = Instant::now() + LIMIT;
    loop {
        let lines = lines(path);
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < end, "{lines:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The script that a command runs: the event, who it is, and what it may.
fn script(path: &Path) -> String {
    let path = path.display();
    format!("printf '%s %s %s\\n' $(id -u) $(sed -n 's/^CapEff:\\t//p' /proc/self/status) \"$(cat)\" >> {path}")
}

#[test]
fn what_is_slow_is_paged_once_with_its_cause_and_its_end_is_told() {
    need_root();
    let load = Load::new();
    let (directory, seen) = places();
    let (url, events) = webhook();
    let shell = ["/bin/sh", "-c", &script(&seen)];
    // An hour is 30 s.
    let start = || Serving::start(&mut serve(&load, directory.path(), &shell, &url, 120));
    thread::scope(|scope| {
        let _ends = Ends(&load);
        scope.spawn(|| load.run());
        let mut agent = start();
        thread::sleep(Duration::from_secs(5));
        assert_eq!(lines(&seen).len(), 0, "it is healthy");
        load.set_slow(500);
        let began = Instant::now();
        let told = events.recv_timeout(LIMIT).unwrap();
        // 14.4 % of 30 s, at 50 %, and what the load takes to become slow.
        let took = began.elapsed();
        assert!(took < Duration::from_secs(25), "{took:?}");
        let line = agent.wait_for("alert (page): truth: ");
        assert!(line.contains("missed its objective"), "{line}");
        assert_eq!((told["status"].as_str(), told["severity"].as_str()), (Some("firing"), Some("page")), "{told}");
        assert_eq!(told["services"], serde_json::json!(["truth"]));
        assert_eq!(told["constitutional_hash"], "cdd01ef066bc6cf2");
        assert_eq!(told["cause"]["component"], "sleep", "{told}");
        assert!(!told["findings"].as_array().unwrap().is_empty(), "{told}");
        assert!(told["objective_p99_ns"] == 300_000_000 && told["evidence"]["burn"].is_number(), "{told}");

        // The command got the same, as nobody who may do nothing.
        let line = wait_for_lines(&seen, 1).remove(0);
        let mut words = line.splitn(3, ' ');
        assert_eq!((words.next(), words.next()), (Some("65534"), Some("0000000000000000")), "{line}");
        assert_eq!(serde_json::from_str::<Value>(words.next().unwrap()).unwrap(), told);

        // Killed and started again, it tells nobody anew what they know, once it knows that they do.
        thread::sleep(Duration::from_secs(1));
        agent.child.kill().unwrap();
        agent.child.wait().unwrap();
        let mut agent = start();
        thread::sleep(Duration::from_secs(4));
        assert_eq!(lines(&seen).len(), 1, "{:?}", agent.said());
        load.set_slow(0);
        let over = events.recv_timeout(LIMIT).unwrap();
        assert_eq!((over["status"].as_str(), over["because"].as_str()), (Some("resolved"), Some("calm")), "{over}");
        assert_eq!(over["id"], told["id"]);
        assert_eq!(wait_for_lines(&seen, 2).len(), 2);
        agent.wait_for("alert over: truth: the objective is kept again");
        agent.stop();
    });
}

#[test]
fn who_waits_for_the_slow_one_is_not_paged_again() {
    if !is_long() {
        return;
    }
    need_root();
    let load = Load::behind();
    let (directory, seen) = places();
    let (url, events) = webhook();
    let shell = ["/bin/sh", "-c", &script(&seen)];
    thread::scope(|scope| {
        let _ends = Ends(&load);
        scope.spawn(|| load.run());
        let mut agent = Serving::start(&mut serve(&load, directory.path(), &shell, &url, 120));
        // So that the report knows who listens where, and both have had requests.
        thread::sleep(Duration::from_secs(5));
        load.set_slow(500);
        let told = events.recv_timeout(LIMIT).unwrap();
        assert_eq!(told["status"], "firing", "{told}");
        let line = agent.wait_for(" too, as page-");
        assert!(line.contains(told["id"].as_str().unwrap()), "{line}");
        load.set_slow(0);
        let over = events.recv_timeout(LIMIT).unwrap();
        assert_eq!(
            (&over["status"], &over["services"]),
            (&"resolved".into(), &serde_json::json!(["api", "db"])),
            "{over}"
        );
        assert_eq!(over["id"], told["id"]);
        agent.stop();
    });
}

#[test]
fn what_burns_slowly_is_a_ticket_and_no_page() {
    if !is_long() {
        return;
    }
    need_root();
    let load = Load::new();
    let (directory, seen) = places();
    let (url, events) = webhook();
    let shell = ["/bin/sh", "-c", &script(&seen)];
    thread::scope(|scope| {
        let _ends = Ends(&load);
        scope.spawn(|| load.run());
        // Three days are 130 s, and an hour less than 2.
        let mut agent = Serving::start(&mut serve(&load, directory.path(), &shell, &url, 2000));
        load.set_slow(30);
        let told = events.recv_timeout(LIMIT).unwrap();
        assert_eq!((told["status"].as_str(), told["severity"].as_str()), (Some("firing"), Some("ticket")), "{told}");
        load.set_slow(0);
        let over = events.recv_timeout(LIMIT).unwrap();
        assert_eq!((over["status"].as_str(), over["id"].as_str()), (Some("resolved"), told["id"].as_str()), "{over}");
        agent.wait_for("alert (ticket): truth: ");
        assert_eq!(wait_for_lines(&seen, 2).len(), 2);
        agent.stop();
    });
}

#[test]
fn who_cannot_be_told_is_named_before_anything_is_attached() {
    need_root();
    let load = Load::new();
    let directory = tempfile::tempdir().unwrap();
    for (option, value, why) in [
        ("--alert-command", "page", "not a whole path"),
        ("--alert-command", "/nonexistent", "no such program"),
        ("--alert-webhook", "http://example.org/", "not an address"),
        ("--alert-webhook", "http://10.0.0.1:80/", "not on loopback"),
    ] {
        let mut command = Command::new(agent());
        let service = format!("truth=port:{}", load.servers[0].1.port);
        command.args(["serve", "--service", &service, option, value, "--state-dir"]).arg(directory.path());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(why), "{said}");
    }
}
