//! Looks at the sockets of services: what has arrived and was not answered, and what listeners have dropped.
//!
//! In: the loaded socket iterators. Out: a [`Sighting`] for each open request and each listener. A look goes over all sockets that
//! have our state, so it is for whoever calls to look only when something has arrived. Kernels that let nobody go over the elements of a
//! map (a hardened 6.18 refuses programs for `bpf_sk_storage_map` and `bpf_map_elem` with EPERM) go over all sockets of the services' network
//! namespaces instead, which takes longer where many are nobody's.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use acgs_perf_common::fates::Sighting;
use aya::maps::{Array, Map, MapData};

use super::elsewhere::{Elsewhere, go_to};
use super::object::Object;
use super::{LiveError, bpf, sightings};

/// The variables of the kernel side that it writes; the only one tells whether data has arrived.
const VARIABLES: &str = ".bss";

/// The iterator over sockets that have our state.
pub struct Look {
    over: Over,
    /// One word: whether data has arrived.
    arrived: RefCell<Array<MapData, u64>>,
}

impl Look {
    /// Of what `over` goes over.
    ///
    /// # Errors
    /// When the object is not as it should be.
    pub fn open(object: &mut Object, over: Over) -> Result<Self, LiveError> {
        let variables = object.take_map(VARIABLES).ok_or_else(|| failed(VARIABLES, &"not in the object"))?;
        let arrived = Array::try_from(variables).map_err(|error| failed(VARIABLES, &error))?;
        Ok(Self { over, arrived: RefCell::new(arrived) })
    }

    /// From now on it looks at the sockets of these network namespaces too, if it does not go over all of them anyway.
    ///
    /// # Errors
    /// When there is no going there.
    pub fn goes_to(&mut self, networks: &[PathBuf]) -> Result<(), LiveError> {
        let Over::Networks { links, elsewhere } = &mut self.over else { return Ok(()) };
        for path in networks {
            if !elsewhere.iter().any(|network| network.is_in(path)) {
                elsewhere.extend(Elsewhere::begin(path, links).map_err(|error| failed("sockets", &error))?);
            }
        }
        Ok(())
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
        match &self.over {
            Over::Storage(link) => sightings::read(link.as_fd(), &mut each),
            Over::Networks { links, elsewhere } => {
                links.iter().try_for_each(|link| sightings::read(link.as_fd(), &mut each))?;
                for network in elsewhere {
                    network.walk()?.iter().for_each(&mut each);
                }
                Ok(())
            }
        }
    }
}

/// What a look goes over.
pub enum Over {
    /// The sockets that have our state.
    Storage(OwnedFd),
    /// All sockets of network namespaces: of the agent's own, and of those in which somebody looks for it.
    Networks {
        /// An iterator for each kind of socket.
        links: Vec<OwnedFd>,
        /// One for each other network namespace.
        elsewhere: Vec<Elsewhere>,
    },
}

impl Over {
    /// The sockets that have state in the map `sockets`, by the loaded `iterator`.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn storage(object: &Object, iterator: &'static str, sockets: &'static str) -> Result<Self, LiveError> {
        let Some(Map::SkStorage(map) | Map::Unsupported(map)) = object.map(sockets) else {
            return Err(failed(sockets, &"no storage of sockets in the object"));
        };
        let link = bpf::link_iterator(object.program(iterator)?, Some(map.fd().as_fd()));
        link.map(Self::Storage).map_err(|error| failed(sockets, &error))
    }

    /// The sockets of this network namespace, by loaded `iterators`.
    ///
    /// # Errors
    /// When the kernel refuses one of them.
    pub fn networks(object: &Object, iterators: &[&'static str]) -> Result<Self, LiveError> {
        let link =
            |name: &&'static str| bpf::link_iterator(object.program(name)?, None).map_err(|error| failed(name, &error));
        let links = iterators.iter().map(link).collect::<Result<_, _>>()?;
        Ok(Self::Networks { links, elsewhere: Vec::new() })
    }
}

fn failed(name: &'static str, reason: &dyn std::fmt::Display) -> LiveError {
    LiveError::Map { name, reason: reason.to_string() }
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
    let in_there = move || go_to(&file).and_then(|()| run());
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
    fn a_tick_is_between_one_and_ten_milliseconds() {
        assert!((1_000_000..=10_000_000).contains(&tick_ns()), "{}", tick_ns());
    }
}
