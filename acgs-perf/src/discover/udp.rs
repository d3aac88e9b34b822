//! UDP sockets that take messages from anyone. What they carry is not measured, and the user is told so.
//!
//! In: a [`Scan`]. Out: the UDP ports of a service, and the reason why a port that only UDP uses is no service.

use std::net::SocketAddr;
use std::path::Path;

use super::scan::Scan;
use super::selector::Term;

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
    for index in processes {
        // Most processes have no socket, and then nobody needs to know what their namespace has.
        let (process, open) = (&scan.processes()[index], scan.open(index));
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
