//! `echo-server`: a server whose listening socket is of every kind that servers have.
//!
//! In: where and how it listens, and who accepts: its own threads, children that inherit the socket, programs that it starts, or the
//! program that it becomes. Out: `listening`, then each message of [`MESSAGE`] bytes back.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use acgs_perf_tests::hostile::MESSAGE;
use acgs_perf_tests::hostile::passing::{receive_socket, send_socket};
use acgs_perf_tests::listening::{FAST_OPENS, FIRST_PASSED, set_option};
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Answers with what it is asked.
#[derive(Parser)]
struct Cli {
    /// Port on 127.0.0.1.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Listens on all addresses of both families, by one socket of IPv6.
    #[arg(long)]
    dual: bool,
    /// Listens for MPTCP.
    #[arg(long)]
    mptcp: bool,
    /// Takes the first bytes with the first segment.
    #[arg(long)]
    fast_open: bool,
    /// Shares the port with others.
    #[arg(long)]
    reuse_port: bool,
    /// Listens on a UNIX socket.
    #[arg(long)]
    unix: Option<PathBuf>,
    /// Answers once on each connection, says that it sends no more, and reads what still comes.
    #[arg(long)]
    drains: bool,
    /// The listening socket was passed by who started this, as its first descriptor behind the standard ones.
    #[arg(long)]
    passed: bool,
    /// Children accept, so many, without another program.
    #[arg(long, default_value_t = 0)]
    forks: u32,
    /// Then the parent ends.
    #[arg(long)]
    orphans: bool,
    /// Each connection is passed on to a child, which answers.
    #[arg(long)]
    pass_on: bool,
    /// Starts a program with each line of standard input, words with blanks between.
    #[arg(long)]
    starts: bool,
    /// Becomes this program when the first connection is there.
    #[arg(last = true)]
    becomes: Vec<OsString>,
}

fn listen(cli: &Cli) -> Result<Socket> {
    if cli.passed {
        // SAFETY: whoever started this program left the descriptor to it.
        return Ok(unsafe { Socket::from_raw_fd(FIRST_PASSED) });
    }
    let (domain, address) = match (&cli.unix, cli.dual) {
        (Some(path), _) => (Domain::UNIX, SockAddr::unix(path)?),
        (None, true) => (Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, cli.port)).into()),
        (None, false) => (Domain::IPV4, SocketAddr::from((Ipv4Addr::LOCALHOST, cli.port)).into()),
    };
    let socket = Socket::new(domain, Type::STREAM, cli.mptcp.then_some(Protocol::MPTCP))?;
    if cli.unix.is_none() {
        socket.set_reuse_address(true)?;
    }
    if cli.dual {
        socket.set_only_v6(false)?;
    }
    if cli.reuse_port {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1).context("SO_REUSEPORT")?;
    }
    socket.bind(&address).context("bind")?;
    if cli.fast_open {
        set_option(&socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, FAST_OPENS).context("TCP_FASTOPEN")?;
    }
    socket.listen(256).context("listen")?;
    Ok(socket)
}

fn answer(mut connection: impl Read + Write) {
    let mut message = [0; MESSAGE];
    while connection.read_exact(&mut message).is_ok() && connection.write_all(&message).is_ok() {}
}

fn accept(listener: &Socket) -> Result<()> {
    loop {
        let (connection, _) = listener.accept().context("accept")?;
        thread::spawn(move || answer(connection));
    }
}

/// Answers before the client has sent all, as a server does that refuses what is too long.
fn drain(listener: &Socket) -> Result<()> {
    let mut message = [0; MESSAGE];
    loop {
        let (mut connection, _) = listener.accept().context("accept")?;
        connection.read_exact(&mut message)?;
        connection.write_all(&message)?;
        connection.shutdown(Shutdown::Write)?;
        while connection.read(&mut message).is_ok_and(|read| read > 0) {}
    }
}

/// Starts children that do this; they end with their parent's pipe.
fn fork(work: impl FnOnce() -> Result<()>) -> Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => work(),
        pid if pid > 0 => Ok(()),
        _ => bail!("fork: {}", std::io::Error::last_os_error()),
    }
}

/// Passes each connection on to a child.
fn pass_on(listener: &Socket) -> Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut is_child = false;
    fork(|| {
        is_child = true;
        Ok(())
    })?;
    if is_child {
        drop(ours);
        while let Some(connection) = receive_socket(&theirs)? {
            thread::spawn(move || answer(connection));
        }
        return Ok(());
    }
    drop(theirs);
    loop {
        send_socket(&ours, listener.accept()?.0.as_raw_fd())?;
    }
}

/// Leaves the listening socket to the program that is run next.
fn leave(listener: &Socket) -> Result<()> {
    // SAFETY: the descriptors are integers; the new one stays open across exec, or it is the old one, which is made to.
    let status = unsafe {
        if listener.as_raw_fd() == FIRST_PASSED {
            libc::fcntl(FIRST_PASSED, libc::F_SETFD, 0)
        } else {
            libc::dup2(listener.as_raw_fd(), FIRST_PASSED)
        }
    };
    ensure!(status >= 0, "pass the socket: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Starts a program for each line.
fn start(listener: Socket) -> Result<()> {
    thread::spawn(move || accept(&listener));
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut words = line.split(' ').map(|word| if word == "\"\"" { "" } else { word });
        let program = words.next().context("a line without a program")?;
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).spawn().with_context(|| line.clone())?;
    }
    Ok(())
}

/// Waits for a connection without accepting it, and becomes another program.
fn become_another(listener: &Socket, program: &[OsString]) -> Result<()> {
    let mut wanted = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry is passed, which is valid.
    while unsafe { libc::poll(&raw mut wanted, 1, -1) } < 1 {}
    leave(listener)?;
    let (first, rest) = program.split_first().context("no program")?;
    let mut command = Command::new(first);
    command.args(rest).env("LISTEN_FDS", "1").env("LISTEN_PID", std::process::id().to_string());
    Err(command.exec()).context("exec")
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let listener = listen(&cli)?;
    if !cli.passed {
        println!("listening");
    }
    if !cli.becomes.is_empty() {
        return become_another(&listener, &cli.becomes);
    }
    if cli.starts {
        return start(listener);
    }
    if cli.drains {
        return drain(&listener);
    }
    if cli.pass_on {
        return pass_on(&listener);
    }
    if cli.forks == 0 {
        return accept(&listener);
    }
    let parent = std::process::id();
    for _ in 0..cli.forks {
        fork(|| accept(&listener))?;
        if std::process::id() != parent {
            return Ok(());
        }
    }
    if cli.orphans {
        return Ok(());
    }
    loop {
        thread::park();
    }
}
