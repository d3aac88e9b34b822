//! What a socket iterator tells: records, one behind the other.
//!
//! In: a linked iterator. Out: each [`Sighting`].

use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr;

use acgs_perf_common::fates::Sighting;

use super::bpf;

/// Bytes read at a time; the kernel has 32 KiB ready.
const CHUNK: usize = 32 << 10;

/// Lets a linked iterator go over everything once, and hands on what it tells.
///
/// # Errors
/// When the kernel refuses to.
pub fn read(link: BorrowedFd<'_>, mut each: impl FnMut(&Sighting)) -> io::Result<()> {
    let mut file = bpf::iterate(link)?;
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&chunk[..read]);
        let whole = bytes.len() / size_of::<Sighting>() * size_of::<Sighting>();
        bytes[..whole].chunks_exact(size_of::<Sighting>()).map(sighting).for_each(|seen| each(&seen));
        bytes.drain(..whole);
    }
}

/// A record from its bytes, of which there are enough.
fn sighting(bytes: &[u8]) -> Sighting {
    let mut seen = MaybeUninit::<Sighting>::zeroed();
    let len = bytes.len().min(size_of::<Sighting>());
    // SAFETY: no more bytes are copied than either has; a record consists of integers, which are valid for every bit pattern.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), seen.as_mut_ptr().cast::<u8>(), len);
        seen.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_its_bytes_say() {
        let seen = Sighting { arrived: 7, port: 80, drops: 3, ..Sighting::default() };
        // SAFETY: the record consists of integers without gaps.
        let bytes = unsafe { std::slice::from_raw_parts(ptr::from_ref(&seen).cast::<u8>(), size_of::<Sighting>()) };
        assert_eq!(sighting(bytes), seen);
    }
}
