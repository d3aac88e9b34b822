//! The servers: one thread each, unless the kind says otherwise. They end when they are killed.
//!
//! In: connections with requests of fixed size. Out: replies of the same size.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use socket2::{Domain, Socket, Type};

use super::{Kind, MESSAGE, calls};

/// How long a greeting may take to arrive.
const GREETING: Duration = Duration::from_millis(20);
/// Stack of a thread that only waits.
const STACK: usize = 32 * 1024;

/// Serves until killed.
pub fn serve(kind: Kind, listener: &TcpListener, peers: &[SocketAddr], count: usize) -> Result<()> {
    match kind {
        Kind::Nothing => Ok(()),
        Kind::Backlog => loop {
            backlog(listener, count)?;
        },
        Kind::Mixed => mixed(listener, *peers.first().context("--peer is missing")?),
        Kind::Torn => loop {
            torn(listener)?;
        },
        _ => {
            let peers = Arc::<[SocketAddr]>::from(peers);
            for stream in listener.incoming() {
                let (stream, peers) = (stream?, peers.clone());
                thread::spawn(move || {
                    if let Err(error) = each(kind, stream, &peers) {
                        eprintln!("hostile-server: {error:#}");
                    }
                });
            }
            Ok(())
        }
    }
}

/// Answers on a UNIX socket; one connection after the other.
pub fn serve_unix(path: &Path) -> Result<()> {
    let mut message = [0; MESSAGE];
    for stream in UnixListener::bind(path)?.incoming() {
        let mut stream = stream?;
        while stream.read_exact(&mut message).is_ok() {
            stream.write_all(&message)?;
        }
    }
    Ok(())
}

/// Answers on a UNIX socket: two threads send a reply in small pieces, each half of them, both at the same time.
pub fn play_duets(path: &Path) -> Result<()> {
    let mut message = [0; MESSAGE];
    for stream in UnixListener::bind(path)?.incoming() {
        let mut stream = stream?;
        let other = stream.try_clone()?;
        let (begun, done, ended) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let half = |mut stream: &UnixStream| (0..4).try_for_each(|_| stream.write_all(&[0; MESSAGE / 8]));
        thread::scope(|scope| -> Result<()> {
            scope.spawn(|| {
                for round in 1.. {
                    while begun.load(Ordering::Acquire) < round {
                        if ended.load(Ordering::Acquire) {
                            return;
                        }
                        std::hint::spin_loop();
                    }
                    let _closed_meanwhile = half(&other);
                    done.store(round, Ordering::Release);
                }
            });
            for round in 1.. {
                if stream.read_exact(&mut message).is_err() {
                    break;
                }
                begun.store(round, Ordering::Release);
                let _closed_meanwhile = half(&stream);
                // The next request is read when nobody sends any more.
                while done.load(Ordering::Acquire) < round {
                    std::hint::spin_loop();
                }
            }
            ended.store(true, Ordering::Release);
            Ok(())
        })?;
    }
    Ok(())
}

/// Reads one request on each connection to a UNIX socket, and answers none.
pub fn stay_silent(path: &Path) -> Result<()> {
    let mut message = [0; MESSAGE];
    for stream in UnixListener::bind(path)?.incoming() {
        let mut stream = stream?;
        if stream.read_exact(&mut message).is_ok() && message[0] != 0 {
            let _end_of_stream = stream.read(&mut message)?;
        }
    }
    Ok(())
}

/// One message; false at the end of the stream.
fn read(mut stream: &TcpStream, message: &mut [u8]) -> io::Result<bool> {
    match stream.read_exact(message) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn each(kind: Kind, stream: TcpStream, peers: &[SocketAddr]) -> Result<()> {
    let mut message = [0; MESSAGE];
    if kind == Kind::Greeter {
        (&stream).write_all(&message)?;
    }
    if kind == Kind::Hurried {
        return hurried(&stream);
    }
    let mut turn = 0;
    while read(&stream, &mut message)? {
        let number = u32::from_le_bytes([message[0], message[1], message[2], message[3]]);
        match kind {
            Kind::Hasty => hasty(*peers.first().context("--peer is missing")?)?,
            Kind::Fickle => {
                let peer = peers.get(turn % peers.len().max(1)).context("--peer is missing")?;
                turn += 1;
                let peer = TcpStream::connect(peer)?;
                (&peer).write_all(&message)?;
                ensure!(read(&peer, &mut [0; MESSAGE])?, "no answer");
            }
            Kind::Wary => wary(*peers.first().context("--peer is missing")?)?,
            Kind::Rush => rush(peers)?,
            Kind::Calls => match calls::fail_all() {
                Ok(_) => {}
                Err(call) => bail!("system call {call} did not fail"),
            },
            Kind::Threads => threads(number as usize)?,
            Kind::Forks => (0..number).try_for_each(|_| fork())?,
            Kind::Programs => (0..number).try_for_each(|_| program())?,
            _ => {}
        }
        (&stream).write_all(&message)?;
    }
    Ok(())
}

/// Answers between the halves of each request.
fn hurried(mut stream: &TcpStream) -> Result<()> {
    let mut half = [0; MESSAGE / 2];
    while read(stream, &mut half)? {
        stream.write_all(&[0; MESSAGE])?;
        ensure!(read(stream, &mut half)?, "half a request");
    }
    Ok(())
}

/// Calls a peer whose greeting is there, unread.
fn hasty(peer: SocketAddr) -> Result<()> {
    let peer = TcpStream::connect(peer)?;
    thread::sleep(GREETING);
    (&peer).write_all(&[0; MESSAGE])?;
    for _ in 0..2 {
        ensure!(read(&peer, &mut [0; MESSAGE])?, "no answer");
    }
    Ok(())
}

/// Calls a peer, and reads no bytes before it reads the answer.
fn wary(peer: SocketAddr) -> Result<()> {
    let peer = TcpStream::connect(peer)?;
    (&peer).write_all(&[0; MESSAGE])?;
    ensure!(peer.peek(&mut [0; 1])? == 1, "no answer");
    // Not by the library, which may leave out the call.
    // SAFETY: no byte is written.
    let got = unsafe { libc::recv(peer.as_raw_fd(), std::ptr::null_mut(), 0, 0) };
    ensure!(got == 0, "{got} bytes where none were asked for");
    ensure!(read(&peer, &mut [0; MESSAGE])?, "no answer");
    Ok(())
}

/// Two threads connect to each peer at the same moment: they wait for each other without sleeping.
fn rush(peers: &[SocketAddr]) -> Result<()> {
    let arrived = AtomicUsize::new(0);
    let connect = || -> Result<()> {
        for (turn, peer) in peers.iter().enumerate() {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            meet(&arrived, 2 * (turn + 1));
            socket.connect(&(*peer).into())?;
            let peer = TcpStream::from(socket);
            (&peer).write_all(&[0; MESSAGE])?;
            ensure!(read(&peer, &mut [0; MESSAGE])?, "no answer");
        }
        Ok(())
    };
    thread::scope(|scope| {
        let other = scope.spawn(connect);
        connect()?;
        other.join().map_err(|_| anyhow!("a thread panicked"))?
    })
}

/// Waits until so many have come, for a bounded time: who does not come has failed.
fn meet(arrived: &AtomicUsize, all: usize) {
    arrived.fetch_add(1, Ordering::AcqRel);
    let limit = Instant::now() + Duration::from_secs(1);
    while arrived.load(Ordering::Acquire) < all && Instant::now() < limit {
        std::hint::spin_loop();
    }
}

fn threads(count: usize) -> Result<()> {
    let barrier = Arc::new(Barrier::new(count + 1));
    let start = |_| {
        let barrier = barrier.clone();
        thread::Builder::new().stack_size(STACK).spawn(move || {
            barrier.wait();
        })
    };
    let all = (0..count).map(start).collect::<io::Result<Vec<_>>>()?;
    barrier.wait();
    all.into_iter().for_each(|thread| drop(thread.join()));
    Ok(())
}

fn fork() -> Result<()> {
    // SAFETY: the child does nothing but end, which is allowed in a copy of a process with threads.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: _exit runs nothing of this program.
        unsafe { libc::_exit(0) };
    }
    ensure!(pid > 0, "fork: {}", io::Error::last_os_error());
    // SAFETY: `pid` is a child that was not waited for; no status is asked for.
    let done = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    ensure!(done == pid, "waitpid: {}", io::Error::last_os_error());
    Ok(())
}

fn program() -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    let status = command.args([Kind::Nothing.name(), "--port", "0"]).stdin(Stdio::null()).status()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Two requests, one after the other, on one connection to the peer, before an answer is read.
fn mixed(listener: &TcpListener, peer: SocketAddr) -> Result<()> {
    let peer = TcpStream::connect(peer)?;
    let mut waiting = Vec::new();
    let mut message = [0; MESSAGE];
    for stream in listener.incoming() {
        let stream = stream?;
        if !read(&stream, &mut message)? {
            continue;
        }
        (&peer).write_all(&message)?;
        waiting.push(stream);
        if waiting.len() == 2 {
            ensure!(read(&peer, &mut [0; 2 * MESSAGE])?, "no answers");
            for stream in waiting.drain(..) {
                (&stream).write_all(&message)?;
            }
        }
    }
    Ok(())
}

/// Rounds in which a request is read on every connection before any is answered; until one of them ends.
fn backlog(listener: &TcpListener, count: usize) -> Result<()> {
    let mut message = [0; MESSAGE];
    let mut all: Vec<TcpStream> = Vec::new();
    while all.len() < count {
        let stream = listener.accept()?.0;
        if read(&stream, &mut message)? {
            all.push(stream);
        }
    }
    loop {
        for mut stream in &all {
            stream.write_all(&message)?;
        }
        for stream in &all {
            if !read(stream, &mut message)? {
                return Ok(());
            }
        }
    }
}

/// Bytes of a torn request.
pub const TORN: usize = 4096;

/// Two threads read single bytes of one request, each in turn with bytes of a request of its own, so that both put the
/// shared one away and take it up all the time. The first message on a connection says which it is.
fn torn(listener: &TcpListener) -> Result<()> {
    let mut streams = Vec::new();
    while streams.len() < 3 {
        let stream = listener.accept()?.0;
        if read(&stream, &mut [0; 1])? {
            streams.push(Arc::new(stream));
        }
    }
    let shared = streams[0].clone();
    let left = Arc::new(AtomicUsize::new(TORN - 1));
    let workers: Vec<_> = streams[1..]
        .iter()
        .map(|own| {
            let (own, shared, left) = (own.clone(), shared.clone(), left.clone());
            thread::spawn(move || {
                use Ordering::Relaxed;
                let mut own_left = TORN - 1;
                while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                    if !read(&shared, &mut [0; 1])? {
                        break;
                    }
                    if own_left > 0 && read(&own, &mut [0; 1])? {
                        own_left -= 1;
                    }
                }
                let mut rest = vec![0; own_left];
                read(&own, &mut rest)?;
                (&*own).write_all(&[0; MESSAGE])
            })
        })
        .collect();
    for worker in workers {
        let _ended_with_its_connection = worker.join();
    }
    (&*shared).write_all(&[0; MESSAGE])?;
    Ok(())
}
