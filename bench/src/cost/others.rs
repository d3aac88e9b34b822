//! Who else uses the CPUs while a run is on: processes that are not ours, and the host under a virtual machine.
//!
//! In: /proc. Out: their share of all CPU time between two moments. A run that others took part in says nothing about cost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Parent of all kernel threads; what they do is the machine's own, and partly caused by the run.
const KTHREADD: u32 = 2;

/// CPU time so far, in ticks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ticks {
    /// Of processes that are neither this one nor below it, nor the kernel's.
    others: u64,
    /// The same by name.
    names: BTreeMap<String, u64>,
    /// Taken by the host.
    stolen: u64,
    /// All time of all CPUs.
    total: u64,
}

struct Process {
    name: String,
    parent: u32,
    /// Its own and that of children it has waited for: so the sum over all processes stays when one ends.
    ticks: u64,
}

impl Ticks {
    /// Now; `own` is the process whose descendants are not counted.
    pub fn now(own: u32) -> Self {
        Self::read(Path::new("/proc"), own)
    }

    fn read(proc: &Path, own: u32) -> Self {
        let entries = fs::read_dir(proc).into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let processes: BTreeMap<u32, Process> = pids.filter_map(|pid| Some((pid, process(proc, pid)?))).collect();
        let is_own = |mut pid: u32| {
            let mut seen = BTreeSet::new();
            while pid != own && pid != KTHREADD && seen.insert(pid) {
                match processes.get(&pid) {
                    Some(process) => pid = process.parent,
                    None => return false,
                }
            }
            pid == own || pid == KTHREADD
        };
        let (mut others, mut names) = (0, BTreeMap::new());
        for (_, process) in processes.iter().filter(|(pid, _)| !is_own(**pid)) {
            others += process.ticks;
            *names.entry(process.name.clone()).or_default() += process.ticks;
        }
        let text = fs::read_to_string(proc.join("stat")).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        // user nice system idle iowait irq softirq steal
        let times: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
        Self { others, names, stolen: times.get(7).copied().unwrap_or(0), total: times.iter().sum() }
    }

    /// Percent of all CPU time that others used since then.
    pub fn percent_since(&self, before: &Self) -> f64 {
        let of = |now: u64, before: u64| now.saturating_sub(before) as f64;
        let taken = of(self.others, before.others) + of(self.stolen, before.stolen);
        taken / of(self.total, before.total).max(1.0) * 100.0
    }

    /// Who used most since then.
    pub fn busiest_since(&self, before: &Self) -> String {
        let used = |(name, now): (&String, &u64)| {
            (now.saturating_sub(before.names.get(name).copied().unwrap_or(0)), name.clone())
        };
        let host = (self.stolen.saturating_sub(before.stolen), "the host".to_owned());
        self.names.iter().map(used).chain([host]).max().map(|(_, name)| name).unwrap_or_default()
    }
}

fn process(proc: &Path, pid: u32) -> Option<Process> {
    let text = fs::read_to_string(stat(proc, pid)).ok()?;
    // The name is in parentheses and may have spaces; state, parent, … follow, and the times from the 12th word on.
    let (head, tail) = text.rsplit_once(") ")?;
    let words: Vec<&str> = tail.split(' ').collect();
    let name = head.split_once('(')?.1.to_owned();
    let ticks = words.get(11..15)?.iter().filter_map(|word| word.parse::<u64>().ok()).sum();
    Some(Process { name, parent: words.get(1)?.parse().ok()?, ticks })
}

fn stat(proc: &Path, pid: u32) -> PathBuf {
    proc.join(pid.to_string()).join("stat")
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let proc = Path::new("/proc");
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|child| process(proc, *child).is_some_and(|process| process.parent == pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, pid: u32, parent: u32, ticks: [u64; 4]) {
        let [a, b, c, d] = ticks;
        fs::create_dir_all(root.join(pid.to_string())).unwrap();
        let text = format!("{pid} (a b) c) S {parent} 9 9 0 -1 0 0 0 0 0 {a} {b} {c} {d} 20 0 1 0");
        fs::write(stat(root, pid), text).unwrap();
    }

    #[test]
    fn what_is_ours_and_the_kernels_is_not_counted() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, 1, 0, [1, 1, 0, 0]);
        put(root, 2, 0, [9, 9, 9, 9]);
        put(root, 3, 2, [9, 9, 0, 0]);
        put(root, 10, 1, [5, 5, 0, 0]);
        put(root, 11, 10, [7, 0, 0, 7]);
        put(root, 20, 1, [30, 10, 0, 0]);
        fs::write(root.join("stat"), "cpu  100 0 50 40 0 0 5 5 0 0\ncpu0 1\n").unwrap();
        let before = Ticks::read(root, 10);
        assert_eq!((before.others, before.stolen, before.total), (42, 5, 200));
        // Process 20 ended and was waited for by 1; 10 ticks more were stolen, 8 more used.
        fs::remove_dir_all(root.join("20")).unwrap();
        put(root, 1, 0, [1, 1, 35, 13]);
        fs::write(root.join("stat"), "cpu  150 0 50 80 0 0 5 15 0 0\ncpu0 1\n").unwrap();
        let after = Ticks::read(root, 10);
        assert_eq!(after.percent_since(&before), 18.0);
        assert_eq!(after.busiest_since(&before), "the host");
        put(root, 30, 1, [300, 0, 0, 0]);
        assert_eq!(Ticks::read(root, 10).busiest_since(&before), "a b) c");
    }
}
