//! Which processes and ports belong to which service, in the tables that the kernel side asks.
//!
//! In: what `discover` found. Out: entries, and what the kernel side has entered by itself since: children, those who listen on a
//! wanted port, the queue of processes that called exec.

use acgs_perf_common::maps::{EXEC_QUEUE, WANTED_USERS, WantedPort, port_key};
use aya::maps::MapError;

use super::maps::{Maps, NO_EXIST};
use crate::discover::namespaces::Place;

impl Maps {
    /// Makes process `tgid` part of `service` (from 0); false if the id lies outside the table.
    pub fn add_process(&self, tgid: u32, service: usize) -> bool {
        self.array("SERVICE_OF_TGID").set_byte(tgid as usize, service as u8 + 1)
    }

    /// Takes process `tgid` out of `service`, if it is still there.
    pub fn remove_process(&self, tgid: u32, service: usize) {
        self.array("SERVICE_OF_TGID").clear_byte(tgid as usize, service as u8 + 1);
    }

    /// Which service a process belongs to, from 0.
    #[must_use]
    pub fn service_of(&self, tgid: u32) -> Option<usize> {
        self.array("SERVICE_OF_TGID").byte(tgid as usize).checked_sub(1).map(usize::from)
    }

    /// All processes of services now: (tgid, service).
    #[must_use]
    pub fn processes(&self) -> Vec<(u32, usize)> {
        let table = self.array("SERVICE_OF_TGID");
        (0..table.len)
            .filter(|word| table.get(*word) != 0)
            .flat_map(|word| word * 8..word * 8 + 8)
            .filter_map(|tgid| Some((tgid as u32, self.service_of(tgid as u32)?)))
            .collect()
    }

    /// Says that `service` listens on `port` of a network namespace; an error only when the kernel refuses memory.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn add_port(&mut self, network: u64, port: u16, service: usize) -> Result<(), MapError> {
        self.table("LISTENER")?.insert(port_key(network as u32, u32::from(port)), service as u32, 0)?;
        self.array("SERVICE_OF_PORT").set_byte(usize::from(port), service as u8 + 1);
        Ok(())
    }

    /// Which service listens on a port, from 0.
    #[must_use]
    pub fn service_of_port(&self, port: u16) -> Option<usize> {
        self.array("SERVICE_OF_PORT").byte(usize::from(port)).checked_sub(1).map(usize::from)
    }

    /// Says that whoever listens on `port` at this place later joins `service`; the first service that names a port has it.
    ///
    /// # Errors
    /// What the kernel said, such as that the table is full.
    pub fn want_port(&mut self, place: &Place, port: u16, service: usize) -> Result<(), MapError> {
        let mut users = [0; WANTED_USERS];
        users.iter_mut().zip(&place.users).for_each(|(slot, user)| *slot = *user as u32);
        let wanted = WantedPort { service: service as u32, users };
        match self.table("WANTED_PORT")?.insert(port_key(place.network as u32, u32::from(port)), wanted, NO_EXIST) {
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            result => result,
        }
    }

    /// Processes that called exec since `seen`, and the new position; `None` if the queue was overrun. Slots are emptied; a
    /// 0 stands for a process whose slot was taken by another.
    #[must_use]
    pub fn execed_since(&self, seen: u64) -> (Option<Vec<u32>>, u64) {
        let head = self.array("EXECED_HEAD").get(0);
        if head.saturating_sub(seen) > u64::from(EXEC_QUEUE) {
            return (None, head);
        }
        let at = |i: u64| {
            let slot = (i % u64::from(EXEC_QUEUE)) as usize;
            self.array("EXECED").take(slot) as u32
        };
        (Some((seen..head).map(at).collect()), head)
    }
}
