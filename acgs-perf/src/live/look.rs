//! Looks at the sockets of services: what has arrived and was not answered, and what listeners have dropped.
//!
//! In: the loaded socket iterators. Out: a [`Sighting`] for each open request and each listener. A look goes over all sockets that
//! have our state, so it is for whoever calls to look only when something has arrived.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::{io, ptr};

use acgs_perf_common::fates::Sighting;
use aya::Ebpf;
use aya::maps::{Array, Map, MapData};

use super::{LiveError, program};

/// `BPF_LINK_CREATE`.
const CREATE_LINK: libc::c_long = 28;
/// `BPF_ITER_CREATE`.
const CREATE_ITERATOR: libc::c_long = 33;
/// `BPF_TRACE_ITER`.
const ITERATOR: u32 = 28;
/// The variables of the kernel side that it writes; the only one tells whether data has arrived.
const VARIABLES: &str = ".bss";
/// Bytes read at a time; the kernel has 32 KiB ready.
const CHUNK: usize = 32 << 10;

/// What creating a link takes, the begin of that part of `union bpf_attr`.
#[repr(C)]
struct LinkOfIterator {
    program: u32,
    target: u32,
    kind: u32,
    flags: u32,
    info: u64,
    info_len: u32,
    padding: u32,
}

/// What creating an iterator takes.
#[repr(C)]
struct IteratorOfLink {
    link: u32,
    flags: u32,
}

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
    pub fn open(ebpf: &mut Ebpf, iterator: &'static str, sockets: &'static str) -> Result<Self, LiveError> {
        let error = |name, reason: &dyn std::fmt::Display| LiveError::Map { name, reason: reason.to_string() };
        let variables = ebpf.take_map(VARIABLES).ok_or_else(|| error(VARIABLES, &"not in the object"))?;
        let arrived = Array::try_from(variables).map_err(|e| error(VARIABLES, &e))?;
        let program = program::iterator(ebpf, iterator)?;
        let program = program.fd().and_then(|fd| Ok(fd.try_clone()?)).map_err(|e| program::refused(iterator, e))?;
        let Some(Map::SkStorage(map) | Map::Unsupported(map)) = ebpf.map(sockets) else {
            return Err(error(sockets, &"no storage of sockets in the object"));
        };
        let link = attach(program.as_fd(), Some(map.fd().as_fd())).map_err(|e| error(sockets, &e))?;
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
        let create = IteratorOfLink { link: self.link.as_raw_fd() as u32, flags: 0 };
        let mut file = File::from(call(CREATE_ITERATOR, &create)?);
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
pub fn begin(ebpf: &mut Ebpf, iterators: &[&'static str], networks: &[PathBuf]) -> Result<(), LiveError> {
    for &name in iterators {
        let failed = |error: io::Error| LiveError::Map { name, reason: error.to_string() };
        let program = program::iterator(ebpf, name)?;
        let link = attach(program.fd().map_err(|e| program::refused(name, e))?.as_fd(), None).map_err(failed)?;
        let link = link.as_raw_fd() as u32;
        let all = std::iter::once(None).chain(networks.iter().map(|path| Some(path.as_path())));
        for network in all {
            once(link, network).map_err(failed)?;
        }
    }
    Ok(())
}

/// Runs an iterator over the sockets of a network namespace: the kernel takes that of the thread.
fn once(link: u32, network: Option<&Path>) -> io::Result<()> {
    let run = move || {
        let create = IteratorOfLink { link, flags: 0 };
        let mut file = File::from(call(CREATE_ITERATOR, &create)?);
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

/// Links an iterator to what it goes over: the objects that a map knows, or all of its kind.
fn attach(program: BorrowedFd<'_>, map: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let of_map = map.map(|map| map.as_raw_fd() as u32);
    let info = of_map.as_ref().map_or(0, |map| ptr::from_ref(map) as u64);
    let info_len = if of_map.is_some() { size_of::<u32>() as u32 } else { 0 };
    let program = program.as_raw_fd() as u32;
    let create = LinkOfIterator { program, target: 0, kind: ITERATOR, flags: 0, info, info_len, padding: 0 };
    call(CREATE_LINK, &create)
}

/// A call of `bpf` that gives a descriptor.
fn call<T>(command: libc::c_long, argument: &T) -> io::Result<OwnedFd> {
    // SAFETY: the argument is laid out as the command wants it, and what it points to lives until the call returns.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(argument), size_of::<T>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
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
