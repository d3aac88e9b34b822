//! A control group for memory, to let the kernel refuse it to those inside.
//!
//! In: a name. Out: a group whose limit can be changed; removed when dropped, by when it must be empty.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A group.
pub struct Group {
    path: PathBuf,
    limit: &'static str,
    unlimited: &'static str,
}

impl Group {
    /// Makes a group, by whichever version of control groups has the memory controller here; `None` where none has.
    pub fn new(name: &str) -> Result<Option<Self>> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
        for line in mounts.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(place), Some(kind), Some(options)) = (words.next(), words.next(), words.next()) else { continue };
            let (limit, unlimited) = match kind {
                "cgroup" if options.split(',').any(|option| option == "memory") => ("memory.limit_in_bytes", "-1"),
                "cgroup2" if controls_memory(Path::new(place)) => ("memory.max", "max"),
                _ => continue,
            };
            let path = Path::new(place).join(format!("acgs-perf-test-{name}-{}", std::process::id()));
            fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
            return Ok(Some(Self { path, limit, unlimited }));
        }
        Ok(None)
    }

    /// File to which a process writes its id to enter.
    pub fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Bytes in use.
    pub fn usage(&self) -> Result<u64> {
        for file in ["memory.usage_in_bytes", "memory.current"] {
            if let Ok(text) = fs::read_to_string(self.path.join(file)) {
                return text.trim().parse().context("memory in use");
            }
        }
        bail!("{}: no memory in use", self.path.display())
    }

    /// Sets the limit; the kernel tries to make room first.
    pub fn limit(&self, bytes: u64) -> Result<()> {
        let path = self.path.join(self.limit);
        fs::write(&path, bytes.to_string()).with_context(|| format!("write {bytes} to {}", path.display()))
    }

    /// Takes the limit away.
    pub fn unlimit(&self) -> Result<()> {
        fs::write(self.path.join(self.limit), self.unlimited).context("take the limit away")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It may be busy for a moment after its last process has ended.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        eprintln!("{} is left behind", self.path.display());
    }
}

/// Whether the second version's memory controller is there, and handed down to new groups.
fn controls_memory(root: &Path) -> bool {
    let memory = |file: &str| {
        fs::read_to_string(root.join(file)).is_ok_and(|text| text.split_whitespace().any(|name| name == "memory"))
    };
    memory("cgroup.controllers")
        && (memory("cgroup.subtree_control") || fs::write(root.join("cgroup.subtree_control"), "+memory").is_ok())
}
