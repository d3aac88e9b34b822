//! Replies that do not leave at once, and requests that come slowly: the `delivery-server` and its clients.
//!
//! In: how the server is to send, and how the client reads and sends. Out: a server process, and clients that know how long each of their
//! requests took.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use crate::harness::{end, free_port, program};
use crate::recording::Recorder;

/// Bytes before the body of a request.
pub const HEADER: usize = 24;

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Sends that make the reply.
    pub pieces: u32,
    /// Bytes of each.
    pub piece: u32,
    /// Milliseconds before each of them but the first.
    pub pause_ms: u32,
    /// How they are sent.
    pub how: How,
    /// Bytes of the request behind its header, which the server reads before it answers.
    pub body: u32,
}

/// How the server sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum How {
    /// Each piece at once, without Nagle's algorithm.
    #[default]
    AtOnce = 0,
    /// With Nagle's algorithm.
    Nagle = 1,
    /// Behind a cork, which is taken out after another pause.
    Cork = 2,
    /// Without Nagle's algorithm, through a small send buffer that a nonblocking send fills.
    Nonblocking = 3,
    /// At once, and then the connection is closed.
    Close = 4,
    /// At once, and after a pause the connection is closed.
    CloseLate = 6,
    /// At once, through a small send buffer, for which the send waits.
    Blocking = 5,
}

impl Wish {
    /// Its header.
    pub fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let words = [self.pieces, self.piece, self.pause_ms, self.how as u32, self.body, 0];
        bytes.chunks_exact_mut(4).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
        bytes
    }

    /// The same read.
    pub fn parse(bytes: &[u8; HEADER]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at * 4..at * 4 + 4].try_into().unwrap_or_default());
        let how = [How::AtOnce, How::Nagle, How::Cork, How::Nonblocking, How::Close, How::Blocking, How::CloseLate];
        Self {
            pieces: word(0),
            piece: word(1),
            pause_ms: word(2),
            how: how.get(word(3) as usize).copied().unwrap_or_default(),
            body: word(4),
        }
    }

    /// Bytes of the reply.
    pub fn reply(self) -> usize {
        self.pieces as usize * self.piece as usize
    }
}

/// A `delivery-server`, which is killed when dropped.
pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program("delivery-server"));
        command.arg(port.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("start delivery-server")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let server = Self { child, port };
        anyhow::ensure!(line.trim() == "listening", "delivery-server does not listen on {port}");
        Ok(server)
    }

    /// Records it, selected by its process.
    pub fn recorder(&self) -> Recorder {
        Recorder::new("delivery", &format!("pid:{}", self.child.id()))
    }

    /// A client with a receive buffer of so many bytes, or as the kernel makes it.
    pub fn connect(&self, receive_buffer: Option<usize>) -> Client {
        let stream = connect((Ipv4Addr::LOCALHOST, self.port).into(), receive_buffer).unwrap();
        Client { stream, took: Vec::new() }
    }
}

/// A connection with a receive buffer of so many bytes, or as the kernel makes it.
pub fn connect(target: SocketAddr, receive_buffer: Option<usize>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect(&target.into())?;
    Ok(socket.into())
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child, libc::SIGKILL);
    }
}

/// A client, and how long its requests took.
pub struct Client {
    /// Its connection.
    pub stream: TcpStream,
    /// From the send of each request to the last byte of its reply.
    pub took: Vec<Duration>,
}

/// How a client reads.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Bytes at a time.
    pub bytes: usize,
    /// Pause after each time.
    pub pause: Duration,
}

/// As fast as the bytes come.
pub const FAST: Reading = Reading { bytes: 1 << 16, pause: Duration::ZERO };

impl Client {
    /// Sends a request, the body in one with the header.
    pub fn send(&mut self, wish: Wish) {
        let mut request = wish.bytes().to_vec();
        request.resize(HEADER + wish.body as usize, b'b');
        self.stream.write_all(&request).unwrap();
    }

    /// Reads a reply of so many bytes.
    pub fn receive(&mut self, reply: usize, reading: Reading) {
        let (mut left, mut bytes) = (reply, vec![0; reading.bytes]);
        while left > 0 {
            let read = self.stream.read(&mut bytes[..reading.bytes.min(left)]).unwrap();
            assert!(read > 0, "the server closes in mid-reply");
            left -= read;
            if left > 0 {
                thread::sleep(reading.pause);
            }
        }
    }

    /// Sends a request and reads the reply.
    pub fn ask(&mut self, wish: Wish, reading: Reading) {
        let sent = Instant::now();
        self.send(wish);
        self.receive(wish.reply(), reading);
        self.took.push(sent.elapsed());
    }

    /// Sends a request whose body comes in so many parts, with a pause before each, and reads the reply.
    pub fn ask_slowly(&mut self, wish: Wish, parts: u32, pause: Duration) {
        let sent = Instant::now();
        self.stream.set_nodelay(true).unwrap();
        self.stream.write_all(&wish.bytes()).unwrap();
        for _ in 0..parts {
            thread::sleep(pause);
            self.stream.write_all(&vec![b'b'; (wish.body / parts) as usize]).unwrap();
        }
        self.receive(wish.reply(), FAST);
        self.took.push(sent.elapsed());
    }

    /// See [`loses`].
    pub fn loses(&self, what: Losing) {
        loses(&self.stream, what);
    }
}

/// Loses, from now on or no longer, what comes: a filter of the client's own socket drops it, which is to TCP as if the network had
/// lost it.
pub fn loses(stream: &TcpStream, what: Losing) {
    let op = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let drop = op(libc::BPF_RET | libc::BPF_K, 0);
    // The packet begins with the header of TCP, whose length is in the upper half of byte 12.
    let mut with_payload = [
        op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 12),
        op(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 4),
        op(libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K, 2),
        op(libc::BPF_MISC | libc::BPF_TAX, 0),
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0),
        libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_X) as u16, jt: 1, jf: 0, k: 0 },
        op(libc::BPF_RET | libc::BPF_K, u32::MAX),
        drop,
    ];
    let mut all = [drop];
    let (option, filter) = match what {
        Losing::Nothing => (libc::SO_DETACH_FILTER, &mut all[..]),
        Losing::Payload => (libc::SO_ATTACH_FILTER, &mut with_payload[..]),
        Losing::Everything => (libc::SO_ATTACH_FILTER, &mut all[..]),
    };
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the option takes a program, which lives until the call returns; detaching ignores it.
    let status = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as u32,
        )
    };
    assert_eq!(status, 0, "{}", io::Error::last_os_error());
}

/// What a client loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Losing {
    /// Nothing any more.
    Nothing,
    /// Segments with payload.
    Payload,
    /// All segments.
    Everything,
}
