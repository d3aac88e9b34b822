//! UDP sockets that take messages from anyone. Connected ones are left out: those are of clients.
//!
//! In: the directory of a process below the root of a proc file system. Out: the sockets of its network namespace.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;

use super::sockets::address;

/// An unconnected UDP socket, as /proc/net/udp prints its state: TCP_CLOSE, include/net/tcp_states.h.
const UNCONNECTED: &str = "07";

/// A UDP socket that takes messages from anyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpSocket {
    /// Inode of the socket, unique on the host.
    pub inode: u64,
    /// Where it takes them.
    pub address: SocketAddr,
}

/// Reads the UDP sockets of the network namespace of the process whose directory this is.
pub fn bound(process: &Path) -> Vec<UdpSocket> {
    let mut sockets = Vec::new();
    for name in ["net/udp", "net/udp6"] {
        // Absent where IPv6 is not built in; then there are none.
        let _ = read(&process.join(name), &mut sockets);
    }
    sockets
}

fn read(path: &Path, sockets: &mut Vec<UdpSocket>) -> io::Result<()> {
    for line in BufReader::new(File::open(path)?).lines().skip(1) {
        let line = line?;
        let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let [_, local, _, UNCONNECTED, .., inode] = fields[..] else { continue };
        if let (Some(address), Ok(inode)) = (address(local), inode.parse()) {
            sockets.push(UdpSocket { inode, address });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connected_sockets_are_of_clients() {
        let text = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
                    1: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0\n \
                    2: 0100007F:9C40 08080808:0035 01 00000000:00000000 00:00000000 00000000     0        0 4712 2 0 0\n \
                    nonsense\n";
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("net")).unwrap();
        std::fs::write(directory.path().join("net/udp"), text).unwrap();
        let expected = UdpSocket { inode: 4711, address: "127.0.0.1:53".parse().unwrap() };
        assert_eq!(bound(directory.path()), [expected]);
    }
}
