//! Services that wait with a time limit, and one that a CPU quota holds back: the report names the wait for what it was.
//!
//! Java, Go and Ruby, which few have at hand, run with `ACGS_PERF_LONG` in the environment; `timers.rs` has servers that wait as they do.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use acgs_perf_load::http::Http;
use acgs_perf_load::{Client, Plan, Protocol};
use acgs_perf_tests::causes::inject::Quota;
use acgs_perf_tests::harness::{Service, build_go, fixture, free_port, is_long, need_root, python, run};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::redis;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::serving::get;
use acgs_perf_tests::tries::{near, one_of_three};
use acgs_perf_tests::waits::Shares;
use serde_json::Value;

/// Asks over so many connections; with a rate, no matter how long the replies take.
fn load(service: &Service, path: &str, connections: usize, rate: Option<u32>, requests: u64) {
    let request = request(path);
    let reply = reply_length(service, &request);
    let mut client = Client::connect(service.address(), connections, &request, reply).unwrap();
    client.run(Plan { rate, requests, limit: Duration::from_secs(60) }).unwrap();
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// Replies differ in nothing but their date, so that all have the length of the first.
fn reply_length(service: &Service, request: &[u8]) -> usize {
    let mut stream = TcpStream::connect(service.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let (mut buffer, mut length, mut reader) = ([0; 4096], 0, Http::default().reader());
    loop {
        let count = stream.read(&mut buffer).expect("a reply");
        assert!(count > 0, "the connection was closed after {length} bytes");
        length += count;
        if reader.feed(&buffer[..count], 0).unwrap().is_some() {
            return length;
        }
    }
}

fn recorded(service: &Service, load: impl FnOnce()) -> Report {
    let recording = Recorder::new("waits", &format!("port:{}", service.port)).start().unwrap();
    load();
    recording.stop().unwrap()
}

#[test]
fn a_python_thread_that_waits_until_its_limit_sleeps() {
    need_root();
    let port = free_port().unwrap();
    let mut command = Command::new(python("gunicorn").unwrap());
    command.arg("waits_wsgi:app").arg("--chdir").arg(fixture("")).args(["--workers", "1", "--threads", "4"]);
    command.args(["--bind", &format!("127.0.0.1:{port}"), "--log-level", "warning", "--no-control-socket"]);
    let service = Service::start(command.env("PYTHONDONTWRITEBYTECODE", "1"), port).unwrap();
    one_of_three(|_| {
        let url = format!("http://127.0.0.1:{port}/");
        let ab = || drop(run(Command::new("ab").args(["-q", "-n", "200", "-c", "2", &url])).unwrap());
        let report = recorded(&service, ab);
        let shares = Shares::of(&report, "waits");
        println!("{shares:?}");
        near(shares.sum(&["sleep"]) > 75.0 && shares.sum(&["lock"]) < 5.0, || format!("{shares:?}"))
    });
}

fn uvicorn(event_loop: &str, redis: Option<u16>) -> Service {
    let port = free_port().unwrap();
    let mut command = Command::new(python("uvicorn").unwrap());
    command.arg("app:app").arg("--app-dir").arg(fixture("")).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--loop", event_loop, "--no-access-log", "--log-level", "warning"]);
    if let Some(redis) = redis {
        command.env("REDIS_PORT", redis.to_string());
    }
    Service::start(command.env("PYTHONDONTWRITEBYTECODE", "1"), port).unwrap()
}

/// What the requests of the pool's threads waited for, in ms per request.
struct Waits {
    /// By the clock of the application: until a thread had it, and in that.
    for_thread: f64,
    in_thread: f64,
    /// By the report.
    shares: Shares,
    latency: f64,
}

impl Waits {
    fn measure(service: &Service, path: &str, connections: usize, each: usize) -> Self {
        let told = || -> Value { serde_json::from_str(&get(service.address(), "/waits").unwrap()).unwrap() };
        told();
        let report = recorded(service, || load(service, path, connections, None, (connections * each) as u64));
        let (waits, shares) = (told(), Shares::of(&report, "waits"));
        let count = report.requests("waits") as f64;
        let of = |name: &str| waits[name].as_f64().unwrap() / count / 1e6;
        let latency = report.integer("waits", "/requests/latency/mean_ns") as f64 / 1e6;
        Self { for_thread: of("for_thread"), in_thread: of("in_thread"), shares, latency }
    }

    /// Of these components together, by the report.
    fn of(&self, components: &[&str]) -> f64 {
        self.shares.sum(components) / 100.0 * self.latency
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { for_thread, in_thread, shares, latency } = self;
        write!(f, "{for_thread:.1} ms until a thread has it, {in_thread:.1} in that, of {latency:.1}; {shares:?}")
    }
}

/// A thread of the pool sleeps for each request, beside the global lock that it takes three times; the loop has no sleep of its own.
fn what_a_thread_of_the_pool_does_is_its_requests(event_loop: &str) {
    need_root();
    let service = uvicorn(event_loop, None);
    for connections in [1, 2, 12] {
        one_of_three(|_| {
            let waits = Waits::measure(&service, "/thread/20", connections, 80);
            println!("{event_loop}, {connections} clients: {waits}");
            near((17.0..waits.in_thread).contains(&waits.of(&["sleep"])), || format!("{connections} clients: {waits}"))
        });
    }
}

#[test]
fn what_a_thread_of_uvloops_pool_does_is_its_requests() {
    what_a_thread_of_the_pool_does_is_its_requests("uvloop");
}

#[test]
fn what_a_thread_of_asyncios_pool_does_is_its_requests() {
    what_a_thread_of_the_pool_does_is_its_requests("asyncio");
}

/// Redis answers all of them at the same time, ten times a second: the loop is busy when the threads are done, and the 64 clients have 40
/// threads between them. What a thread waits for there is Redis, then the interpreter's lock; the first requests teach how the pool works.
fn what_a_thread_of_the_pool_asks_for_is_its_requests(event_loop: &str) {
    need_root();
    let redis = redis::start().unwrap();
    let service = uvicorn(event_loop, Some(redis.port));
    for connections in [1, 12, 64] {
        one_of_three(|_| {
            let waits = Waits::measure(&service, "/peer/20", connections, 40);
            println!("{event_loop}, {connections} clients: {waits}");
            let (asked, pool) = (waits.of(&["downstream"]), waits.of(&["pool_wait"]));
            let said = || format!("{connections} clients: {waits}");
            // A thread that has the job waits for the interpreter's lock before it begins, too.
            let most = waits.for_thread + waits.in_thread;
            near((0.75 * waits.in_thread..most).contains(&(asked + waits.of(&["lock"]))), said)?;
            near(asked > 0.65 * waits.in_thread, said)?;
            near(pool < 1.2 * waits.for_thread + 0.1 * waits.latency, said)?;
            // But for what the loop computes before it wakes a thread.
            near(pool + waits.of(&["loop_wait"]) > 0.6 * waits.for_thread - 2.0, said)
        });
    }
}

#[test]
fn what_a_thread_of_uvloops_pool_asks_for_is_its_requests() {
    what_a_thread_of_the_pool_asks_for_is_its_requests("uvloop");
}

#[test]
fn what_a_thread_of_asyncios_pool_asks_for_is_its_requests() {
    what_a_thread_of_the_pool_asks_for_is_its_requests("asyncio");
}

#[test]
fn uvicorn_that_a_quota_holds_back_is_told_so() {
    need_root();
    let service = uvicorn("auto", None);
    let request = request("/");
    let reply = reply_length(&service, &request);
    one_of_three(|_| {
        // The quota holds neither the first request back, nor the accepting of connections, which is a wait of its own.
        let mut client = Client::connect(service.address(), 64, &request, reply).unwrap();
        thread::sleep(Duration::from_millis(500));
        let quota = Quota::new(service.pid(), 5_000, 100_000).unwrap();
        let report = recorded(&service, || {
            client.run(Plan { rate: None, requests: 600, limit: Duration::from_secs(60) }).unwrap();
            thread::sleep(Duration::from_millis(200));
        });
        let truth = quota.throttled().unwrap().as_nanos() as u64;
        let said = report.integer("waits", "/scheduler/cpu_quota_ns");
        println!("cpu.stat {truth} ns, said {said} ns");
        assert!(truth > 500_000_000, "the quota was not used up: {truth}");
        assert!(report.found("cpu_quota"));
        let tail = report.service("waits")["tail"]["sentence"].as_str().unwrap();
        near(tail.contains("held back by the CPU quota"), || tail.to_owned())?;
        near(said.abs_diff(truth) * 10 < truth, || format!("said {said} ns, cpu.stat {truth} ns"))
    });
}

#[test]
fn java_threads_that_sleep_are_no_lock() {
    if !is_long() {
        return;
    }
    need_root();
    let port = free_port().unwrap();
    let service = Service::start(Command::new("java").arg(fixture("Sleeps.java")).arg(port.to_string()), port)
        .expect("needs `apt-get install default-jdk-headless`");
    one_of_three(|_| {
        let report = recorded(&service, || load(&service, "/", 20, None, 1_000));
        let shares = Shares::of(&report, "waits");
        println!("{shares:?}");
        near(shares.sum(&["sleep"]) > 25.0 && shares.sum(&["lock", "pool_wait"]) < 10.0, || format!("{shares:?}"))
    });
}

fn go() -> Service {
    let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    let program = build_go("sleeps.go", directory.path()).unwrap();
    Service::start_in(Command::new(&program).arg(port.to_string()), port, directory).unwrap()
}

#[test]
fn goroutines_do_not_wait_for_a_thread() {
    if !is_long() {
        return;
    }
    need_root();
    let service = go();
    for (path, connections) in [("/sleep", 1), ("/sleep", 20), ("/lock", 20)] {
        one_of_three(|_| {
            let report = recorded(&service, || load(&service, path, connections, None, 50 * connections as u64));
            let shares = Shares::of(&report, "waits");
            println!("{path}, {connections} connections: {shares:?}");
            // Under the lock one sleeps, and the others wait for what the kernel knows nothing of.
            let (component, least) = if path == "/sleep" { ("sleep", 75.0) } else { ("idle", 60.0) };
            near(shares.sum(&[component]) >= least, || format!("{shares:?}"))?;
            near(shares.sum(&["sleep", "idle"]) > 80.0, || format!("{shares:?}"))?;
            near(shares.sum(&["pool_wait", "lock"]) < 5.0, || format!("{shares:?}"))
        });
    }
}

#[test]
fn ruby_threads_that_sleep_are_no_lock() {
    if !is_long() {
        return;
    }
    need_root();
    let port = free_port().unwrap();
    let mut command = Command::new("puma");
    command
        .args(["--quiet", "--threads", "8:8", "--bind", &format!("tcp://127.0.0.1:{port}")])
        .arg(fixture("sleeps.ru"));
    let service = Service::start(&mut command, port).expect("needs `apt-get install puma`");
    let url = format!("http://127.0.0.1:{port}/");
    // Eight of twenty are asleep, and the others wait until Puma accepts them.
    for (options, clients, sleeps) in [(["-k"].as_slice(), "1", 75.0), (&["-k"], "8", 75.0), (&[], "20", 25.0)] {
        one_of_three(|_| {
            let ab =
                || drop(run(Command::new("ab").args(options).args(["-q", "-n", "400", "-c", clients, &url])).unwrap());
            let report = recorded(&service, ab);
            let shares = Shares::of(&report, "waits");
            println!("{clients} clients: {shares:?}");
            near(shares.sum(&["sleep"]) > sleeps, || format!("{shares:?}"))?;
            near(shares.sum(&["sleep", "queue time"]) > 80.0, || format!("{shares:?}"))?;
            near(shares.sum(&["lock", "pool_wait"]) < 10.0, || format!("{shares:?}"))
        });
    }
}
