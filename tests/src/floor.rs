//! The least that a program on a tracepoint can do, instruction by instruction: nothing, or what nobody who times requests can do
//! without.
//!
//! In: a tracepoint; for the informed ones the storage that the kernel keeps for each socket and each thread. Out: instructions, as
//! the kernel loads them. An informed program reads the clock and one word of what it would know of the socket and of the thread,
//! everybody's, and returns; it decides nothing and counts nothing.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const MAP_CREATE: libc::c_long = 0;
const BTF_LOAD: libc::c_long = 18;
const SK_STORAGE: u32 = 24;
const TASK_STORAGE: u32 = 29;
/// Memory for an entry is had when it is needed; the kernel demands it of these kinds.
const NO_PREALLOC: u32 = 1;

/// Helpers by their numbers in linux/bpf.h.
const KTIME_GET_NS: i32 = 5;
const SK_STORAGE_GET: i32 = 107;
const TASK_STORAGE_GET: i32 = 156;
const GET_CURRENT_TASK_BTF: i32 = 158;
/// Makes what is not there yet.
const CREATE: i32 = 1;

/// Types of a key and of a value, as the kernel asks of storage, in BTF. Its head: magic and version, length of the head; offset and
/// length of the types and of the names.
const HEAD: [u32; 6] = [0x0001_eb9f, 24, 0, 32, 32, 8];
/// Two integers: name, kind, size in bytes, in bits.
const TYPES: [[u32; 4]; 2] = [[1, 1 << 24, 4, 32], [5, 1 << 24, 8, 64]];
const NAMES: &[u8; 8] = b"\0key\0va\0";

/// Storage of sockets and of threads.
pub struct Storage {
    sockets: OwnedFd,
    threads: OwnedFd,
}

impl Storage {
    /// Empty.
    pub fn new() -> io::Result<Self> {
        let words = HEAD.iter().chain(TYPES.as_flattened());
        let types: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).chain(NAMES.iter().copied()).collect();
        let address = types.as_ptr() as u64;
        // btf, btf_log_buf, btf_size, btf_log_size, btf_log_level.
        let types_fd = bpf(BTF_LOAD, &[address as u32, (address >> 32) as u32, 0, 0, types.len() as u32, 0, 0, 0])?;
        let create = |kind| {
            // map_type, key_size, value_size, max_entries, map_flags; then inner_map_fd, numa_node, map_name, map_ifindex; btf_fd
            // and the two types.
            let mut attribute = [0; 16];
            attribute[..5].copy_from_slice(&[kind, 4, 8, 0, NO_PREALLOC]);
            attribute[12..15].copy_from_slice(&[types_fd.as_raw_fd() as u32, 1, 2]);
            bpf(MAP_CREATE, &attribute)
        };
        Ok(Self { sockets: create(SK_STORAGE)?, threads: create(TASK_STORAGE)? })
    }
}

/// Returns at once.
pub fn empty() -> Vec<u64> {
    vec![operation(0xb7, 0, 0, 0, 0), operation(0x95, 0, 0, 0, 0)]
}

/// For a tracepoint whose arguments or thread a request's clock needs; [`empty`] for the others.
pub fn informed(tracepoint: &str, storage: &Storage) -> Vec<u64> {
    let socket = |argument| look_up(SK_STORAGE_GET, &storage.sockets, &of_argument(argument));
    let thread = |argument| look_up(TASK_STORAGE_GET, &storage.threads, &of_argument(argument));
    let current = || {
        let whom = [operation(0x85, 0, 0, 0, GET_CURRENT_TASK_BTF), operation(0xbf, 2, 0, 0, 0)];
        look_up(TASK_STORAGE_GET, &storage.threads, &whom)
    };
    let needed = match tracepoint {
        "sk_data_ready" => socket(0),
        "sock_recv_length" | "sock_send_length" => [socket(0), current()].concat(),
        "sched_waking" => thread(0),
        "sched_switch" => [thread(1), thread(2)].concat(),
        "sys_enter" | "sys_exit" => current(),
        _ => return empty(),
    };
    // The arguments are kept over calls.
    let begin = vec![operation(0xbf, 6, 1, 0, 0), operation(0x85, 0, 0, 0, KTIME_GET_NS)];
    [begin, needed, empty()].concat()
}

/// The second argument of a call is one of the tracepoint's.
fn of_argument(number: i16) -> Vec<u64> {
    vec![operation(0x79, 2, 6, 8 * number, 0)]
}

/// Asks a map for the storage of `whom`, and reads its first word if there is one.
fn look_up(helper: i32, map: &OwnedFd, whom: &[u64]) -> Vec<u64> {
    let call = [
        operation(0x18, 1, 1, 0, map.as_raw_fd()),
        operation(0, 0, 0, 0, 0),
        operation(0xb7, 3, 0, 0, 0),
        operation(0xb7, 4, 0, 0, CREATE),
        operation(0x85, 0, 0, 0, helper),
        operation(0x15, 0, 0, 1, 0),
        operation(0x79, 1, 0, 0, 0),
    ];
    whom.iter().chain(&call).copied().collect()
}

/// One instruction: code, registers, offset, constant.
fn operation(code: u8, to: u8, from: u8, offset: i16, constant: i32) -> u64 {
    let registers = u64::from(to | from << 4);
    u64::from(code) | registers << 8 | u64::from(offset as u16) << 16 | u64::from(constant as u32) << 32
}

fn bpf(command: libc::c_long, attribute: &[u32]) -> io::Result<OwnedFd> {
    // SAFETY: `attribute` is valid for its size, which is given, and so is what it points to; neither command writes to it.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_ptr(), size_of_val(attribute)) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made `fd`, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_laid_out_as_the_kernel_reads_it() {
        assert_eq!(empty(), [0xb7, 0x95]);
        assert_eq!(operation(0x79, 2, 6, 8, 0), 0x0008_6279);
        assert_eq!(operation(0xb7, 4, 0, 0, -1), 0xffff_ffff_0000_04b7);
        assert_eq!((size_of_val(&TYPES), NAMES.len()), (HEAD[3] as usize, HEAD[5] as usize));
    }
}
