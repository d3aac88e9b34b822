//! Services of the bench: started on one CPU in a control group of their own, ended by pid.
//!
//! In: a command line and the port on which it listens. Out: a running service, and the CPU time of all its processes,
//! those included that have ended: PostgreSQL has one for each connection.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Service and load stay apart, or the scheduler's choice would be most of the difference.
pub const SERVER_CPU: usize = 1;
/// Where the load comes from.
pub const LOAD_CPU: usize = 0;

/// A running service.
pub struct Service {
    child: Child,
    ending: i32,
    group: Option<PathBuf>,
    /// Where it listens.
    pub port: u16,
    /// Gone when the service is.
    _directory: TempDir,
}

/// A port that nobody listens on just now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Service {
    /// Starts it on `SERVER_CPU`, and waits until it listens. `ending` is the signal that ends it.
    pub fn start(command: &Command, port: u16, directory: TempDir, ending: i32) -> Result<Self> {
        let group = control_group(port);
        let output = directory.path().join("service-output");
        let file = File::create(&output)?;
        let mut started = match &group {
            Some(group) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.join("cgroup.procs"));
                shell.args(["taskset", "-c", &SERVER_CPU.to_string()]);
                shell
            }
            None => {
                let mut taskset = Command::new("taskset");
                taskset.args(["-c", &SERVER_CPU.to_string()]);
                taskset
            }
        };
        started.arg(command.get_program()).args(command.get_args()).current_dir("/");
        started.env("PYTHONDONTWRITEBYTECODE", "1");
        started.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = started.spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        let mut service = Self { child, ending, group, port, _directory: directory };
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(service.address()).is_err() {
            if let Some(status) = service.child.try_wait()? {
                bail!("{:?} ended: {status}\n{}", command.get_program(), fs::read_to_string(&output)?);
            }
            if Instant::now() > end {
                bail!("nobody listens on {port} after 20 s\n{}", fs::read_to_string(&output)?);
            }
            sleep(Duration::from_millis(20));
        }
        sleep(Duration::from_millis(100));
        Ok(service)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of all its processes so far; `None` where there is no control group that says.
    pub fn cpu_time(&self) -> Option<Duration> {
        let text = fs::read_to_string(self.group.as_ref()?.join("cpu.stat")).ok()?;
        let us = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        Some(Duration::from_micros(us.trim().parse().ok()?))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // SAFETY: kill has no memory effects; the child is ours and not waited for yet.
            unsafe { libc::kill(self.child.id() as i32, self.ending) };
        }
        let end = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            sleep(Duration::from_millis(10));
        }
        if let Some(group) = &self.group {
            // It can go when the last process has left it.
            let gone = || fs::remove_dir(group).is_ok();
            for _ in 0..50 {
                if gone() {
                    return;
                }
                sleep(Duration::from_millis(20));
            }
            eprintln!("bench: cannot remove {}", group.display());
        }
    }
}

/// A new group in the unified hierarchy, which accounts CPU time without any controller.
fn control_group(port: u16) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let root = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })?;
    let group = root.join(format!("acgs-perf-bench-{}-{port}", std::process::id()));
    fs::create_dir(&group).ok()?;
    group.join("cpu.stat").exists().then_some(group)
}
