//! The `echo-server`, whose listening socket is of every kind that servers have, and clients for it.
//!
//! In: its arguments. Out: a running server, killed with all that it has started when dropped; connections that ask.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::harness::program;
use crate::hostile::MESSAGE;
use crate::signal;

/// The first descriptor that a program is given by who listens on its behalf (sd_listen_fds(3)).
pub const FIRST_PASSED: RawFd = 3;
/// Connections that may wait for the end of their handshake with their first bytes read.
pub const FAST_OPENS: libc::c_int = 64;

/// A running server.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts one.
    pub fn start<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<Self> {
        Self::with(arguments, |command| command)
    }

    /// The same; `prepare` changes how.
    pub fn with<S: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = S>,
        prepare: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Result<Self> {
        let mut command = Command::new(program("echo-server"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = prepare(&mut command).spawn().context("start echo-server")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let server = Self { child };
        ensure!(line.trim() == "listening", "echo-server does not listen");
        Ok(server)
    }

    /// Process id of the one that was started first.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        signal::send(&self.child, signal)
    }

    /// Makes it start a program.
    pub fn starts(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("no stdin")?;
        writeln!(stdin, "{line}").context("echo-server")
    }

    /// Waits until the one that was started first has ended.
    pub fn ended(&mut self) -> Result<()> {
        self.child.wait().context("echo-server")?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: kill takes integers. The group has the id of the child, which nobody else has while one of the group lives.
        unsafe { libc::kill(-(self.child.id() as i32), libc::SIGKILL) };
        let _ended = self.child.wait();
    }
}

/// Asks, and waits for the answer, so many times.
pub fn ask(mut connection: impl Read + Write, requests: u64) -> io::Result<()> {
    let mut message = [7; MESSAGE];
    for _ in 0..requests {
        connection.write_all(&message)?;
        connection.read_exact(&mut message)?;
    }
    Ok(())
}

/// Asks on so many connections, one after the other.
pub fn ask_on(connections: u64, each: u64, mut connect: impl FnMut() -> io::Result<Socket>) -> Result<()> {
    (0..connections).try_for_each(|_| Ok(ask(connect()?, each)?))
}

/// Connects over TCP.
pub fn tcp(port: u16) -> io::Result<Socket> {
    Ok(TcpStream::connect(local(port))?.into())
}

/// Connects over MPTCP.
pub fn mptcp(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))?;
    socket.connect(&local(port).into())?;
    Ok(socket)
}

/// A connection whose first bytes go with its first segment, once the server has given a cookie for that.
pub fn fast_open(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)?;
    socket.connect(&local(port).into())?;
    Ok(socket)
}

/// Sets an option of a socket that is an integer.
pub fn set_option(socket: &Socket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is an integer of that length.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
