//! Sockets that listen, and who holds them.
//!
//! In: the directory of a process below the root of a proc file system. Out: the listening TCP and UNIX stream sockets of
//! its network namespace, and the inodes of the sockets that it has open. Lines that cannot be understood are passed over.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::path::Path;

use super::namespaces;

/// TCP_LISTEN, include/net/tcp_states.h, as /proc/net/tcp prints it.
const TCP_LISTEN: &str = "0A";
/// `__SO_ACCEPTCON`, include/uapi/linux/net.h: the socket listens.
const SO_ACCEPTCON: u32 = 0x0001_0000;
/// `SOCK_STREAM`.
const SOCK_STREAM: u32 = 1;

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// A TCP address; IPv4 addresses mapped into IPv6 are shown as IPv4.
    Tcp(SocketAddr),
    /// A path of the file system, or `@` and an abstract name.
    Unix(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Inode of the socket, unique on the host.
    pub inode: u64,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Inode of its network namespace; 0 where that is not known.
    pub network: u64,
}

/// Reads the listening sockets of the network namespace of the process whose directory this is.
pub fn listening(process: &Path) -> io::Result<Vec<Listening>> {
    let network = namespaces::inode(process, "net").unwrap_or(0);
    let mut sockets = Vec::new();
    tcp(&process.join("net/tcp"), &mut sockets)?;
    // Absent where IPv6, or UNIX sockets, are not built in.
    for result in [tcp(&process.join("net/tcp6"), &mut sockets), unix(&process.join("net/unix"), &mut sockets)] {
        result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    sockets.iter_mut().for_each(|socket: &mut Listening| socket.network = network);
    Ok(sockets)
}

fn tcp(path: &Path, sockets: &mut Vec<Listening>) -> io::Result<()> {
    for line in BufReader::new(File::open(path)?).lines().skip(1) {
        let line = line?;
        let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let [_, local, _, state, .., inode] = fields[..] else { continue };
        // The kernel walks its table of listening sockets first (tcp_get_idx, net/ipv4/tcp_ipv4.c); what follows may be
        // 100,000 connections, of which we want none.
        if state != TCP_LISTEN {
            break;
        }
        if let (Some(address), Ok(inode)) = (address(local), inode.parse()) {
            sockets.push(Listening { inode, endpoint: Endpoint::Tcp(address), network: 0 });
        }
    }
    Ok(())
}

/// Parses `0100007F:1F90`: words of the address in the byte order of the host, port in hexadecimal.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (index, bytes) in octets.chunks_exact_mut(4).enumerate() {
                bytes.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn unix(path: &Path, sockets: &mut Vec<Listening>) -> io::Result<()> {
    for line in BufReader::new(File::open(path)?).split(b'\n').skip(1) {
        let line = line?;
        // A path may hold a newline, and what follows may look like a line: `proof` asks the socket itself.
        sockets.extend(unix_line(&String::from_utf8_lossy(&line)));
    }
    Ok(())
}

/// Parses `Num RefCount Protocol Flags Type St Inode Path`; the path may hold blanks.
fn unix_line(line: &str) -> Option<Listening> {
    let mut rest = line;
    let mut field = || {
        let text = rest.trim_start_matches(' ');
        let (field, after) = text.split_once(' ')?;
        rest = after;
        Some(field)
    };
    let (_, _, _) = (field()?, field()?, field()?);
    let flags = u32::from_str_radix(field()?, 16).ok()?;
    let kind = u32::from_str_radix(field()?, 16).ok()?;
    field()?;
    let inode = field()?.parse().ok()?;
    let listens = flags & SO_ACCEPTCON != 0 && kind == SOCK_STREAM && !rest.is_empty();
    listens.then(|| Listening { inode, endpoint: Endpoint::Unix(rest.to_owned()), network: 0 })
}

/// A socket that a process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its descriptor.
    pub fd: RawFd,
    /// Inode of the socket.
    pub inode: u64,
}

/// The sockets that a process has open, in no order. One `readlink` per descriptor: about 1 µs each.
pub fn open_sockets(process: &Path) -> io::Result<Vec<Open>> {
    let mut open = Vec::new();
    for entry in fs::read_dir(process.join("fd"))? {
        let entry = entry?;
        // A descriptor may be closed between the two calls.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let inode: Option<u64> =
            target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        let fd = entry.file_name().to_str().and_then(|name| name.parse().ok());
        open.extend(fd.zip(inode).map(|(fd, inode)| Open { fd, inode }));
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::*;

    #[test]
    fn addresses_of_both_families() {
        let text = |hex: &str| address(hex).unwrap().to_string();
        assert_eq!(text("0100007F:1F50"), "127.0.0.1:8016");
        assert_eq!(text("00000000000000000000000001000000:0050"), "[::1]:80");
        assert_eq!(text("00000000000000000000000000000000:0050"), "[::]:80");
        assert_eq!(text("0000000000000000FFFF00000100007F:FFFF"), "127.0.0.1:65535");
        assert_eq!(text("B80D01200000000000000000EFBEADDE:0001"), "[2001:db8::dead:beef]:1");
        for bad in ["", "0100007F", "0100007:1", "0100007F:10000", "zz00007F:1"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_listening_stream_sockets_count() {
        let tree = Tree::new();
        tree.process(5_000_001, 1, "a", "/a");
        tree.tcp(5_000_001, &[(8016, 0x0A, 11), (6379, 0x0A, 12), (6379, 0x01, 13), (22, 0x06, 0)]);
        tree.unix(
            5_000_001,
            &[
                (0x10000, 1, 21, "/run/with blank.sock"),
                (0x10000, 1, 22, "@abstract"),
                (0, 1, 23, "/run/connected.sock"),
                (0x10000, 5, 24, "/run/seqpacket.sock"),
            ],
        );
        let found: Vec<String> = listening(&tree.root().join("5000001"))
            .unwrap()
            .iter()
            .map(|socket| format!("{} {}", socket.inode, socket.endpoint))
            .collect();
        assert_eq!(found, ["11 127.0.0.1:8016", "12 127.0.0.1:6379", "21 /run/with blank.sock", "22 @abstract"]);
        assert_eq!(listening(&tree.root().join("5000002")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn broken_lines_are_passed_over() {
        let tree = Tree::new();
        let line = "   1: 0100007F:1F50 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1\n";
        tree.write(5_000_001, "net/tcp", &format!("header\n\n  0: garbage\n{line}"));
        tree.write(5_000_001, "net/unix", "header\n\nx: 1\n0: 2 0 00010000 0001 01 5 /a\n");
        let found = listening(&tree.root().join("5000001")).unwrap();
        assert_eq!(found.iter().map(|socket| socket.inode).collect::<Vec<_>>(), [77, 5]);
    }

    #[test]
    fn open_sockets_are_told_from_other_descriptors() {
        let tree = Tree::new();
        tree.process(5_000_001, 1, "a", "/a");
        tree.socket(5_000_001, 3, 42);
        tree.link(5_000_001, "fd/4", "pipe:[43]");
        tree.link(5_000_001, "fd/5", "/dev/null");
        assert_eq!(open_sockets(&tree.root().join("5000001")).unwrap(), [Open { fd: 3, inode: 42 }]);
    }
}
