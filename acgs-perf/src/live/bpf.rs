//! The calls of `bpf` for which there is nothing in a library, or something that needs more memory than it should.
//!
//! In: descriptors and what the kernel wants to know. Out: descriptors, or what it said. Layouts: `union bpf_attr` in the kernel's
//! include/uapi/linux/bpf.h.

use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;

use aya_obj::Function;
use aya_obj::generated::bpf_attach_type::BPF_TRACE_ITER;
use aya_obj::generated::bpf_prog_info;

const UPDATE_ELEMENT: libc::c_long = 2;
const LOAD_PROGRAM: libc::c_long = 5;
const TEST_RUN: libc::c_long = 10;
const INFO: libc::c_long = 15;
const OPEN_RAW_TRACEPOINT: libc::c_long = 17;
const LOAD_TYPES: libc::c_long = 18;
const FREEZE_MAP: libc::c_long = 22;
const CREATE_LINK: libc::c_long = 28;
const CREATE_ITERATOR: libc::c_long = 33;
/// `BPF_LOG_LEVEL1 | BPF_LOG_STATS`.
const LOG_LEVEL: u32 = 1 | 4;
/// What the verifier may say; it refuses where that is too short, up to Linux 6.3. Pages that it does not fill are not there.
const LOG_BYTES: usize = 16 << 20;

/// A program as the kernel takes it.
pub struct Load<'a> {
    /// Its name; the kernel keeps 15 bytes of it.
    pub name: &'a str,
    /// Its instructions, and what its functions are.
    pub function: &'a Function,
    /// Its licence, with the zero behind it.
    pub license: &'a std::ffi::CStr,
    /// `BPF_PROG_TYPE_…`.
    pub kind: u32,
    /// `BPF_TRACE_…`.
    pub attach_type: u32,
    /// What it is attached to: a type of the kernel's BTF; 0 for nothing.
    pub target: u32,
    /// The types of its object.
    pub types: Option<BorrowedFd<'a>>,
}

#[repr(C)]
struct LoadAttributes {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_len: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
    types: u32,
    function_info_len: u32,
    function_info: u64,
    function_info_count: u32,
    line_info_len: u32,
    line_info: u64,
    line_info_count: u32,
    target: u32,
    target_in: u32,
    relocation_count: u32,
}

/// Loads a program.
///
/// # Errors
/// What the kernel said, and what the verifier did.
pub fn load(load: &Load<'_>) -> Result<OwnedFd, (io::Error, String)> {
    let Function { instructions, func_info, func_info_rec_size, line_info, line_info_rec_size, .. } = load.function;
    let (functions, lines) = (func_info.func_info_bytes(), line_info.line_info_bytes());
    let mut name = [0; 16];
    name.iter_mut().take(15).zip(load.name.bytes()).for_each(|(to, from)| *to = from);
    // SAFETY: the structure consists of integers, for which zero is a value.
    let mut attributes = LoadAttributes {
        kind: load.kind,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: load.license.as_ptr() as u64,
        name,
        attach_type: load.attach_type,
        target: load.target,
        ..unsafe { zeroed() }
    };
    if let Some(types) = load.types {
        attributes.types = types.as_raw_fd() as u32;
        if *func_info_rec_size > 0 {
            attributes.function_info = functions.as_ptr() as u64;
            attributes.function_info_count = func_info.len() as u32;
            attributes.function_info_len = *func_info_rec_size as u32;
        }
        if *line_info_rec_size > 0 {
            attributes.line_info = lines.as_ptr() as u64;
            attributes.line_info_count = line_info.len() as u32;
            attributes.line_info_len = *line_info_rec_size as u32;
        }
    }
    open(LOAD_PROGRAM, &attributes).or_else(|_| {
        // Only then for what the verifier says: to say it takes it longer.
        let mut log = vec![0u8; LOG_BYTES];
        attributes.log_level = LOG_LEVEL;
        attributes.log_len = LOG_BYTES as u32;
        attributes.log = log.as_mut_ptr() as u64;
        open(LOAD_PROGRAM, &attributes).map_err(|error| (error, text(log)))
    })
}

/// Loads the types of an object.
///
/// # Errors
/// As [`load`].
pub fn load_types(types: &[u8]) -> Result<OwnedFd, (io::Error, String)> {
    #[repr(C)]
    struct Attributes {
        types: u64,
        log: u64,
        len: u32,
        log_len: u32,
        log_level: u32,
        padding: u32,
    }
    let mut attributes = Attributes {
        types: types.as_ptr() as u64,
        log: 0,
        len: types.len() as u32,
        log_len: 0,
        log_level: 0,
        padding: 0,
    };
    open(LOAD_TYPES, &attributes).or_else(|_| {
        let mut log = vec![0u8; LOG_BYTES];
        (attributes.log, attributes.log_len, attributes.log_level) = (log.as_mut_ptr() as u64, LOG_BYTES as u32, 1);
        open(LOAD_TYPES, &attributes).map_err(|error| (error, text(log)))
    })
}

/// What was written into a buffer, up to its first zero.
fn text(mut log: Vec<u8>) -> String {
    log.truncate(log.iter().position(|byte| *byte == 0).unwrap_or(log.len()));
    String::from_utf8_lossy(&log).into_owned()
}

/// Attaches a loaded program where it says itself; it is detached when the descriptor is closed.
///
/// # Errors
/// What the kernel said.
pub fn attach(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        name: u64,
        program: u32,
        padding: u32,
    }
    open(OPEN_RAW_TRACEPOINT, &Attributes { name: 0, program: program.as_raw_fd() as u32, padding: 0 })
}

/// Links an iterator to what it goes over: the objects that a map knows, or all of its kind.
///
/// # Errors
/// What the kernel said.
pub fn link_iterator(program: BorrowedFd<'_>, map: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        program: u32,
        target: u32,
        kind: u32,
        flags: u32,
        info: u64,
        info_len: u32,
        padding: u32,
    }
    let of_map = map.map(|map| map.as_raw_fd() as u32);
    let info = of_map.as_ref().map_or(0, |map| ptr::from_ref(map) as u64);
    let info_len = if of_map.is_some() { size_of::<u32>() as u32 } else { 0 };
    let (program, kind) = (program.as_raw_fd() as u32, BPF_TRACE_ITER as u32);
    open(CREATE_LINK, &Attributes { program, target: 0, kind, flags: 0, info, info_len, padding: 0 })
}

/// A file whose reading lets a linked iterator go over everything once.
///
/// # Errors
/// What the kernel said.
pub fn iterate(link: BorrowedFd<'_>) -> io::Result<File> {
    #[repr(C)]
    struct Attributes {
        link: u32,
        flags: u32,
    }
    open(CREATE_ITERATOR, &Attributes { link: link.as_raw_fd() as u32, flags: 0 }).map(File::from)
}

/// What the kernel tells of a program.
///
/// # Errors
/// What it said instead.
pub fn info(program: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    #[repr(C)]
    struct Attributes {
        of: u32,
        len: u32,
        info: u64,
    }
    // SAFETY: the structure consists of integers, for which zero is a value.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    let (of, len) = (program.as_raw_fd() as u32, size_of::<bpf_prog_info>() as u32);
    call(INFO, &Attributes { of, len, info: ptr::from_mut(&mut info) as u64 })?;
    Ok(info)
}

/// Runs a program at a raw tracepoint once, without arguments.
///
/// # Errors
/// What the kernel said.
pub fn test_run(program: BorrowedFd<'_>) -> io::Result<()> {
    // Of all that this takes, nothing else is wanted: ten more words.
    let attributes = [program.as_raw_fd() as u64, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    call(TEST_RUN, &attributes).map(drop)
}

/// Fills the only entry of an array.
///
/// # Errors
/// What the kernel said.
pub fn fill(map: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        map: u64,
        key: u64,
        value: u64,
        flags: u64,
    }
    let key = 0u32;
    let (key, value) = (ptr::from_ref(&key) as u64, value.as_ptr() as u64);
    call(UPDATE_ELEMENT, &Attributes { map: map.as_raw_fd() as u64, key, value, flags: 0 }).map(drop)
}

/// Makes a map one that nobody can write any more: the verifier takes what is in it for constants.
///
/// # Errors
/// What the kernel said.
pub fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    call(FREEZE_MAP, &[map.as_raw_fd() as u32]).map(drop)
}

/// A call that gives a descriptor.
fn open<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    // SAFETY: the kernel has just given this descriptor to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn call<T>(command: libc::c_long, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are laid out as the command wants them, and what they point to lives until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use aya_obj::generated::bpf_attr;

    use super::*;

    /// A structure of another size would be read beyond its end, or not to its end.
    #[test]
    fn attributes_are_where_the_kernel_looks_for_them() {
        assert_eq!(size_of::<LoadAttributes>(), 120);
        assert!(size_of::<LoadAttributes>() <= size_of::<bpf_attr>());
        // Offsets of union bpf_attr in Linux 6.1, by pahole.
        assert_eq!((offset_of!(LoadAttributes, name), offset_of!(LoadAttributes, attach_type)), (48, 68));
        assert_eq!((offset_of!(LoadAttributes, function_info), offset_of!(LoadAttributes, line_info)), (80, 96));
        assert_eq!((offset_of!(LoadAttributes, target), offset_of!(LoadAttributes, target_in)), (108, 112));
    }

    #[test]
    fn what_the_verifier_said_ends_with_a_zero() {
        assert_eq!(text(b"R1 invalid\n\0\0".to_vec()), "R1 invalid\n");
        assert_eq!(text(b"full".to_vec()), "full");
    }
}
