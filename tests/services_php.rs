//! nginx before PHP-FPM on a UNIX socket: each request is one of both, though the last record of FastCGI is read after the reply.

use std::fs;
use std::path::Path;
use std::process::Command;

use acgs_perf_tests::endpoints::{endpoints, find};
use acgs_perf_tests::harness::{Service, free_port, need_root, php_fpm, run};
use acgs_perf_tests::nginx;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;

const REQUESTS: u64 = 3_000;

/// Unread, in service, abandoned.
fn fates(report: &Report, name: &str) -> [u64; 3] {
    ["unread", "in_service", "abandoned"].map(|fate| report.integer(name, &format!("/fates/{fate}/count")))
}

/// Four workers of PHP, which listen there.
fn php(path: &Path, directory: &Path) -> Service {
    let (file, errors) = (directory.join("fpm.conf"), directory.join("php-errors"));
    let configuration = format!(
        "[global]\ndaemonize = no\nerror_log = {}\n\
         [www]\nuser = www-data\ngroup = www-data\nlisten = {}\nlisten.mode = 0666\npm = static\npm.max_children = 4\n",
        errors.display(),
        path.display()
    );
    fs::write(&file, configuration).unwrap();
    Service::start_on(Command::new(php_fpm().unwrap()).arg("-F").arg("-y").arg(&file), path).unwrap()
}

/// nginx, which passes all on to PHP, over connections that it keeps or not.
fn nginx(path: &Path, keeps: bool) -> Service {
    let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    let script = path.with_file_name("hello.php");
    let (path, script) = (path.display(), script.display());
    let (upstream, location) = if keeps { ("keepalive 8;", "fastcgi_keep_conn on;") } else { ("", "") };
    let server = format!(
        "upstream php {{ server unix:{path}; {upstream} }}
         server {{
           listen 127.0.0.1:{port};
           location / {{
             fastcgi_pass php; {location}
             fastcgi_param SCRIPT_FILENAME {script};
             fastcgi_param REQUEST_METHOD $request_method;
             fastcgi_param REQUEST_URI $request_uri;
             fastcgi_param QUERY_STRING $query_string;
           }}
         }}"
    );
    let arguments = nginx::arguments(directory.path(), 1, "", &server).unwrap();
    Service::start_in(Command::new("nginx").args(arguments), port, directory).unwrap()
}

#[test]
fn php_answers_what_nginx_was_asked() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    // The workers of both run as another user.
    run(Command::new("chmod").arg("755").arg(directory.path())).unwrap();
    fs::write(directory.path().join("hello.php"), "<?php usleep(500); echo 'hello';\n").unwrap();
    let path = directory.path().join("php");
    let _php = php(&path, directory.path());
    for keeps in [false, true] {
        let nginx = nginx(&path, keeps);
        let recorder = Recorder::new("nginx", &format!("port:{}", nginx.port));
        let recording = recorder.arg("--service").arg(&format!("php=unix:{}", path.display())).start().unwrap();
        let (url, requests) = (format!("http://127.0.0.1:{}/items/1?secret=2", nginx.port), REQUESTS.to_string());
        let text = run(Command::new("ab").args(["-q", "-n", &requests, "-c", "4", &url])).unwrap();
        assert!(text.contains("Complete requests:      3000\n") && !text.contains("Non-2xx"), "{text}");
        let report = recording.stop().unwrap();
        for name in ["php", "nginx"] {
            report.assert_counted(name, REQUESTS, &[("arrival_unseen", REQUESTS / 1000)]);
        }
        assert_eq!((fates(&report, "php"), fates(&report, "nginx")), ([0; 3], [0; 3]), "keeps {keeps}");
        for (name, protocol) in [("php", "fastcgi"), ("nginx", "http")] {
            let rows = endpoints(&report, name);
            let row = find(&rows, "GET /items/{}");
            assert_eq!((row.counts.requests, row.protocol.as_str(), rows.len()), (REQUESTS, protocol, 1), "{rows:?}");
        }
        let peers = &report.service("nginx")["downstream"];
        assert_eq!(peers[0]["calls"], REQUESTS, "keeps {keeps}: {peers}");
    }
}
