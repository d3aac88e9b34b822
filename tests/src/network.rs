//! The other ends of the agent that serves: certificates and a token, a collector made from OTLP's own messages, one that is hostile.
//!
//! In: what they are told. Out: processes and connections, ended when dropped.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{end, free_port, python};
use crate::serving::get;

/// The token of [`Secrets`].
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const LIMIT: Duration = Duration::from_secs(60);

/// A free address of this host's own.
pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()))
}

/// Waits until it is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < limit, "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Certificates, keys and a token as an operator has them.
pub struct Secrets(tempfile::TempDir);

impl Secrets {
    /// All of them, in a directory that is removed when dropped.
    pub fn new() -> Self {
        let secrets = Self(tempfile::tempdir().unwrap());
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../acgs-perf/fixtures/tls");
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            secrets.write(entry.file_name().to_str().unwrap(), &fs::read(entry.path()).unwrap());
        }
        secrets.write("token", TOKEN.as_bytes());
        secrets
    }

    /// Where one is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes one, as a secret.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// The collector; ended when dropped.
pub struct Collector {
    child: Child,
    control: SocketAddr,
}

impl Collector {
    /// Starts it: `http` or `grpc`, with TLS if there are secrets.
    pub fn start(port: u16, kind: &str, secrets: Option<&Secrets>) -> Self {
        let control = loopback();
        let mut command = Command::new(python("python").unwrap());
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/otlp_receiver.py"));
        command.args([&port.to_string(), kind, &control.port().to_string()]);
        if let Some(secrets) = secrets {
            command.arg(secrets.path("server.pem")).arg(secrets.path("server.key"));
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let collector = Self { child, control };
        wait_until("the collector does not stand", || get(control, "/").is_ok());
        collector
    }

    /// What it has got.
    pub fn seen(&self) -> Value {
        self.answer("")
    }

    /// Has it answer so from now on.
    pub fn answer(&self, mode: &str) -> Value {
        serde_json::from_str(&get(self.control, &format!("/{mode}")).unwrap()).unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        end(&mut self.child, libc::SIGKILL);
    }
}

/// Answers each connection with another kind of nonsense, for ever.
pub fn hostile(listener: &TcpListener) {
    let flood = |stream: &mut TcpStream, begin: &[u8], again: &[u8]| {
        let _ = stream.write_all(begin);
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until && stream.write_all(again).is_ok() {}
    };
    // Of HTTP/2: settings, and then pings, and the begin of headers that never end.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[7; 8]].concat().repeat(500);
    let headers = [&settings[..], &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x88]].concat();
    let go_on = [&[0, 0x40, 0, 9, 0, 0, 0, 0, 1][..], &[0x88; 0x4000]].concat();
    let large = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
    for (at, stream) in listener.incoming().map_while(Result::ok).enumerate() {
        let mut stream = stream;
        let _ = stream.read(&mut [0; 512]);
        match at % 6 {
            0 => drop(stream.write_all(&[0xff; 10_000])),
            1 => flood(&mut stream, large, &[0; 65_536]),
            2 => flood(&mut stream, b"HTTP/1.1 503 Busy\r\n", b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n"),
            3 => flood(&mut stream, &settings, &ping),
            4 => flood(&mut stream, &headers, &go_on),
            _ => drop(stream),
        }
    }
}
