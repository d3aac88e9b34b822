//! Looks at the sockets of other network namespaces: the kernel's iterators go over those of the thread that reads them.
//!
//! In: linked iterators, and the file of a namespace. Out: a thread that has gone there while that was allowed, and waits to be asked.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use acgs_perf_common::fates::Sighting;

use super::{rights, sightings};

/// A thread in another network namespace. It ends with this.
pub struct Elsewhere {
    /// Number of the namespace.
    network: u64,
    ask: SyncSender<()>,
    answers: Receiver<io::Result<Vec<Sighting>>>,
}

impl Elsewhere {
    /// Sends a thread there, which will go over what the `links` go over; `None` if the process of the file is gone.
    ///
    /// # Errors
    /// When the thread may not go there, or there is no thread.
    pub fn begin(path: &Path, links: &[OwnedFd]) -> io::Result<Option<Self>> {
        let Ok(file) = File::open(path) else { return Ok(None) };
        let network = file.metadata()?.ino();
        let links = links.iter().map(OwnedFd::try_clone).collect::<io::Result<Vec<_>>>()?;
        let ((ask, asked), (answer, answers)) = (sync_channel(0), sync_channel(1));
        let (arrives, arrival) = sync_channel(1);
        let in_there = move || {
            let gone = go_to(&file);
            drop(file);
            let is_there = gone.is_ok();
            if arrives.send(gone).is_err() || !is_there {
                return;
            }
            rights::keep_in_thread(rights::NONE);
            while asked.recv() == Ok(()) {
                if answer.send(walk(&links)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("acgs-look".into()).stack_size(256 << 10).spawn(in_there)?;
        arrival.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that went there has failed")))?;
        Ok(Some(Self { network, ask, answers }))
    }

    /// Whether it is in the namespace of this file.
    #[must_use]
    pub fn is_in(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|file| file.ino() == self.network)
    }

    /// Goes over the sockets there.
    ///
    /// # Errors
    /// When the kernel refuses to.
    pub fn walk(&self) -> io::Result<Vec<Sighting>> {
        let gone = || io::Error::other("the thread that looked there has failed");
        self.ask.send(()).map_err(|_| gone())?;
        self.answers.recv().map_err(|_| gone())?
    }
}

/// The running thread goes to the network namespace of this file, alone and for good.
///
/// # Errors
/// When it may not.
pub fn go_to(network: &File) -> io::Result<()> {
    // SAFETY: setns takes an open descriptor.
    match unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn walk(links: &[OwnedFd]) -> io::Result<Vec<Sighting>> {
    let mut seen = Vec::new();
    links.iter().try_for_each(|link| sightings::read(link.as_fd(), |one| seen.push(*one)))?;
    Ok(seen)
}
