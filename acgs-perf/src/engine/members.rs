//! Which processes belong to the services while the recording runs.
//!
//! The kernel side lets children inherit the service, clears the dead, and takes in whoever listens on a port that a
//! selector names. What needs /proc (a new program that a command name, path or control group matches) is done here, from
//! the queue of processes that called exec; and here the report's list of processes is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::Counter;

use super::scanner::{Found, Scanner};
use crate::discover::selector::Term;
use crate::discover::{self, Member, ServiceSpec, Target};
use crate::live::maps::Maps;
use crate::snapshot::Process;

/// At most this many processes are listed per service; all are counted.
const MAX_LISTED: usize = 512;
/// How often /proc is scanned whole while a service has no process: that is what costs most on a large host.
const SEARCH_EVERY: Duration = Duration::from_secs(1);
/// How often when it has had none for long.
const SEARCH_AT_LEAST_EVERY: Duration = Duration::from_secs(20);
/// How often the table of members is gone over though nothing tells that it has changed.
const MEMBERS_EVERY: Duration = Duration::from_secs(1);
/// Who has waited for a service may wait this part of that time more.
const PATIENCE: u32 = 8;

/// The processes of the services.
pub struct Members {
    specs: Vec<ServiceSpec>,
    execed: u64,
    searched: Instant,
    /// Services without a process, and since when these and no others are.
    orphaned: Vec<usize>,
    orphaned_since: Instant,
    listed: Vec<BTreeMap<u32, Process>>,
    /// Ports that belong to services, by network namespace.
    ports: BTreeSet<(u64, u16)>,
    has_new_ports: bool,
    /// The members when /proc was last asked: who belongs to another service since has been moved by the kernel side, which knows better.
    asked: BTreeMap<u32, usize>,
    scanner: Scanner,
    /// The members at the last look at the whole table, and what has to change for another one.
    members: Vec<(u32, usize)>,
    seen: Seen,
}

/// What tells that there may be other members than before. What the kernel side takes in by itself, because it listens, nothing tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    execed: u64,
    forked_or_exited: u64,
    /// When the table is gone over though nothing tells.
    until: Instant,
}

impl Members {
    /// Enters the targets into the kernel's tables, then looks once more for what was forked meanwhile.
    pub fn begin(targets: &[Target], maps: &mut Maps) -> Self {
        let specs: Vec<ServiceSpec> = targets.iter().map(|target| target.spec.clone()).collect();
        for (service, spec) in specs.iter().enumerate() {
            for selector in &spec.selectors {
                if let ([Term::Port(port)], Some(place)) = (selector.terms(), selector.place())
                    && let Err(error) = maps.want_port(place, *port, service)
                {
                    tracing::warn!("port {port}: who listens there later is found by a look at /proc only: {error}");
                }
            }
        }
        let (_, execed) = maps.execed_since(u64::MAX);
        let listed = specs.iter().map(|_| BTreeMap::new()).collect();
        let scanner = Scanner::new(specs.clone());
        let now = Instant::now();
        let mut members = Self {
            specs,
            execed,
            searched: now,
            orphaned: Vec::new(),
            orphaned_since: now,
            listed,
            ports: BTreeSet::new(),
            has_new_ports: false,
            asked: BTreeMap::new(),
            scanner,
            members: Vec::new(),
            seen: Seen { execed: 0, forked_or_exited: 0, until: now },
        };
        members.enter(targets, maps);
        members.asked = maps.processes().into_iter().collect();
        match discover::resolve(Path::new("/proc"), &members.specs) {
            Ok(targets) => members.enter(&targets, maps),
            // A `pid:` that has died is no longer there to be found; the others were entered before.
            Err(error) => tracing::debug!("search for processes: {error}"),
        }
        members.list(maps);
        members.has_new_ports = false;
        members
    }

    /// Takes in processes that match since the last call, and lists them. Returns whether any service has a process now. What
    /// /proc has to be asked for is asked elsewhere, so that a large host holds nobody up: what is not there after a moment is
    /// taken in at the next call.
    pub fn tick(&mut self, maps: &mut Maps) -> bool {
        let (execed, head) = maps.execed_since(self.execed);
        self.execed = head;
        match execed {
            None => {
                maps.lose(Loss::ExecQueueOverrun);
                self.search(maps);
            }
            Some(mut pids) => {
                let all = pids.len();
                pids.retain(|pid| *pid != 0);
                if pids.len() < all {
                    self.search(maps);
                }
                // Members too: a new program that a selector matches itself leaves the service that it was forked from.
                self.look_at(pids, maps);
            }
        }
        for found in self.scanner.found() {
            match found {
                Found::Host(targets) => self.enter(&targets, maps),
                Found::Processes(mut joined) => {
                    joined.members.retain(|(member, service)| maps.service_of(member.pid) != Some(*service));
                    if joined.members.is_empty() {
                        continue;
                    }
                    // Ports first: a connection to a port that is not known would be taken for one that the service has opened.
                    joined
                        .sockets
                        .iter()
                        .for_each(|(network, port, service)| self.add_port(maps, *network, *port, *service));
                    joined.members.iter().for_each(|(member, service)| self.enter_one(maps, *member, *service));
                    self.search(maps);
                }
            }
        }
        self.look_at_members(maps);
        let is_orphaned = |service: &usize| !self.members.iter().any(|(_, of)| of == service);
        let orphaned: Vec<usize> = (0..self.specs.len()).filter(is_orphaned).collect();
        if orphaned != self.orphaned {
            (self.orphaned, self.orphaned_since) = (orphaned, Instant::now());
        }
        if !self.orphaned.is_empty() && self.searched.elapsed() >= search_every(self.orphaned_since.elapsed()) {
            self.search(maps);
        }
        let members = std::mem::take(&mut self.members);
        self.add_to_list(&members);
        self.members = members;
        !self.members.is_empty()
    }

    /// Goes over the table of members, all 64 KiB of it, if there may be others than before.
    fn look_at_members(&mut self, maps: &Maps) {
        let of_service = |service: u32| {
            [Counter::Forked, Counter::Exited]
                .map(|counter| maps.counter(service, counter as u32))
                .into_iter()
                .sum::<u64>()
        };
        let forked_or_exited = (0..maps.services() as u32).map(of_service).fold(0, u64::wrapping_add);
        let now = Instant::now();
        let seen = Seen { execed: self.execed, forked_or_exited, ..self.seen };
        if seen != self.seen || self.seen.until <= now {
            self.members = maps.processes();
            self.seen = Seen { until: now + MEMBERS_EVERY, ..seen };
        }
    }

    /// Whether ports have joined since the last call on which somebody may have listened before.
    pub fn take_new_ports(&mut self) -> bool {
        std::mem::take(&mut self.has_new_ports)
    }

    /// Adds the members of now to the report's list.
    pub fn list(&mut self, maps: &Maps) {
        self.add_to_list(&maps.processes());
    }

    fn add_to_list(&mut self, members: &[(u32, usize)]) {
        for &(pid, service) in members {
            let Some(listed) = self.listed.get_mut(service) else { continue };
            if listed.contains_key(&pid) {
                continue;
            }
            if listed.len() >= MAX_LISTED {
                // Those that are gone make room, so that the list is right after weeks too.
                let alive: BTreeSet<u32> =
                    members.iter().filter(|(_, of)| *of == service).map(|(pid, _)| *pid).collect();
                listed.retain(|pid, _| alive.contains(pid));
            }
            if listed.len() < MAX_LISTED {
                listed.insert(pid, Process { pid, comm: comm(pid), exited: false });
            }
        }
    }

    /// The processes of a service, with those marked that are gone. Who was one for a moment, until it listened on the port of another
    /// service, is one of that service alone.
    pub fn processes(&self, maps: &Maps, service: usize) -> Vec<Process> {
        let Some(listed) = self.listed.get(service) else { return Vec::new() };
        let of = |process: &Process| match maps.service_of(process.pid) {
            Some(now) if now != service => None,
            now => Some(Process { exited: now.is_none(), ..process.clone() }),
        };
        listed.values().filter_map(of).collect()
    }

    fn search(&mut self, maps: &Maps) {
        self.searched = Instant::now();
        self.asked = maps.processes().into_iter().collect();
        self.scanner.look_at_host();
    }

    fn look_at(&mut self, pids: Vec<u32>, maps: &Maps) {
        for pid in &pids {
            match maps.service_of(*pid) {
                Some(service) => drop(self.asked.insert(*pid, service)),
                None => drop(self.asked.remove(pid)),
            }
        }
        self.scanner.look_at(pids);
    }

    fn enter(&mut self, targets: &[Target], maps: &mut Maps) {
        for (service, target) in targets.iter().enumerate() {
            for (network, port) in &target.sockets {
                self.add_port(maps, *network, *port, service);
            }
            for member in &target.members {
                self.enter_one(maps, *member, service);
            }
        }
    }

    fn add_port(&mut self, maps: &mut Maps, network: u64, port: u16, service: usize) {
        if let Err(error) = maps.add_port(network, port, service) {
            tracing::warn!("port {port}: its connections are not counted: {error}");
        }
        self.has_new_ports |= self.ports.insert((network, port));
    }

    /// Makes a process a member, unless it is one, or has been moved since /proc was asked: by a call of listen on a wanted port.
    fn enter_one(&mut self, maps: &Maps, member: Member, service: usize) {
        // Whether anything comes of it or not: the table is gone over at the next call.
        self.seen.until = Instant::now();
        match maps.service_of(member.pid) {
            Some(now) if now == service => {}
            Some(now) if self.asked.get(&member.pid) != Some(&now) => self.look_at(vec![member.pid], maps),
            _ => enter(maps, member, service),
        }
    }
}

/// How often to search for services that have been without a process for so long.
fn search_every(absent: Duration) -> Duration {
    (absent / PATIENCE).clamp(SEARCH_EVERY, SEARCH_AT_LEAST_EVERY)
}

/// Makes a process a member. It may have died since /proc was read, and its exit is past: then nobody else would take its id
/// out of the table, and who gets the id next would be taken for a member. So the look comes after the entry.
fn enter(maps: &Maps, member: Member, service: usize) {
    if !maps.add_process(member.pid, service) {
        maps.lose(Loss::ServiceTable);
    } else if !member.lives(Path::new("/proc")) {
        maps.remove_process(member.pid, service);
    }
}

fn comm(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).map(|comm| comm.trim_end().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_missed_for_long_is_looked_for_less_often() {
        let every = |absent: u64| search_every(Duration::from_secs(absent)).as_secs();
        assert_eq!([0, 8, 16, 80, 160, 86_400].map(every), [1, 1, 2, 10, 20, 20]);
    }
}
