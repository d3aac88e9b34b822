//! What makes a service slow from outside: a busy neighbour, a CPU quota, requests in bursts.
//!
//! In: a CPU, a process or an address. Out: the disturbance, for as long as the value lives.

use std::ffi::CString;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use acgs_perf_load::http::Reader;
use anyhow::{Context, Result, ensure};

use crate::clock;

/// Something that goes on beside the load.
pub enum Injection {
    /// A thread of ours.
    Thread(Background),
    /// A control group of ours.
    Quota(Quota),
}

/// A thread that does something again and again until this is dropped.
pub struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    fn every(
        name: &str,
        every: Duration,
        prepare: impl FnOnce() -> Result<()> + Send + 'static,
        act: impl Fn() -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let act = move || {
            if let Err(error) = prepare() {
                return eprintln!("causes: {error:#}");
            }
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(every);
                if let Err(error) = act() {
                    eprintln!("causes: {error:#}");
                }
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(act)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Takes a CPU for `busy` again and again, before all ordinary threads.
pub fn hog(cpu: usize, busy: Duration, every: Duration) -> Result<Injection> {
    let prepare = move || {
        clock::pin(cpu).context("pin the hog")?;
        clock::realtime().context("priority of the hog")
    };
    let spin = move || {
        clock::spin(busy.as_nanos() as u64);
        Ok(())
    };
    Ok(Injection::Thread(Background::every("cause-hog", every, prepare, spin)?))
}

/// Sends `count` requests at once, again and again, each on a connection of its own.
pub fn burst(target: SocketAddr, path: &'static str, count: usize, every: Duration) -> Result<Injection> {
    let send = move || {
        let streams: Vec<TcpStream> =
            (0..count).map(|_| TcpStream::connect(target)).collect::<std::io::Result<_>>().context("burst")?;
        for mut stream in &streams {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: burst\r\nConnection: close\r\n\r\n").as_bytes())?;
        }
        // Each is closed when its reply is there: some servers wait for that before they go on.
        for mut stream in streams {
            let (mut reader, mut buffer) = (Reader::default(), [0; 4096]);
            let status = loop {
                let count = stream.read(&mut buffer).context("burst")?;
                ensure!(count > 0, "burst: closed before the reply was whole");
                if let Some(whole) = reader.take(&buffer[..count])? {
                    break whole.status;
                }
            };
            ensure!(status == 200, "burst: status {status}");
        }
        Ok(())
    };
    Ok(Injection::Thread(Background::every("cause-burst", every, || Ok(()), send)?))
}

/// A control group with a CPU quota; its processes go back to where they were when this is dropped.
pub struct Quota {
    group: PathBuf,
    home: PathBuf,
    pid: u32,
    _mounted: Option<Mounted>,
}

/// Allows a process `quota_us` of CPU in each `period_us`.
pub fn quota(pid: u32, quota_us: u32, period_us: u32) -> Result<Injection> {
    Ok(Injection::Quota(Quota::new(pid, quota_us, period_us)?))
}

impl Quota {
    /// Allows a process `quota_us` of CPU in each `period_us`.
    pub fn new(pid: u32, quota_us: u32, period_us: u32) -> Result<Self> {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let name = format!("acgs-perf-causes-{}", std::process::id());
        let (mut base, mut inside) = place(Path::new("/sys/fs/cgroup"), &cgroups);
        let mut second = has_cpu(&base);
        let mut mounted = None;
        if !second && !base.join("cpu.cfs_quota_us").exists() && !base.join("cpu.shares").exists() {
            // Nobody has mounted the controller yet.
            let place = Mounted::new()?;
            (base, inside, second) = (place.0.path().to_owned(), PathBuf::new(), false);
            mounted = Some(place);
        }
        if second {
            fs::write(base.join("cgroup.subtree_control"), "+cpu").context("enable the cpu controller")?;
        }
        let group = base.join(name);
        fs::create_dir(&group).with_context(|| format!("create {}", group.display()))?;
        let quota = Self { group, home: base.join(inside), pid, _mounted: mounted };
        let write = |file: &str, text: String| {
            fs::write(quota.group.join(file), &text).with_context(|| format!("write {text} to {file}"))
        };
        if second {
            write("cpu.max", format!("{quota_us} {period_us}"))?;
        } else {
            write("cpu.cfs_period_us", period_us.to_string())?;
            write("cpu.cfs_quota_us", quota_us.to_string())?;
        }
        write("cgroup.procs", pid.to_string())?;
        Ok(quota)
    }

    /// How long its threads were held back so far, as the kernel says.
    pub fn throttled(&self) -> Result<Duration> {
        let text = fs::read_to_string(self.group.join("cpu.stat"))?;
        let number = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let ns = number("throttled_time ").or_else(|| Some(number("throttled_usec ")? * 1000));
        ns.map(Duration::from_nanos).with_context(|| format!("no throttled time in {text}"))
    }
}

/// Whether this is the second version's, and has the CPU controller.
fn has_cpu(base: &Path) -> bool {
    let controllers = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
    controllers.split_whitespace().any(|controller| controller == "cpu")
}

/// The CPU controller of the first version, in a directory of our own.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = CString::new(directory.path().as_os_str().as_bytes())?;
        let (kind, options) = (c"cgroup".as_ptr(), c"cpu".as_ptr());
        // SAFETY: all strings end with a zero and outlive the call.
        let failed = unsafe { libc::mount(kind, path.as_ptr(), kind, 0, options.cast()) } != 0;
        ensure!(!failed, "mount the cpu controller: {}", std::io::Error::last_os_error());
        Ok(Self(directory))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let path = CString::new(self.0.path().as_os_str().as_bytes()).unwrap_or_default();
        // SAFETY: the string ends with a zero and outlives the call.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Where the hierarchy with the CPU controller is, and the process's path in it. Version 1 has one line per hierarchy,
/// `1:cpu,cpuacct:/path`; version 2 has `0::/path` only.
fn place(root: &Path, cgroups: &str) -> (PathBuf, PathBuf) {
    let lines = cgroups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let mut second = PathBuf::new();
    for (controllers, path) in lines {
        let path = PathBuf::from(path.trim_start_matches('/'));
        if controllers.split(',').any(|controller| controller == "cpu") {
            return (root.join(controllers), path);
        }
        if controllers.is_empty() {
            second = path;
        }
    }
    (root.to_owned(), second)
}

impl Drop for Quota {
    fn drop(&mut self) {
        // The process may have ended, and then there is nothing to move.
        let _ = fs::write(self.home.join("cgroup.procs"), self.pid.to_string());
        if let Err(error) = fs::remove_dir(&self.group) {
            eprintln!("causes: remove {}: {error}", self.group.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_controller_is_found() {
        let root = Path::new("/sys/fs/cgroup");
        let (base, inside) = place(root, "9:name=systemd:/\n2:cpu,cpuacct:/a/b\n0::/x\n");
        assert_eq!((base.as_path(), inside.as_path()), (root.join("cpu,cpuacct").as_path(), Path::new("a/b")));
        assert_eq!(place(root, "0::/user.slice\n"), (root.to_owned(), "user.slice".into()));
    }
}
