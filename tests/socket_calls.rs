//! Every way to read and write a socket passes the same hooks: read, recv, readv, recvmsg and recvmmsg; write, send, writev,
//! sendmsg, sendmmsg and sendfile; on TCP over IPv4 and IPv6 and on UNIX stream sockets. (splice out of a socket does not: the
//! kernel has no tracepoint there, which the README says.) A read of no bytes, or of the error queue, takes no request: had it
//! taken the arrival, the request would count as `arrival_unseen`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use acgs_perf_tests::harness::{end, free_port, need_root, program};
use acgs_perf_tests::recording::Recorder;

/// Pairs of calls that the server has, and requests on each.
const PAIRS: u64 = 10;
const REQUESTS: u64 = 200;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.0, libc::SIGTERM);
    }
}

impl Server {
    fn start(kind: &str, place: &str) -> Self {
        let mut command = Command::new(program("socket-calls"));
        command.args([kind, place]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "listening");
        Self(child)
    }
}

fn ask(mut connection: impl Read + Write) {
    let mut reply = [0; 64];
    for _ in 0..REQUESTS {
        connection.write_all(&[b'q'; 64]).unwrap();
        connection.read_exact(&mut reply).unwrap();
    }
}

/// Records `kind`, asks over one connection per pair, and checks that each request counts once.
fn counts_each_pair<C: Read + Write>(kind: &str, place: &str, selector: &str, connect: impl Fn() -> C) {
    need_root();
    let server = Server::start(kind, place);
    let recording = Recorder::new("calls", selector).start().unwrap();
    for _ in 0..PAIRS {
        ask(connect());
    }
    let report = recording.stop().unwrap();
    drop(server);
    if kind == "unix" {
        report.assert_exact_on_unix("calls", PAIRS * REQUESTS);
    } else {
        report.assert_exact("calls", PAIRS * REQUESTS);
    }
    let service = report.service("calls");
    assert_eq!(service["requests"]["bytes_out"], PAIRS * REQUESTS * 64, "bytes sent");
    let calls = service["syscalls"].as_array().unwrap();
    for name in [
        "read", "recvfrom", "readv", "recvmsg", "recvmmsg", "write", "sendto", "writev", "sendmsg", "sendmmsg",
        "sendfile",
    ] {
        let count = calls.iter().find(|call| call["name"] == name).map(|call| call["count"].as_u64().unwrap());
        assert!(count >= Some(REQUESTS), "{name}: {count:?}");
    }
}

#[test]
fn on_tcp_over_ipv4() {
    let port = free_port().unwrap();
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    counts_each_pair("tcp4", &port.to_string(), &format!("port:{port}"), connect);
}

#[test]
fn on_tcp_over_ipv6() {
    let port = free_port().unwrap();
    counts_each_pair("tcp6", &port.to_string(), &format!("port:{port}"), || TcpStream::connect(("::1", port)).unwrap());
}

#[test]
fn on_unix_stream_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.sock");
    let place = path.to_str().unwrap();
    counts_each_pair("unix", place, &format!("unix:{place}"), || UnixStream::connect(&path).unwrap());
}
