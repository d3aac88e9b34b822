//! The probe `memory`: page faults, stalls for memory, and the pressure that the kernel reports.
//!
//! In: what the kernel side has counted, and the kernel's own sums of pressure (`Documentation/accounting/psi.rst`): those of the control
//! groups that a service's processes are in, or the host's. Out: three sections, each a table of the report.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use acgs_perf_common::memory::{
    BUCKETS, COUNT, FAULTS, GROUPS, MemoryFields, OVER_RANGE, POWER, RECORD_WORDS, ROOT_GROUP, STALLS, SUM, TIME,
    fault_index, stall_base,
};

use super::{FieldsSpec, Iterators, MapSpec, ProbeSpec, Stop};
use crate::live::hooks::{Hook, Program, chain};
use crate::live::maps::Maps;
use crate::live::table::{Column, Histogram, Kind, Name, Scope, TableSpec};
use crate::sums::{Row, Section, Sections, Sums};

/// By kind.
pub const PAGE_FAULTS: &str = "page_faults";
/// By kind; words as in `acgs_perf_common::memory`.
pub const MEMORY_STALLS: &str = "memory_stalls";
/// By the number of the control group in two halves, and `some` or `full`; labelled with the path. The word is the time in ns since the
/// group was first seen. Gauges: the kernel's own sum in µs, and how often it was read, so that a row of no stall is one all the same.
pub const MEMORY_PRESSURE: &str = "memory_pressure";

const FAULT_NAMES: [&str; FAULTS] = ["minor", "major"];
const STALL_NAMES: [&str; STALLS] = ["direct_reclaim", "group_reclaim", "compaction"];
const PRESSURE_NAMES: [&str; 2] = ["some", "full"];
/// Label of the host.
const HOST: &str = "host";

/// A tracepoint that a kernel built without its feature does not have, and its standby.
macro_rules! optional {
    ($name:literal, $standby:literal) => {
        Hook::new(&[&[Program::tracepoint($name).where_it_exists(), Program::standby($standby, $name)]])
    };
}

/// Nothing of it runs at a fault, or for a request: only where threads begin and end, and where they stall.
pub static PROBE: ProbeSpec = ProbeSpec {
    name: "memory",
    purpose: "page faults, stalls for reclaim and compaction, memory pressure",
    hooks: &[
        Hook::new(&[chain!("memory_fork" at "sched_process_fork", "memory_fork_standby")]),
        Hook::new(&[chain!("memory_exit" at "sched_process_exit", "memory_exit_standby")]),
        // The end first: no stall begins whose end is not seen.
        Hook::new(&[chain!("mm_vmscan_direct_reclaim_end", "mm_vmscan_direct_reclaim_end_standby")]),
        Hook::new(&[chain!("mm_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_begin_standby")]),
        optional!("mm_vmscan_memcg_reclaim_end", "mm_vmscan_memcg_reclaim_end_standby"),
        optional!("mm_vmscan_memcg_reclaim_begin", "mm_vmscan_memcg_reclaim_begin_standby"),
        optional!("mm_compaction_end", "mm_compaction_end_standby"),
        optional!("mm_compaction_begin", "mm_compaction_begin_standby"),
    ],
    default: true,
    needs: &[],
    global: None,
    fields: Some(FieldsSpec { global: "MEMORY_FIELDS", names: MemoryFields::NAMES }),
    maps: &[
        MapSpec { name: "MEMORY_FAULTS", entries: |s| fault_index(s.services, 0) },
        MapSpec { name: "MEMORY_STALLS", entries: |s| stall_base(s.services, 0) },
        MapSpec { name: "MEMORY_GROUPS", entries: |s| s.services },
        MapSpec { name: "MEMORY_BEGAN", entries: |s| s.if_active(1) },
    ],
    iterators: Some(Iterators {
        begin: "memory_threads",
        refresh: Some("memory_threads"),
        settle: Some("memory_threads"),
    }),
    sockets: None,
    read,
    read_often: None,
    read_recording: None,
    tables: &[
        TableSpec {
            section: PAGE_FAULTS,
            title: "page faults",
            meaning: "Page faults of the service's threads by kind, most first",
            scope: Scope::Service,
            also_needs: None,
            names: &[Name { name: "kind", meaning: "minor, or major if a disk was waited for" }],
            row_names: |key, _| vec![name(key, &FAULT_NAMES)],
            columns: &[Column { name: "faults", meaning: "Page faults", kind: Kind::Count(0) }],
        },
        TableSpec {
            section: MEMORY_STALLS,
            title: "stalls",
            meaning: "Stalls of the service's threads for memory by kind, most first",
            scope: Scope::Service,
            also_needs: None,
            names: &[Name { name: "kind", meaning: "direct_reclaim, group_reclaim or compaction" }],
            row_names: |key, _| vec![name(key, &STALL_NAMES)],
            columns: &[
                Column { name: "stalls", meaning: "Stalls that ended", kind: Kind::Count(COUNT) },
                Column {
                    name: "time",
                    meaning: "How long each took",
                    kind: Kind::Distribution(Histogram {
                        first: TIME,
                        buckets: BUCKETS,
                        power: POWER,
                        over_range: OVER_RANGE,
                        sum: SUM,
                    }),
                },
            ],
        },
        TableSpec {
            section: MEMORY_PRESSURE,
            title: "pressure",
            meaning: "Time lost to a lack of memory in the service's control groups, or on the host, as the kernel sums it up",
            scope: Scope::Service,
            also_needs: None,
            names: &[
                Name { name: "of", meaning: "Path of the control group; host where it is the whole host" },
                Name { name: "kind", meaning: "some threads stalled, or full: all that were not idle" },
            ],
            row_names: |key, row| vec![row.label.clone(), name(&key[key.len().min(2)..], &PRESSURE_NAMES)],
            columns: &[Column { name: "stalled_ns", meaning: "Time stalled", kind: Kind::Time(0) }],
        },
    ],
    others: &[],
    stop: Stop::ByCost,
};

/// The last number of a key as a word.
fn name(key: &[u32], names: &[&str]) -> String {
    let found = key.first().and_then(|kind| names.get(*kind as usize));
    found.copied().unwrap_or("other").to_owned()
}

fn read(maps: &Maps, service: u32, sections: &mut Sections) {
    let faults = maps.array("MEMORY_FAULTS");
    let of_kind = |kind: u32| {
        let count = faults.get(fault_index(service, kind) as usize);
        (vec![kind], Row { sums: Sums::dense([count as i64]), ..Row::default() })
    };
    sections.insert(PAGE_FAULTS.into(), (0..FAULTS as u32).map(of_kind).collect());
    let stalls = maps.array("MEMORY_STALLS");
    let of_kind = |kind: u32| {
        let base = stall_base(service, kind) as usize;
        let sums = stalls.sums([base].into_iter(), RECORD_WORDS as usize);
        (sums.count(COUNT) > 0).then(|| (vec![kind], Row { sums, ..Row::default() }))
    };
    sections.insert(MEMORY_STALLS.into(), (0..STALLS as u32).filter_map(of_kind).collect());
    let before = sections.remove(MEMORY_PRESSURE).unwrap_or_default();
    sections.insert(MEMORY_PRESSURE.into(), pressure(maps, service, &before));
}

/// The pressure of the groups of a service; the host's too if a process is in the root group or in one that tells none.
fn pressure(maps: &Maps, service: u32, before: &Section) -> Section {
    let slots = maps.array("MEMORY_GROUPS");
    let unified = Unified::open(Path::new("/sys/fs/cgroup"));
    let (mut section, mut is_of_host) = (Section::new(), false);
    for slot in service as usize * GROUPS..(service as usize + 1) * GROUPS {
        let id = slots.get(slot);
        match unified.as_ref().filter(|_| id != 0 && id != ROOT_GROUP).map(|unified| unified.group(id)) {
            None => is_of_host |= id != 0,
            Some(Ok(group)) => match group.pressure() {
                Ok(text) => add(&mut section, before, id, &group.path, &text),
                Err(_) => is_of_host = true,
            },
            // It is gone, and its place is for another.
            Some(Err(_)) => slots.set(slot, 0),
        }
    }
    if is_of_host || section.is_empty() {
        match host_pressure(Path::new("/")) {
            Ok(text) => add(&mut section, before, ROOT_GROUP, HOST, &text),
            Err(error) => {
                maps.note(MEMORY_PRESSURE, format!("the kernel does not tell the pressure of memory: {error}"))
            }
        }
    }
    section
}

fn host_pressure(root: &Path) -> io::Result<String> {
    let file = root.join("proc/pressure/memory");
    fs::read_to_string(&file).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// Adds the rows of a group: what was there when it was first read is not the recording's.
fn add(section: &mut Section, before: &Section, id: u64, label: &str, text: &str) {
    for (kind, word) in (0..).zip(PRESSURE_NAMES) {
        let Some(total_us) = total(text, word) else { continue };
        let key = vec![id as u32, (id >> 32) as u32, kind];
        let last = before.get(&key);
        let [last_us, readings] =
            last.and_then(|row| <[u64; 2]>::try_from(row.latest.as_slice()).ok()).unwrap_or([total_us, 0]);
        let since = total_us.saturating_sub(last_us).saturating_mul(1_000) as i64;
        let sum = last.map_or(0, |row| row.sums.get(0)).saturating_add(since);
        let latest = vec![total_us, readings + 1];
        section.insert(key, Row { sums: Sums::dense([sum]), latest, label: label.to_owned() });
    }
}

/// The sum in µs of the line `some` or `full` of a file of pressure.
fn total(text: &str, kind: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
    line.split(' ').find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

/// The unified hierarchy of control groups, where it is mounted.
struct Unified {
    root: File,
    path: PathBuf,
}

/// What a kernel file handle of a control group looks like: `struct file_handle` with the type `FILEID_KERNFS`.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: u64,
}

const FILEID_KERNFS: i32 = 0xfe;

impl Unified {
    /// Finds it at the usual place, or beside the hierarchies of version 1.
    fn open(groups: &Path) -> Option<Self> {
        [groups.to_owned(), groups.join("unified")].into_iter().find_map(|path| {
            let root = File::open(&path).ok()?;
            is_unified(&root).then_some(Self { root, path })
        })
    }

    /// The group of this number; an error if there is none any more.
    fn group(&self, id: u64) -> io::Result<Group> {
        let mut handle = Handle { bytes: size_of::<u64>() as u32, kind: FILEID_KERNFS, id };
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let directory = self.root.as_raw_fd();
        // SAFETY: `handle` is laid out as the call wants it, and as long as it says.
        let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, directory, &raw mut handle, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it, and nobody else owns it.
        let directory = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let link = fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
        let path = link.strip_prefix(&self.path).unwrap_or(&link);
        Ok(Group { path: format!("/{}", path.display()), directory })
    }
}

fn is_unified(file: &File) -> bool {
    // SAFETY: all zeros are a valid value of these numbers.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `found` is valid for writing.
    let failed = unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut found) };
    failed == 0 && found.f_type == libc::CGROUP2_SUPER_MAGIC
}

/// A control group.
struct Group {
    path: String,
    directory: OwnedFd,
}

impl Group {
    fn pressure(&self) -> io::Result<String> {
        let name = c"memory.pressure".as_ptr();
        // SAFETY: the name ends with a zero.
        let fd = unsafe { libc::openat(self.directory.as_raw_fd(), name, libc::O_RDONLY | libc::O_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as in `Unified::group`.
        let mut file = unsafe { File::from_raw_fd(fd) };
        let mut text = String::new();
        file.read_to_string(&mut text).map(|_| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sums::{Difference as _, Key};

    const BEFORE: &str =
        "some avg10=0.12 avg60=0.00 avg300=0.06 total=1686553\nfull avg10=0.00 avg60=0.00 avg300=0.02 total=887032\n";
    const AFTER: &str =
        "some avg10=1.12 avg60=0.00 avg300=0.06 total=1686653\nfull avg10=0.00 avg60=0.00 avg300=0.02 total=887032\n";

    /// What a row says of the time between two readings.
    fn between(before: &Section, after: &Section) -> Vec<(String, String, u64)> {
        let mut rows = after.clone();
        rows.subtract(before);
        let names = |key: &Key, row: &Row| vec![row.label.clone(), name(&key[2..], &PRESSURE_NAMES)];
        let row = |(key, row): (&Key, &Row)| match names(key, row).as_slice() {
            [of, kind] => (of.clone(), kind.clone(), row.sums.count(0)),
            _ => panic!("two names"),
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn only_what_was_added_since_the_first_reading_counts_and_no_stall_is_a_row_too() {
        let mut first = Section::new();
        add(&mut first, &Section::new(), 1 << 33, "/a", BEFORE);
        let mut second = Section::new();
        add(&mut second, &first, 1 << 33, "/a", AFTER);
        let row = |kind: &str, ns| ("/a".to_owned(), kind.to_owned(), ns);
        assert_eq!(between(&first, &second), [row("some", 100_000), row("full", 0)]);
        let mut third = Section::new();
        add(&mut third, &second, 1 << 33, "/a", AFTER);
        assert_eq!(between(&second, &third), [row("some", 0), row("full", 0)]);
        assert_eq!(between(&first, &third), between(&first, &second));
    }

    #[test]
    fn a_line_that_is_not_there_is_no_row() {
        assert_eq!((total(BEFORE, "some"), total(BEFORE, "full")), (Some(1_686_553), Some(887_032)));
        let mut section = Section::new();
        // The CPU's has no line `full` in older kernels; and what is no pressure at all is none.
        add(&mut section, &Section::new(), ROOT_GROUP, HOST, "some avg10=0.00 total=5\n");
        add(&mut section, &Section::new(), ROOT_GROUP + 1, HOST, "something total=x");
        assert_eq!(section.keys().collect::<Vec<_>>(), [&vec![1, 0, 0]]);
    }

    #[test]
    fn the_host_tells_from_its_own_root_or_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let error = host_pressure(root.path()).unwrap_err().to_string();
        assert!(error.contains("proc/pressure/memory: No such file"), "{error}");
        fs::create_dir_all(root.path().join("proc/pressure")).unwrap();
        fs::write(root.path().join("proc/pressure/memory"), BEFORE).unwrap();
        assert_eq!(host_pressure(root.path()).unwrap(), BEFORE);
        assert!(Unified::open(root.path()).is_none(), "no hierarchy is mounted there");
    }
}
