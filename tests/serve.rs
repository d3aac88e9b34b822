//! The agent that serves: what happened at a time is told while it runs, after its configuration was read again, and after it was
//! killed; whoever comes over the network holds nobody up.
//!
//! In: a server under load, and `acgs-perf serve`. Out: counts from the ring and from the metrics, which are the load's own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::confine::small_disks;
use acgs_perf_tests::harness::{Service, free_port, need_root, program};
use acgs_perf_tests::recording::agent;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::serving::Serving;
use acgs_perf_tests::signal;

const RATE: u32 = 1_000;
const LIMIT: Duration = Duration::from_secs(60);
/// An interval, and the time that it takes to be kept.
const KEPT: Duration = Duration::from_millis(1_600);

fn truth() -> Service {
    Service::truth(program("truth-server"), &["--mode", "threads"]).unwrap()
}

fn ask(server: &Service, requests: u64) {
    let mut client = Client::connect(server.address(), 4, &[1; 64], 64).unwrap();
    client.run(Plan { rate: Some(RATE), requests, limit: LIMIT }).unwrap();
}

fn serve(server: &Service, state: &Path) -> Command {
    let mut command = Command::new(agent());
    command.args(["serve", "--service", &format!("truth=port:{}", server.port), "--state-dir"]).arg(state);
    command
}

/// What the ring has of the time since then.
fn report(state: &Path, since: u64) -> Report {
    let mut command = Command::new(agent());
    command.args(["report", "--from", &format!("@{since}"), "--format", "json", "--state-dir"]).arg(state);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report = Report(serde_json::from_slice(&output.stdout).unwrap());
    // Requests, and what is read of them more seldom, may begin and end at different moments.
    assert!(!report.found("counts_disagree"));
    report
}

fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

fn metric(address: SocketAddr, series: &str) -> u64 {
    let text = get(address, "/metrics").unwrap();
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_time_is_told_while_it_runs_after_a_reload_and_after_a_crash() {
    need_root();
    let (server, other) = (truth(), truth());
    let directory = tempfile::tempdir().unwrap();
    let (state, config) = (directory.path().join("state"), directory.path().join("config.toml"));
    let service = |name: &str, server: &Service| format!("{name} = {{ selector = \"port:{}\" }}\n", server.port);
    fs::write(&config, format!("[services]\n{}", service("truth", &server))).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let since = now();
    let start = || {
        let mut command = Command::new(agent());
        command.arg("serve").arg("--config").arg(&config).arg("--state-dir").arg(&state);
        Serving::start(command.args(["--listen", &address.to_string()]))
    };
    let mut agent = start();
    ask(&server, 2_000);
    thread::sleep(KEPT);
    report(&state, since).assert_exact("truth", 2_000);
    let requests = "acgs_perf_requests_total{service=\"truth\"}";
    assert_eq!(metric(address, requests), 2_000);
    assert_eq!(metric(address, "acgs_perf_request_latency_seconds_bucket{service=\"truth\",le=\"+Inf\"}"), 2_000);
    let told = get(address, "/api/v1/report?from=5m&service=truth").unwrap();
    Report(serde_json::from_str(&told).unwrap()).assert_exact("truth", 2_000);
    let page = get(address, "/?from=5m").unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("2,000") && page.ends_with("</html>\n"), "{page}");
    assert_eq!(get(address, "/readyz").as_deref(), Some("recording\n"));

    // A configuration that is wrong changes nothing.
    fs::write(&config, "[services]\nnonsense").unwrap();
    signal::send(&agent.child, libc::SIGHUP).unwrap();
    agent.wait_for("the recording goes on as before");
    // One that names another service first takes over under load.
    fs::write(&config, format!("[services]\n{}{}", service("another", &other), service("truth", &server))).unwrap();
    thread::scope(|scope| {
        let load = scope.spawn(|| ask(&server, 3_000));
        thread::sleep(Duration::from_millis(500));
        signal::send(&agent.child, libc::SIGHUP).unwrap();
        load.join().unwrap();
    });
    agent.wait_for("the configuration was read again; recording another, truth");
    ask(&other, 500);
    thread::sleep(KEPT);
    let told = report(&state, since);
    told.assert_exact("truth", 5_000);
    told.assert_exact("another", 500);
    assert_eq!(
        (metric(address, requests), metric(address, "acgs_perf_requests_total{service=\"another\"}")),
        (5_000, 500)
    );

    // Killed: what was kept is there, and nobody is left behind.
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    let limit = Instant::now() + LIMIT;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < limit, "the network-facing process is left");
        thread::sleep(Duration::from_millis(10));
    }
    report(&state, since).assert_exact("truth", 5_000);
    let agent = start();
    ask(&server, 1_000);
    agent.stop();
    let told = report(&state, since);
    told.assert_exact("truth", 6_000);
    let notes = told.0["notes"].to_string();
    assert!(notes.contains("nothing was recorded from"), "{notes}");
}

#[test]
fn a_full_disk_loses_no_count() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let mut command = serve(&server, directory.path());
    let since = now();
    let mut agent = Serving::start(small_disks(&mut command, &[directory.path()]));
    // The disk as the agent sees it.
    let seen = Path::new("/proc")
        .join(agent.child.id().to_string())
        .join("root")
        .join(directory.path().strip_prefix("/").unwrap());
    // Of four pages the ring has one or two by now.
    let filler = seen.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 1024]).is_ok() {}
    thread::scope(|scope| {
        let load = scope.spawn(|| ask(&server, 8_000));
        agent.wait_for("intervals cannot be written");
        fs::remove_file(&filler).unwrap();
        drop(file);
        agent.wait_for("intervals are written again");
        load.join().unwrap();
    });
    thread::sleep(KEPT);
    report(&seen, since).assert_exact("truth", 8_000);
    // Nothing has ended it.
    assert!(agent.child.try_wait().unwrap().is_none());
}

#[test]
fn two_hundred_slow_clients_hold_nobody_up() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let since = now();
    let agent = Serving::start(serve(&server, directory.path()).args(["--listen", &address.to_string()]));
    let side = network_facing(agent.child.id());
    let slow: Vec<TcpStream> = (0..200)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ").ok()?;
            Some(stream)
        })
        .collect();
    ask(&server, 2_000);
    thread::sleep(KEPT);
    report(directory.path(), since).assert_exact("truth", 2_000);
    let limit = Instant::now() + LIMIT;
    while get(address, "/healthz").is_none() {
        assert!(Instant::now() < limit, "nobody gets through");
        thread::sleep(Duration::from_millis(100));
    }
    drop(slow);
    assert_eq!(metric(address, "acgs_perf_requests_total{service=\"truth\"}"), 2_000);
    // It belongs to nobody, and has nothing but connections.
    let status = fs::read_to_string(format!("/proc/{side}/status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!((field("CapEff:"), field("CapPrm:")), ("0".repeat(16), "0".repeat(16)));
    assert_eq!((field("Seccomp:"), field("NoNewPrivs:"), field("Threads:")), ("2".into(), "1".into(), "1".into()));
    assert!(field("Uid:").starts_with("65534"), "{status}");
    let resident: u64 = field("RssAnon:").split(' ').next().unwrap().parse().unwrap();
    assert!(resident < 16 << 10, "{resident} KiB");
    let descriptors = fs::read_dir(format!("/proc/{side}/fd")).unwrap();
    let descriptors: Vec<String> = descriptors
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap_or_default().display().to_string())
        .collect();
    assert!(
        !descriptors.iter().any(|target| target.contains("bpf") || target.contains("intervals")),
        "{descriptors:?}"
    );
    agent.stop();
}

/// The process that the agent has forked.
fn network_facing(agent: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn what_cannot_be_served_is_said_before_anything_is_attached() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let fails = |command: &mut Command| {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        said
    };
    let said = fails(serve(&server, directory.path()).args(["--listen", "0.0.0.0:9187"]));
    assert!(said.contains("beyond loopback only with TLS"), "{said}");
    let taken = format!("127.0.0.1:{}", server.port);
    let said = fails(serve(&server, directory.path()).args(["--listen", &taken]));
    assert!(said.contains(&taken) && said.contains("in use"), "{said}");
    let said = fails(&mut serve(&server, Path::new("/proc/nothing")));
    assert!(said.contains("/proc/nothing"), "{said}");
    let agent = Serving::start(&mut serve(&server, directory.path()));
    let said = fails(&mut serve(&server, directory.path()));
    assert!(said.contains("another acgs-perf writes there"), "{said}");
    agent.stop();
}
