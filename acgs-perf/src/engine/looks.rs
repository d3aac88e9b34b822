//! When sockets are looked at, and what the looks have brought so far.
//!
//! In: a session, and its sightings. Out: [`Looked`], for a snapshot. A look goes over all sockets that have our state. So there is none
//! while nothing has arrived since one that found nothing: then nothing can be open, and idle connections cost nothing, however many
//! there are. With very many of which some are busy there is one only every few seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use acgs_perf_common::fates::{AT_LEAST, HELD_REPLY, LISTENING_SOCKET, OLDER, Sighting};

use super::host::thread_cpu;
use super::notes::Notes;
use super::refusals::Refusals;
use crate::discover::sockets::open_sockets;
use crate::live::maps::Maps;
use crate::live::session::Session;
use crate::snapshot::open::{OpenRequest, Since, client};
use crate::snapshot::read::Looked;
use crate::snapshot::{Look, Subject};
use crate::units::ip;

/// Of the time, a look may take one part in so many of a CPU: with 10,000 sockets there is one a second, with 100,000 one every few.
const SHARE: u32 = 200;
/// At most so many processes are asked which sockets they have.
const MAX_PROCESSES: usize = 64;

/// The looks of a recording.
#[derive(Default)]
pub struct Looks {
    refusals: Refusals,
    has_looked: bool,
    found_open: bool,
    /// No look before this moment but the last.
    not_before: Option<Instant>,
    failed: bool,
}

/// How much a look is to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// Only if it is worth it.
    WhereDue,
    /// Also the processes that have the sockets.
    WithProcesses,
    /// In any case, and with the processes.
    Last,
}

impl Looks {
    /// Before the first look; `pids` are the processes of the services.
    pub fn begin(pids: impl Iterator<Item = u32>) -> Self {
        let mut looks = Self::default();
        looks.refusals.begin(pids);
        looks
    }

    /// Looks, if that is due; `at_ns` is when, on the clock of the programs.
    pub fn take(&mut self, session: &Session, at_ns: u64, how: Thoroughness, notes: &mut Notes) -> Looked {
        let look = self.look(session, at_ns, how, notes);
        Looked { look, refused: self.refusals.by_service() }
    }

    fn look(&mut self, session: &Session, at_ns: u64, how: Thoroughness, notes: &mut Notes) -> Option<Look> {
        let kernel = match session.look() {
            Ok(kernel) => kernel,
            Err(why) => {
                self.note(notes, why);
                return None;
            }
        };
        let began = Instant::now();
        let is_last = how == Thoroughness::Last;
        if !is_last && self.not_before.is_some_and(|moment| began < moment) {
            return None;
        }
        let nothing = || Look { at_ns, open: BTreeMap::new() };
        if !kernel.has_news() && !is_last && self.has_looked && !self.found_open {
            return Some(nothing());
        }
        let (mut look, cpu) = (nothing(), thread_cpu());
        let walked = kernel.walk(|seen| {
            if seen.kind == LISTENING_SOCKET {
                self.refusals.add(seen);
            } else {
                add_request(&mut look, seen);
            }
        });
        if let Err(error) = walked {
            self.note(notes, &error.to_string());
            return None;
        }
        self.refusals.end_look();
        self.refusals.bound(|| session.maps.processes());
        self.has_looked = true;
        self.found_open = !look.open.is_empty();
        self.not_before = Some(began + (thread_cpu().saturating_sub(cpu)) * SHARE);
        name_processes(&mut look, &session.maps, how != Thoroughness::WhereDue);
        Some(look)
    }

    fn note(&mut self, notes: &mut Notes, why: &str) {
        if !std::mem::replace(&mut self.failed, true) {
            notes.add(format!("requests without a reply are not known: {why}"));
        }
    }
}

fn add_request(look: &mut Look, seen: &Sighting) {
    // What came or was answered since the moment that is looked at.
    let is_over = seen.kind != HELD_REPLY && seen.replied != 0 && seen.replied <= look.at_ns;
    if seen.arrived > look.at_ns || is_over {
        return;
    }
    let of_service = look.open.entry(Subject::service(seen.service as usize)).or_default();
    let is_read = seen.read != 0 && seen.read <= look.at_ns;
    let (open, age_ns) = match seen.kind {
        HELD_REPLY => (&mut of_service.undelivered, seen.replied - seen.arrived),
        _ if is_read => (&mut of_service.in_service, look.at_ns - seen.arrived),
        _ => (&mut of_service.unread, look.at_ns - seen.arrived),
    };
    open.add(1 + u64::from(seen.more), age_ns, seen.flags & OLDER != 0, || {
        let since = match seen.flags {
            flags if flags & AT_LEAST != 0 => Since::AtLeast,
            flags if flags & OLDER != 0 => Since::LastBytes,
            _ => Since::Arrival,
        };
        let client = client(ip(seen.address), seen.port);
        OpenRequest { age_ns, since, client, inode: seen.inode, ..OpenRequest::default() }
    });
}

/// Says which processes have the sockets of the listed requests: the only one of a service, or if it is `asked` as /proc tells.
fn name_processes(look: &mut Look, maps: &Maps, asked: bool) {
    if look.open.values().all(|open| open.stages().iter().all(|stage| stage.listed.is_empty())) {
        return;
    }
    let processes = maps.processes();
    for (subject, open) in &mut look.open {
        let of_service = processes.iter().filter(|(_, service)| Subject::service(*service) == *subject);
        let pids: Vec<u32> = of_service.map(|(pid, _)| *pid).take(MAX_PROCESSES).collect();
        let listed = open.stages().into_iter().flat_map(|stage| &stage.listed);
        let wanted: BTreeSet<u64> = listed.map(|request| request.inode).filter(|inode| *inode != 0).collect();
        let owners = match pids[..] {
            [pid] => wanted.iter().map(|inode| (*inode, pid)).collect(),
            _ if asked => owners_of(Path::new("/proc"), &pids, &wanted),
            _ => BTreeMap::new(),
        };
        for request in open.stages_mut().into_iter().flat_map(|stage| &mut stage.listed) {
            if let Some(pid) = owners.get(&request.inode) {
                request.pid = *pid;
                request.comm = maps.comm(*pid);
            }
        }
    }
}

/// Which of these processes have the sockets.
fn owners_of(proc: &Path, pids: &[u32], wanted: &BTreeSet<u64>) -> BTreeMap<u64, u32> {
    let mut owners = BTreeMap::new();
    for pid in pids {
        if owners.len() == wanted.len() {
            break;
        }
        let open = open_sockets(&proc.join(pid.to_string())).unwrap_or_default();
        for socket in open.iter().filter(|socket| wanted.contains(&socket.inode)) {
            owners.entry(socket.inode).or_insert(*pid);
        }
    }
    owners
}

/// The network namespaces of these processes other than the agent's, as files that name them.
pub fn networks(pids: impl Iterator<Item = u32>) -> Vec<PathBuf> {
    let file = |process: &str| Path::new("/proc").join(process).join("ns/net");
    let mut known: BTreeSet<PathBuf> = fs::read_link(file("self")).into_iter().collect();
    let files = pids.map(|pid| file(&pid.to_string()));
    files.filter(|path| fs::read_link(path).is_ok_and(|network| known.insert(network))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(seen: &[Sighting]) -> Look {
        let mut look = Look { at_ns: 1_000_000_000, open: BTreeMap::new() };
        seen.iter().for_each(|seen| add_request(&mut look, seen));
        look
    }

    #[test]
    fn what_came_or_was_answered_after_the_moment_is_seen_as_it_was_then() {
        let at = |arrived, read, replied| Sighting { arrived, read, replied, service: 3, ..Sighting::default() };
        let late = 1_000_000_001;
        let look = look(&[
            at(500_000_000, 0, 0),
            at(600_000_000, late, 0),
            at(700_000_000, 800_000_000, 0),
            at(700_000_000, 800_000_000, late),
            at(700_000_000, 800_000_000, 900_000_000),
            at(late, 0, 0),
        ]);
        let open = &look.open[&Subject::service(3)];
        assert_eq!((open.unread.count, open.unread.oldest_ns), (2, 500_000_000));
        assert_eq!((open.in_service.count, open.in_service.oldest_ns), (2, 300_000_000));
        assert_eq!(open.unread.listed.len(), 2);
        // Of a reply that has not left the age is what the kernel side has recorded.
        let held = Sighting { kind: HELD_REPLY, ..at(700_000_000, 800_000_000, 900_000_000) };
        let undelivered = &self::look(&[held]).open[&Subject::service(3)].undelivered;
        assert_eq!((undelivered.count, undelivered.oldest_ns), (1, 200_000_000));
        // Behind the first one of a pipeline.
        let behind = Sighting { more: 8, ..at(700_000_000, 800_000_000, 0) };
        let in_service = &self::look(&[at(600_000_000, 800_000_000, 0), behind]).open[&Subject::service(3)].in_service;
        assert_eq!((in_service.count, in_service.age_sum_ns), (10, 400_000_000 + 9 * 300_000_000));
    }

    #[test]
    fn what_is_older_than_the_recording_says_how_well_its_age_is_known() {
        let at = |flags| Sighting { arrived: 1, flags, port: 9, ..Sighting::default() };
        let look = look(&[at(0), at(OLDER), at(OLDER | AT_LEAST)]);
        let open = &look.open[&Subject::service(0)].unread;
        let since: Vec<Since> = open.listed.iter().map(|request| request.since).collect();
        assert_eq!((open.count, open.older, since), (3, 2, vec![Since::Arrival, Since::LastBytes, Since::AtLeast]));
    }
}
