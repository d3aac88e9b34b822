//! The agent that serves, towards the network: TLS and a token for whoever comes; a collector that gets what was recorded, through an
//! outage and an agent that is started anew.
//!
//! In: a server under load, `acgs-perf serve`, curl, and a collector made from OTLP's own messages. Out: counts at the collector, which are
//! the load's own. The outage over gRPC runs with `ACGS_PERF_LONG` in the environment.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::harness::{Service, end, free_port, is_long, need_root, program};
use acgs_perf_tests::network::{Collector, Secrets, TOKEN, hostile, loopback, wait_until};
use acgs_perf_tests::recording::agent;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::serving::{Serving, get, value};
use acgs_perf_tests::signal;
use serde_json::Value;

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

fn requests(seen: &Value) -> u64 {
    seen["services"]["truth"]["sums"]["acgs_perf.requests"].as_u64().unwrap_or(0)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn metric(address: SocketAddr, name: &str) -> f64 {
    let text = get(address, "/metrics").unwrap();
    let line =
        text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The P99 of a histogram of the collector, in ns: the middle of its bucket.
fn p99(histograms: &[&Value]) -> f64 {
    let mut counts = std::collections::BTreeMap::<i32, u64>::new();
    for histogram in histograms {
        for (bucket, count) in histogram["buckets"].as_object().unwrap() {
            *counts.entry(bucket.parse().unwrap()).or_default() += count.as_u64().unwrap();
        }
    }
    let mut beyond = counts.values().sum::<u64>() / 100;
    let (bucket, _) = counts
        .iter()
        .rev()
        .find(|(_, count)| {
            let is_here = **count > beyond;
            beyond = beyond.saturating_sub(**count);
            is_here
        })
        .unwrap();
    ((f64::from(*bucket) + 0.5) / 64.0).exp2() * 1e9
}

/// The collector is away, comes back, says that it is busy; the agent is killed and started anew: each request arrives once.
fn through_an_outage(kind: &str, scheme: &str) {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let url = format!("{scheme}://127.0.0.1:{port}");
    let since = now();
    let start = || Serving::start(serve(&server, directory.path()).args(["--otlp", &url]));
    let collector = Collector::start(port, kind, None);
    let mut agent = start();
    ask(&server, 3_000);
    wait_until("nothing comes", || requests(&collector.seen()) > 0);
    let first = collector.seen();
    drop(collector);
    ask(&server, 9_000);
    agent.wait_for("stays in the ring");
    // The agent dies while the collector is away.
    thread::sleep(KEPT);
    drop(agent);
    let agent = start();
    ask(&server, 2_000);
    let collector = Collector::start(port, kind, None);
    collector.answer("unavailable");
    wait_until("nothing is tried", || collector.seen()["attempts"].as_u64() > Some(1));
    ask(&server, 1_000);
    collector.answer("ok");
    wait_until("it does not come back", || requests(&collector.seen()) > 0);
    // What is left is sent at the end, as far as it goes; the rest comes from the next agent.
    agent.stop();
    let agent = start();
    let second = || collector.seen();
    wait_until("something is missing", || requests(&first) + requests(&second()) >= 15_000);
    agent.stop();
    let second = second();
    assert_eq!(requests(&first) + requests(&second), 15_000);
    for seen in [&first, &second] {
        assert_eq!(seen["errors"].as_array().unwrap().len(), 0, "{}", seen["errors"]);
    }
    let truth = |seen: &Value| seen["services"]["truth"].clone();
    let [first, second] = [truth(&first), truth(&second)];
    let latency = |of: &Value| of["histograms"]["acgs_perf.request.latency"].clone();
    let [a, b] = [latency(&first), latency(&second)];
    assert_eq!(a["count"].as_u64().unwrap() + b["count"].as_u64().unwrap(), 15_000);
    // The ring says the same.
    let report = report(directory.path(), since);
    report.assert_exact("truth", 15_000);
    let reported = report.0["services"][0]["requests"]["latency"]["p99_ns"].as_f64().unwrap();
    let exported = p99(&[&a, &b]);
    assert!((exported / reported - 1.0).abs() < 0.025, "{exported} and {reported} ns");
    // Slow requests came as spans with what they went through.
    let spans = second["spans"].as_array().unwrap();
    assert!(!spans.is_empty() && spans.iter().any(|span| span["below"].as_u64() > Some(0)), "{spans:?}");
    assert!(spans.iter().all(|span| span["kind"] == 2 && span["start_ns"].as_u64().unwrap() / 1_000_000_000 >= since));
    assert!(second["exemplars"].as_u64() > Some(0));
}

/// What the ring has of the time since then.
fn report(state: &Path, since: u64) -> Report {
    let mut command = Command::new(agent());
    command.args(["report", "--from", &format!("@{since}"), "--format", "json", "--state-dir"]).arg(state);
    Report(serde_json::from_slice(&command.output().unwrap().stdout).unwrap())
}

#[test]
fn a_collector_gets_each_request_once_through_an_outage() {
    through_an_outage("http", "http");
}

#[test]
fn a_collector_gets_each_request_once_through_an_outage_over_grpc() {
    if is_long() {
        through_an_outage("grpc", "grpc");
    }
}

#[test]
fn a_collector_is_known_by_its_certificate_and_what_it_refuses_is_counted() {
    need_root();
    let (server, secrets) = (truth(), Secrets::new());
    let directory = tempfile::tempdir().unwrap();
    let (port, address) = (free_port().unwrap(), loopback());
    let collector = Collector::start(port, "grpc", Some(&secrets));
    collector.answer("partial");
    let mut command = serve(&server, directory.path());
    command.args(["--listen", &address.to_string(), "--otlp", &format!("grpcs://localhost:{port}"), "--otlp-ca"]);
    command.arg(secrets.path("ca.pem")).arg("--otlp-token-file").arg(secrets.path("token"));
    let mut agent = Serving::start(&mut command);
    ask(&server, 2_000);
    wait_until("nothing comes", || requests(&collector.seen()) > 0);
    let said = agent.wait_for("has refused 1 points or spans");
    assert!(said.contains("one too many") && !said.contains('\u{1b}'), "{said}");
    assert_eq!(collector.seen()["authorization"], serde_json::json!([format!("Bearer {TOKEN}")]));
    // What it refuses as a whole is not sent again.
    collector.answer("refusing");
    wait_until("nothing is refused", || metric(address, "acgs_perf_otlp_rejected_total") > 10.0);
    collector.answer("failing");
    wait_until("nothing is tried again", || metric(address, "acgs_perf_otlp_retries_total") >= 1.0);
    assert!(metric(address, "acgs_perf_otlp_data_points_total") > 10.0);
    assert_eq!(metric(address, "acgs_perf_otlp_lost_seconds_total"), 0.0);
    assert_eq!(collector.seen()["errors"], serde_json::json!([]));
    // The process that exports belongs to nobody, and has nothing but its connections.
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.child.id())).unwrap();
    assert_eq!(children.split_whitespace().count(), 2);
    for child in children.split_whitespace() {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        assert_eq!(
            (field("CapEff:"), field("Seccomp:"), field("NoNewPrivs:")),
            ("0".repeat(16), "2".into(), "1".into())
        );
        assert!(field("Uid:").starts_with("65534"), "{status}");
        let resident: u64 = field("RssAnon:").split(' ').next().unwrap().parse().unwrap();
        assert!(resident < 16 << 10, "{resident} KiB");
    }
    drop(agent);
    // A collector of another authority is not told anything.
    let before = collector.seen()["attempts"].clone();
    let mut command = serve(&server, directory.path());
    command.args(["--otlp", &format!("grpcs://localhost:{port}"), "--otlp-ca"]).arg(secrets.path("stranger.pem"));
    let mut agent = Serving::start(&mut command);
    let said = agent.wait_for("stays in the ring");
    assert!(said.contains("TLS") && said.contains("certificate"), "{said}");
    assert_eq!(collector.seen()["attempts"], before);
}

/// Status and body that curl gets.
fn curl(address: SocketAddr, secrets: &Secrets, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["-sS", "-m", "20", "-w", "\n%{http_code}", "--cacert"]).arg(secrets.path("ca.pem"));
    let output = command.args(arguments).arg(format!("https://{address}/healthz")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// The certificate that is shown.
fn shown(address: SocketAddr) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

#[test]
fn who_comes_over_the_network_speaks_tls_and_has_the_token() {
    need_root();
    let (server, secrets) = (truth(), Secrets::new());
    let directory = tempfile::tempdir().unwrap();
    let address = loopback();
    let since = now();
    let mut command = serve(&server, directory.path());
    command.args(["--listen", &address.to_string(), "--tls-cert"]).arg(secrets.path("server.pem"));
    command.arg("--tls-key").arg(secrets.path("server.key")).arg("--token-file").arg(secrets.path("token"));
    let mut agent = Serving::start(&mut command);
    agent.wait_for(&format!("metrics at https://{address}/metrics"));
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let ok = ("200".to_owned(), "ok\n".to_owned());
    assert_eq!(curl(address, &secrets, &["-H", &bearer]), ok);
    assert_eq!(curl(address, &secrets, &[]).0, "401");
    assert_eq!(curl(address, &secrets, &["-H", "Authorization: Bearer 0123456789abcdef0123456789abcdee"]).0, "401");
    // Plain HTTP is no TLS, and neither is nonsense.
    assert!(get(address, "/healthz").is_err());
    for nonsense in [&[0x16, 3, 1, 0xff, 0xff][..], &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0], &[0; 4096], &[0xff; 70_000]] {
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(nonsense);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // Two hundred that never finish their handshake hold nobody up, least of all the measurement.
    let slow: Vec<TcpStream> = (0..200)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.write_all(&[0x16, 3, 1, 2, 0, 1]).ok()?;
            Some(stream)
        })
        .collect();
    ask(&server, 2_000);
    wait_until("nobody gets through", || curl(address, &secrets, &["-H", &bearer]) == ok);
    drop(slow);
    // Another certificate and another token, without an end.
    let (before, other) = (shown(address), "another-token-another-token");
    for (name, from) in [("server.pem", "renewed.pem"), ("server.key", "renewed.key")] {
        secrets.write(name, &fs::read(secrets.path(from)).unwrap());
    }
    secrets.write("token", other.as_bytes());
    signal::send(&agent.child, libc::SIGHUP).unwrap();
    let bearer_of_other = format!("Authorization: Bearer {other}");
    wait_until("the token stays", || curl(address, &secrets, &["-H", &bearer_of_other]) == ok);
    assert_eq!(curl(address, &secrets, &["-H", &bearer]).0, "401");
    let after = shown(address);
    assert!(after.contains("CN = renewed") && before.contains("CN = server"), "{before}\n{after}");
    // One that is wrong changes nothing.
    secrets.write("server.key", b"nonsense");
    signal::send(&agent.child, libc::SIGHUP).unwrap();
    agent.wait_for("certificate and token stay as they were");
    assert_eq!(curl(address, &secrets, &["-H", &bearer_of_other]), ok);
    thread::sleep(KEPT);
    report(directory.path(), since).assert_exact("truth", 2_000);
    agent.stop();
}

#[test]
fn clients_are_known_by_their_certificates() {
    need_root();
    let (server, secrets) = (truth(), Secrets::new());
    let directory = tempfile::tempdir().unwrap();
    let address = loopback();
    let mut command = serve(&server, directory.path());
    command.args(["--listen", &address.to_string(), "--tls-cert"]).arg(secrets.path("server.pem"));
    command.arg("--tls-key").arg(secrets.path("server.key")).arg("--client-ca").arg(secrets.path("ca.pem"));
    let agent = Serving::start(&mut command);
    let show = |name: &str| {
        let [cert, key] = ["pem", "key"].map(|kind| secrets.path(&format!("{name}.{kind}")).display().to_string());
        curl(address, &secrets, &["--cert", &cert, "--key", &key])
    };
    assert_eq!(show("client"), ("200".to_owned(), "ok\n".to_owned()));
    assert_eq!(show("stranger").0, "000");
    assert_eq!(curl(address, &secrets, &[]).0, "000");
    agent.stop();
}

#[test]
fn what_is_no_secret_is_refused_before_anything_is_attached() {
    need_root();
    let (server, secrets) = (truth(), Secrets::new());
    let directory = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str]| {
        let output = serve(&server, directory.path()).args(arguments).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        said
    };
    let path = |name: &str| secrets.path(name).display().to_string();
    let said =
        refused(&["--listen", "127.0.0.1:0", "--tls-cert", &path("server.pem"), "--tls-key", &path("client.key")]);
    assert!(said.contains("--tls-cert, --tls-key"), "{said}");
    fs::set_permissions(secrets.path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let said =
        refused(&["--listen", "127.0.0.1:0", "--tls-cert", &path("server.pem"), "--tls-key", &path("server.key")]);
    assert!(said.contains("--tls-key") && said.contains("chmod 0640"), "{said}");
    let said = refused(&["--otlp", "ftp://nowhere"]);
    assert!(said.contains("want http://HOST:4318"), "{said}");
}

/// A Prometheus that scrapes over TLS with the token; ended when dropped.
struct Prometheus(Child);

impl Prometheus {
    fn start(at: SocketAddr, target: SocketAddr, secrets: &Secrets, data: &Path) -> Self {
        let [ca, token] = ["ca.pem", "token"].map(|name| secrets.path(name).display().to_string());
        let config = data.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: acgs-perf\n  scheme: https\n  tls_config: {{ca_file: {ca}}}\n  \
             authorization: {{credentials_file: {token}}}\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", data.join("tsdb").display()));
        command.args([
            &format!("--web.listen-address={at}"),
            "--enable-feature=native-histograms",
            "--log.level=error",
        ]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        end(&mut self.0, libc::SIGKILL);
    }
}

#[test]
fn a_prometheus_scrapes_over_tls_with_the_token() {
    need_root();
    let (server, secrets) = (truth(), Secrets::new());
    let [state, data] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (address, at) = (loopback(), loopback());
    let since = now();
    let mut command = serve(&server, state.path());
    command.args(["--listen", &address.to_string(), "--tls-cert"]).arg(secrets.path("server.pem"));
    command.arg("--tls-key").arg(secrets.path("server.key")).arg("--token-file").arg(secrets.path("token"));
    let agent = Serving::start(&mut command);
    let _prometheus = Prometheus::start(at, address, &secrets, data.path());
    ask(&server, 5_000);
    let latency = "acgs_perf_request_latency_seconds{service=\"truth\"}";
    wait_until("not all is scraped", || {
        value(at, &format!("histogram_count({latency})")).is_ok_and(|count| count >= 5_000.0)
    });
    assert_eq!(value(at, &format!("histogram_count({latency})")).unwrap(), 5_000.0);
    assert_eq!(value(at, "acgs_perf_requests_total{service=\"truth\"}").unwrap(), 5_000.0);
    let scraped = value(at, &format!("histogram_quantile(0.99, {latency})")).unwrap() * 1e9;
    let report = report(state.path(), since);
    report.assert_exact("truth", 5_000);
    let reported = report.0["services"][0]["requests"]["latency"]["p99_ns"].as_f64().unwrap();
    assert!((scraped / reported - 1.0).abs() < 0.025, "{scraped} and {reported} ns");
    agent.stop();
}

#[test]
fn a_hostile_collector_harms_nobody() {
    need_root();
    let server = truth();
    let mut agents = ["http", "grpc"].map(|scheme| {
        let (directory, address) = (tempfile::tempdir().unwrap(), loopback());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        thread::spawn(move || hostile(&listener));
        let mut command = serve(&server, directory.path());
        let agent = Serving::start(command.args(["--listen", &address.to_string(), "--otlp", &url]));
        (agent, directory, address)
    });
    let since = now();
    ask(&server, 12_000);
    for (agent, directory, address) in &mut agents {
        wait_until("nothing is tried again", || metric(*address, "acgs_perf_otlp_connections_total") >= 6.0);
        wait_until("it is not behind", || metric(*address, "acgs_perf_otlp_behind_seconds") > 5.0);
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.child.id())).unwrap();
        assert_eq!(children.split_whitespace().count(), 2, "{:?}", agent.said());
        for child in children.split_whitespace() {
            let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
            let resident = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap().trim();
            assert!(resident.split(' ').next().unwrap().parse::<u64>().unwrap() < 16 << 10, "{resident}");
        }
        report(directory.path(), since).assert_exact("truth", 12_000);
    }
}
