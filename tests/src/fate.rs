//! Requests that get no reply: the `fate-server`, its clients, and what a recording says of them.
//!
//! In: how long the server is to take, and how much it is to reply. Out: connections that ask, leave or wait; [`Fates`] from the
//! capture of a recording, and its report.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf::snapshot::fates::Fates;
use acgs_perf::snapshot::file::decode;
use acgs_perf::snapshot::{Capture, Subject};
use anyhow::{Context, Result};
use socket2::SockRef;
use tempfile::TempDir;

use crate::harness::{end, free_port, program, run};
use crate::recording::{Recorder, Recording};
use crate::report::Report;
use crate::signal;

/// Bytes of a request.
pub const SIZE: usize = 16;
/// Connections that the server's accept queue takes, unless told otherwise.
const QUEUE: u32 = 512;

/// A request: how long the server takes, and how much it replies; 0 for never.
pub fn request(delay: Duration, reply: u32) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    bytes[..4].copy_from_slice(&(delay.as_millis() as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&reply.to_le_bytes());
    bytes
}

/// The same read.
pub fn parse(bytes: &[u8; SIZE]) -> (Duration, u32) {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    (Duration::from_millis(u64::from(word(0))), word(4))
}

/// Kinds of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP over IPv4.
    Tcp,
    /// UNIX stream.
    Unix,
}

/// A `fate-server`; killed when dropped, whether it is stopped or not.
pub struct Server {
    child: Child,
    kind: Kind,
    port: u16,
    path: PathBuf,
    _directory: TempDir,
}

impl Server {
    /// Starts one with a thread per connection.
    pub fn start(kind: Kind) -> Result<Self> {
        Self::with(kind, QUEUE, "threads", |command| command)
    }

    /// Starts one with an accept queue of this length; `prepare` changes how.
    pub fn with(kind: Kind, queue: u32, mode: &str, prepare: fn(&mut Command) -> &mut Command) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let (port, path) = (free_port()?, directory.path().join("fate.sock"));
        let place = match kind {
            Kind::Tcp => port.to_string(),
            Kind::Unix => path.display().to_string(),
        };
        let name = if kind == Kind::Tcp { "tcp" } else { "unix" };
        let mut command = Command::new(program("fate-server"));
        command.args([name, &place, &queue.to_string(), mode]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = prepare(&mut command).spawn().context("start fate-server")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let server = Self { child, kind, port, path, _directory: directory };
        anyhow::ensure!(line.trim() == "listening", "fate-server does not listen on {place}");
        Ok(server)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        signal::send(&self.child, signal).unwrap();
    }

    /// Stops it, and waits until each thread stands still: until then one may read what comes.
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
        let tasks = || fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().flatten();
        let stands = |stat: String| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
        let all_stand = || tasks().all(|task| fs::read_to_string(task.path().join("stat")).is_ok_and(stands));
        let limit = Instant::now() + Duration::from_secs(10);
        while !all_stand() {
            assert!(Instant::now() < limit, "the server does not stop");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        match self.kind {
            Kind::Tcp => Client::Tcp(TcpStream::connect(("127.0.0.1", self.port)).unwrap()),
            Kind::Unix => Client::Unix(UnixStream::connect(&self.path).unwrap()),
        }
    }

    /// As many requests, one on each connection, of which none is waited for.
    pub fn send_on_new(&self, count: usize, delay: Duration, reply: u32) -> Vec<Client> {
        let mut all: Vec<Client> = (0..count).map(|_| self.connect()).collect();
        all.iter_mut().for_each(|client| client.send(delay, reply));
        all
    }

    /// Records it, selected by its process.
    pub fn record(&self) -> Watched {
        self.record_with(|recorder| recorder)
    }

    /// The same with other arguments.
    pub fn record_with(&self, with: impl FnOnce(Recorder) -> Recorder) -> Watched {
        let directory = tempfile::tempdir().unwrap();
        let capture = directory.path().join("c.capture");
        let recorder = Recorder::new("fate", &format!("pid:{}", self.pid()));
        let recorder = recorder.arg("--capture").arg(capture.to_str().unwrap());
        Watched { recording: with(recorder).start().unwrap(), capture, _directory: directory }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child, libc::SIGKILL);
    }
}

/// The client's end of a connection.
pub enum Client {
    /// TCP.
    Tcp(TcpStream),
    /// UNIX.
    Unix(UnixStream),
}

impl Client {
    /// Sends a request.
    pub fn send(&mut self, delay: Duration, reply: u32) {
        let bytes = request(delay, reply);
        match self {
            Self::Tcp(stream) => stream.write_all(&bytes).unwrap(),
            Self::Unix(stream) => stream.write_all(&bytes).unwrap(),
        }
    }

    /// Waits for a reply of so many bytes.
    pub fn receive(&mut self, reply: u32) {
        let mut bytes = vec![0; reply as usize];
        match self {
            Self::Tcp(stream) => stream.read_exact(&mut bytes).unwrap(),
            Self::Unix(stream) => stream.read_exact(&mut bytes).unwrap(),
        }
    }

    /// Sends a request and waits for the reply.
    pub fn ask(&mut self, delay: Duration, reply: u32) {
        self.send(delay, reply);
        self.receive(reply);
    }

    /// Says that it sends no more, and goes on reading.
    pub fn half_close(&self) {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    /// Leaves with a reset, which UNIX sockets do not have: there it is a close.
    pub fn reset(self) {
        if let Self::Tcp(stream) = &self {
            SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// Its address, as the report has it.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(stream) => stream.local_addr().unwrap().to_string(),
            Self::Unix(_) => "unix".to_owned(),
        }
    }
}

/// A recording of a server.
pub struct Watched {
    recording: Recording,
    capture: PathBuf,
    _directory: TempDir,
}

/// What a recording has brought.
pub struct Seen {
    /// The whole of it.
    pub capture: Capture,
    /// The report.
    pub report: Report,
    /// What became of the service's requests.
    pub fates: Fates,
}

impl Watched {
    /// Ends it.
    pub fn stop(self) -> Seen {
        let report = self.recording.stop().unwrap();
        let decoded = decode(&fs::read(&self.capture).unwrap()).unwrap();
        assert_eq!(decoded.damage, None);
        let capture = decoded.capture;
        let fates = Fates::of(&capture.intervals.whole(), &Subject::service(0));
        assert!(fates.looked_at_ns.is_some(), "nobody looked: {:?}", capture.context.notes);
        Seen { capture, report, fates }
    }
}

impl Seen {
    /// Fates at the end of each interval.
    pub fn by_interval(&self) -> Vec<Fates> {
        self.capture.intervals.iter().map(|interval| Fates::of(&interval, &Subject::service(0))).collect()
    }
}

/// What the kernel says that the listener on this port has dropped so far.
pub fn drops_of(port: u16) -> u64 {
    let text = run(Command::new("ss").args(["-tlnmH", &format!("sport = :{port}")])).unwrap();
    let (_, memory) = text.split_once("skmem:(").expect("the memory of the listener");
    let mut words = memory.split([',', ')']);
    words.find_map(|word| word.strip_prefix('d')).unwrap().parse().unwrap()
}
