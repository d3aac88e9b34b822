//! A read with what the kernel says beside the bytes: control messages, and the times in them.
//!
//! In: a socket, room for the bytes. Out: how many came, and each control message to whoever asked.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::{mem, ptr, slice};

/// Room for the messages of one read: three times and an error with its address.
const ROOM: usize = 256;

#[repr(align(8))]
struct Room([u8; ROOM]);

/// Sets an integer option of a socket.
pub fn set(socket: impl AsFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` is valid for its size.
    match unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, ptr::from_ref(&value).cast(), size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reads once; `each` is given the level, the type and the data of each control message.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    flags: libc::c_int,
    mut each: impl FnMut(libc::c_int, libc::c_int, &[u8]),
) -> io::Result<usize> {
    let mut room = Room([0; ROOM]);
    let mut bytes = IoSliceMut::new(buffer);
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // `IoSliceMut` has the layout of iovec.
    message.msg_iov = ptr::from_mut(&mut bytes).cast();
    message.msg_iovlen = 1;
    message.msg_control = room.0.as_mut_ptr().cast();
    message.msg_controllen = ROOM;
    // SAFETY: `message` and what it points to are valid during the call.
    let count = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &mut message, flags) };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: recvmsg filled in the message, and its control buffer is still there.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&message) };
    // SAFETY: the header is null or within the control buffer.
    while let Some(header) = unsafe { next.as_ref() } {
        // SAFETY: CMSG_LEN and CMSG_DATA compute; the kernel has written as many bytes behind the header as its length says.
        let data = unsafe {
            let length = header.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
            slice::from_raw_parts(libc::CMSG_DATA(header), length)
        };
        each(header.cmsg_level, header.cmsg_type, data);
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(&message, header) };
    }
    Ok(count as usize)
}

/// The time that the data of a control message begins with, in ns; `None` where there is none.
pub fn time(data: &[u8]) -> Option<u64> {
    let (words, _) = data.as_chunks::<8>();
    let [seconds, ns] = *words.first_chunk::<2>()?;
    let (seconds, ns) = (i64::from_ne_bytes(seconds), i64::from_ne_bytes(ns));
    let time = u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(ns).ok()?)?;
    (time > 0).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_and_ns() {
        let bytes = |words: &[i64]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        assert_eq!(time(&bytes(&[2, 5])), Some(2_000_000_005));
        // The other two of three times are of the network card.
        assert_eq!(time(&bytes(&[0, 7, 0, 0, 9, 9])), Some(7));
        assert_eq!(time(&bytes(&[0, 0, 0, 0, 9, 9])), None, "no time of the software");
        assert_eq!(time(&bytes(&[3])), None);
        assert_eq!(time(&bytes(&[-1, 5])), None);
        assert_eq!(time(&[1; 15]), None);
    }
}
