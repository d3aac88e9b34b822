//! What is loaded into the kernel: programs and maps by id, and pins; and a word of a map, to be set to what it should never be.
//!
//! In: the running kernel. Out: sets to compare before and after.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_GET_NEXT_ID: libc::c_long = 11;
const MAP_GET_NEXT_ID: libc::c_long = 12;
const MAP_GET_FD_BY_ID: libc::c_long = 14;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// Words of the head of `bpf_map_info`: type, id, sizes, entries, flags; then the name.
const INFO_WORDS: usize = 6;

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

/// Sets an entry of eight bytes in an array map that the process `pid` has open.
pub fn set_word(pid: u32, map: &str, index: u32, value: i64) -> io::Result<()> {
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path())?;
        let Some(id) = text.lines().find_map(|line| line.strip_prefix("map_id:")?.trim().parse().ok()) else {
            continue;
        };
        let map_fd = open_map(id)?;
        if name(&map_fd)? != map {
            continue;
        }
        // map_fd, key, value, flags of union bpf_attr.
        let key_and_value = [&raw const index as u64, &raw const value as u64];
        let mut attribute = [map_fd.as_raw_fd() as u64, key_and_value[0], key_and_value[1], 0];
        return bpf(MAP_UPDATE_ELEM, &mut attribute).map(drop);
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("process {pid} has no map {map}")))
}

fn open_map(id: u32) -> io::Result<OwnedFd> {
    let descriptor = bpf(MAP_GET_FD_BY_ID, &mut [id, 0, 0])?;
    // SAFETY: the kernel has made it for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn name(map: &OwnedFd) -> io::Result<String> {
    let mut info = [0u32; INFO_WORDS + 4];
    // bpf_fd and info_len, then the address of the result.
    let mut attribute = [map.as_raw_fd() as u64 | (size_of_val(&info) as u64) << 32, &raw mut info as u64];
    bpf(OBJ_GET_INFO_BY_FD, &mut attribute)?;
    let bytes: Vec<u8> =
        info[INFO_WORDS..].iter().flat_map(|word| word.to_ne_bytes()).take_while(|b| *b != 0).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn bpf<T>(command: libc::c_long, attribute: &mut [T]) -> io::Result<i32> {
    // SAFETY: `attribute` is valid for reading and writing, its size is given, and what it points to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_mut_ptr(), size_of_val(attribute)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}
