//! A server for the generator's own tests: it sends back what comes, and can stall.
//!
//! In: the size of a message; how long it stalls, and how often. Out: its address, and how many messages it has answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock;

/// Bytes of a message.
pub const MESSAGE: usize = 32;

/// Answers nothing for `length_ns` at the end of each `every_ns`.
#[derive(Clone, Copy)]
pub struct Stall {
    pub length_ns: u64,
    pub every_ns: u64,
}

impl Stall {
    fn left(self, since_ns: u64) -> u64 {
        let place = since_ns % self.every_ns;
        if place < self.every_ns - self.length_ns { 0 } else { self.every_ns - place }
    }
}

/// Starts one that runs until the tests end.
pub fn serve(stall: Option<Stall>) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answered = Arc::new(AtomicU64::new(0));
    let (count, start) = (Arc::clone(&answered), clock::now());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, count) = (stream.unwrap(), Arc::clone(&count));
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut message = [0; MESSAGE];
                while stream.read_exact(&mut message).is_ok() {
                    let left = stall.map_or(0, |stall| stall.left(clock::now() - start));
                    thread::sleep(Duration::from_nanos(left));
                    count.fetch_add(1, Ordering::Relaxed);
                    // The client may have had enough.
                    if stream.write_all(&message).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, answered)
}
