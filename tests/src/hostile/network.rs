//! A network of one's own: a namespace in which settings can be changed that nobody else sees.
//!
//! In: a running process that has one. Out: work done by a thread inside of it.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;
use std::thread;

use anyhow::{Context, Result, anyhow};

/// Makes the command start in a network namespace of its own, whose loopback is up.
pub fn of_its_own(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(|| {
            if libc::unshare(libc::CLONE_NEWNET) != 0 {
                return Err(io::Error::last_os_error());
            }
            loopback_up()
        })
    }
}

/// Runs `work` in the network namespace of a process.
pub fn inside<T: Send>(pid: u32, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let namespace = File::open(format!("/proc/{pid}/ns/net")).context("open the namespace")?;
            // SAFETY: setns takes a descriptor and a flag; only this thread, which ends soon, changes its namespace.
            if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error()).context("enter the namespace");
            }
            work()
        });
        inside.join().map_err(|_| anyhow!("the thread in the namespace panicked"))?
    })
}

/// Runs `work`, and what it starts, in a network of its own.
pub fn alone<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let leave = || {
        // SAFETY: unshare takes flags; only this thread, which ends soon, changes its namespace.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error()).context("new namespace");
        }
        loopback_up().context("loopback")
    };
    thread::scope(|scope| {
        let alone = scope.spawn(|| leave().and_then(|()| work()));
        alone.join().map_err(|_| anyhow!("the thread in the namespace panicked"))?
    })
}

/// Runs `work` in a network of its own, in which all that arrives is handled by one CPU, in an interrupt.
pub fn steered<T: Send>(cpu: u32, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let steer = || -> Result<()> {
        // SAFETY: unshare takes flags; only this thread, which ends soon, changes its namespaces.
        if unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) } != 0 {
            return Err(io::Error::last_os_error()).context("new namespaces");
        }
        loopback_up().context("loopback")?;
        // sysfs shows the network of who has mounted it.
        let place = tempfile::tempdir()?;
        let path = CString::new(place.path().as_os_str().as_bytes())?;
        // SAFETY: all strings end with a zero; the mounts are seen in this thread's namespace only, and end with it.
        let status = unsafe {
            libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), libc::MS_REC | libc::MS_PRIVATE, ptr::null())
                | libc::mount(c"sysfs".as_ptr(), path.as_ptr(), c"sysfs".as_ptr(), 0, ptr::null())
        };
        let error = io::Error::last_os_error();
        let mask = place.path().join("class/net/lo/queues/rx-0/rps_cpus");
        let written = fs::write(&mask, format!("{:x}", 1u64 << cpu)).context("steer the loopback");
        // SAFETY: as above.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        if status != 0 { Err(error).context("mount sysfs") } else { written }
    };
    thread::scope(|scope| {
        let inside = scope.spawn(|| steer().and_then(|()| work()));
        inside.join().map_err(|_| anyhow!("the thread in the namespace panicked"))?
    })
}

/// Sets a value below `/proc/sys/net` of the namespace that this thread is in.
pub fn set(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{name}");
    fs::write(&path, value).with_context(|| format!("write {value} to {path}"))
}

/// Drops of listening sockets that the network namespace of this thread has counted.
pub fn listen_drops() -> Result<u64> {
    let path = "/proc/thread-self/net/netstat";
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, values) = lines.next().zip(lines.next()).with_context(|| format!("{path}: no TcpExt"))?;
    let drops = names.zip(values).find(|(name, _)| *name == "ListenDrops");
    Ok(drops.with_context(|| format!("{path}: no ListenDrops"))?.1.parse()?)
}

fn loopback_up() -> io::Result<()> {
    // SAFETY: socket takes integers; the descriptor is closed below.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: `request` is valid for this call.
    let status = unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &request) };
    let error = io::Error::last_os_error();
    // SAFETY: the descriptor is this function's own.
    unsafe { libc::close(socket) };
    if status == 0 { Ok(()) } else { Err(error) }
}
