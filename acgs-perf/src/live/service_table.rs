//! Which processes and ports belong to which service, in the tables that the kernel side asks.
//!
//! In: what `discover` found. Out: entries, and what the kernel side has entered by itself since: children, those who listen on a
//! wanted port, the queue of processes that called exec.

use acgs_perf_common::maps::{EXEC_QUEUE, PORTS_SECTION, WANTED_USERS, WantedPort, port_key};
use acgs_perf_common::members::{self, MEMBERS_SECTION};
use aya::maps::MapError;

use super::maps::{Maps, NO_EXIST};
use crate::discover::namespaces::Place;

/// Members that found no room in their set.
const MORE: &str = "MORE_MEMBERS_OF";

impl Maps {
    /// Makes process `tgid` part of `service` (from 0); false if there is no room for it.
    pub fn add_process(&self, tgid: u32, service: usize) -> bool {
        let service = service as u32;
        match self.change_set(tgid, |set| members::with(set, tgid, service)) {
            Some(is_in_set) => is_in_set || self.put_entry(MORE, &u64::from(tgid), &(u64::from(service) + 1), 0),
            None => false,
        }
    }

    /// Takes process `tgid` out of `service`, if it is still there.
    pub fn remove_process(&self, tgid: u32, service: usize) {
        let is_there = |set| members::find(set, tgid) == service as u32 + 1;
        let _was_in_set = self.change_set(tgid, |set| is_there(set).then(|| members::without(set, tgid)));
        // It may be in both: where it was entered again once its set had room.
        if self.service_of(tgid) == Some(service) {
            let _was_there = self.take_entry::<u64, u64>(MORE, &u64::from(tgid));
        }
    }

    /// Changes the set of a process, if `change` does. Whether it did; `None` if the table has no such set.
    fn change_set(&self, tgid: u32, change: impl Fn(u64) -> Option<u64>) -> Option<bool> {
        self.array(MEMBERS_SECTION).change(members::set_of(tgid) as usize, change)
    }

    /// Which service a process belongs to, from 0.
    #[must_use]
    pub fn service_of(&self, tgid: u32) -> Option<usize> {
        let set = self.array(MEMBERS_SECTION).get(members::set_of(tgid) as usize);
        let service = match members::find(set, tgid) {
            0 if members::is_full(set) => self.entry::<u64, u64>(MORE, &u64::from(tgid)).unwrap_or(0) as u32,
            service => service,
        };
        service.checked_sub(1).map(|service| service as usize)
    }

    /// All processes of services now: (tgid, service).
    #[must_use]
    pub fn processes(&self) -> Vec<(u32, usize)> {
        let table = self.array(MEMBERS_SECTION);
        let (mut all, mut has_more) = (Vec::new(), false);
        for set in (0..table.len).map(|at| table.get(at)).filter(|set| *set != 0) {
            has_more |= members::is_full(set);
            all.extend(members::members(set).map(|(tgid, service)| (tgid, service as usize)));
        }
        if has_more {
            let more = self.entries::<u64, u64>(MORE, "members");
            all.extend(
                more.iter().filter_map(|(tgid, service)| Some((*tgid as u32, service.checked_sub(1)? as usize))),
            );
        }
        all.sort_unstable();
        all.dedup_by_key(|(tgid, _)| *tgid);
        all
    }

    /// Says that `service` listens on `port` of a network namespace; an error only when the kernel refuses memory.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn add_port(&mut self, network: u64, port: u16, service: usize) -> Result<(), MapError> {
        self.table("LISTENER")?.insert(port_key(network as u32, u32::from(port)), service as u32, 0)?;
        self.array(PORTS_SECTION).set_byte(usize::from(port), service as u8 + 1);
        Ok(())
    }

    /// Which service listens on a port, from 0.
    #[must_use]
    pub fn service_of_port(&self, port: u16) -> Option<usize> {
        self.array(PORTS_SECTION).byte(usize::from(port)).checked_sub(1).map(usize::from)
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
