//! `vm-init`: the first process of a virtual machine of `cargo xtask test --vm`.
//!
//! In: `/plan`, one command per line: `NAME TAB SECONDS TAB PROGRAM [TAB ARGUMENT]…`. Out, on the console: each command's output
//! between `@@ begin NAME` and `@@ end NAME STATUS MILLISECONDS`, then `@@ kernel RELEASE TAINT` and, as the last line,
//! `@@ done`. Then the machine is switched off. It mounts what the tests need and brings the loopback device up.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Where the initial file system has the programs, as cargo lays them out.
const PROGRAMS: &str = "/acgs-perf/release";
/// (what, where, options); what is not compiled into a kernel is said and left out.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("devtmpfs", "/dev", ""),
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("debugfs", "/sys/kernel/debug", ""),
    ("bpf", "/sys/fs/bpf", "mode=700"),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("tmpfs", "/tmp", "mode=1777"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("tmpfs", "/run", "mode=755"),
];

fn main() {
    if std::process::id() != 1 {
        eprintln!("vm-init: this is the init of a virtual machine; run `cargo xtask test --vm`");
        std::process::exit(2);
    }
    match run() {
        Ok(()) => say("@@ done"),
        Err(error) => say(&format!("vm-init: {error:#}")),
    }
    // SAFETY: these take no pointers; the first process has nothing else to do.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    // Without a way to switch itself off the machine would wait for ever; the end of init is a panic, which ends it.
}

fn run() -> Result<()> {
    for (kind, place, options) in MOUNTS {
        if let Err(error) = mount(kind, place, options) {
            say(&format!("vm-init: cannot mount {kind} on {place}: {error}"));
        }
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("no /proc")?;
    say(&format!("@@ booted {}", release.trim()));
    loopback_up().context("bring the loopback device up")?;
    raise_limits();
    for line in fs::read_to_string("/plan").context("read /plan")?.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let [name, seconds, program, arguments @ ..] = words.as_slice() else { continue };
        let limit = Duration::from_secs(seconds.parse().with_context(|| format!("seconds in {line:?}"))?);
        let start = Instant::now();
        say(&format!("@@ begin {name}"));
        let status = step(program, arguments, limit);
        // The output may not have ended with a line end.
        say(&format!("\n@@ end {name} {status} {}", start.elapsed().as_millis()));
    }
    let tainted = fs::read_to_string("/proc/sys/kernel/tainted").unwrap_or_else(|error| error.to_string());
    say(&format!("@@ kernel {} {}", release.trim(), tainted.trim()));
    Ok(())
}

fn say(line: &str) {
    // A console that cannot be written is noticed outside, by what is missing.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

fn mount(kind: &str, place: &str, options: &str) -> Result<()> {
    fs::create_dir_all(place)?;
    let (kind, place, options) = (CString::new(kind)?, CString::new(place)?, CString::new(options)?);
    // SAFETY: all strings end with 0 and live through the call.
    let status = unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
    let error = io::Error::last_os_error();
    // A kernel may have mounted /dev by itself.
    ensure!(status == 0 || error.raw_os_error() == Some(libc::EBUSY), "{error}");
    Ok(())
}

fn loopback_up() -> io::Result<()> {
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
    // SAFETY: `request` is valid and names a device.
    let status = unsafe {
        libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCSIFFLAGS as _, ptr::from_ref(&request))
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What a host with services has: room for many files, and a long enough accept queue.
fn raise_limits() {
    for (file, value) in [("fs/nr_open", "1048576"), ("net/core/somaxconn", "4096"), ("vm/overcommit_memory", "1")] {
        // A kernel without it keeps its own default; a test that needs more says so itself.
        let _ = fs::write(format!("/proc/sys/{file}"), value);
    }
    if let Err(error) = acgs_perf_load::limits::raise_open_files() {
        say(&format!("vm-init: open files: {error}"));
    }
}

/// Runs one command; gives its exit code, or what else became of it in one word.
fn step(program: &str, arguments: &[&str], limit: Duration) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env_clear().current_dir("/tmp");
    command.envs([("PATH", PROGRAMS), ("HOME", "/tmp"), ("TMPDIR", "/tmp"), ("ACGS_PERF_VM", "1"), ("COLUMNS", "120")]);
    let child = match command.spawn() {
        Ok(child) => child.id() as libc::pid_t,
        Err(error) => {
            say(&format!("vm-init: cannot start {program}: {error}"));
            return "not-started".to_owned();
        }
    };
    let end = Instant::now() + limit;
    loop {
        match reap() {
            Some((pid, status)) if pid == child => return describe(status),
            // An orphan, which comes to the first process to be buried.
            Some(_) => {}
            None if Instant::now() > end => {
                // SAFETY: -1 means every process but this one: the test and what it started.
                unsafe { libc::kill(-1, libc::SIGKILL) };
                while reap().is_none_or(|(pid, _)| pid != child) {
                    thread::sleep(Duration::from_millis(10));
                }
                return format!("timeout-{}s", limit.as_secs());
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn reap() -> Option<(libc::pid_t, ExitStatus)> {
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    (pid > 0).then(|| (pid, ExitStatus::from_raw(status)))
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => format!("signal-{signal}"),
        (None, None) => "unknown".to_owned(),
    }
}
