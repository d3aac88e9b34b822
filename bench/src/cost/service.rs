//! Services of the bench: started on one CPU in a control group of their own, ended by pid.
//!
//! In: a command line and the port on which it listens. Out: a running service, and the CPU time of all its processes,
//! those included that have ended: PostgreSQL has one for each connection.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use acgs_perf_tests::harness;
use anyhow::Result;
use tempfile::TempDir;

use crate::placement::SERVER_CPU;

/// A running service. It ends before its group goes, which is the order of the fields.
pub struct Service {
    service: harness::Service,
    group: Option<Group>,
}

impl Service {
    /// Starts it on `SERVER_CPU`, and waits until it listens. `ending` is the signal that ends it.
    pub fn start(command: &Command, port: u16, directory: TempDir, ending: i32) -> Result<Self> {
        let group = Group::new(port);
        let mut started = match &group {
            Some(Group(group)) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.join("cgroup.procs")).arg("taskset");
                shell
            }
            None => Command::new("taskset"),
        };
        started.args(["-c", &SERVER_CPU.to_string()]);
        started.arg(command.get_program()).args(command.get_args()).current_dir("/");
        started.env("PYTHONDONTWRITEBYTECODE", "1");
        let service = harness::Service::start_in(&mut started, port, directory)?.ends_on(ending);
        Ok(Self { service, group })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.service.port
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// CPU time of all its processes so far; `None` where there is no control group that says.
    pub fn cpu_time(&self) -> Option<Duration> {
        let Group(group) = self.group.as_ref()?;
        let text = fs::read_to_string(group.join("cpu.stat")).ok()?;
        let us = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        Some(Duration::from_micros(us.trim().parse().ok()?))
    }
}

/// A control group, removed with this value.
struct Group(PathBuf);

impl Group {
    /// A new one in the unified hierarchy, which accounts CPU time without any controller.
    fn new(port: u16) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let root = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (path, kind) = (words.next()?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(path))
        })?;
        let group = root.join(format!("acgs-perf-bench-{}-{port}", std::process::id()));
        fs::create_dir(&group).ok()?;
        group.join("cpu.stat").exists().then_some(Self(group))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It can go when the last process has left it.
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        eprintln!("bench: cannot remove {}", self.0.display());
    }
}
