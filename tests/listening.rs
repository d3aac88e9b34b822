//! Every kind of listening socket: MPTCP, TCP Fast Open, shared ports, both families at once, passed and inherited sockets. Each
//! server is listed, selected, and its requests are counted exactly.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv6Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use acgs_perf_tests::harness::{free_port, need_root, program, run};
use acgs_perf_tests::hostile::{MESSAGE, in_vm, network};
use acgs_perf_tests::listening::{Server, ask, ask_on, fast_open, mptcp, tcp};
use acgs_perf_tests::recording::{Recorder, agent};
use acgs_perf_tests::report::Report;
use serde_json::Value;
use socket2::Socket;
use tempfile::TempDir;

const CONNECTIONS: u64 = 20;
const EACH: u64 = 25;
const REQUESTS: u64 = CONNECTIONS * EACH;

/// What `acgs-perf services` says of who listens on this port.
fn listed(port: u16) -> Option<Value> {
    let text = run(Command::new(agent()).args(["services", "--format", "json"])).unwrap();
    let listing: Value = serde_json::from_str(&text).unwrap();
    let of_port = |listener: &&Value| listener["address"].as_str().unwrap().ends_with(&format!(":{port}"));
    listing["listeners"].as_array().unwrap().iter().find(of_port).cloned()
}

#[track_caller]
fn assert_listed(port: u16, pid: u32) {
    let listener = listed(port).unwrap_or_else(|| panic!("port {port} is not listed"));
    assert_eq!(
        (listener["pid"].as_u64(), listener["selector"].as_str()),
        (Some(u64::from(pid)), Some(format!("port:{port}").as_str())),
        "{listener}"
    );
}

fn pids(report: &Report, name: &str) -> Vec<u64> {
    let list = report.service(name)["processes"].as_array().unwrap();
    list.iter().map(|process| process["pid"].as_u64().unwrap()).collect()
}

/// Who has asked, by address without port.
fn clients(report: &Report, name: &str) -> Vec<String> {
    let exemplars = report.service(name)["exemplars"].as_array().unwrap();
    let mut all: Vec<String> = exemplars
        .iter()
        .map(|exemplar| exemplar["client"].as_str().unwrap().rsplit_once(':').unwrap().0.to_owned())
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Each address and how many connections came from it.
fn peers(report: &Report, name: &str) -> Vec<(String, u64)> {
    let list = report.service(name)["tcp"]["peers"].as_array().unwrap();
    list.iter()
        .map(|peer| (peer["address"].as_str().unwrap().to_owned(), peer["connections"].as_u64().unwrap()))
        .collect()
}

/// No request is said to have no reply, and no round-trip time is taken from what has none.
#[track_caller]
fn assert_sane(report: &Report, name: &str) {
    for fate in ["unread/count", "in_service/count", "abandoned/count", "cut_off"] {
        assert_eq!(report.integer(name, &format!("/fates/{fate}")), 0, "{fate}: {}", report.service(name)["fates"]);
    }
    let srtt = report.spread(name, "/tcp/srtt");
    assert_eq!(srtt.get("over_range"), 0, "{}", report.service(name)["tcp"]);
    assert!(srtt.get("count") == 0 || srtt.get("max_ns") < 1_000_000_000, "{}", report.service(name)["tcp"]);
}

#[test]
fn mptcp_with_plain_clients_and_its_own() {
    need_root();
    let port = free_port().unwrap();
    let server = Server::start(["--mptcp", "--port", &port.to_string()]).unwrap();
    assert_listed(port, server.pid());
    let recording = Recorder::new("echo", &format!("port:{port}")).start().unwrap();
    // The first moments have no exemplars.
    sleep(Duration::from_millis(200));
    ask_on(CONNECTIONS, EACH, || tcp(port)).unwrap();
    ask_on(CONNECTIONS, EACH, || mptcp(port)).unwrap();
    let report = recording.stop().unwrap();
    report.assert_exact("echo", 2 * REQUESTS);
    assert_eq!(pids(&report, "echo"), [u64::from(server.pid())]);
    assert_eq!(report.integer("echo", "/tcp/accepted"), 2 * CONNECTIONS);
    assert_eq!(peers(&report, "echo"), [("127.0.0.1".to_owned(), 2 * CONNECTIONS)]);
    assert_eq!(clients(&report, "echo"), ["127.0.0.1"]);
    assert_sane(&report, "echo");
}

/// Connections of TCP to this port, in the network of this thread.
fn established(port: u16) -> u64 {
    let (local, state) = (format!(":{port:04X}"), "01");
    let table = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.filter(|fields| fields[1].ends_with(&local) && fields[3] == state).count() as u64
}

#[test]
fn mptcp_over_two_paths() {
    need_root();
    let port = free_port().unwrap();
    let server = Server::with(["--mptcp", "--port", &port.to_string()], network::of_its_own).unwrap();
    let recording = Recorder::new("echo", &format!("pid:{}", server.pid())).start().unwrap();
    let paths = network::inside(server.pid(), || {
        for line in
            ["addr add 127.0.0.2/8 dev lo", "mptcp limits set subflow 2", "mptcp endpoint add 127.0.0.2 dev lo subflow"]
        {
            run(Command::new("ip").args(line.split(' ')))?;
        }
        let connections: Vec<_> = (0..CONNECTIONS).map(|_| mptcp(port)).collect::<Result<_, _>>()?;
        // A second path is opened after the first answer.
        connections.iter().try_for_each(|connection| ask(connection, 1))?;
        let limit = Instant::now() + Duration::from_secs(10);
        while established(port) < 2 * CONNECTIONS && Instant::now() < limit {
            sleep(Duration::from_millis(10));
        }
        connections.iter().try_for_each(|connection| ask(connection, EACH - 1))?;
        Ok(established(port))
    });
    let report = recording.stop().unwrap();
    assert_eq!(paths.unwrap(), 2 * CONNECTIONS, "there are no second paths");
    report.assert_exact("echo", REQUESTS);
    assert_eq!(report.integer("echo", "/tcp/accepted"), CONNECTIONS);
    assert_sane(&report, "echo");
}

/// What the network of this thread has counted so far.
fn counted(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    names.zip(values).find(|(field, _)| *field == name).unwrap().1.parse().unwrap()
}

#[test]
fn fast_open_has_its_arrival() {
    need_root();
    const STOPPED: Duration = Duration::from_millis(300);
    let port = free_port().unwrap();
    let server = Server::with(["--fast-open", "--port", &port.to_string()], network::of_its_own).unwrap();
    let record = || Recorder::new("echo", &format!("pid:{}", server.pid())).start().unwrap();
    let recording = record();
    let opened = network::inside(server.pid(), || {
        network::set("ipv4/tcp_fastopen", "3")?;
        // The first one gets a cookie.
        ask_on(CONNECTIONS + 1, EACH, || fast_open(port))?;
        // One that sends nothing for a while: its connection is no request.
        ask_on(3, EACH, || tcp(port).inspect(|_| sleep(STOPPED)))?;
        Ok(counted("TCPFastOpenPassive"))
    });
    let report = recording.stop().unwrap();
    assert_eq!(opened.unwrap(), CONNECTIONS, "connections with bytes in their first segment");
    report.assert_exact("echo", REQUESTS + 4 * EACH);
    assert_eq!(report.integer("echo", "/tcp/accepted"), CONNECTIONS + 4);
    let longest = report.spread("echo", "/requests/latency").get("max_ns");
    assert!(longest < STOPPED.as_nanos() as u64, "{longest} ns");
    assert_sane(&report, "echo");
    // It arrives with the first segment, although nobody accepts the connection for a while.
    let recording = record();
    network::inside(server.pid(), || {
        server.signal(libc::SIGSTOP)?;
        let connection = fast_open(port)?;
        (&connection).write_all(&[0; MESSAGE])?;
        sleep(STOPPED);
        server.signal(libc::SIGCONT)?;
        Ok((&connection).read_exact(&mut [0; MESSAGE])?)
    })
    .unwrap();
    let report = recording.stop().unwrap();
    report.assert_exact("echo", 1);
    let queue_time = report.spread("echo", "/requests/queue_time").get("min_ns");
    assert!(queue_time >= STOPPED.as_nanos() as u64 / 100 * 99, "{queue_time} ns");
}

#[test]
fn one_port_of_several_processes() {
    need_root();
    let port = free_port().unwrap();
    let arguments = ["--reuse-port", "--port", &port.to_string()];
    let servers: Vec<Server> = (0..3).map(|_| Server::start(arguments).unwrap()).collect();
    assert!(listed(port).is_some());
    let recording = Recorder::new("echo", &format!("port:{port}")).start().unwrap();
    ask_on(3 * CONNECTIONS, EACH, || tcp(port)).unwrap();
    let report = recording.stop().unwrap();
    report.assert_exact("echo", 3 * REQUESTS);
    assert_eq!(report.integer("echo", "/tcp/accepted"), 3 * CONNECTIONS);
    let mut all: Vec<u64> = servers.iter().map(|server| u64::from(server.pid())).collect();
    all.sort_unstable();
    assert_eq!(pids(&report, "echo"), all);
}

#[test]
fn one_port_of_several_services() {
    need_root();
    let port = free_port().unwrap();
    let arguments = ["--reuse-port", "--port", &port.to_string()];
    let (one, two) = (Server::start(arguments).unwrap(), Server::start(arguments).unwrap());
    let recorder = Recorder::new("one", &format!("pid:{}", one.pid()));
    let recording = recorder.arg("--service").arg(&format!("two=pid:{}", two.pid())).start().unwrap();
    ask_on(3 * CONNECTIONS, EACH, || tcp(port)).unwrap();
    let report = recording.stop().unwrap();
    let counts = ["one", "two"].map(|name| report.requests(name));
    assert_eq!(counts[0] + counts[1], 3 * REQUESTS);
    assert!(counts.iter().all(|count| *count > 0 && count % EACH == 0), "{counts:?}");
    report.assert_nothing_lost(3 * REQUESTS);
}

#[test]
fn both_families_on_one_socket() {
    need_root();
    let port = free_port().unwrap();
    let server = Server::start(["--dual", "--port", &port.to_string()]).unwrap();
    assert_listed(port, server.pid());
    let recording = Recorder::new("echo", &format!("port:{port}")).start().unwrap();
    // The first moments have no exemplars.
    sleep(Duration::from_millis(200));
    ask_on(CONNECTIONS, EACH, || tcp(port)).unwrap();
    ask_on(CONNECTIONS, EACH, || Ok(TcpStream::connect((Ipv6Addr::LOCALHOST, port))?.into())).unwrap();
    let report = recording.stop().unwrap();
    report.assert_exact("echo", 2 * REQUESTS);
    let both = ["127.0.0.1", "::1"].map(|address| (address.to_owned(), CONNECTIONS));
    assert_eq!(peers(&report, "echo"), both);
    let seen = clients(&report, "echo");
    assert!(!seen.is_empty() && seen.iter().all(|one| one == "127.0.0.1" || one == "[::1]"), "{seen:?}");
    assert_sane(&report, "echo");
}

#[test]
fn connections_that_are_passed_to_a_child() {
    need_root();
    let port = free_port().unwrap();
    let _server = Server::start(["--pass-on", "--port", &port.to_string()]).unwrap();
    let recording = Recorder::new("echo", &format!("port:{port}")).start().unwrap();
    ask_on(CONNECTIONS, EACH, || tcp(port)).unwrap();
    recording.stop().unwrap().assert_exact("echo", REQUESTS);
}

/// Where a server listens, and how to connect to it.
enum Place {
    Port(u16),
    Path(PathBuf),
}

impl Place {
    fn new(unix: bool, directory: &TempDir) -> Self {
        if unix { Self::Path(directory.path().join("echo")) } else { Self::Port(free_port().unwrap()) }
    }

    fn arguments(&self) -> [String; 2] {
        match self {
            Self::Port(port) => ["--port".into(), port.to_string()],
            Self::Path(path) => ["--unix".into(), path.display().to_string()],
        }
    }

    fn selector(&self) -> String {
        match self {
            Self::Port(port) => format!("port:{port}"),
            Self::Path(path) => format!("unix:{}", path.display()),
        }
    }

    fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Port(port) => tcp(*port),
            Self::Path(path) => Ok(OwnedFd::from(UnixStream::connect(path)?).into()),
        }
    }

    /// UNIX sockets may have an arrival that nobody sees; of a listener that nobody knows the first one is.
    #[track_caller]
    fn assert_exact(&self, report: &Report, requests: u64) {
        match self {
            Self::Port(_) => report.assert_exact("echo", requests),
            Self::Path(_) => report.assert_exact_on_unix("echo", requests),
        }
    }
}

#[test]
fn children_that_inherit_the_listening_socket() {
    need_root();
    for unix in [false, true] {
        for orphans in [false, true] {
            println!("unix {unix}, orphans {orphans}");
            let directory = tempfile::tempdir().unwrap();
            let place = Place::new(unix, &directory);
            let mut arguments: Vec<String> = place.arguments().into();
            arguments.extend(["--forks".into(), "3".into()]);
            arguments.extend(orphans.then_some("--orphans".into()));
            let mut server = Server::start(arguments).unwrap();
            if orphans {
                server.ended().unwrap();
            }
            let recording = Recorder::new("echo", &place.selector()).start().unwrap();
            ask_on(3 * CONNECTIONS, EACH, || place.connect()).unwrap();
            let report = recording.stop().unwrap();
            if unix {
                // Nobody knows whose an orphan's listener is before one of the three has read there; all three may be about to.
                report.assert_counted("echo", 3 * REQUESTS, &[("arrival_unseen", 3)]);
            } else {
                report.assert_exact("echo", 3 * REQUESTS);
            }
        }
    }
}

/// A program that becomes another one, as socket activation does, when the first connection is there.
fn activated(place: &Place, directory: &TempDir) -> Server {
    let copy = directory.path().join("acgs-passed");
    fs::copy(program("echo-server"), &copy).unwrap();
    let mut arguments: Vec<String> = place.arguments().into();
    arguments.extend(["--".into(), copy.display().to_string(), "--passed".into()]);
    Server::start(arguments).unwrap()
}

#[test]
fn a_passed_listening_socket_counts_where_it_is_served() {
    need_root();
    for unix in [false, true] {
        for during in [false, true] {
            println!("unix {unix}, during {during}");
            let directory = tempfile::tempdir().unwrap();
            let place = Place::new(unix, &directory);
            let server = activated(&place, &directory);
            let recorder = Recorder::new("echo", "comm:acgs-passed");
            let recorder = recorder.arg("--service").arg(&format!("this=pid:{}", std::process::id()));
            let early = (!during).then(|| place.connect().unwrap());
            if let Some(early) = &early {
                ask(early, 1).unwrap();
            }
            let recording = recorder.start().unwrap();
            // The request that brings the program to life is answered before the program can be found.
            let first = early.unwrap_or_else(|| place.connect().unwrap());
            if during {
                ask(&first, 1).unwrap();
                sleep(if in_vm() { Duration::from_secs(6) } else { Duration::from_millis(1500) });
            }
            ask(&first, EACH).unwrap();
            ask_on(CONNECTIONS, EACH, || place.connect()).unwrap();
            let report = recording.stop().unwrap();
            assert_eq!(pids(&report, "echo"), [u64::from(server.pid())]);
            place.assert_exact(&report, REQUESTS + EACH);
        }
    }
}

#[test]
fn an_activated_service_counts_from_its_first_request_by_its_socket() {
    need_root();
    for unix in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(unix, &directory);
        let server = activated(&place, &directory);
        let recording = Recorder::new("echo", &place.selector()).start().unwrap();
        ask_on(CONNECTIONS, EACH, || place.connect()).unwrap();
        let report = recording.stop().unwrap();
        assert_eq!(pids(&report, "echo"), [u64::from(server.pid())]);
        place.assert_exact(&report, REQUESTS);
    }
}

#[test]
fn connections_over_mptcp_are_opened_once() {
    need_root();
    let port = free_port().unwrap();
    let _server = Server::start(["--mptcp", "--port", &port.to_string()]).unwrap();
    let recording = Recorder::new("this", &format!("pid:{}", std::process::id())).start().unwrap();
    ask_on(CONNECTIONS, EACH, || mptcp(port)).unwrap();
    let report = recording.stop().unwrap();
    assert_eq!(report.integer("this", "/tcp/opened"), CONNECTIONS);
    let peer = &report.service("this")["downstream"][0];
    // An answer that arrives while the send that asked for it still returns has no latency: in emulation that is not rare.
    let late: u64 =
        report.losses().iter().filter(|(name, _)| name == "negative_difference").map(|(_, count)| count).sum();
    assert_eq!(peer["address"], format!("127.0.0.1:{port}"), "{peer}");
    assert_eq!(peer["calls"], REQUESTS - late, "{peer}, {:?}", report.losses());
}
