//! A proc file system made by hand, for the tests of this module.
//!
//! In: processes and sockets. Out: a temporary directory with the files that the readers read. Use pids above 4194304, the
//! kernel's largest, so that none is the pid of the test itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A temporary tree, removed when dropped.
pub struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file of a process.
    pub fn write(&self, pid: u32, file: &str, text: &str) {
        let path = self.root().join(pid.to_string()).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a link of a process.
    pub fn link(&self, pid: u32, file: &str, target: &str) {
        let path = self.root().join(pid.to_string()).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Writes the stat file alone.
    pub fn stat(&self, pid: u32, ppid: u32, comm: &str, state: char, flags: u32) {
        let rest = "20 0 1 0 4711 0 0 0 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0";
        let text = format!("{pid} ({comm}) {state} {ppid} {pid} {pid} 0 -1 {flags} 0 0 0 0 0 0 0 0 {rest}\n");
        self.write(pid, "stat", &text);
    }

    /// Writes the stat file of a process that has run for so many ticks.
    pub fn cpu(&self, pid: u32, comm: &str, ticks: u64) {
        let rest = "20 0 1 0 4711 0 0 0 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0";
        let text = format!("{pid} ({comm}) S 0 {pid} {pid} 0 -1 4194304 0 0 0 0 {ticks} 0 0 0 {rest}\n");
        self.write(pid, "stat", &text);
    }

    /// The agent's own network and user namespace.
    pub fn own(&self, network: u64, user: u64) {
        let own = self.root().join("self/ns");
        fs::create_dir_all(&own).unwrap();
        symlink(format!("net:[{network}]"), own.join("net")).unwrap();
        symlink(format!("user:[{user}]"), own.join("user")).unwrap();
    }

    /// A process in the first network namespace.
    pub fn process(&self, pid: u32, ppid: u32, comm: &str, exe: &str) {
        self.process_in(pid, ppid, comm, exe, 4_026_531_840);
    }

    /// A process in this network namespace.
    pub fn process_in(&self, pid: u32, ppid: u32, comm: &str, exe: &str, network: u64) {
        self.stat(pid, ppid, comm, 'S', 0x0040_0000);
        self.link(pid, "exe", exe);
        self.link(pid, "ns/net", &format!("net:[{network}]"));
        self.write(pid, "cmdline", &format!("{exe}\0"));
        self.write(pid, "cgroup", "0::/\n");
        fs::create_dir_all(self.root().join(pid.to_string()).join("fd")).unwrap();
    }

    /// Gives a process a socket as descriptor `fd`.
    pub fn socket(&self, pid: u32, fd: u32, inode: u64) {
        self.link(pid, &format!("fd/{fd}"), &format!("socket:[{inode}]"));
    }

    /// Writes the table of TCP sockets on 127.0.0.1 as seen by a process: (port, state, inode).
    pub fn tcp(&self, pid: u32, sockets: &[(u16, u8, u64)]) {
        let mut text = String::from(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
        );
        for (slot, (port, state, inode)) in sockets.iter().enumerate() {
            let line = format!(
                "{slot:4}: 0100007F:{port:04X} 00000000:0000 {state:02X} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"
            );
            text.push_str(&line);
        }
        self.write(pid, "net/tcp", &text);
    }

    /// Writes the table of UNIX sockets as seen by a process: (flags, type, inode, path).
    pub fn unix(&self, pid: u32, sockets: &[(u32, u16, u64, &str)]) {
        let mut text = String::from("Num       RefCount Protocol Flags    Type St Inode Path\n");
        for (flags, kind, inode, path) in sockets {
            text.push_str(&format!("0000000000000000: 00000002 00000000 {flags:08X} {kind:04X} 01 {inode:5} {path}\n"));
        }
        self.write(pid, "net/unix", &text);
    }
}
