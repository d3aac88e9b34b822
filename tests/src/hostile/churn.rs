//! Connections, client addresses and short processes, each of them new.
//!
//! In: servers of the kinds `Echo` and `Forks`. Out: load on them; a request for each connection, and one for a thousand processes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;

use socket2::{Domain, Socket, Type};

use super::{MESSAGE, ask, request};
use crate::harness::Service;

/// Processes that a request makes.
pub const BATCH: u32 = 1000;

/// A connection from an address of its own, with one request.
fn visit(server: SocketAddr, client: u32) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let [_, a, b, c] = (client + 0x0001_0000).to_be_bytes();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, a, b, c), 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.write_all(&request(0)).unwrap();
    stream.read_exact(&mut [0; MESSAGE]).unwrap();
}

/// So many connections, from two threads.
pub fn visits(server: &Service, clients: std::ops::Range<u32>) {
    let address = server.address();
    let half = clients.start + (clients.end - clients.start) / 2;
    thread::scope(|scope| {
        for part in [clients.start..half, half..clients.end] {
            scope.spawn(move || part.for_each(|client| visit(address, client)));
        }
    });
}

/// Has so many thousand processes come and go.
pub fn fork(forks: &Service, batches: u32) {
    (0..batches).for_each(|_| ask(forks, 1, 1, BATCH).unwrap());
}
