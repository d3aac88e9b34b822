//! What a process has loaded into the kernel, by id, and whether that is still there; and a word of a map, to be set to what it should
//! never be.
//!
//! In: a process that the test has started. Out: sets of ids. Others may load programs at the same time; nobody looks at theirs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::thread;
use std::time::Duration;

const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const MAP_GET_FD_BY_ID: libc::c_long = 14;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const LINK_GET_FD_BY_ID: libc::c_long = 30;
/// Words of the head of `bpf_map_info`: type, id, sizes, entries, flags; then the name.
const INFO_WORDS: usize = 6;
/// For how long the kernel may keep what nobody holds: so many looks, so far apart.
const GRACE_LOOKS: u32 = 60;
const GRACE_STEP: Duration = Duration::from_millis(50);

/// A program, a map or a link in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loaded {
    /// A program by its id.
    Program(u32),
    /// A map by its id.
    Map(u32),
    /// A link by its id.
    Link(u32),
}

/// What a process holds just now. Its descriptors change while it works: what is gone in between is left out.
pub fn loaded_by(pid: u32) -> BTreeSet<Loaded> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.flat_map(|text| text.lines().filter_map(line).collect::<Vec<_>>()).collect()
}

/// A line such as `map_id: 12`. A link names its program too.
fn line(text: &str) -> Option<Loaded> {
    let (key, id) = text.split_once(':')?;
    let id = id.trim().parse().ok()?;
    match key {
        "prog_id" => Some(Loaded::Program(id)),
        "map_id" => Some(Loaded::Map(id)),
        "link_id" => Some(Loaded::Link(id)),
        _ => None,
    }
}

/// Those of them that are still in the kernel after a while: it takes away what nobody holds any more once no CPU can be in it. Ids are given
/// out in order, so that none is soon another's.
pub fn still_there(loaded: &BTreeSet<Loaded>) -> io::Result<Vec<Loaded>> {
    for _ in 0..GRACE_LOOKS {
        if there_now(loaded)?.is_empty() {
            break;
        }
        thread::sleep(GRACE_STEP);
    }
    there_now(loaded)
}

fn there_now(loaded: &BTreeSet<Loaded>) -> io::Result<Vec<Loaded>> {
    let mut left = Vec::new();
    for one in loaded {
        let (command, id) = match one {
            Loaded::Program(id) => (PROG_GET_FD_BY_ID, id),
            Loaded::Map(id) => (MAP_GET_FD_BY_ID, id),
            Loaded::Link(id) => (LINK_GET_FD_BY_ID, id),
        };
        match bpf(command, &mut [*id, 0, 0]) {
            // SAFETY: the kernel has made the descriptor for us just now.
            Ok(descriptor) => drop(unsafe { OwnedFd::from_raw_fd(descriptor) }),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            Err(error) => return Err(error),
        }
        left.push(*one);
    }
    Ok(left)
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
