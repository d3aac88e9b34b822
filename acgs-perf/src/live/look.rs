//! Looks at the sockets of services: what has arrived and was not answered, and what listeners have dropped.
//!
//! In: the loaded socket iterators. Out: a [`Sighting`] for each open request and each listener. A look goes over all sockets that
//! have our state, so it is for whoever calls to look only when something has arrived.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::{io, ptr};

use acgs_perf_common::fates::Sighting;
use aya::maps::{Array, Map, MapData};

use super::object::Object;
use super::{LiveError, bpf};

/// The variables of the kernel side that it writes; the only one tells whether data has arrived.
const VARIABLES: &str = ".bss";
/// Bytes read at a time; the kernel has 32 KiB ready.
const CHUNK: usize = 32 << 10;

/// The iterator over sockets that have our state.
pub struct Look {
    link: OwnedFd,
    /// One word: whether data has arrived.
    arrived: RefCell<Array<MapData, u64>>,
}

impl Look {
    /// Attaches the loaded `iterator` to the sockets that have state in the map `sockets`.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn open(object: &mut Object, iterator: &'static str, sockets: &'static str) -> Result<Self, LiveError> {
        let error = |name, reason: &dyn std::fmt::Display| LiveError::Map { name, reason: reason.to_string() };
        let variables = object.take_map(VARIABLES).ok_or_else(|| error(VARIABLES, &"not in the object"))?;
        let arrived = Array::try_from(variables).map_err(|e| error(VARIABLES, &e))?;
        let Some(Map::SkStorage(map) | Map::Unsupported(map)) = object.map(sockets) else {
            return Err(error(sockets, &"no storage of sockets in the object"));
        };
        let link = bpf::link_iterator(object.program(iterator)?, Some(map.fd().as_fd()));
        let link = link.map_err(|e| error(sockets, &e))?;
        Ok(Self { link, arrived: RefCell::new(arrived) })
    }

    /// Whether data has arrived on any socket since the last call.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let mut arrived = self.arrived.borrow_mut();
        // What cannot be read may be news.
        let is_set = arrived.get(&0, 0).map_or(true, |word| word != 0);
        if is_set {
            let _still_set = arrived.set(0, 0, 0);
        }
        is_set
    }

    /// Goes over all of them.
    ///
    /// # Errors
    /// When the kernel refuses to.
    pub fn walk(&self, mut each: impl FnMut(&Sighting)) -> io::Result<()> {
        let mut file = bpf::iterate(self.link.as_fd())?;
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

/// Runs loaded iterators once over the sockets of this network namespace, and of those whose files are given.
///
/// # Errors
/// When the kernel refuses one of them.
pub fn begin(object: &Object, iterators: &[&'static str], networks: &[PathBuf]) -> Result<(), LiveError> {
    for &name in iterators {
        let failed = |error: io::Error| LiveError::Map { name, reason: error.to_string() };
        let link = bpf::link_iterator(object.program(name)?, None).map_err(failed)?;
        let all = std::iter::once(None).chain(networks.iter().map(|path| Some(path.as_path())));
        for network in all {
            once(link.as_fd(), network).map_err(failed)?;
        }
    }
    Ok(())
}

/// Runs an iterator over the sockets of a network namespace: the kernel takes that of the thread.
fn once(link: BorrowedFd<'_>, network: Option<&Path>) -> io::Result<()> {
    let run = move || {
        let mut file = bpf::iterate(link)?;
        file.read_to_end(&mut Vec::new()).map(drop)
    };
    let Some(path) = network else { return run() };
    let Ok(file) = File::open(path) else { return Ok(()) }; // its process is gone
    let in_there = move || {
        // SAFETY: setns takes an open descriptor; only this thread goes there, and it ends here.
        if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error());
        }
        run()
    };
    let done = std::thread::scope(|scope| scope.spawn(in_there).join());
    done.unwrap_or_else(|_| Err(io::Error::other("the thread that went there has failed")))
}

/// A tick of the kernel's coarse clock in ns, which is what `jiffies` count.
#[must_use]
pub fn tick_ns() -> u32 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    let known = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) } == 0;
    if known { u32::try_from(time.tv_nsec).unwrap_or(0) } else { 0 }
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

    #[test]
    fn a_tick_is_between_one_and_ten_milliseconds() {
        assert!((1_000_000..=10_000_000).contains(&tick_ns()), "{}", tick_ns());
    }
}
