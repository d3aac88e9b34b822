//! UDP sockets that take messages from anyone. What they carry is not measured, and the user is told so.
//!
//! In: a [`Scan`]. Out: the UDP ports of a service, and the reason why a port that only UDP uses is no service. Connected sockets
//! are left out: those are of clients.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;

use super::scan::Scan;
use super::selector::Term;
use super::sockets::{address, open_sockets};

/// An unconnected UDP socket, as /proc/net/udp prints its state: TCP_CLOSE, include/net/tcp_states.h.
const UNCONNECTED: &str = "07";

/// A UDP socket that takes messages from anyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpSocket {
    /// Inode of the socket, unique on the host.
    pub(super) inode: u64,
    /// Where it takes them.
    pub address: SocketAddr,
}

/// Reads the UDP sockets of the network namespace of the process whose directory this is.
pub(super) fn bound(process: &Path) -> Vec<UdpSocket> {
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

/// A UDP socket with who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpHolder {
    /// Where it takes messages.
    pub address: SocketAddr,
    /// Who holds it.
    pub pid: u32,
    /// Command name of that process.
    pub comm: String,
}

/// The UDP sockets of these processes, by index.
pub(super) fn held(scan: &Scan<'_>, processes: impl IntoIterator<Item = usize>) -> Vec<UdpHolder> {
    let mut held = Vec::new();
    for process in processes.into_iter().map(|index| &scan.processes()[index]) {
        // Most processes have no socket, and then nobody needs to know what their namespace has.
        let open = open_sockets(process.directory()).unwrap_or_default();
        if open.is_empty() {
            continue;
        }
        let sockets = scan.udp(process);
        let of_process = sockets.iter().filter(|socket| open.iter().any(|open| open.inode == socket.inode));
        held.extend(of_process.map(|socket| UdpHolder {
            address: socket.address,
            pid: process.pid,
            comm: process.comm.clone(),
        }));
    }
    held
}

/// The ports of a service's UDP sockets, rising: those on which it also listens with TCP, and those that the kernel gives to nobody
/// by itself, because those that it gives are mostly a client's.
pub(super) fn ports(scan: &Scan<'_>, held: &[UdpHolder], tcp: &[u16]) -> Vec<u16> {
    let ports = held.iter().map(|holder| holder.address.port());
    let mut ports: Vec<u16> = ports.filter(|port| tcp.contains(port) || *port < first_given(scan.root())).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The first port that the kernel gives to a socket that asks for none.
fn first_given(root: &Path) -> u16 {
    let range = std::fs::read_to_string(root.join("sys/net/ipv4/ip_local_port_range")).unwrap_or_default();
    range.split_ascii_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}

/// Why a port that nothing listens on is none that can be recorded, if it is a UDP port.
pub(super) fn refusal(scan: &Scan<'_>, term: &Term) -> Option<String> {
    let Term::Port(port) = term else { return None };
    let all = held(scan, 0..scan.processes().len());
    let holder = all.iter().find(|holder| holder.address.port() == *port)?;
    Some(format!(
        "{term} is a UDP port (pid {}, {}), and UDP is not measured; name a TCP port or a UNIX socket",
        holder.pid, holder.comm
    ))
}

/// The UDP sockets of the host, by address.
pub fn udp_sockets(root: &Path) -> Result<Vec<UdpHolder>, super::DiscoverError> {
    let scan = super::whole_host(root)?;
    let mut all = held(&scan, 0..scan.processes().len());
    all.sort_by_key(|holder| (holder.address, holder.pid));
    // Workers hold the socket of their master: the first of them stands for all.
    all.dedup_by(|one, two| one.address == two.address && one.comm == two.comm);
    Ok(all)
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
