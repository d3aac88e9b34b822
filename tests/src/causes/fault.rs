//! Page faults of known length: memory whose pages come late, by userfaultfd.
//!
//! In: how long a page shall take. Out: the calling thread blocked in a page fault for that long.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{ptr, thread};

use crate::clock;

const PAGE: usize = 4096;
const PAGES: usize = 64;
// <linux/userfaultfd.h>: the requests carry the size of their argument.
const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const UFFDIO_COPY: u64 = 0xc028_aa03;
const API: u64 = 0xaa;
const MODE_MISSING: u64 = 1;
const EVENT_PAGEFAULT: u8 = 0x12;

/// Memory whose pages come late.
pub struct Faults {
    memory: usize,
    next: AtomicUsize,
    delay_ns: Arc<AtomicU64>,
    one_at_a_time: Mutex<()>,
}

impl Faults {
    /// Maps the memory and starts the thread that serves its faults.
    pub fn new() -> io::Result<Self> {
        // SAFETY: userfaultfd takes flags only.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) } as i32;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        ioctl(fd, UFFDIO_API, &mut [API, 0, 0])?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let memory = unsafe { libc::mmap(ptr::null_mut(), PAGE * PAGES, protection, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = memory as usize;
        ioctl(fd, UFFDIO_REGISTER, &mut [memory as u64, (PAGE * PAGES) as u64, MODE_MISSING, 0])?;
        let delay_ns = Arc::new(AtomicU64::new(0));
        let delay = Arc::clone(&delay_ns);
        thread::spawn(move || {
            clock::no_timer_slack();
            while let Some(address) = next_fault(fd) {
                clock::sleep(delay.load(Ordering::Relaxed));
                let page = [7u8; PAGE];
                let at = address & !(PAGE as u64 - 1);
                let mut copy = [at, page.as_ptr() as u64, PAGE as u64, 0, 0];
                if let Err(error) = ioctl(fd, UFFDIO_COPY, &mut copy) {
                    eprintln!("UFFDIO_COPY: {error}");
                }
            }
        });
        Ok(Self { memory, next: AtomicUsize::new(0), delay_ns, one_at_a_time: Mutex::new(()) })
    }

    /// Touches a page that takes `ns` to come, and gives it back.
    pub fn touch(&self, ns: u64) {
        let _one = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        self.delay_ns.store(ns, Ordering::Relaxed);
        let page = (self.memory + self.next.fetch_add(1, Ordering::Relaxed) % PAGES * PAGE) as *mut u8;
        // SAFETY: the page lies within the mapping, which lives as long as the process; nothing else refers to it.
        unsafe {
            ptr::read_volatile(page);
            libc::madvise(page.cast(), PAGE, libc::MADV_DONTNEED);
        }
    }
}

fn ioctl<const WORDS: usize>(fd: i32, request: u64, words: &mut [u64; WORDS]) -> io::Result<()> {
    // SAFETY: each request's argument has the size that is part of its number, which is that of `words`.
    match unsafe { libc::ioctl(fd, request as libc::Ioctl, words.as_mut_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The address of the next fault; `None` when there is nothing more to read.
fn next_fault(fd: i32) -> Option<u64> {
    loop {
        // struct uffd_msg: an event number in the first byte; for a page fault flags and the address after 8 bytes.
        let mut message = [0u64; 4];
        // SAFETY: `message` has room for one message.
        let count = unsafe { libc::read(fd, message.as_mut_ptr().cast(), size_of_val(&message)) };
        if count != size_of_val(&message) as isize {
            return None;
        }
        if message[0].to_ne_bytes()[0] == EVENT_PAGEFAULT {
            return Some(message[2]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_as_long_as_it_was_told() {
        // Without the privilege, or on a kernel without userfaultfd, there is nothing to test.
        let faults = match Faults::new() {
            Ok(faults) => faults,
            Err(error) => return eprintln!("not tested: userfaultfd: {error}"),
        };
        for _ in 0..PAGES + 1 {
            let start = clock::now();
            faults.touch(2_000_000);
            assert!(clock::now() - start >= 2_000_000);
        }
    }
}
