//! Block I/O: a known number of requests of known size to a loop device over a file, made by this test without the page cache.
//!
//! In: root, loop devices. Out: exact counts and bytes per operation, and device times within what the test itself measured. What the
//! loop device's worker asks of the disk below is that of a kernel thread: the service's if the control group is its alone.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use serde_json::Value;

const LOOP_SET_FD: u64 = 0x4C00;
const LOOP_CLR_FD: u64 = 0x4C01;
const LOOP_SET_DIRECT_IO: u64 = 0x4C08;
const LOOP_CTL_GET_FREE: u64 = 0x4C82;

const FILE_BYTES: u64 = 16 << 20;
const WRITES: u64 = 100;
const WRITE_BYTES: usize = 16 << 10;
const READS: u64 = 150;
const READ_BYTES: usize = 4 << 10;
/// A bucket of the probe's histograms is 1/16 wide.
const WIDTH: u64 = 16;

/// Memory as a device wants it.
struct Buffer {
    place: *mut u8,
    layout: Layout,
}

impl Buffer {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, 4096).unwrap();
        // SAFETY: the layout is not empty.
        let place = unsafe { alloc_zeroed(layout) };
        assert!(!place.is_null());
        Self { place, layout }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the memory is this long, initialised, and its own.
        unsafe { std::slice::from_raw_parts_mut(self.place, self.layout.size()) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.place, self.layout) }
    }
}

fn ioctl(file: &File, request: u64, argument: i32) -> i32 {
    // SAFETY: these requests take a number.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request, argument) };
    assert!(result >= 0, "ioctl {request:#x}: {}", io::Error::last_os_error());
    result
}

/// A loop device over a file of its own, gone when dropped.
struct Loop {
    device: File,
    number: String,
    path: PathBuf,
    _file: tempfile::NamedTempFile,
}

impl Loop {
    /// `None` where the kernel has no loop devices.
    fn new() -> Option<Self> {
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control").ok()?;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        // Real blocks below, so that a write is a write there too.
        io::Write::write_all(&mut file, &vec![1u8; FILE_BYTES as usize]).unwrap();
        file.as_file().sync_all().unwrap();
        let path = PathBuf::from(format!("/dev/loop{}", ioctl(&control, LOOP_CTL_GET_FREE, 0)));
        let device = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
        ioctl(&device, LOOP_SET_FD, file.as_file().as_raw_fd());
        let number = device.metadata().unwrap().rdev();
        let number = format!("{}:{}", libc::major(number), libc::minor(number));
        Some(Self { device, number, path, _file: file })
    }

    /// Writes and reads past every cache; gives how long the longest call took, and all of them, by operation.
    fn work(&self) -> [(u64, u64); 2] {
        let mut times = [(0, 0); 2];
        let mut timed = |operation: usize, call: &mut dyn FnMut()| {
            let began = Instant::now();
            call();
            let took = began.elapsed().as_nanos() as u64;
            let (longest, all) = times[operation];
            times[operation] = (took.max(longest), all + took);
        };
        let (mut written, mut read) = (Buffer::new(WRITE_BYTES), Buffer::new(READ_BYTES));
        for at in 0..WRITES {
            let place = at * WRITE_BYTES as u64;
            timed(1, &mut || self.device.write_all_at(written.bytes(), place).unwrap());
        }
        for at in 0..READS {
            let place = at * READ_BYTES as u64;
            timed(0, &mut || self.device.read_exact_at(read.bytes(), place).unwrap());
        }
        times
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        ioctl(&self.device, LOOP_CLR_FD, 0);
    }
}

/// The row of a device and an operation.
fn row<'a>(rows: &'a Value, device: &str, operation: &str) -> Option<&'a Value> {
    let mut rows = rows.as_array().expect("a table").iter();
    rows.find(|row| row["device"] == device && row["operation"] == operation)
}

fn recorder() -> Recorder {
    Recorder::new("io", &format!("pid:{}", std::process::id())).arg("--probes").arg("block_io")
}

fn check(row: &Value, requests: u64, bytes: u64, (longest, all): (u64, u64)) {
    println!("{row}; the calls took {longest} ns at most, {all} ns in all");
    assert_eq!((row["requests"].as_u64(), row["bytes"].as_u64()), (Some(requests), Some(bytes)));
    assert_eq!(row["errors"], 0);
    let of = |table: &str, field: &str| row[table][field].as_u64().unwrap_or_else(|| panic!("{table}.{field}"));
    assert_eq!((of("device_time", "count"), of("queue_time", "count")), (requests, requests));
    assert!(of("device_time", "min_ns") > 0);
    assert!(of("device_time", "max_ns") <= longest + longest / WIDTH + 1, "longer than the call");
    // Means are rounded.
    let both = of("device_time", "mean_ns") + of("queue_time", "mean_ns");
    assert!(both * requests <= all + 2 * requests, "{both} ns a request, longer than all calls");
}

fn assert_nothing_lost(report: &Report) {
    assert!(report.losses().is_empty(), "{:?}", report.losses());
}

#[test]
fn direct_reads_and_writes_are_counted_exactly() {
    counts_exactly(recorder());
}

/// A kernel where each program has its standby: what the one has done the other leaves.
#[test]
fn with_standbys_nothing_is_counted_twice() {
    counts_exactly(recorder().arg("--tuning=standby"));
}

fn counts_exactly(recorder: Recorder) {
    need_root();
    let Some(disk) = Loop::new() else { return println!("skipped: this kernel has no loop devices") };
    disk.work(); // before the window: counts nowhere
    let recording = recorder.start().unwrap();
    let times = disk.work();
    let report = recording.stop().unwrap();
    let rows = &report.service("io")["block_io"];
    let [read, write] = ["read", "write"].map(|operation| row(rows, &disk.number, operation).expect("a row"));
    check(read, READS, READS * READ_BYTES as u64, times[0]);
    check(write, WRITES, WRITES * WRITE_BYTES as u64, times[1]);
    assert_eq!(read["disk"].as_str(), disk.path.file_name().unwrap().to_str());
    assert_nothing_lost(&report);
}

#[test]
fn the_io_of_strangers_is_not_there() {
    need_root();
    let Some(disk) = Loop::new() else { return println!("skipped: this kernel has no loop devices") };
    let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let selector = format!("pid:{}", other.id());
    let recording = Recorder::new("idle", &selector).arg("--probes").arg("block_io").start().unwrap();
    disk.work();
    let report = recording.stop().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(report.service("idle")["block_io"], Value::Array(Vec::new()));
    assert_nothing_lost(&report);
}

#[test]
fn requests_beyond_the_table_are_in_the_ledger() {
    need_root();
    let Some(disk) = Loop::new() else { return println!("skipped: this kernel has no loop devices") };
    let recording = recorder().arg("--tuning=BLOCK_IO_IN_FLIGHT=2").start().unwrap();
    const AT_ONCE: u64 = 16;
    thread::scope(|scope| {
        for first in 0..AT_ONCE {
            let device = &disk.device;
            scope.spawn(move || {
                let mut read = Buffer::new(READ_BYTES);
                for at in 0..READS {
                    let place = (first * READS + at) % (FILE_BYTES / READ_BYTES as u64) * READ_BYTES as u64;
                    device.read_exact_at(read.bytes(), place).unwrap();
                }
            });
        }
    });
    let report = recording.stop().unwrap();
    let lost = report.lost("request_table_full", &[]);
    let read = row(&report.service("io")["block_io"], &disk.number, "read").expect("some fit");
    let counted = read["requests"].as_u64().unwrap();
    println!("{counted} counted, {lost} lost");
    // One that does not fit may be tried twice: when it is queued and when it is issued.
    assert!(counted > 0 && counted < AT_ONCE * READS && counted + lost >= AT_ONCE * READS, "{counted} and {lost}");
}

/// A control group for block I/O, with this process in it until it is dropped.
struct Group {
    directory: PathBuf,
    outside: PathBuf,
}

impl Group {
    /// `None` where such groups are not mounted.
    fn enter() -> Option<Self> {
        let outside = ["/sys/fs/cgroup/blkio", "/sys/fs/cgroup"].map(Path::new).into_iter();
        let outside = outside.map(|root| root.join("cgroup.procs")).find(|procs| {
            let root = procs.parent().unwrap_or(Path::new("/"));
            let unified = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
            procs.exists() && (root.ends_with("blkio") || unified.split_whitespace().any(|name| name == "io"))
        })?;
        let root = outside.parent()?;
        let _only_where_groups_are_unified = fs::write(root.join("cgroup.subtree_control"), "+io");
        let directory = root.join(format!("acgs-perf-test-{}", std::process::id()));
        fs::create_dir(&directory).ok()?;
        fs::write(directory.join("cgroup.procs"), "0").unwrap();
        Some(Self { directory, outside })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ends_anyway = fs::write(&self.outside, "0").and_then(|()| fs::remove_dir(&self.directory));
    }
}

/// The worker of a loop device asks for the service, in its control group.
fn through_a_kernel_thread(recorder: impl FnOnce(&Group) -> Recorder) -> Option<(Report, String)> {
    let (Some(group), Some(disk)) = (Group::enter(), Loop::new()) else {
        println!("skipped: this kernel has no loop devices, or no groups for block I/O are mounted");
        return None;
    };
    // SAFETY: the request takes a number.
    if unsafe { libc::ioctl(disk.device.as_raw_fd(), LOOP_SET_DIRECT_IO, 1) } != 0 {
        println!("skipped: the file system below takes no direct I/O: {}", io::Error::last_os_error());
        return None;
    }
    let below = fs::metadata(disk._file.path()).unwrap().dev();
    let recording = recorder(&group).start().unwrap();
    disk.work();
    let report = recording.stop().unwrap();
    Some((report, format!("{}:{}", libc::major(below), libc::minor(below))))
}

#[test]
fn a_kernel_thread_works_for_the_service_whose_group_it_is() {
    need_root();
    // The agent stays outside.
    let Some((report, below)) = through_a_kernel_thread(|group| recorder().in_group(group.outside.clone())) else {
        return;
    };
    let rows = &report.service("io")["block_io"];
    println!("{rows}");
    // The file may lie in pieces, but each request is one at least.
    let write = row(rows, &below, "write").expect("writes to the disk below");
    assert!(write["requests"].as_u64() >= Some(WRITES), "{write}");
    assert!(write["bytes"].as_u64() >= Some(WRITES * WRITE_BYTES as u64), "{write}");
    assert_nothing_lost(&report);
}

#[test]
fn a_kernel_thread_in_a_group_with_strangers_works_for_nobody() {
    need_root();
    let Some((report, below)) = through_a_kernel_thread(|_| recorder()) else { return };
    assert!(row(&report.service("io")["block_io"], &below, "write").is_none());
    let rows = &report.0["recording"]["block_io_not_attributable"];
    println!("{rows}");
    let write = row(rows, &below, "write").expect("writes of nobody");
    assert!(write["requests"].as_u64() >= Some(WRITES), "{write}");
    assert_nothing_lost(&report);
}
