//! The processes of the host, as /proc shows them.
//!
//! In: the root of a proc file system. Out: [`Process`]es without kernel threads and zombies. Identity is read at once; what only
//! some selectors need (executable, command line, control groups) is read when asked for, since each file costs a few µs
//! per process. A process that exits meanwhile is left out, or shows nothing; neither is an error.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use procfs::FromRead;
use procfs::process::Stat;

use super::namespaces;

/// Flag of kernel threads in field 9 of /proc/PID/stat, include/linux/sched.h.
const PF_KTHREAD: u32 = 0x0020_0000;
/// Flag of a thread that is ending there. It is set before the kernel tells of the exit (do_exit, kernel/exit.c), so that who does
/// not have it yet will still be told of.
const PF_EXITING: u32 = 0x0000_0004;

/// One process.
#[derive(Debug)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Process id of the parent; 0 for none.
    pub ppid: u32,
    /// When it started, clock ticks after boot; with the pid this tells a process from its successor.
    pub start_time: u64,
    /// Command name, 15 bytes at most.
    pub comm: String,
    directory: PathBuf,
    exe: OnceCell<Option<String>>,
    cmdline: OnceCell<String>,
    cgroups: OnceCell<Vec<String>>,
    network: OnceCell<Option<u64>>,
}

impl Process {
    /// Reads one process; `None` when there is none, or when it is about to end, a zombie, or a kernel thread.
    pub fn read(root: &Path, pid: u32) -> Option<Self> {
        let directory = root.join(pid.to_string());
        let stat = Stat::from_read(&contents(&directory.join("stat")).ok()?[..]).ok()?;
        if stat.flags & (PF_KTHREAD | PF_EXITING) != 0 || matches!(stat.state, 'Z' | 'X') {
            return None;
        }
        Some(Self {
            pid,
            ppid: u32::try_from(stat.ppid).unwrap_or(0),
            start_time: stat.starttime,
            comm: stat.comm,
            directory,
            exe: OnceCell::new(),
            cmdline: OnceCell::new(),
            cgroups: OnceCell::new(),
            network: OnceCell::new(),
        })
    }

    /// Its directory below the root.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file that it executes, as the process's own mount namespace names it; ` (deleted)` is cut off, because a service that
    /// was upgraded on disk is still the same service. `None` where it may not be read.
    pub fn exe(&self) -> Option<&str> {
        let read = || {
            let target = fs::read_link(self.directory.join("exe")).ok()?;
            let text = String::from_utf8_lossy(target.as_os_str().as_bytes()).into_owned();
            Some(text.strip_suffix(" (deleted)").map(str::to_owned).unwrap_or(text))
        };
        self.exe.get_or_init(read).as_deref()
    }

    /// Its arguments, joined by single blanks; empty where they may not be read.
    pub fn cmdline(&self) -> &str {
        self.cmdline.get_or_init(|| {
            let bytes = contents(&self.directory.join("cmdline")).unwrap_or_default();
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            String::from_utf8_lossy(&bytes[..end]).replace('\0', " ")
        })
    }

    /// Its control groups, one per hierarchy, without repetition.
    pub fn cgroups(&self) -> &[String] {
        self.cgroups.get_or_init(|| {
            let bytes = contents(&self.directory.join("cgroup")).unwrap_or_default();
            let mut groups: Vec<String> = Vec::new();
            for line in String::from_utf8_lossy(&bytes).lines() {
                // hierarchy:controllers:path, and the path may hold further colons.
                if let Some(path) = line.splitn(3, ':').nth(2)
                    && !groups.iter().any(|known| known == path)
                {
                    groups.push(path.to_owned());
                }
            }
            groups
        })
    }

    /// Inode of its network namespace; `None` where it may not be read.
    pub fn network(&self) -> Option<u64> {
        *self.network.get_or_init(|| namespaces::inode(&self.directory, "net"))
    }

    /// Inode of its user namespace; `None` where it may not be read.
    pub fn user(&self) -> Option<u64> {
        namespaces::inode(&self.directory, "user")
    }

    /// Whether the other one executes the same file; by command name where neither may be read.
    pub fn same_executable(&self, other: &Self) -> bool {
        match (self.exe(), other.exe()) {
            (Some(one), Some(two)) => one == two,
            (None, None) => self.comm == other.comm,
            _ => false,
        }
    }
}

/// Reads a file of /proc. `fs::read` asks for size and position first, in vain: 1 system call in 6 of a scan.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; 2048];
    let mut length = 0;
    loop {
        if length == bytes.len() {
            bytes.resize(2 * length, 0);
        }
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// The share of one CPU that a process has had since it started, in millionths; `uptime_ticks` is how long the host runs.
pub(super) fn load(root: &Path, pid: u32, uptime_ticks: u64) -> u64 {
    let Ok(bytes) = contents(&root.join(pid.to_string()).join("stat")) else { return 0 };
    let Ok(stat) = Stat::from_read(&bytes[..]) else { return 0 };
    let age = uptime_ticks.saturating_sub(stat.starttime).max(1);
    stat.utime.saturating_add(stat.stime).saturating_mul(1_000_000) / age
}

/// Reads all processes, by rising pid, except `skip`.
pub fn all(root: &Path, skip: u32) -> io::Result<Vec<Process>> {
    let mut pids: Vec<u32> = Vec::new();
    for entry in fs::read_dir(root)? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    pids.sort_unstable();
    Ok(pids.into_iter().filter(|pid| *pid != skip).filter_map(|pid| Process::read(root, pid)).collect())
}

/// Reads the named processes and, except `skip`, their ancestors: all of them, or those that execute the same file and the next one.
pub fn with_ancestors(root: &Path, pids: &[u32], skip: u32, all: bool) -> Vec<Process> {
    let mut processes: Vec<Process> = Vec::new();
    let mut known: HashMap<u32, usize> = HashMap::new();
    for pid in pids {
        let (mut next, mut child) = (*pid, None);
        let mut passed = HashSet::from([0, skip]);
        // Reading is no atomic act, and might show a cycle.
        while passed.insert(next) {
            let at = match known.get(&next) {
                Some(at) => *at,
                None => {
                    let Some(process) = Process::read(root, next) else { break };
                    known.insert(next, processes.len());
                    processes.push(process);
                    processes.len() - 1
                }
            };
            if !all && child.is_some_and(|child: usize| !processes[child].same_executable(&processes[at])) {
                break;
            }
            (next, child) = (processes[at].ppid, Some(at));
        }
    }
    processes
}

/// The process to which a thread belongs, if `tid` is a thread that is not itself a process.
pub fn process_of_thread(root: &Path, tid: u32) -> Option<u32> {
    let status = fs::read_to_string(root.join(tid.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok().filter(|process| *process != tid)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::*;

    #[test]
    fn reads_what_selectors_need() {
        let tree = Tree::new();
        tree.process(5_000_001, 1, "a) R (b c", "/usr/bin/python3.11 (deleted)");
        tree.write(5_000_001, "cmdline", "python3\0-m\0uvicorn\0app:app\0\0");
        tree.write(5_000_001, "cgroup", "3:cpu:/a:b\n1:name=systemd:/a:b\n0::/system.slice/x.service\n");
        let process = Process::read(tree.root(), 5_000_001).unwrap();
        assert_eq!((process.ppid, process.start_time, process.comm.as_str()), (1, 4_711, "a) R (b c"));
        assert_eq!(process.exe(), Some("/usr/bin/python3.11"));
        assert_eq!(process.cmdline(), "python3 -m uvicorn app:app");
        assert_eq!(process.cgroups(), ["/a:b", "/system.slice/x.service"]);
        assert_eq!(process.network(), Some(4_026_531_840));
    }

    #[test]
    fn long_files_are_read_whole() {
        let tree = Tree::new();
        for length in [0, 2047, 2048, 2049, 100_000] {
            tree.write(5_000_001, "cmdline", &"x".repeat(length));
            assert_eq!(contents(&tree.root().join("5000001/cmdline")).unwrap().len(), length);
        }
    }

    #[test]
    fn leaves_out_zombies_kernel_threads_and_the_skipped() {
        let tree = Tree::new();
        tree.process(5_000_001, 1, "sh", "/bin/sh");
        tree.process(5_000_002, 1, "self", "/bin/self");
        tree.stat(5_000_003, 1, "dead", 'Z', 0);
        tree.stat(5_000_004, 2, "kworker", 'S', PF_KTHREAD);
        tree.stat(5_000_005, 1, "ending", 'R', PF_EXITING);
        let pids: Vec<u32> = all(tree.root(), 5_000_002).unwrap().iter().map(|process| process.pid).collect();
        assert_eq!(pids, [5_000_001]);
        assert!(all(Path::new("/nonexistent"), 0).is_err());
    }

    #[test]
    fn ancestors_come_once_and_a_cycle_ends() {
        let tree = Tree::new();
        tree.process(5_000_001, 5_000_003, "a", "/a");
        tree.process(5_000_002, 5_000_001, "b", "/b");
        tree.process(5_000_003, 5_000_002, "c", "/c");
        assert_eq!(with_ancestors(tree.root(), &[5_000_002, 5_000_003], 0, true).len(), 3);
        assert_eq!(with_ancestors(tree.root(), &[5_000_009], 0, true).len(), 0);
    }

    #[test]
    fn ancestors_are_read_as_far_as_they_execute_the_same_file() {
        let tree = Tree::new();
        tree.process(5_000_001, 1, "init", "/init");
        tree.process(5_000_002, 5_000_001, "sh", "/sh");
        tree.process(5_000_003, 5_000_002, "a", "/a");
        tree.process(5_000_004, 5_000_003, "a", "/a");
        let read = |pids: &[u32], all| {
            with_ancestors(tree.root(), pids, 0, all).iter().map(|process| process.pid).collect::<Vec<_>>()
        };
        assert_eq!(read(&[5_000_004], false), [5_000_004, 5_000_003, 5_000_002]);
        // Also where another process was read on the way.
        assert_eq!(read(&[5_000_003, 5_000_004], false), [5_000_003, 5_000_002, 5_000_004]);
        assert_eq!(read(&[5_000_004], true), [5_000_004, 5_000_003, 5_000_002, 5_000_001]);
    }

    #[test]
    fn threads_lead_to_their_process() {
        let tree = Tree::new();
        tree.write(5_000_008, "status", "Name:\tx\nTgid:\t5000001\n");
        tree.write(5_000_001, "status", "Name:\tx\nTgid:\t5000001\n");
        assert_eq!(process_of_thread(tree.root(), 5_000_008), Some(5_000_001));
        assert_eq!(process_of_thread(tree.root(), 5_000_001), None);
    }
}
