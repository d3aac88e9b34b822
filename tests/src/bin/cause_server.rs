//! `cause-server`: an HTTP/1.1 service with one thread per connection whose requests are slow in one known way each, and the
//! slow backend of other services. Prints `listening PORT`; ends on SIGTERM.
//!
//! In: GET of `/ok`, or of a way and the ms it takes: `/sleep/40`, `/spin/40`, `/fsync/40`, `/pread/40`, `/hold/40` (of the
//! lock that `/locked` takes), `/fault/40`. Out: a small reply to each; with a directory, a fault's own measure.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use acgs_perf_load::random::Random;
use acgs_perf_tests::causes::fault::Faults;
use acgs_perf_tests::causes::measure::Measure;
use acgs_perf_tests::{clock, signal};
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
const PAGE: usize = 4096;
const PAGES: u64 = 8192;

/// An HTTP service that is slow in known ways.
#[derive(Parser)]
struct Cli {
    /// 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// On a disk, for `fsync` and `pread`.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Serve `/fault`, which needs userfaultfd.
    #[arg(long)]
    faults: bool,
}

#[derive(Default)]
struct Shared {
    lock: Mutex<()>,
    directory: Option<PathBuf>,
    file: Option<File>,
    faults: Option<Faults>,
}

/// A buffer as O_DIRECT wants it.
#[repr(align(4096))]
struct Block([u8; PAGE]);

fn main() -> Result<()> {
    let cli = Cli::parse();
    signal::on_sigterm(|| 0)?;
    let mut shared = Shared { directory: cli.directory, ..Shared::default() };
    if let Some(directory) = &shared.directory {
        shared.file = Some(direct(directory).context("a file for O_DIRECT")?);
    }
    if cli.faults {
        shared.faults = Some(Faults::new().context("userfaultfd")?);
    }
    let (listener, shared) = (TcpListener::bind(("127.0.0.1", cli.port))?, Arc::new(shared));
    println!("listening {}", listener.local_addr()?.port());
    for seed in 1.. {
        let (stream, _) = listener.accept()?;
        let shared = Arc::clone(&shared);
        thread::spawn(move || serve(stream, &shared, seed));
    }
    Ok(())
}

/// A file of 32 MiB without a name, open for O_DIRECT.
fn direct(directory: &Path) -> Result<File> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    for _ in 0..PAGES {
        file.write_all(&[7; PAGE])?;
    }
    file.as_file().sync_all()?;
    let mut options = OpenOptions::new();
    Ok(options.read(true).custom_flags(libc::O_DIRECT).open(file.path())?)
}

fn serve(mut stream: TcpStream, shared: &Shared, seed: u64) -> Result<()> {
    stream.set_nodelay(true)?;
    clock::no_timer_slack();
    let (mut random, mut bytes, mut buffer) = (Random::new(seed), Vec::new(), [0; PAGE]);
    loop {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0 && bytes.len() < 16 * PAGE, "the client is gone, or sends no request");
        bytes.extend_from_slice(&buffer[..count]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = request.parse(&bytes)? else { continue };
        let done = handle(request.path.unwrap_or("/"), shared, &mut random);
        let close = request.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("connection") && header.value.eq_ignore_ascii_case(b"close")
        });
        bytes.drain(..length);
        if let Err(error) = &done {
            eprintln!("cause-server: {error:#}");
        }
        stream.write_all(if done.is_ok() { REPLY } else { NOT_FOUND })?;
        if close {
            return Ok(());
        }
    }
}

fn handle(path: &str, shared: &Shared, random: &mut Random) -> Result<()> {
    let (name, ms) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), "0"));
    let ns = ms.parse::<u64>().context("ms")?.min(1000) * 1_000_000;
    // Those that are many and short measure nothing.
    let directory = shared.directory.as_deref().filter(|_| ns > 0);
    Measure::around(directory, name, || act(name, ns, shared, random))?
}

fn act(name: &str, ns: u64, shared: &Shared, random: &mut Random) -> Result<()> {
    match name {
        "ok" => {}
        "sleep" => clock::sleep(ns),
        "spin" => clock::spin(ns),
        "hold" => {
            let _held = shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
            clock::sleep(ns);
        }
        "locked" => drop(shared.lock.lock().unwrap_or_else(PoisonError::into_inner)),
        "fsync" => fsync(shared.directory.as_deref().context("no --directory")?, ns)?,
        "pread" => pread(shared.file.as_ref().context("no --directory")?, ns, random)?,
        "fault" => shared.faults.as_ref().context("no --faults")?.touch(ns),
        _ => bail!("no path /{name}"),
    }
    Ok(())
}

fn fsync(directory: &Path, ns: u64) -> Result<()> {
    let mut file = tempfile::tempfile_in(directory)?;
    let end = clock::now() + ns;
    while clock::now() < end {
        file.write_all(&[7; 4 * PAGE])?;
        file.sync_all()?;
    }
    Ok(())
}

fn pread(file: &File, ns: u64, random: &mut Random) -> Result<()> {
    let mut block = Block([0; PAGE]);
    let end = clock::now() + ns;
    while clock::now() < end {
        let page = (random.uniform() * PAGES as f64) as i64;
        // SAFETY: `block` has room for a page.
        let count = unsafe { libc::pread(file.as_raw_fd(), block.0.as_mut_ptr().cast(), PAGE, page * PAGE as i64) };
        ensure!(count == PAGE as isize, "pread: {count} {}", std::io::Error::last_os_error());
    }
    Ok(())
}
