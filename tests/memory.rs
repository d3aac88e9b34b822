//! Memory: page faults whose number the kernel tells this test too, and stalls that a limit makes.
//!
//! In: root; a memory controller of control groups. Out: faults between what `getrusage` says of the time within the window and of
//! the time around it, nothing lost at the end of threads and processes; stalls of reclaim against the group's own counters; pressure
//! against the kernel's file.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::mem::zeroed;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::hostile::memory::Group;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use serde_json::Value;

const PAGE: usize = 4096;
const CHILDREN: u64 = 100;
const PAGES_OF_A_CHILD: usize = 200;
const THREADS: usize = 8;
const PAGES_OF_A_THREAD: usize = 500;
const FILE_PAGES: usize = 256;

/// Minor and major faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Faults {
    minor: u64,
    major: u64,
}

impl From<libc::rusage> for Faults {
    fn from(usage: libc::rusage) -> Self {
        Self { minor: usage.ru_minflt as u64, major: usage.ru_majflt as u64 }
    }
}

impl Faults {
    /// Of all threads of this process so far, those that have ended too.
    fn own() -> Self {
        // SAFETY: all zeros are valid.
        let mut usage = unsafe { zeroed() };
        // SAFETY: `usage` is valid for writing.
        assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) }, 0);
        Self::from(usage)
    }

    /// Of a child in all its life.
    fn of_child(pid: i32) -> Self {
        let mut status = 0;
        // SAFETY: all zeros are valid.
        let mut usage = unsafe { zeroed() };
        // SAFETY: both places are valid for writing.
        assert_eq!(unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) }, pid);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child ended with {status:#x}");
        Self::from(usage)
    }

    fn plus(self, other: Self) -> Self {
        Self { minor: self.minor + other.minor, major: self.major + other.major }
    }

    fn minus(self, other: Self) -> Self {
        Self { minor: self.minor - other.minor, major: self.major - other.major }
    }
}

/// Touches so many pages, each of which is a fault, and gives them back.
fn touch(pages: usize, file: Option<&File>) {
    let (flags, fd) =
        file.map_or((libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1), |file| (libc::MAP_SHARED, file.as_raw_fd()));
    // SAFETY: a new mapping, which touches no other memory.
    let place = unsafe { libc::mmap(std::ptr::null_mut(), pages * PAGE, libc::PROT_READ, flags, fd, 0) };
    assert_ne!(place, libc::MAP_FAILED);
    // One page at a time: no huge pages, and nothing read ahead. SAFETY: the mapping is this long.
    unsafe { libc::madvise(place, pages * PAGE, libc::MADV_NOHUGEPAGE) };
    // SAFETY: as above.
    unsafe { libc::madvise(place, pages * PAGE, libc::MADV_RANDOM) };
    for page in 0..pages {
        // SAFETY: within the mapping.
        unsafe { place.cast::<u8>().add(page * PAGE).read_volatile() };
    }
    // SAFETY: nobody has a reference into the mapping.
    assert_eq!(unsafe { libc::munmap(place, pages * PAGE) }, 0);
}

/// A child that does this and ends; between fork and end it makes only system calls.
fn child(work: impl FnOnce()) -> i32 {
    // SAFETY: the child only touches memory and makes system calls, whatever other threads were doing.
    match unsafe { libc::fork() } {
        0 => {
            work();
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) }
        }
        pid => {
            assert!(pid > 0);
            pid
        }
    }
}

fn recorder(name: &str, pid: u32) -> Recorder {
    Recorder::new(name, &format!("pid:{pid}")).arg("--probes").arg("memory")
}

/// The row of a kind; a row in which nothing was counted is absent.
fn row<'a>(rows: &'a Value, kind: &str) -> Option<&'a Value> {
    rows.as_array().expect("a table").iter().find(|row| row["kind"] == kind)
}

fn recorded(report: &Report, service: &str) -> Faults {
    let rows = &report.service(service)["page_faults"];
    let [minor, major] =
        ["minor", "major"].map(|kind| row(rows, kind).map_or(0, |row| row["faults"].as_u64().unwrap()));
    Faults { minor, major }
}

fn assert_nothing_lost(report: &Report) {
    assert!(report.losses().is_empty(), "{:?}", report.losses());
}

#[test]
fn no_fault_is_lost_at_the_end_of_threads_and_processes() {
    need_root();
    touch(PAGES_OF_A_THREAD, None); // before the window: counts nowhere
    let around = Faults::own();
    let recording = recorder("faults", std::process::id()).start().unwrap();
    let within = Faults::own();
    let mut of_children = Faults::default();
    for _ in 0..CHILDREN {
        let pid = child(|| touch(PAGES_OF_A_CHILD, None));
        of_children = of_children.plus(Faults::of_child(pid));
    }
    for _ in 0..THREADS {
        thread::spawn(|| touch(PAGES_OF_A_THREAD, None)).join().unwrap();
    }
    let within = Faults::own().minus(within);
    let report = recording.stop().unwrap();
    let around = Faults::own().minus(around);
    let found = recorded(&report, "faults");
    println!("{found:?} recorded; {of_children:?} of children; own {within:?} within, {around:?} around");
    assert!(of_children.minor >= CHILDREN * PAGES_OF_A_CHILD as u64);
    assert!(within.minor >= (THREADS * PAGES_OF_A_THREAD) as u64);
    let (least, most) = (of_children.plus(within), of_children.plus(around));
    assert!((least.minor..=most.minor).contains(&found.minor), "{found:?}, not {least:?} to {most:?}");
    assert!((least.major..=most.major).contains(&found.major), "{found:?}, not {least:?} to {most:?}");
    assert_nothing_lost(&report);
}

#[test]
#[expect(clippy::zombie_processes, reason = "it is waited for by its id, with what it used")]
fn a_process_that_joins_later_and_ends_before_the_next_reading_counts_from_its_begin() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let name = format!("late-{}", std::process::id());
    let program = directory.path().join(&name);
    if fs::copy("/bin/sleep", &program).is_err() {
        return println!("skipped: there is no sleep here");
    }
    let mut first = Command::new(&program).arg("60").spawn().unwrap();
    let mut within = Command::new(&program).arg("1").spawn().unwrap(); // it has all its faults before the window
    thread::sleep(Duration::from_millis(300));
    let recording = Recorder::new("late", &format!("comm:{name}")).arg("--probes").arg("memory").start().unwrap();
    within.wait().unwrap();
    // Started by a stranger: the agent takes it in when it has looked, some tenths of a second later.
    let late = Command::new(&program).arg("2").spawn().unwrap();
    let truth = Faults::of_child(late.id() as i32);
    let report = recording.stop().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let found = recorded(&report, "late");
    println!("{found:?} recorded; {truth:?} of the one that came late");
    // The one that was there before wakes and ends within the window.
    assert!((truth.minor..=truth.minor + 30).contains(&found.minor), "{found:?}, not {truth:?}");
    assert!(truth.minor > 30);
    assert_nothing_lost(&report);
}

#[test]
fn a_page_that_comes_from_disk_is_a_major_fault() {
    need_root();
    let mut file = tempfile::tempfile_in(std::env::current_dir().unwrap()).unwrap();
    file.write_all(&vec![1; FILE_PAGES * PAGE]).unwrap();
    file.sync_all().unwrap();
    let recording = recorder("disk", std::process::id()).start().unwrap();
    // SAFETY: the call takes numbers.
    assert_eq!(unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) }, 0);
    let truth = Faults::of_child(child(|| touch(FILE_PAGES, Some(&file))));
    let report = recording.stop().unwrap();
    let found = recorded(&report, "disk");
    println!("{found:?} recorded; {truth:?} of the child");
    if truth.major == 0 {
        return println!("skipped: what lies here is always in memory");
    }
    assert!(found.major >= truth.major && found.minor >= truth.minor);
    // This process may wait for a page of its own program.
    assert!(found.major <= truth.major + 8, "{found:?}, not {truth:?}");
    assert_nothing_lost(&report);
}

/// How often the kernel found the group at its limit.
fn times_at_limit(group: &Path) -> u64 {
    if let Ok(count) = fs::read_to_string(group.join("memory.failcnt")) {
        return count.trim().parse().unwrap();
    }
    let events = fs::read_to_string(group.join("memory.events")).unwrap();
    events.lines().find_map(|line| line.strip_prefix("max ")).unwrap().parse().unwrap()
}

/// The sum of a file of pressure in µs; `None` where the kernel keeps none.
fn pressure(file: &Path, kind: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(kind))?;
    line.rsplit_once("total=")?.1.parse().ok()
}

/// What was recorded of a child in a group of its own, and the truth about it.
struct Stalled {
    report: Report,
    /// How often the group was at its limit while the child worked, and how long that took.
    times: u64,
    took: u64,
    /// Whose pressure is to be found, and what it grew by in µs, around the recording.
    of: String,
    pressure_us: Option<u64>,
}

/// Has a child work in a group that has room for so many bytes. `None` where there are no such groups.
fn stalled(name: &str, room: u64, work: impl FnOnce()) -> Option<Stalled> {
    let group = Group::new(name).unwrap().or_else(|| {
        println!("skipped: no memory controller of control groups here");
        None
    })?;
    let directory = group.procs().parent().unwrap().to_owned();
    let procs = fs::OpenOptions::new().write(true).open(group.procs()).unwrap();
    let ((mut said, say), (hear, mut go)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
    let pid = child(|| {
        let mut byte = 0u8;
        // SAFETY: the descriptors are open, and each buffer is one byte.
        unsafe {
            libc::write(procs.as_raw_fd(), b"0".as_ptr().cast(), 1);
            libc::write(say.as_raw_fd(), b"i".as_ptr().cast(), 1);
            libc::read(hear.as_raw_fd(), (&raw mut byte).cast(), 1);
        }
        work();
    });
    drop(say);
    said.read_exact(&mut [0]).unwrap();
    group.limit(group.usage().unwrap() + room).unwrap();
    let own = directory.join("memory.pressure");
    let (file, of) = if own.exists() {
        (own, format!("/{}", directory.file_name().unwrap().to_string_lossy()))
    } else {
        ("/proc/pressure/memory".into(), "host".to_owned())
    };
    let pressure_before = pressure(&file, "some");
    let recording = recorder("stalls", pid as u32).start().unwrap();
    let (before, began) = (times_at_limit(&directory), Instant::now());
    go.write_all(b"g").unwrap();
    // It ends by itself, or because it wants more than there is.
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    let (times, took) = (times_at_limit(&directory) - before, began.elapsed().as_nanos() as u64);
    let report = recording.stop().unwrap();
    let pressure_us = pressure(&file, "some").zip(pressure_before).map(|(after, before)| after - before);
    Some(Stalled { report, times, took, of, pressure_us })
}

impl Stalled {
    fn check(&self) {
        let Self { report, times, took, of, pressure_us } = self;
        let (stalls, pressures) =
            (&report.service("stalls")["memory_stalls"], &report.service("stalls")["memory_pressure"]);
        println!("{times} times at the limit in {took} ns: {stalls}\n{pressures}, {pressure_us:?} us");
        let stall = row(stalls, "group_reclaim").expect("stalls");
        let count = stall["stalls"].as_u64().unwrap();
        assert!(*times > 0 && (1..=*times).contains(&count), "{count} stalls");
        assert_eq!(stall["time"]["count"], count);
        assert!(stall["time"]["min_ns"].as_u64() > Some(0));
        let sum = stall["time"]["mean_ns"].as_u64().unwrap() * count;
        assert!(sum <= took + count, "{sum} ns, longer than it all took");
        assert_nothing_lost(report);
        let Some(pressure_us) = pressure_us else {
            assert_eq!(pressures.as_array().map(Vec::len), Some(0));
            let notes = report.0["notes"].to_string();
            return assert!(notes.contains("pressure of memory"), "{notes}");
        };
        let rows = pressures.as_array().unwrap();
        let some = rows.iter().find(|row| row["of"] == *of && row["kind"] == "some").expect("a row");
        let stalled = some["stalled_ns"].as_u64().unwrap();
        assert!(stalled <= pressure_us * 1000, "{stalled} ns of {pressure_us} us");
        if of != "host" {
            // A group without any other process: what it lost, it lost in these stalls and at the end.
            assert!(stalled > 0 && rows.iter().all(|row| row["of"] == *of), "{rows:?}");
        }
    }
}

#[test]
fn a_group_at_its_limit_makes_room_before_it_goes_on() {
    need_root();
    let mut file = tempfile::tempfile_in(std::env::current_dir().unwrap()).unwrap();
    file.write_all(&vec![1; 64 << 20]).unwrap();
    file.sync_all().unwrap();
    // SAFETY: the call takes numbers.
    assert_eq!(unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) }, 0);
    let read_it_all = || {
        let mut buffer = [0u8; 64 << 10];
        // SAFETY: the buffer is as long as it says.
        while unsafe { libc::pread(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), offset()) } > 0 {}
    };
    let Some(stalled) = stalled("room", 8 << 20, read_it_all) else { return };
    if stalled.times == 0 {
        return println!("skipped: what lies here is always in memory");
    }
    stalled.check();
}

/// The next place in the file, for a child that may not allocate.
fn offset() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    NEXT.fetch_add(64 << 10, Ordering::Relaxed)
}

#[test]
fn a_process_that_wants_more_than_its_group_has_stalls_until_it_is_killed() {
    need_root();
    let Some(stalled) = stalled("killed", 4 << 20, || touch_for_writing(16 << 20)) else { return };
    stalled.check();
    // It had some room, each page of which was a fault, although its end came in the middle of one.
    let found = recorded(&stalled.report, "stalls");
    assert!(found.minor >= (3 << 20) / PAGE as u64, "{found:?}");
}

fn touch_for_writing(bytes: usize) {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, which touches no other memory.
    let place = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0) };
    assert_ne!(place, libc::MAP_FAILED);
    // SAFETY: the mapping is this long.
    unsafe { libc::madvise(place, bytes, libc::MADV_NOHUGEPAGE) };
    for page in 0..bytes / PAGE {
        // SAFETY: within the mapping.
        unsafe { place.cast::<u8>().add(page * PAGE).write_volatile(1) };
    }
}
