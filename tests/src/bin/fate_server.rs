//! `fate-server`: a server that answers when the request says so, or never.
//!
//! In: `tcp PORT` or `unix PATH`, the length of the accept queue, and `threads`, `defer` or `keep`. Out: `listening`, then replies. A request has
//! [`SIZE`] bytes: the milliseconds to wait, and the bytes of the reply, of which 0 means that there will be none. `threads`: each
//! connection has a thread. `defer`: so, but the kernel tells of a connection only when its first bytes are there. `keep`: each connection is answered once and kept open, without a thread.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use acgs_perf_tests::fate::{SIZE, parse};
use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Socket, Type};

trait Connection: Read + Write + Send {}
impl Connection for TcpStream {}
impl Connection for UnixStream {}

/// Answers one request; whether there may be another one.
fn answer(connection: &mut dyn Connection) -> Result<bool> {
    let mut request = [0; SIZE];
    if connection.read_exact(&mut request).is_err() {
        return Ok(false);
    }
    let (delay, reply) = parse(&request);
    thread::sleep(delay);
    if reply == 0 {
        loop {
            thread::sleep(Duration::from_secs(3600));
        }
    }
    connection.write_all(&vec![b'r'; reply as usize])?;
    Ok(true)
}

fn serve(keeps: bool, connections: impl Iterator<Item = Box<dyn Connection>>) {
    let mut kept = Vec::new();
    for mut connection in connections {
        if keeps {
            let _gone = answer(&mut *connection);
            kept.push(connection);
        } else {
            thread::spawn(move || while answer(&mut *connection).unwrap_or(false) {});
        }
    }
}

/// For a second at most.
fn defer(socket: &Socket) -> Result<()> {
    let seconds: libc::c_int = 1;
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option is an integer of that length.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            std::ptr::from_ref(&seconds).cast(),
            len,
        )
    };
    ensure!(set == 0, "TCP_DEFER_ACCEPT: {}", io::Error::last_os_error());
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, place, queue, mode] = arguments.as_slice() else {
        bail!("usage: fate-server tcp|unix PORT|PATH QUEUE threads|defer|keep");
    };
    let (queue, keeps) = (queue.parse().context("QUEUE")?, mode == "keep");
    match kind.as_str() {
        "tcp" => {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, place.parse().context("PORT")?)).into())?;
            if mode == "defer" {
                defer(&socket)?;
            }
            socket.listen(queue)?;
            println!("listening");
            let accept = || Some(Box::new(TcpStream::from(socket.accept().ok()?.0)) as Box<dyn Connection>);
            serve(keeps, std::iter::from_fn(accept));
        }
        "unix" => {
            let _none_before = fs::remove_file(place);
            let listener = UnixListener::bind(place)?;
            println!("listening");
            serve(keeps, std::iter::from_fn(|| Some(Box::new(listener.accept().ok()?.0) as Box<dyn Connection>)));
        }
        _ => bail!("{kind} is neither tcp nor unix"),
    }
    Ok(())
}
