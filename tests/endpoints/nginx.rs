//! nginx with two workers: each request by method and route; the truth is the access log.

use std::fs;
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use acgs_perf_tests::endpoints::{Named, assert_named, endpoints, requests};
use acgs_perf_tests::harness::{Service, fixture, free_port, need_root, run};
use acgs_perf_tests::nginx;
use acgs_perf_tests::recording::{Recorder, Recording};

use super::http::{Http, request, with_body};

pub fn start(workers: u32) -> Service {
    let port = free_port().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let server = format!(
        "log_format seen '$request_method\t$request_uri\t$status';
         server {{
           listen 127.0.0.1:{port}; access_log {path}/access seen; client_max_body_size 1k; root {path};
           location / {{ return 200 'ok'; }}
           location /missing/ {{ return 404; }}
           location /broken/ {{ return 503; }}
           location /nothing/ {{ return 204; }}
           location /file {{ }}
           location /upload/ {{ proxy_pass http://127.0.0.1:{port}/; }}
         }}"
    );
    let arguments = nginx::arguments(directory.path(), workers, "", &server).unwrap();
    fs::write(directory.path().join("file"), vec![b'x'; 300_000]).unwrap();
    run(Command::new("chmod").arg("755").arg(directory.path())).unwrap();
    Service::start_in(Command::new("nginx").args(arguments), port, directory).unwrap()
}

pub fn record(service: &Service) -> Recording {
    Recorder::new("nginx", &format!("port:{}", service.port)).start().unwrap()
}

/// The same, where each word of a path stays, however many there are.
fn record_each_word(service: &Service) -> Recording {
    let file = service.directory.path().join("acgs.toml");
    fs::write(&file, "words_per_level = 0\n").unwrap();
    let recorder = Recorder::new("nginx", &format!("port:{}", service.port));
    recorder.arg("--config").arg(&file.display().to_string()).start().unwrap()
}

/// Method and route, as the report is to have it: a segment with a digit is a value.
pub fn route(method: &str, target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let segments = path.split('/').map(|segment| {
        let is_value = segment.contains(|c: char| c.is_ascii_digit()) && segment != "v1";
        if is_value { "{}" } else { segment }
    });
    format!("{method} {}", segments.collect::<Vec<_>>().join("/"))
}

/// What nginx has logged: requests by route, and how many of all it called the client's fault.
pub fn logged(service: &Service) -> (Named, u64) {
    let (mut counts, mut refused) = (Named::new(), 0);
    for line in fs::read_to_string(service.directory.path().join("access")).unwrap().lines() {
        let [method, target, status] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let status: u16 = status.parse().unwrap();
        counts.entry(route(method, target)).or_default().add(1, u64::from(status >= 400));
        refused += u64::from((400..500).contains(&status));
    }
    (counts, refused)
}

pub fn ab(service: &Service, options: &[&str], requests: u32, target: &str) {
    let url = format!("http://127.0.0.1:{}{target}", service.port);
    let text =
        run(Command::new("ab").args(options).args(["-q", "-n", &requests.to_string(), "-c", "8", &url])).unwrap();
    assert!(text.contains(&format!("Complete requests:      {requests}\n")), "{text}");
}

#[track_caller]
fn is_as_logged(service: &Service, recording: Recording) {
    let report = recording.stop().unwrap();
    let (truth, refused) = logged(service);
    assert_named(&report, "nginx", &truth);
    let rows = endpoints(&report, "nginx");
    assert_eq!(rows.iter().map(|row| row.refused).sum::<u64>(), refused, "refused");
    assert!(rows.iter().all(|row| row.protocol == "http" && row.kind == "request"));
}

#[test]
fn each_request_counts_by_method_and_route() {
    need_root();
    let service = start(2);
    let recording = record(&service);
    let body = service.directory.path().join("body");
    fs::write(&body, "x".repeat(700)).unwrap();
    let body = body.display().to_string();
    ab(&service, &["-k"], 3_000, "/plain?x=1");
    ab(&service, &[], 1_000, "/v1/users/17/orders");
    ab(&service, &["-k", "-i"], 500, "/plain?x=2");
    ab(&service, &["-k", "-p", &body, "-T", "text/plain"], 500, "/plain");
    ab(&service, &["-k"], 500, "/missing/4711");
    ab(&service, &["-k"], 500, "/broken/?id=1");
    ab(&service, &["-k"], 300, "/file");
    ab(&service, &["-i"], 300, "/file");
    let mut client = Http::connect(service.address());
    for number in 0..200 {
        assert_eq!(client.ask("GET", &format!("/nothing/{number}")), 204);
        assert_eq!(client.ask("DELETE", &format!("/users/{number}?force=yes")), 200);
        assert_eq!(client.ask("HEAD", "/file"), 200);
        assert_eq!(client.ask("OPTIONS", "/plain"), 200);
    }
    is_as_logged(&service, recording);
}

/// The reply comes while the body does, or before (B5).
#[test]
fn a_body_that_is_refused_is_no_other_request() {
    need_root();
    let service = start(1);
    let recording = record(&service);
    let body = service.directory.path().join("body");
    fs::write(&body, vec![b'x'; 1 << 20]).unwrap();
    for target in ["/large/[1-100]", "/upload/[1-20]"] {
        let url = format!("http://127.0.0.1:{}{target}", service.port);
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-H", "Expect:", "-w", "%{http_code}\n", "-T"]).arg(&body).arg(&url);
        // It may find that the connection is closed while it sends.
        let text = String::from_utf8_lossy(&curl.output().unwrap().stdout).into_owned();
        assert!(text.lines().all(|line| line == "413" || line == "000"), "{text}");
    }
    thread::sleep(Duration::from_millis(100));
    is_as_logged(&service, recording);
}

#[test]
fn each_request_of_wrks_pipelines_is_one() {
    need_root();
    let service = start(2);
    let recording = record(&service);
    let url = format!("http://127.0.0.1:{}/", service.port);
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", "2", "-c", "2", "-d", "5", "-s"]).arg(fixture("piped.lua")).args([&url, "--", "10000"]);
    run(&mut wrk).unwrap();
    let logged = logged(&service).0;
    let all: u64 = logged.values().map(|counts| counts.requests).sum();
    assert!(all >= 20_000, "{logged:?}");
    is_as_logged(&service, recording);
}

/// The same ten requests as often as they have bytes, each time cut in another place.
#[test]
fn a_pipeline_is_counted_wherever_it_is_cut() {
    need_root();
    let service = start(1);
    let recording = record(&service);
    let pipeline = [
        request("GET", "/items/1"),
        request("GET", "/plain?x=/items/2"),
        with_body("POST", "/items", b"GET /no HTTP/1.1\r\n\r\n"),
        request("HEAD", "/items/4"),
        request("GET", "/missing/5"),
        with_body("PUT", "/items/6", b""),
        request("GET", "http://example.org/items/7"),
        request("GET", "/nothing/8"),
        request("GET", "/v1/a-long-name_of/things.html"),
        request("GET", "/"),
    ];
    let bytes = pipeline.concat();
    let mut client = Http::connect(service.address());
    for cut in 1..bytes.len() {
        client.send(&bytes[..cut]);
        thread::sleep(Duration::from_micros(300));
        client.send(&bytes[cut..]);
        (0..pipeline.len()).for_each(|number| _ = client.reply(number == 3));
    }
    for byte in &bytes {
        client.send(&[*byte]);
        thread::sleep(Duration::from_micros(100));
    }
    (0..pipeline.len()).for_each(|number| _ = client.reply(number == 3));
    is_as_logged(&service, recording);
}

/// A path of letters only, another for each number.
fn path(number: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    format!("/{}{}", letter(number), letter(number / 26))
}

#[test]
fn a_name_that_two_workers_meet_at_once_is_one() {
    need_root();
    let service = start(2);
    let recording = record_each_word(&service);
    let (address, barrier) = (service.address(), Barrier::new(8));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Http::connect(address);
                for number in 0..200 {
                    barrier.wait();
                    assert_eq!(client.ask("GET", &path(number)), 200);
                }
            });
        }
    });
    is_as_logged(&service, recording);
}

/// More names than the kernel side has room for: all are counted, and none by the name of another.
#[test]
fn names_beyond_the_last_one_count_together() {
    need_root();
    let service = start(1);
    let recording = record_each_word(&service);
    let mut client = Http::connect(service.address());
    for number in (0..600).chain(0..600) {
        assert_eq!(client.ask("GET", &path(number)), 200);
    }
    let report = recording.stop().unwrap();
    let seen = requests(&endpoints(&report, "nginx"));
    let named = seen.iter().filter(|(name, _)| *name != "others");
    let (names, twice) = (named.clone().count() as u64, named.clone().all(|(_, counts)| counts.requests == 2));
    assert!(names >= 200 && twice, "{seen:?}");
    assert_eq!(seen["others"].requests, 1_200 - 2 * names);
    assert_eq!(report.requests("nginx"), 1_200);
    report.assert_nothing_lost(1_200);
}
