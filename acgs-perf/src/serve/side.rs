//! The network-facing process: forked before the agent attaches anything, and confined before it accepts anybody.
//!
//! In: a listening socket, and a pair of sockets to the agent. Out: pages over HTTP, as in `http`. When the agent is gone it ends.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener as Listener, UnixStream as Stream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::access::{Access, Gate};
use super::child::{self, READY};
use super::confine::{self, Way};
use super::http::{Server, block_on};
use super::wire::{self, MAX_NEWS, News, Query};

/// Queries that wait for the agent to read them.
const WAITING: usize = 4;

/// Forks the network-facing process; gives the way to it. It is ready when this returns.
///
/// # Errors
/// When it cannot be started, or not be confined.
pub fn fork(listener: TcpListener, access: &Access) -> io::Result<UnixStream> {
    child::fork("--listen", move |agent| {
        let gate = access.gate().map_err(io::Error::other)?;
        let (runtime, listener, agent) = prepare(listener, agent)?;
        serve(&runtime, listener, agent, gate)
    })
}

/// Gives up what it does not need. The event loop and its sockets take what they need in between; from then on nothing can be opened.
fn prepare(listener: TcpListener, agent: UnixStream) -> io::Result<(Runtime, Listener, Stream)> {
    confine::drop_privileges(&[listener.as_raw_fd(), agent.as_raw_fd()])?;
    listener.set_nonblocking(true)?;
    agent.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let (listener, agent) = {
        let _inside = runtime.enter();
        (Listener::from_std(listener)?, Stream::from_std(agent)?)
    };
    confine::confine(Way::Serves)?;
    Ok((runtime, listener, agent))
}

fn serve(runtime: &Runtime, listener: Listener, agent: Stream, gate: Gate) -> io::Result<()> {
    let mut result = Ok(());
    block_on(runtime, async {
        result = async {
            let (mut news, mut queries) = agent.into_split();
            queries.write_all(&[READY]).await?;
            let (asks, mut asked) = mpsc::channel::<Query>(WAITING);
            let server = Server::new(gate, asks);
            let accepting = server.clone();
            tokio::task::spawn_local(async move { accepting.accept(listener).await });
            tokio::task::spawn_local(async move {
                while let Some(query) = asked.recv().await {
                    let Ok(bytes) = wire::encode(&query) else { continue };
                    if queries.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
            });
            let mut len = [0; 4];
            loop {
                // Ends when the agent does.
                news.read_exact(&mut len).await?;
                let mut bytes = vec![0; wire::length(len, MAX_NEWS)?];
                news.read_exact(&mut bytes).await?;
                server.take(wire::decode::<News>(&bytes)?);
            }
        }
        .await;
    });
    result
}
