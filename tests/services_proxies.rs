//! Proxies before a server that takes its time: the time is that server's, and each request has called it once.
//!
//! Go, which few have at hand, runs with `ACGS_PERF_LONG` in the environment.

use std::fs;
use std::process::Command;

use acgs_perf_tests::harness::{Service, build_go, fixture, free_port, is_long, need_root, python, run};
use acgs_perf_tests::nginx;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::tries::{near, one_of_three};
use acgs_perf_tests::waits::Shares;

const NAME: &str = "proxy";
/// The server behind takes 20 ms for it.
const PATH: &str = "late/20";

/// The server behind.
fn behind() -> Service {
    let port = free_port().unwrap();
    let mut command = Command::new(python("uvicorn").unwrap());
    command.arg("app:app").arg("--app-dir").arg(fixture("")).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--no-access-log", "--log-level", "warning"]).env("PYTHONDONTWRITEBYTECODE", "1");
    Service::start(&mut command, port).unwrap()
}

fn haproxy(behind: &Service) -> Service {
    let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    let file = directory.path().join("haproxy.cfg");
    let configuration = format!(
        "global\n nbthread 2\n maxconn 200\n\
         defaults\n mode http\n timeout connect 2s\n timeout client 10s\n timeout server 10s\n\
         frontend clients\n bind 127.0.0.1:{port}\n default_backend servers\n\
         backend servers\n server one 127.0.0.1:{}\n",
        behind.port
    );
    fs::write(&file, configuration).unwrap();
    Service::start_in(Command::new("haproxy").arg("-db").arg("-f").arg(&file), port, directory).unwrap()
}

/// So many requests of so many clients, which keep their connections or not.
fn ab(service: &Service, path: &str, options: &[&str], clients: u64, requests: u64) {
    let (clients, requests) = (clients.to_string(), requests.to_string());
    let url = format!("http://127.0.0.1:{}/{path}", service.port);
    let text = run(Command::new("ab").args(options).args(["-q", "-n", &requests, "-c", &clients, &url])).unwrap();
    assert!(text.contains(&format!("Complete requests:      {requests}\n")) && !text.contains("Non-2xx"), "{text}");
}

fn recorded(service: &Service, load: impl FnOnce()) -> Report {
    let recording = Recorder::new(NAME, &format!("port:{}", service.port)).start().unwrap();
    load();
    recording.stop().unwrap()
}

/// Each of the requests has called this server once, and has waited for it all but a tenth of its time.
fn is_downstream(report: &Report, requests: u64, peer: &Service) -> Result<(), String> {
    report.assert_requests(NAME, requests);
    let peers = report.service(NAME)["downstream"].as_array().unwrap();
    let calls: Vec<_> = peers.iter().map(|peer| (&peer["address"], peer["calls"].as_u64().unwrap())).collect();
    let address = peer.address().to_string();
    assert!(calls.len() == 1 && *calls[0].0 == *address && calls[0].1 == requests, "{calls:?}, {requests} requests");
    let shares = Shares::of(report, NAME);
    println!("{shares:?}");
    near(shares.sum(&["downstream"]) >= 90.0, || format!("{shares:?}"))
}

#[test]
fn haproxy_waits_for_the_server_behind() {
    need_root();
    let behind = behind();
    let haproxy = haproxy(&behind);
    for (options, clients, requests) in [(&["-k"][..], 1, 100), (&["-k"], 8, 1_600), (&[], 8, 1_600)] {
        one_of_three(|_| {
            let report = recorded(&haproxy, || ab(&haproxy, PATH, options, clients, requests));
            report.assert_exact_with_calls(NAME, requests);
            is_downstream(&report, requests, &behind)
        });
    }
}

/// One nginx that passes requests on to itself, as a front process does to workers that are selected with it: both are its requests.
#[test]
fn a_service_that_calls_itself_is_told_so() {
    need_root();
    let (port, inner, directory) = (free_port().unwrap(), free_port().unwrap(), tempfile::tempdir().unwrap());
    let path = directory.path().join("inner");
    let inner_places = [format!("127.0.0.1:{inner}"), format!("unix:{}", path.display())];
    let locations: String = inner_places
        .iter()
        .enumerate()
        .map(|(place, address)| {
            let scheme = if place == 0 { address.clone() } else { format!("{address}:") };
            format!("location /{place} {{ proxy_pass http://{scheme}/; }} ")
        })
        .collect();
    let servers = format!(
        "server {{ listen 127.0.0.1:{port}; {locations} location / {{ return 200 'ok'; }} }}
         server {{ listen {}; listen {}; return 200 'inner'; }}",
        inner_places[0], inner_places[1]
    );
    let arguments = nginx::arguments(directory.path(), 1, "", &servers).unwrap();
    run(Command::new("chmod").arg("755").arg(directory.path())).unwrap();
    let nginx = Service::start_in(Command::new("nginx").args(arguments), port, directory).unwrap();
    for (place, address) in inner_places.iter().enumerate() {
        let report = recorded(&nginx, || ab(&nginx, &place.to_string(), &[], 4, 500));
        assert_eq!(report.requests(NAME), 1_000, "{address}");
        let findings = report.0["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["id"] == "calls_itself").expect("not found");
        assert_eq!((&found["share"], &found["severity"]), (&0.5.into(), &"warning".into()), "{found}");
        assert_eq!(found["figures"][0]["of"], *address, "{found}");
        assert_eq!((&found["figures"][0]["value"], &found["figures"][0]["against"]), (&500.into(), &1_000.into()));
    }
    let report = recorded(&nginx, || ab(&nginx, "", &[], 4, 500));
    assert!(report.requests(NAME) == 500 && !report.found("calls_itself"));
}

#[test]
fn go_waits_for_the_server_behind() {
    if !is_long() {
        return;
    }
    need_root();
    let behind = behind();
    let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    let program = build_go("proxies.go", directory.path()).unwrap();
    let mut command = Command::new(program);
    let proxy = Service::start_in(command.args([port.to_string(), behind.port.to_string()]), port, directory).unwrap();
    let get = format!("get/{PATH}");
    for (path, clients, requests) in [(PATH, 1, 100), (&get, 1, 100), (PATH, 20, 2_000), (&get, 20, 2_000)] {
        one_of_three(|_| {
            let report = recorded(&proxy, || ab(&proxy, path, &["-k"], clients, requests));
            // Two threads can have a request in their hands at once; seldom both write it down at the same moment.
            let beside = [("negative_difference", requests / 200 + 1), ("attribution_inconsistent", requests / 2_000)];
            report.assert_counted(NAME, requests, &beside);
            is_downstream(&report, requests, &behind)
        });
    }
}
