//! The probe `syscalls`: count, errors and latency per system call, and how long connections waited to be accepted.

use acgs_perf_common::maps::{
    ERRNOS as ERRNOS_IN_TABLE, ESTABLISHED, SYSCALL_SLOTS, SYSCALL_WORDS, syscall_slot_index,
};

use super::{MapSpec, ProbeSpec, Stop};
use crate::live::hooks::{Hook, chain};
use crate::live::maps::Maps;
use crate::sums::{Difference as _, Row, Section, Sections, Sums};

/// Records of system calls by number, laid out as the kernel side keeps them.
pub const CALLS: &str = "syscalls";
/// Failed calls, by number; a word for each errno.
pub const ERRNOS: &str = "errnos";

/// Pairs of system call and error that a service may have.
const ERRNOS_PER_SERVICE: u32 = 512;

/// These two hooks tax every system call on the host, so they are a probe of their own.
pub static PROBE: ProbeSpec = ProbeSpec {
    name: "syscalls",
    purpose: "count, errors and latency per system call; accept wait",
    hooks: &[
        Hook::new(&[chain!("sys_enter", "sys_enter_standby")]),
        Hook::new(&[chain!("sys_exit", "sys_exit_standby")]),
    ],
    default: true,
    needs: &[],
    global: Some("SYSCALLS_ACTIVE"),
    fields: None,
    maps: &[
        MapSpec { name: "SYSCALL_SLOT", entries: |s| syscall_slot_index(s.services, 0) },
        MapSpec { name: "SYSCALL_SLOTS_USED", entries: |s| s.services },
        MapSpec { name: "SYSCALL_OWNER", entries: |s| s.services * SYSCALL_SLOTS },
        MapSpec { name: "SYSCALL_CLAIMS", entries: |s| s.services * SYSCALL_SLOTS * 2 },
        MapSpec { name: "ERRNO", entries: |s| (s.services * ERRNOS_PER_SERVICE).min(ERRNOS_IN_TABLE) },
        MapSpec { name: "ESTABLISHED", entries: |s| s.if_active(ESTABLISHED) },
        MapSpec { name: "SYSCALL_RECORDS", entries: |s| s.services * SYSCALL_SLOTS * SYSCALL_WORDS },
    ],
    iterators: None,
    sockets: None,
    read,
    read_often: None,
    read_recording: None,
    tables: &[],
    others: &[],
    stop: Stop::ByCost,
};

fn read(maps: &Maps, service: u32, sections: &mut Sections) {
    let (owners, records) = (maps.array("SYSCALL_OWNER"), maps.array("SYSCALL_RECORDS"));
    let mut calls = Section::new();
    for slot in service * SYSCALL_SLOTS..(service + 1) * SYSCALL_SLOTS {
        let Some(nr) = owners.get(slot as usize).checked_sub(1) else { continue };
        let sums = records.sums([(slot * SYSCALL_WORDS) as usize].into_iter(), SYSCALL_WORDS as usize);
        // A call owns one slot, or two where CPUs raced for the first.
        calls.entry(vec![nr as u32]).or_default().sums.add(&sums);
    }
    sections.insert(CALLS.into(), calls);
    let mut errnos = Section::new();
    for &(key, count) in maps.entries::<u64, u64>("ERRNO", "errors of system calls").iter() {
        if (key >> 32) as u32 == service {
            let row: &mut Row = errnos.entry(vec![(key >> 16) as u32 & 0xffff]).or_default();
            row.sums.add(&Sums::sparse([(key as u32 & 0xffff, count as i64)]));
        }
    }
    sections.insert(ERRNOS.into(), errnos);
}
