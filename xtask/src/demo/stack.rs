//! The stack that the demo records: each part prints its port, or a line, when it is ready.
//!
//! In: a part. Out: `front` asks `back` for each request; `back` works 0.2 ms, and sleeps 20 ms in 2 % of its requests, which is
//! the slow path to be found; `load` sends 500 requests/s on 8 connections for a bounded time. Nothing but the standard library:
//! what the demo compiles is what a new user waits for.

use std::ffi::CStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Subcommand;

const MESSAGE: usize = 128;
const RATE: u64 = 500;
const CONNECTIONS: u64 = 8;
/// One request in this many is slow.
const SLOW_EVERY: u64 = 50;

/// A part of the stack.
#[derive(Clone, Copy, Subcommand)]
pub enum Part {
    /// Does the work.
    Back,
    /// Answers clients with what `back` says.
    Front {
        /// Port of `back`.
        #[arg(long)]
        back: u16,
    },
    /// Steady load on `front`.
    Load {
        /// Port of `front`.
        #[arg(long)]
        port: u16,
        /// How long.
        #[arg(long)]
        seconds: u64,
    },
}

/// Runs a part until it is killed, or the load ends.
pub fn run(part: Part) -> Result<()> {
    match part {
        Part::Back => {
            name(c"demo-back");
            serve(|connection| {
                let mut served = connection * 7; // so that not all connections are slow at a time
                Ok(move |_: &mut [u8]| {
                    work(Duration::from_micros(200));
                    served += 1;
                    if served.is_multiple_of(SLOW_EVERY) {
                        thread::sleep(Duration::from_millis(20));
                    }
                    Ok(())
                })
            })
        }
        Part::Front { back } => {
            name(c"demo-front");
            serve(move |_| {
                let mut back = TcpStream::connect((Ipv4Addr::LOCALHOST, back)).context("connect to back")?;
                back.set_nodelay(true)?;
                Ok(move |message: &mut [u8]| {
                    back.write_all(message)?;
                    back.read_exact(message).context("back")
                })
            })
        }
        Part::Load { port, seconds } => {
            name(c"demo-load");
            load(port, Duration::from_secs(seconds))
        }
    }
}

/// Names this process; the report names threads by it.
fn name(name: &CStr) {
    // SAFETY: PR_SET_NAME takes a string that ends with a zero byte.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Keeps the CPU busy.
fn work(length: Duration) {
    let start = Instant::now();
    while start.elapsed() < length {
        std::hint::spin_loop();
    }
}

/// One thread per connection; `connected` makes what handles a connection's requests.
fn serve<H>(connected: impl Fn(u64) -> Result<H>) -> Result<()>
where
    H: FnMut(&mut [u8]) -> Result<()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    for connection in 0.. {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut handle = connected(connection)?;
        thread::spawn(move || -> Result<()> {
            let mut message = [0; MESSAGE];
            loop {
                stream.read_exact(&mut message)?;
                handle(&mut message)?;
                stream.write_all(&message)?;
            }
        });
    }
    Ok(())
}

/// Sends at the times of one common schedule, each connection every eighth request.
fn load(port: u16, length: Duration) -> Result<()> {
    let streams: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)))
        .collect::<Result<_, _>>()
        .context("connect to front")?;
    println!("loading");
    let start = Instant::now();
    let senders: Vec<_> =
        (0..).zip(streams).map(|(first, stream)| thread::spawn(move || send(stream, first, start, length))).collect();
    senders.into_iter().try_for_each(|sender| sender.join().unwrap_or(Ok(())))
}

fn send(mut stream: TcpStream, first: u64, start: Instant, length: Duration) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut message = [b'x'; MESSAGE];
    for number in (first..).step_by(CONNECTIONS as usize) {
        let due = Duration::from_nanos(number * 1_000_000_000 / RATE);
        if due > length {
            break;
        }
        thread::sleep(due.saturating_sub(start.elapsed()));
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
    }
    Ok(())
}
