//! What the host's CPUs do, as the kernel counts it for everybody: so one can tell a host that has no CPU left from a service that may
//! not use those that are idle.
//!
//! In: `/proc/stat`. Out: a section with a row for each CPU, in ns since boot; the kernel counts in ticks of 10 ms.

use std::fs;
use std::path::Path;

use super::table::{Column, Kind, Name, Scope, TableSpec};
use crate::sums::{Row, Section, Sums};

/// By CPU; words in the order of [`COLUMNS`].
pub const SECTION: &str = "host_cpu";
/// Ticks a second of `/proc/stat`, on every architecture that Linux has kept (`USER_HZ`).
const TICKS_PER_SECOND: i64 = 100;
const NS_PER_TICK: i64 = 1_000_000_000 / TICKS_PER_SECOND;
/// Where the columns stand in a line, from 0 behind the name: nice time counts as user time, interrupts as system time.
const IDLE: [usize; 1] = [3];
const USER: [usize; 2] = [0, 1];
const SYSTEM: [usize; 3] = [2, 5, 6];
const IO_WAIT: [usize; 1] = [4];
const STEAL: [usize; 1] = [7];

/// The table of the report.
pub const TABLE: TableSpec = TableSpec {
    section: SECTION,
    title: "CPUs of the host",
    meaning: "What the host's CPUs did, of whomever, to 10 ms; most idle first",
    scope: Scope::Recording,
    also_needs: None,
    names: &[Name { name: "cpu", meaning: "Number of the CPU" }],
    row_names: |key, _| vec![key.first().map(|cpu| format!("cpu{cpu}")).unwrap_or_default()],
    columns: COLUMNS,
};

const COLUMNS: &[Column] = &[
    Column { name: "idle_ns", meaning: "Had nothing to do", kind: Kind::Time(0) },
    Column { name: "user_ns", meaning: "Ran programs", kind: Kind::Time(1) },
    Column { name: "system_ns", meaning: "Ran the kernel, interrupts included", kind: Kind::Time(2) },
    Column { name: "io_wait_ns", meaning: "Had nothing to do while a thread waited for a disk", kind: Kind::Time(3) },
    Column { name: "steal_ns", meaning: "Was taken by the host of this virtual machine", kind: Kind::Time(4) },
];

/// What the CPUs have done so far; nothing where `proc` does not tell.
#[must_use]
pub fn rows(proc: &Path) -> Section {
    let text = fs::read_to_string(proc.join("stat")).unwrap_or_default();
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(Vec<u32>, Row)> {
    let (name, figures) = line.split_once(' ')?;
    let cpu = name.strip_prefix("cpu")?.parse().ok()?;
    let ticks: Vec<i64> = figures.split_whitespace().map_while(|figure| figure.parse().ok()).collect();
    let sum = |places: &[usize]| places.iter().filter_map(|at| ticks.get(*at)).sum::<i64>() * NS_PER_TICK;
    let sums = [sum(&IDLE), sum(&USER), sum(&SYSTEM), sum(&IO_WAIT), sum(&STEAL)];
    Some((vec![cpu], Row { sums: Sums::dense(sums), ..Row::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_has_its_times_and_the_sum_of_all_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let text =
            "cpu  30 3 30 300 9 3 3 12 0 0\ncpu0 10 1 10 100 3 1 1 4 0 0\ncpu11 20 2 20 200 6 2 2 8 0 0\nintr 5\n";
        fs::write(directory.path().join("stat"), text).unwrap();
        let rows = rows(directory.path());
        let times = |cpu: u32| {
            let sums = &rows[&vec![cpu]].sums;
            (0..5).map(|word| sums.count(word) / NS_PER_TICK as u64).collect::<Vec<_>>()
        };
        assert_eq!((times(0), times(11), rows.len()), (vec![100, 11, 12, 3, 4], vec![200, 22, 24, 6, 8], 2));
    }

    #[test]
    fn a_host_that_does_not_tell_has_none() {
        assert!(rows(Path::new("/nowhere")).is_empty());
    }
}
