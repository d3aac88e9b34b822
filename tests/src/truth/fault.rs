//! Page faults of known length: memory whose faults another thread answers after a planted delay (userfaultfd).
//!
//! In: a delay. Out: faults. In user mode only, which needs no privilege.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::{ptr, thread};

use crate::clock;

const PAGE: usize = 4096;
const UFFD_API: u64 = 0xaa;
const UFFD_USER_MODE_ONLY: libc::c_long = 1;
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFDIO_ZEROPAGE: libc::c_ulong = 0xc020_aa04;
const REGISTER_MODE_MISSING: u64 = 1;
const EVENT_PAGEFAULT: u8 = 0x12;
/// Bytes of a message, and where in it the address is.
const MESSAGE: usize = 32;
const ADDRESS: usize = 16;

/// One thread's faults, with a thread that answers them.
pub struct Faults {
    fd: OwnedFd,
}

impl Faults {
    /// Starts the thread that answers each fault after `delay_ns`.
    pub fn new(delay_ns: u64) -> io::Result<Self> {
        // SAFETY: userfaultfd takes one integer.
        let fd =
            unsafe { libc::syscall(libc::SYS_userfaultfd, libc::c_long::from(libc::O_CLOEXEC) | UFFD_USER_MODE_ONLY) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        control(&fd, UFFDIO_API, &mut [UFFD_API, 0, 0])?;
        let answering = fd.try_clone()?;
        thread::Builder::new().name("faults".into()).spawn(move || answer(&answering, delay_ns))?;
        Ok(Self { fd })
    }

    /// This many faults, one after another.
    pub fn fault(&self, count: u64) -> io::Result<()> {
        let length = count as usize * PAGE;
        if length == 0 {
            return Ok(());
        }
        let memory = map(length)?;
        let range = &mut [memory as u64, length as u64, REGISTER_MODE_MISSING, 0];
        let result = control(&self.fd, UFFDIO_REGISTER, range);
        if result.is_ok() {
            touch(memory, length);
        }
        // SAFETY: the range was mapped above and nobody else has it.
        unsafe { libc::munmap(memory.cast(), length) };
        result
    }
}

/// Touches fresh pages.
pub fn allocate(kib: u64) -> io::Result<()> {
    let length = kib as usize * 1024;
    if length > 0 {
        let memory = map(length)?;
        touch(memory, length);
        // SAFETY: the range was mapped above and nobody else has it.
        unsafe { libc::munmap(memory.cast(), length) };
    }
    Ok(())
}

fn map(length: usize) -> io::Result<*mut u8> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address that the kernel chooses.
    let memory = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(memory.cast()) }
}

fn touch(memory: *mut u8, length: usize) {
    for at in (0..length).step_by(PAGE) {
        // SAFETY: `at` lies within the mapping.
        unsafe { memory.add(at).write_volatile(1) };
    }
}

/// Answers faults until the process ends.
fn answer(fd: &OwnedFd, delay_ns: u64) {
    clock::no_timer_slack();
    let mut message = [0u8; MESSAGE];
    loop {
        // SAFETY: `message` is valid for its length.
        let count = unsafe { libc::read(fd.as_raw_fd(), message.as_mut_ptr().cast(), MESSAGE) };
        if count != MESSAGE as isize || message[0] != EVENT_PAGEFAULT {
            continue;
        }
        clock::sleep(delay_ns);
        let address = message[ADDRESS..].first_chunk::<8>().copied().map_or(0, u64::from_ne_bytes);
        let page = address & !(PAGE as u64 - 1);
        if let Err(error) = control(fd, UFFDIO_ZEROPAGE, &mut [page, PAGE as u64, 0, 0]) {
            eprintln!("truth-server: UFFDIO_ZEROPAGE: {error}");
        }
    }
}

fn control<const N: usize>(fd: &OwnedFd, request: libc::c_ulong, words: &mut [u64; N]) -> io::Result<()> {
    // SAFETY: `words` is as long as the request's number says (24 or 32 bytes).
    match unsafe { libc::ioctl(fd.as_raw_fd(), request, words.as_mut_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_as_long_as_planted() {
        let faults = Faults::new(3_000_000).unwrap();
        let start = clock::now();
        faults.fault(4).unwrap();
        let elapsed = clock::now() - start;
        assert!((12_000_000..60_000_000).contains(&elapsed), "{elapsed}");
        allocate(64).unwrap();
    }
}
