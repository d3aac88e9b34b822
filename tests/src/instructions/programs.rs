//! The kernel's own account of its programs: how often each ran, and how long.
//!
//! In: the programs that are loaded. Out: their names with two sums, which grow while `kernel.bpf_stats_enabled` is set. The
//! kernel keeps the first 15 letters of a name.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const PROG_GET_NEXT_ID: libc::c_long = 11;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// `struct bpf_prog_info` of linux/bpf.h as far as the number of runs, in 64-bit words.
const INFO_WORDS: usize = 26;
/// Words of it.
const NAME: usize = 8;
const RUN_TIME: usize = 24;
const RUNS: usize = 25;

/// Two sums of one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Runs.
    pub runs: u64,
    /// Time in all of them, in ns.
    pub time: u64,
}

/// A loaded program.
pub struct Program {
    /// Its name, as the kernel keeps it.
    pub name: String,
    fd: OwnedFd,
}

impl Program {
    /// What its account says now.
    pub fn account(&self) -> io::Result<Account> {
        let info = information(&self.fd)?;
        Ok(Account { runs: info[RUNS], time: info[RUN_TIME] })
    }
}

/// The ids of all programs.
pub fn ids() -> io::Result<BTreeSet<u32>> {
    let mut all = BTreeSet::new();
    let mut last = 0;
    loop {
        // start_id, next_id, open_flags of union bpf_attr.
        let mut attribute = [last, 0, 0];
        match bpf(PROG_GET_NEXT_ID, &mut attribute) {
            Ok(_) => last = attribute[1],
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(all),
            Err(error) => return Err(error),
        }
        all.insert(last);
    }
}

/// The programs that were not there `before`. A second program of a name gets a number.
pub fn since(before: &BTreeSet<u32>) -> io::Result<Vec<Program>> {
    let mut programs: Vec<Program> = Vec::new();
    for id in ids()?.difference(before) {
        // prog_id, next_id, open_flags.
        let fd = bpf(PROG_GET_FD_BY_ID, &mut [*id, 0, 0])?;
        // SAFETY: the kernel just made `fd`, and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let bytes: Vec<u8> = information(&fd)?[NAME..NAME + 2].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let name = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
        let alike = programs.iter().filter(|program| program.name.split('#').next() == Some(&name)).count();
        let name = if alike == 0 { name } else { format!("{name}#{}", alike + 1) };
        programs.push(Program { name, fd });
    }
    Ok(programs)
}

/// Has the kernel keep the account, or not.
pub fn keep_account(on: bool) -> io::Result<()> {
    fs::write(SWITCH, if on { "1" } else { "0" })
}

fn information(fd: &OwnedFd) -> io::Result<[u64; INFO_WORDS]> {
    let mut info = [0; INFO_WORDS];
    let address = info.as_mut_ptr() as u64;
    // bpf_fd, info_len, info.
    let length = size_of_val(&info) as u32;
    bpf(OBJ_GET_INFO_BY_FD, &mut [fd.as_raw_fd() as u32, length, address as u32, (address >> 32) as u32])?;
    Ok(info)
}

fn bpf(command: libc::c_long, attribute: &mut [u32]) -> io::Result<i32> {
    // SAFETY: `attribute` is valid for reading and writing for its length, which is given; so is what it points to.
    let status = unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_mut_ptr(), size_of_val(attribute)) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status as i32) }
}
