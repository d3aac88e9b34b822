//! What is loaded into the kernel: programs and maps by id, and pins.
//!
//! In: the running kernel. Out: sets to compare before and after.

use std::collections::BTreeSet;
use std::fs;
use std::io;

const PROG_GET_NEXT_ID: libc::c_long = 11;
const MAP_GET_NEXT_ID: libc::c_long = 12;

/// Everything that is loaded just now, as `program 12`, `map 34`, `pin NAME`.
pub fn loaded() -> io::Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for (command, what) in [(PROG_GET_NEXT_ID, "program"), (MAP_GET_NEXT_ID, "map")] {
        let mut last = 0;
        while let Some(id) = next(command, last)? {
            all.insert(format!("{what} {id}"));
            last = id;
        }
    }
    if let Ok(entries) = fs::read_dir("/sys/fs/bpf") {
        all.extend(entries.flatten().map(|entry| format!("pin {}", entry.file_name().to_string_lossy())));
    }
    Ok(all)
}

fn next(command: libc::c_long, after: u32) -> io::Result<Option<u32>> {
    // start_id, next_id, open_flags of union bpf_attr.
    let mut attribute = [after, 0, 0];
    // SAFETY: `attribute` is valid for reading and writing, and its size is given.
    let status = unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_mut_ptr(), size_of_val(&attribute)) };
    if status == 0 {
        return Ok(Some(attribute[1]));
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        error => Err(error),
    }
}
