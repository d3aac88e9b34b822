//! HTTPS: what opens and closes a connection is no request, and a close notice no reply. What is said is not seen, so that one read is one
//! request, as of protocols that nobody knows; the truth is what the client counts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use acgs_perf_tests::endpoints::{Counts, endpoints, requests};
use acgs_perf_tests::harness::{Service, fixture, free_port, need_root, python, run, wait};
use acgs_perf_tests::nginx;
use acgs_perf_tests::recording::{Recorder, Recording};
use acgs_perf_tests::report::Report;

const MS: u64 = 1_000_000;
const VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// A key and a certificate of its own.
fn certify(directory: &Path) -> [String; 2] {
    let [key, certificate] = ["key", "certificate"].map(|name| directory.join(name).display().to_string());
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-keyout", &key, "-out", &certificate, "-subj", "/CN=localhost", "-days", "2"]);
    run(&mut command).unwrap();
    [key, certificate]
}

/// One that closes a connection on which it was asked nothing for so long.
fn start_nginx(keep: &str) -> Service {
    let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    let [key, certificate] = certify(directory.path());
    let server = format!(
        "keepalive_timeout {keep};
         server {{
           listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
           ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:sessions:1m;
           location / {{ return 200 'ok'; }}
         }}"
    );
    let arguments = nginx::arguments(directory.path(), 1, "", &server).unwrap();
    Service::start_in(Command::new("nginx").args(arguments), port, directory).unwrap()
}

fn start_uvicorn() -> Service {
    let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    let [key, certificate] = certify(directory.path());
    let mut command = Command::new(python("uvicorn").unwrap());
    command.arg("endpoints_app:app").arg("--app-dir").arg(fixture("")).args(["--host", "127.0.0.1", "--port"]);
    command.arg(port.to_string()).args(["--ssl-keyfile", &key, "--ssl-certfile", &certificate]);
    command.args(["--no-access-log", "--log-level", "critical"]).env("PYTHONDONTWRITEBYTECODE", "1");
    Service::start_in(&mut command, port, directory).unwrap()
}

fn record(service: &Service) -> Recording {
    Recorder::new("https", &format!("port:{}", service.port)).start().unwrap()
}

/// These were counted, each as encrypted and none by a name; all were answered, and nothing was lost.
#[track_caller]
fn assert_encrypted(report: &Report, count: u64) {
    let rows = endpoints(report, "https");
    println!("{rows:?} {} {:?}", report.service("https")["kinds"], report.losses());
    report.assert_exact("https", count);
    let seen: Vec<(String, Counts)> = requests(&rows).into_iter().collect();
    assert_eq!(seen, [("encrypted".to_owned(), Counts { requests: count, failed: 0 })]);
    assert_eq!(rows[0].protocol, "tls");
    let coverage = ["named", "counted"].map(|which| report.integer("https", &format!("/coverage/{which}")));
    assert_eq!(coverage, [0, count]);
    let fates =
        ["unread", "in_service", "abandoned"].map(|fate| report.integer("https", &format!("/fates/{fate}/count")));
    assert_eq!(fates, [0; 3]);
}

/// As many requests as `ab` has completed, one a connection or many.
fn under_ab(service: &Service, version: &str, path: &str, keeps: bool, count: u64) {
    let recording = record(service);
    let mut ab = Command::new("ab");
    ab.args(["-q", "-n", &count.to_string(), "-c", "4", "-f", &format!("TLS{version}")]);
    let url = format!("https://127.0.0.1:{}{path}", service.port);
    let text = run(ab.args(keeps.then_some("-k")).arg(&url)).unwrap();
    assert!(text.contains(&format!("Complete requests:      {count}\n")) && !text.contains("Non-2xx"), "{text}");
    assert!(text.contains(&format!("TLSv{version}")), "{text}");
    assert_encrypted(&recording.stop().unwrap(), count);
}

#[test]
fn handshakes_and_farewells_of_nginx_are_no_requests() {
    need_root();
    let service = start_nginx("60s");
    for version in VERSIONS {
        for keeps in [false, true] {
            under_ab(&service, version, "/", keeps, 2_000);
        }
    }
}

#[test]
fn handshakes_and_farewells_of_uvicorn_are_no_requests() {
    need_root();
    let service = start_uvicorn();
    for version in VERSIONS {
        for keeps in [false, true] {
            under_ab(&service, version, "/items/1", keeps, 500);
        }
    }
}

/// The client of `https_client.py`, which has opened its connections.
struct Client {
    child: Child,
    input: ChildStdin,
    /// How many of its sessions go on with the first.
    resumed: u64,
}

impl Client {
    fn open(service: &Service, version: &str, [connections, requests]: [u64; 2], lingers: bool) -> Self {
        let mut command = Command::new("python3");
        command.arg(fixture("https_client.py")).args([&service.port.to_string(), version]);
        command.args([connections.to_string(), requests.to_string()]).args(lingers.then_some("linger"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let resumed = line.trim().strip_prefix("open ").unwrap().parse().unwrap();
        Self { input: child.stdin.take().unwrap(), child, resumed }
    }

    /// Lets it go on up to its end.
    fn go_on(mut self) {
        self.input.write_all(b"\n").unwrap();
        let status = wait(&mut self.child, Duration::from_secs(60)).unwrap();
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
}

/// Sessions that go on have another handshake, and connections from before the recording none at all.
#[test]
fn sessions_that_go_on_and_connections_from_before() {
    need_root();
    let service = start_nginx("60s");
    for version in VERSIONS {
        let client = Client::open(&service, version, [10, 100], false);
        assert_eq!(client.resumed, 9);
        let recording = record(&service);
        client.go_on();
        assert_encrypted(&recording.stop().unwrap(), 1_000);
        let recording = record(&service);
        Client::open(&service, version, [50, 3], false).go_on();
        assert_encrypted(&recording.stop().unwrap(), 200);
    }
}

/// The server says that it closes, a second after its reply.
#[test]
fn a_close_notice_is_no_reply() {
    need_root();
    let service = start_nginx("1s");
    for version in VERSIONS {
        let recording = record(&service);
        Client::open(&service, version, [20, 4], true).go_on();
        let report = recording.stop().unwrap();
        assert_encrypted(&report, 100);
        let longest = report.spread("https", "/requests/latency").get("max_ns");
        assert!(longest < 500 * MS, "{longest}");
        let pushes = report.service("https").pointer("/kinds/push/count").cloned();
        assert!(pushes.is_none_or(|pushes| pushes == 0), "{}", report.service("https")["kinds"]);
    }
}
