//! `wait-server`: a server that takes as long as a request says, waiting in one way.
//!
//! In: a port, and `call NAME` (a thread per connection, which waits in that way), `woken` or `looked` (until another thread wakes it), `helped` (until one wakes it that it has started), `spin`
//! (computes),
//! `pool THREADS` (workers take requests from a queue, and sleep in `pthread_cond_timedwait`), `runtime THREADS` or `runtime-lock
//! THREADS` (tasks go from thread to thread). Out: a byte for each request.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use acgs_perf_tests::clock;
use acgs_perf_tests::waits::runtime::{Handler, Runtime};
use acgs_perf_tests::waits::{SIZE, calls, time_of, waker};
use anyhow::{Context, Result, bail};

/// Requests that nobody has taken, and how a worker is told of one.
type Queue = (Mutex<VecDeque<(Arc<TcpStream>, Duration)>>, Condvar);

fn read(mut stream: &TcpStream) -> Option<Duration> {
    let mut request = [0; SIZE];
    stream.read_exact(&mut request).ok()?;
    Some(time_of(&request))
}

/// A thread per connection.
fn serve(listener: &TcpListener, wait: fn(Duration)) -> Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        thread::spawn(move || {
            while let Some(time) = read(&stream) {
                wait(time);
                let _gone = (&stream).write_all(b"r");
            }
        });
    }
    Ok(())
}

/// A thread per connection reads; the workers wait and reply.
fn pool(listener: &TcpListener, workers: usize, wait: fn(Duration)) -> Result<()> {
    let queue: Arc<Queue> = Arc::default();
    for _ in 0..workers {
        let queue = Arc::clone(&queue);
        thread::spawn(move || {
            loop {
                let mut jobs = queue.0.lock().unwrap_or_else(PoisonError::into_inner);
                let (stream, time) = loop {
                    match jobs.pop_front() {
                        Some(job) => break job,
                        None => jobs = queue.1.wait(jobs).unwrap_or_else(PoisonError::into_inner),
                    }
                };
                drop(jobs);
                wait(time);
                let _gone = (&*stream).write_all(b"r");
            }
        });
    }
    for stream in listener.incoming() {
        let (stream, queue) = (Arc::new(stream?), Arc::clone(&queue));
        stream.set_nodelay(true)?;
        thread::spawn(move || {
            while let Some(time) = read(&stream) {
                queue.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((Arc::clone(&stream), time));
                queue.1.notify_one();
            }
        });
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [port, mode, more @ ..] = words.as_slice() else { bail!("usage: wait-server PORT MODE [NAME|THREADS]") };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse().context("PORT")?))?;
    let threads = || more.first().context("THREADS")?.parse::<usize>().context("THREADS");
    let way = |name: &str| calls::way(name).with_context(|| format!("no call {name}"));
    match *mode {
        "call" => serve(&listener, way(more.first().context("NAME")?)?),
        "woken" | "looked" => {
            waker::start();
            serve(&listener, if *mode == "woken" { waker::woken } else { waker::looked })
        }
        "helped" => serve(&listener, waker::helped),
        "spin" => serve(&listener, |time| clock::spin(time.as_nanos() as u64)),
        "pool" => pool(&listener, threads()?, way("futex_wall_clock")?),
        "runtime" => Ok(Runtime::serve(listener, threads()?, Handler::Sleeps)?),
        "runtime-lock" => Ok(Runtime::serve(listener, threads()?, Handler::Locks)?),
        _ => bail!("{mode} is no mode"),
    }
}
