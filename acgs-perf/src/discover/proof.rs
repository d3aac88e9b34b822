//! Whether a process really holds a listening UNIX socket.
//!
//! In: a process, one of its descriptors, and what /proc/net/unix says of the socket's inode. Out: what the socket itself says.
//! That table is text with a line per socket, and a path may hold a newline: whoever binds such a path writes a line of their own,
//! with an inode and a path of their choice, and would become a member of a service that is selected by that path.

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;

/// Asks the socket that a process holds as descriptor `fd` whether it is the one with this inode, a UNIX stream socket that
/// listens at this path. `None` if it may not be asked.
///
/// The kernel lends us the descriptor for the moment of the question. Its table for such questions, `unix_diag`, is a module that is
/// loaded when asked, on a host that we are to leave as it is, and tells of one network namespace only.
pub fn listens_at(pid: u32, fd: RawFd, inode: u64, path: &str) -> Option<bool> {
    match lend(pid, fd) {
        Ok(socket) => Some(
            File::from(socket.try_clone().ok()?).metadata().is_ok_and(|file| file.ino() == inode)
                && option(&socket, libc::SO_DOMAIN) == Some(libc::AF_UNIX)
                && option(&socket, libc::SO_TYPE) == Some(libc::SOCK_STREAM)
                && option(&socket, libc::SO_ACCEPTCONN) == Some(1)
                && address(&socket).as_deref() == Some(path),
        ),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => None,
        // Process or descriptor are gone.
        Err(_) => Some(false),
    }
}

/// Whether one of these descriptors of a process is a socket that listens, or cannot be asked whether it does.
pub fn listens(pid: u32, mut descriptors: impl Iterator<Item = RawFd>) -> bool {
    let process = match open_process(pid) {
        Ok(process) => process,
        // It is gone, and has nothing any more.
        Err(error) => return error.raw_os_error() != Some(libc::ESRCH),
    };
    descriptors.any(|fd| match lend_of(&process, fd) {
        Ok(socket) => option(&socket, libc::SO_ACCEPTCONN) != Some(0),
        // Closed, or the process is gone.
        Err(error) => !matches!(error.raw_os_error(), Some(libc::EBADF | libc::ESRCH)),
    })
}

fn lend(pid: u32, fd: RawFd) -> io::Result<OwnedFd> {
    lend_of(&open_process(pid)?, fd)
}

fn open_process(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers, and sets the close-on-exec flag of what it makes.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

fn lend_of(process: &OwnedFd, fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: as in `open_process`.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(result) {
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn option(socket: &OwnedFd, name: i32) -> Option<i32> {
    let mut value = 0i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` and `length` outlive the call, and `length` is the size of `value`.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length)
    };
    (result == 0).then_some(value)
}

/// Where a UNIX socket is bound, as /proc/net/unix writes it: zeroes are `@`, and the one that ends a path is not there.
fn address(socket: &OwnedFd) -> Option<String> {
    // SAFETY: sockaddr_un consists of integers, for which zero is a value.
    let mut name: libc::sockaddr_un = unsafe { mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: `name` and `length` outlive the call, and `length` is the size of `name`.
    let result = unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut name).cast(), &raw mut length) };
    let length = (length as usize).checked_sub(mem::offset_of!(libc::sockaddr_un, sun_path))?;
    let bytes: Vec<u8> = name.sun_path.iter().take(length).map(|byte| byte.cast_unsigned()).collect();
    let bytes = match bytes.split_last() {
        Some((0, path)) if bytes[0] != 0 => path,
        _ => &bytes,
    };
    let shown: Vec<u8> = bytes.iter().map(|byte| if *byte == 0 { b'@' } else { *byte }).collect();
    (result == 0).then(|| String::from_utf8_lossy(&shown).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::path::Path;

    use super::super::{processes, scan::Scan, sockets};
    use super::*;

    fn inode(fd: RawFd) -> u64 {
        let open = sockets::open_sockets(Path::new("/proc/self")).unwrap();
        open.iter().find(|open| open.fd == fd).unwrap().inode
    }

    fn ask(socket: &impl std::os::fd::AsRawFd, path: &str) -> Option<bool> {
        listens_at(std::process::id(), socket.as_raw_fd(), inode(socket.as_raw_fd()), path)
    }

    #[test]
    fn only_the_socket_that_listens_there_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("own.sock");
        let shown = path.display().to_string();
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(ask(&listener, &shown), Some(true));
        assert_eq!(ask(&listener, "/run/other.sock"), Some(false));
        assert_eq!(listens_at(std::process::id(), listener.as_raw_fd(), 1, &shown), Some(false), "another inode");
        let client = UnixStream::connect(&path).unwrap();
        assert_eq!(ask(&client, &shown), Some(false), "it does not listen");
        assert_eq!(ask(&TcpListener::bind("127.0.0.1:0").unwrap(), &shown), Some(false));
        assert_eq!(listens_at(std::process::id(), 1 << 20, 1, &shown), Some(false), "no such descriptor");
        let name = format!("acgs-perf-{}\0x", std::process::id());
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        assert_eq!(ask(&hidden, &format!("@{}", name.replace('\0', "@"))), Some(true));
    }

    #[test]
    fn a_process_that_listens_says_so() {
        let own = std::process::id();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let fds = [client.as_raw_fd(), listener.as_raw_fd()];
        assert!(listens(own, fds.into_iter()));
        assert!(!listens(own, fds[..1].iter().copied()), "a connection does not listen");
        assert!(!listens(own, [1 << 20].into_iter()), "what is closed does not listen");
        assert!(!listens(u32::MAX / 4, fds.into_iter()), "who is gone does not listen");
    }

    /// A process binds a path with a newline, behind which a line says that its TCP socket listens at another path.
    #[test]
    fn a_newline_in_a_path_makes_nobody_listen_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = format!("@t{}", std::process::id());
        let line = format!(": 00000002 00000000 00010000 0001 01 {} {target}", inode(tcp.as_raw_fd()));
        let path = directory.path().join(format!("a\n0{line}"));
        let _listener = UnixListener::bind(&path).unwrap();
        // Nor does it hide where the socket does listen.
        let port = tcp.local_addr().unwrap().port();
        let own = std::process::id();
        let scan = Scan::new(Path::new("/proc"), processes::all(Path::new("/proc"), 0).unwrap());
        let is_target = |endpoint: &sockets::Endpoint| endpoint.to_string() == target;
        let listed = scan.listening().iter().position(|socket| is_target(&socket.endpoint));
        assert!(listed.is_some(), "the text no longer says so: is there a better source now?");
        assert!(!scan.held(scan.index(own).unwrap()).any(is_target));
        assert!(listed.is_some_and(|index| scan.is_disproved(index)));
        let is_tcp = |endpoint: &sockets::Endpoint| matches!(endpoint, sockets::Endpoint::Tcp(at) if at.port() == port);
        assert!(scan.held(scan.index(own).unwrap()).any(is_tcp));
    }
}
