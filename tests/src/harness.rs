//! Services under test: started on a free loopback port, ended by pid when dropped.
//!
//! In: a command line. Out: a running service with its port and pid; its output when it fails to start.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::signal;

/// A port that nobody listens on just now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The directory that cargo builds into: this program is `<target>/<profile>/deps/NAME` or `<target>/<profile>/NAME`.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let up = if program.parent().is_some_and(|parent| parent.ends_with("deps")) { 3 } else { 2 };
    program.ancestors().nth(up).map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

/// A program of these tests, built beside this one.
pub fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    let directory = this.parent().unwrap_or(Path::new(""));
    let directory = if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    directory.join(name)
}

/// A file that comes with the tests.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A program of the tests' Python environment.
pub fn python(name: &str) -> Result<PathBuf> {
    let path = target().join("venv/bin").join(name);
    ensure!(path.exists(), "{} is missing; run `cargo xtask setup --tests`", path.display());
    Ok(path)
}

/// A program of the tests' Node packages.
pub fn node(name: &str) -> Result<PathBuf> {
    let path = target().join("node/node_modules/.bin").join(name);
    ensure!(path.exists(), "{} is missing; run `cargo xtask setup --tests`", path.display());
    Ok(path)
}

/// Fails without root: a ring that needs root must not pass by doing nothing.
pub fn need_root() {
    // SAFETY: geteuid takes no argument and cannot fail.
    let user = unsafe { libc::geteuid() };
    assert_eq!(user, 0, "this ring needs root: run `cargo xtask test` as root");
}

/// Whether the tests that need a program which few have are wanted.
pub fn is_long() -> bool {
    let is_long = std::env::var_os("ACGS_PERF_LONG").is_some();
    if !is_long {
        println!("only with ACGS_PERF_LONG");
    }
    is_long
}

/// How often something is repeated that goes wrong rarely, if at all.
pub fn times(short: u32, long: u32) -> u32 {
    if std::env::var_os("ACGS_PERF_LONG").is_some() { long } else { short }
}

/// PHP-FPM, which Debian calls by its version.
pub fn php_fpm() -> Result<PathBuf> {
    let entries = fs::read_dir("/usr/sbin").context("read /usr/sbin")?;
    let mut programs: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    programs.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm")));
    programs.sort();
    programs.pop().context("PHP-FPM is missing; run `cargo xtask setup --tests`")
}

/// Builds a fixture in Go into a directory; the program.
pub fn build_go(name: &str, directory: &Path) -> Result<PathBuf> {
    let program = directory.join("program");
    let mut build = Command::new("go");
    build.env("GO111MODULE", "off").env("HOME", directory).args(["build", "-o"]).arg(&program);
    run(build.arg(fixture(name))).context("needs `apt-get install golang-go`")?;
    Ok(program)
}

/// A running service.
pub struct Service {
    child: Child,
    ending: i32,
    /// Where it listens.
    pub port: u16,
    /// A directory of its own, gone when the service is.
    pub directory: TempDir,
}

impl Service {
    /// Starts a program that listens on `port`, and waits until it does.
    pub fn start(command: &mut Command, port: u16) -> Result<Self> {
        Self::start_in(command, port, tempfile::tempdir()?)
    }

    /// The same with a directory that was prepared before.
    pub fn start_in(command: &mut Command, port: u16, directory: TempDir) -> Result<Self> {
        let output = directory.path().join("service-output");
        let file = File::create(&output)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        let mut service = Self { child, ending: libc::SIGTERM, port, directory };
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(service.address()).is_err() {
            if let Some(status) = service.child.try_wait()? {
                bail!("{:?} ended: {status}\n{}", command.get_program(), fs::read_to_string(&output)?);
            }
            if Instant::now() > end {
                bail!("nobody listens on {port} after 20 s\n{}", fs::read_to_string(&output)?);
            }
            thread::sleep(Duration::from_millis(20));
        }
        // The service is done with the connection that asked.
        thread::sleep(Duration::from_millis(100));
        Ok(service)
    }

    /// Starts a program that listens on a UNIX socket, and waits until it does.
    pub fn start_on(command: &mut Command, path: &Path) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let child =
            command.stdin(Stdio::null()).spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        let service = Self { child, ending: libc::SIGTERM, port: 0, directory };
        let end = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(path).is_err() {
            ensure!(Instant::now() < end, "nobody listens on {} after 20 s", path.display());
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(100));
        Ok(service)
    }

    /// Starts the truth server, which chooses its port itself.
    pub fn truth(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<Self> {
        Self::truth_with(program, arguments, |command| command)
    }

    /// The same; `prepare` changes how it is started.
    pub fn truth_with(
        program: impl AsRef<OsStr>,
        arguments: &[&str],
        prepare: fn(&mut Command) -> &mut Command,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(program);
        command.args(arguments).arg("--log").arg(directory.path().join("log"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = prepare(&mut command).spawn().context("start the truth server")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let mut service = Self { child, ending: libc::SIGTERM, port: 0, directory };
        service.port = line.trim().strip_prefix("listening ").context("no port")?.parse()?;
        Ok(service)
    }

    /// The signal that ends this service; SIGTERM unless this is called.
    pub fn ends_on(mut self, signal: i32) -> Self {
        self.ending = signal;
        self
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to its first process.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        signal::send(&self.child, signal)
    }

    /// Ends it, waits, and gives back its directory.
    pub fn stop(mut self) -> Result<(ExitStatus, TempDir)> {
        signal::send(&self.child, self.ending)?;
        let status = wait(&mut self.child, Duration::from_secs(10))?.context("the service does not end")?;
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir()?);
        Ok((status, directory))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        end(&mut self.child, self.ending);
    }
}

/// Ends a child: by the signal, and by SIGKILL when that does not help.
pub fn end(child: &mut Child, signal: i32) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    // Errors mean that it is gone already.
    let _ = signal::send(child, signal);
    if !matches!(wait(child, Duration::from_secs(5)), Ok(Some(_))) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Waits for a child for a bounded time.
pub fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            None if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            status => return Ok(status),
        }
    }
}

/// Runs a load tool to its end and gives its standard output.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {:?}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?}: {}\n{text}{errors}", command.get_program(), output.status);
    Ok(text)
}

/// The same for a bounded time. Load tools print less than a pipe holds.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.with_context(|| format!("start {name}"))?;
    if wait(&mut child, limit)?.is_none() {
        let _ = child.kill();
        let _ = child.wait();
        bail!("{name} does not end within {limit:?}");
    }
    let output = child.wait_with_output()?;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{name}: {}: {} {}", output.status, text.trim(), errors.trim());
    Ok(text.into_owned())
}
