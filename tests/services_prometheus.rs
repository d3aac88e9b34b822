//! A real Prometheus: it reads what `serve` shows, its quantiles are those of the report, its rules fire when they should, and each
//! expression of the dashboards has data.
//!
//! In: a server under load, the agent, two Prometheus, with and without native histograms. Out: what they say.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::grafana::boards;
use acgs_perf_tests::harness::{Service, end, fixture, free_port, is_long, need_root, program};
use acgs_perf_tests::recording::agent;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::serving::{Serving, get, query, value};
use acgs_perf_tests::truth::protocol::{messages, request};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// Runs promtool, which must be content.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is missing; run `cargo xtask setup --tests`");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

/// The rules for services `api` and `db`.
fn rules(directory: &Path) -> String {
    let output = Command::new(agent())
        .args(["alerts", "--service", "api=port:8000", "--service", "db=comm:postgres"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let path = directory.join("rules.yml");
    fs::write(&path, output.stdout).unwrap();
    path.display().to_string()
}

/// A counter that rises by so much at each look, as promtool writes it.
fn rising(parts: &[(u64, u64)]) -> String {
    let (mut sum, mut text) = (0, Vec::new());
    for (minutes, by) in parts {
        let first = sum + by;
        text.push(format!("{first}+{by}x{}", minutes - 1));
        sum += minutes * by;
    }
    text.join(" ")
}

/// A test of promtool's: a look every so many minutes, so many slow of 6,000 at each, and which alerts there are then.
fn case(every: u64, slow: &[(u64, u64)], expected: &[(&str, &str, &str)]) -> String {
    let within: Vec<_> = slow.iter().map(|(minutes, slow)| (*minutes, 6_000 - slow)).collect();
    let all: Vec<_> = slow.iter().map(|(minutes, _)| (*minutes, 6_000)).collect();
    let mut text = format!("- interval: {every}m\n  input_series:\n");
    for (name, values) in [
        ("requests_total", rising(&all)),
        ("requests_within_objective_total", rising(&within)),
        ("requests_abandoned_total", rising(&[(slow.iter().map(|(minutes, _)| minutes).sum(), 0)])),
        ("requests_cut_off_total", rising(&[(slow.iter().map(|(minutes, _)| minutes).sum(), 0)])),
    ] {
        text += &format!("  - series: 'acgs_perf_{name}{{service=\"api\"}}'\n    values: '{values}'\n");
    }
    text += "  alert_rule_test:\n";
    for (time, alert, severity) in expected {
        text += &format!("  - eval_time: {time}\n    alertname: {alert}\n    exp_alerts:");
        text += &match *severity {
            "" => " []\n".to_owned(),
            severity => format!(
                "\n    - exp_labels: {{ severity: {severity}, service: api }}\n      exp_annotations: {{ summary: 'api: too many requests are slower than its objective' }}\n"
            ),
        };
    }
    text
}

#[test]
fn the_rules_fire_on_incidents_and_are_silent_in_health() {
    let directory = tempfile::tempdir().unwrap();
    let rules = rules(directory.path());
    promtool(&["check", "rules", &rules], "");
    let (page, ticket) = ("AcgsPerfObjective", "AcgsPerfObjectiveSlowBurn");
    let check = |every: u64, cases: &[String]| {
        let path = directory.path().join("test.yml");
        let head = format!("rule_files: [rules.yml]\nevaluation_interval: {every}m\ntests:\n");
        fs::write(&path, head + &cases.concat()).unwrap();
        promtool(&["test", "rules", &path.display().to_string()], "");
    };
    let health = [("8h", page, ""), ("8h1m", page, ""), ("8h10m", page, ""), ("9h", page, ""), ("9h", ticket, "")];
    // An hour in which nothing is in time: paged within ten minutes, and over within 35.
    let outage = [("8h6m", page, ""), ("8h10m", page, "page"), ("9h", page, "page"), ("9h35m", page, "")];
    check(
        1,
        &[
            // 0.4 % slow, and a bad minute.
            case(1, &[(480, 24), (1, 3_000), (60, 24)], &health),
            case(1, &[(480, 12), (60, 6_000), (60, 12)], &outage),
            // 30 %: 14.4 % of an hour are 29 minutes.
            case(
                1,
                &[(480, 12), (90, 1_800), (90, 12)],
                &[("8h20m", page, ""), ("8h32m", page, "page"), ("10h30m", page, "")],
            ),
        ],
    );
    // 8 %: 6 % of six hours are four and a half.
    let slowly = [("16h", page, ""), ("17h", page, "page"), ("20h", page, "")];
    check(5, &[case(5, &[(144, 12), (84, 480), (40, 12)], &slowly)]);
    // 3 %: for nobody's sleep, and 1 % of three days.
    let burn = [("90h", page, ""), ("78h", ticket, ""), ("98h", ticket, "ticket"), ("110h", ticket, "")];
    check(30, &[case(30, &[(144, 12), (60, 180), (20, 12)], &burn)]);
}

/// A Prometheus that scrapes the agent each second; ended when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(directory: &Path, agent: SocketAddr, rules: &str, is_native: bool) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let config = directory.join(format!("prometheus-{is_native}.yml"));
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{rules}]\nscrape_configs:\n- job_name: acgs-perf\n  static_configs: [{{ targets: ['{agent}'] }}]\n"
        );
        fs::write(&config, text).unwrap();
        promtool(&["check", "config", &config.display().to_string()], "");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.join(format!("data-{is_native}")).display()));
        command.arg(format!("--web.listen-address={address}")).arg("--log.level=error");
        if is_native {
            command.arg("--enable-feature=native-histograms");
        }
        let child =
            command.stdin(Stdio::null()).spawn().expect("prometheus is missing; run `cargo xtask setup --tests`");
        let prometheus = Self { child, address };
        let limit = Instant::now() + LIMIT;
        while get(address, "/-/ready").is_err() {
            assert!(Instant::now() < limit, "prometheus does not start");
            thread::sleep(Duration::from_millis(100));
        }
        prometheus
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        end(&mut self.child, libc::SIGKILL);
    }
}

/// The expressions of all dashboards, as Grafana would ask them.
fn expressions() -> Vec<(String, String)> {
    let boards = boards::all();
    let of = |uid: &'static str, expr: &str| {
        let words = [("$__rate_interval", "10s"), ("$__range", "30s"), ("$instance", ".*"), ("$service", "api")];
        (uid.to_owned(), words.iter().fold(expr.to_owned(), |text, (from, to)| text.replace(from, to)))
    };
    boards
        .iter()
        .flat_map(|board| {
            board.panels.iter().flat_map(|panel| panel.targets.iter().map(|target| of(board.uid, &target.expr)))
        })
        .collect()
}

/// By the types that Grafana publishes; fetches them and a compiler, 26 MB.
#[test]
fn dashboards_are_as_grafanas_schema_says() {
    if !is_long() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["package.json", "package-lock.json", "board.ts"] {
        fs::copy(fixture("grafana").join(name), directory.path().join(name)).unwrap();
    }
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(directory.path()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (is_there, said) = run("npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    assert!(is_there, "{said}");
    // A literal, so that a key that the schema does not know is an error.
    let check = |json: &str| {
        let text = format!("import type {{ Board }} from './board';\nexport const board: Board = {json};\n");
        fs::write(directory.path().join("check.ts"), text).unwrap();
        let compiler = "node_modules/typescript/bin/tsc";
        run(
            "node",
            &[
                compiler,
                "--noEmit",
                "--strict",
                "--skipLibCheck",
                "--moduleResolution",
                "bundler",
                "--module",
                "esnext",
                "check.ts",
            ],
        )
    };
    for board in boards::all() {
        let (is_right, said) = check(&board.json());
        assert!(is_right, "{}: {said}", board.uid);
    }
    // It would say so.
    let json = boards::all()[0].json();
    for (right, wrong) in [("\"multi\"", "\"many\""), ("\"gridPos\"", "\"place\""), ("\"timeseries\"", "\"times\"")] {
        let (is_right, _) = check(&json.replacen(right, wrong, 1));
        assert!(!is_right, "{wrong}");
    }
}

fn ask(server: &Service, requests: u64) {
    let messages = messages("spin:200;sleep:300").with_slow(request("sleep:20000"), 0.02, 4);
    let mut client = Client::new(server.address(), 16, messages, false).unwrap();
    client.open().unwrap();
    client.run(Plan { rate: Some(500), requests, limit: LIMIT }).unwrap();
}

#[test]
fn a_real_prometheus_says_what_the_report_says_and_dashboards_have_data() {
    need_root();
    let server = Service::truth(program("truth-server"), &["--mode", "threads"]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let mut command = Command::new(agent());
    command.args(["serve", "--service", &format!("api=port:{}", server.port), "--listen", &address.to_string()]);
    let agent = Serving::start(command.arg("--state-dir").arg(&state));
    let rules = rules(directory.path());
    let both = [true, false].map(|is_native| Prometheus::start(directory.path(), address, &rules, is_native));
    ask(&server, 11_000);
    // While it is fresh: each expression has data, in one of the two or in both.
    let mut missing: Vec<(String, String)> = Vec::new();
    for (uid, expr) in expressions() {
        let found = both.iter().filter(|prometheus| !query(prometheus.address, &expr).unwrap().is_empty()).count();
        // A panel that has an expression for each of them is drawn from the one that has data.
        if found == 0 || found == 1 && uid != "acgs-perf-heatmap" {
            missing.push((uid, expr));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    let text = get(address, "/metrics").unwrap();
    promtool(&["check", "metrics"], &text);

    // What is read every tenth interval comes, and is scraped.
    thread::sleep(Duration::from_secs(12));
    let output = Command::new(acgs_perf_tests::recording::agent())
        .args(["report", "--from", "10m", "--format", "json", "--state-dir"])
        .arg(&state)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report = Report(serde_json::from_slice::<Value>(&output.stdout).unwrap());
    report.assert_exact("api", 11_000);
    let [native, classic] = [&both[0], &both[1]].map(|prometheus| prometheus.address);
    let latency = "acgs_perf_request_latency_seconds";
    let counts = [
        value(native, "acgs_perf_requests_total").unwrap(),
        value(native, &format!("histogram_count({latency})")).unwrap(),
        value(classic, &format!("{latency}_count")).unwrap(),
        value(classic, &format!("{latency}_bucket{{le=\"+Inf\"}}")).unwrap(),
    ];
    assert_eq!(counts, [11_000.0; 4]);
    let requests = &report.service("api")["requests"];
    for (name, family) in [
        ("latency", latency),
        ("queue_time", "acgs_perf_request_queue_time_seconds"),
        ("service_time", "acgs_perf_request_service_time_seconds"),
    ] {
        for (q, field) in [("0.5", "p50_ns"), ("0.99", "p99_ns")] {
            let told = requests[name][field].as_f64().unwrap() / 1e9;
            let seen = value(native, &format!("histogram_quantile({q}, {family})")).unwrap();
            println!("{name} {q}: {told} in the report, {seen} in Prometheus");
            assert!((seen / told - 1.0).abs() < 0.025, "{name} {q}: {told} in the report, {seen} in Prometheus");
        }
    }
    // The shares that the alerts are about.
    let share = query(native, "acgs_perf:slow:ratio_rate5m{service=\"api\"}").unwrap();
    let share: f64 = share[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!((0.01..0.2).contains(&share), "{share}");
    agent.stop();
}
