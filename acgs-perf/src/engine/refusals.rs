//! What listening sockets have refused because their queues were full.
//!
//! In: sightings of listeners with their `sk_drops`; the `ListenDrops` of the network namespaces of the services. Out: drops by
//! service and port since the first look.
//!
//! `sk_drops` counts more than what was refused: with `TCP_DEFER_ACCEPT`, as Apache and nginx's `deferred` set it, the last segment of each
//! handshake, because it is the data behind it that makes the connection; segments that a filter of the socket drops; some that came too late
//! to a full queue twice. The namespace counts what was refused, and nothing else, for all its listeners together. So a listener
//! has refused the lower of the two; and one with `TCP_DEFER_ACCEPT` no more than what is left when the others of its namespace have
//! theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use acgs_perf_common::fates::{DEFERS, OLDER, Sighting};

use crate::snapshot::Subject;
use crate::sums::{Row, Section, Sums};

/// The counter of a network namespace.
const COUNTER: &str = "ListenDrops";

/// Who was not seen by so many looks is gone.
const GONE_AFTER: u64 = 8;

/// What was refused since the first look.
#[derive(Default)]
pub struct Refusals {
    /// `sk_drops` of each listener at the last look, and at which look that was, by inode.
    last: BTreeMap<u64, (u32, u64)>,
    /// The number of the look under way.
    look: u64,
    /// Their growth, and the number of looks.
    dropped: BTreeMap<Subject, Section>,
    /// Whether it has grown since `bounded`.
    has_grown: bool,
    /// What each network namespace had refused at the first look.
    networks: BTreeMap<PathBuf, u64>,
    /// Ports of services whose listeners have `TCP_DEFER_ACCEPT`.
    deferring: BTreeMap<Subject, BTreeSet<u32>>,
    /// What the namespaces of a service have refused since, as far as that is known.
    most: BTreeMap<Subject, BTreeMap<PathBuf, u64>>,
}

impl Refusals {
    /// Remembers where the counters of the namespaces of these processes stand. Those of others begin at 0.
    pub fn begin(&mut self, pids: impl Iterator<Item = u32>) {
        for pid in pids {
            if let Some(network) = network_of(pid)
                && !self.networks.contains_key(&network)
                && let Some(refused) = counted(pid)
            {
                self.networks.insert(network, refused);
            }
        }
    }

    /// Of a listener that was there already the first look says from where on is counted; another one begins at 0.
    pub fn add(&mut self, seen: &Sighting) {
        let before = self.last.insert(seen.inode, (seen.drops, self.look)).map(|(drops, _)| drops);
        let before = before.unwrap_or(if seen.flags & OLDER == 0 { 0 } else { seen.drops });
        let dropped = seen.drops.wrapping_sub(before);
        // Another socket with the same inode.
        let dropped = if dropped > u32::MAX / 2 { seen.drops } else { dropped };
        self.has_grown |= dropped > 0;
        if seen.flags & DEFERS != 0 {
            self.deferring.entry(Subject::service(seen.service as usize)).or_default().insert(seen.port);
        }
        let section = self.dropped.entry(Subject::service(seen.service as usize)).or_default();
        let row = section.entry(vec![seen.port]).or_default();
        *row = refused(row.sums.get(0) + i64::from(dropped), row.sums.get(1) + 1);
    }

    /// A look has gone over all listeners: those that some looks have not seen are gone. One look may pass a listener, where sockets
    /// beside it in the kernel's table are closed meanwhile.
    pub fn end_look(&mut self) {
        let look = self.look;
        self.last.retain(|_, (_, seen)| *seen + GONE_AFTER > look);
        self.look += 1;
    }

    /// Reads the counters of the namespaces, if a listener has dropped anything since. After the listeners, so that what they have refused
    /// is in them. `processes` are those of the services.
    pub fn bound(&mut self, processes: impl FnOnce() -> Vec<(u32, usize)>) {
        if !std::mem::take(&mut self.has_grown) {
            return;
        }
        let mut known: BTreeMap<Subject, BTreeMap<PathBuf, u64>> = BTreeMap::new();
        for (pid, service) in processes() {
            let Some(network) = network_of(pid) else { continue };
            let of_service = known.entry(Subject::service(service)).or_default();
            if !of_service.contains_key(&network)
                && let Some(now) = counted(pid)
            {
                let before = self.networks.get(&network).copied().unwrap_or_default();
                of_service.insert(network, now.saturating_sub(before));
            }
        }
        known.retain(|_, of_service| !of_service.is_empty());
        // Of a service that has gone the last figure stands.
        self.most.extend(known);
    }

    /// By service and port. The second word says that the listener was looked at, also where it has refused nothing.
    #[must_use]
    pub fn by_service(&self) -> BTreeMap<Subject, Section> {
        let mut all = self.dropped.clone();
        for (subject, section) in &mut all {
            let Some(networks) = self.most.get(subject) else { continue };
            for (key, row) in section.iter_mut() {
                let others = if self.defers(subject, key) { self.refused_by_others(networks) } else { 0 };
                let most = i64::try_from(networks.values().sum::<u64>()).unwrap_or(i64::MAX);
                *row = refused(row.sums.get(0).min((most - others).max(0)), row.sums.get(1));
            }
        }
        all
    }

    /// What listeners without `TCP_DEFER_ACCEPT` have refused in these namespaces.
    fn refused_by_others(&self, networks: &BTreeMap<PathBuf, u64>) -> i64 {
        let is_there = |own: &BTreeMap<PathBuf, u64>| own.keys().any(|network| networks.contains_key(network));
        let mut sum = 0;
        for (subject, section) in &self.dropped {
            if self.most.get(subject).is_some_and(is_there) {
                let others = section.iter().filter(|(key, _)| !self.defers(subject, key));
                sum += others.map(|(_, row)| row.sums.get(0)).sum::<i64>();
            }
        }
        sum
    }

    fn defers(&self, subject: &Subject, key: &[u32]) -> bool {
        let ports = self.deferring.get(subject);
        ports.is_some_and(|ports| key.first().is_some_and(|port| ports.contains(port)))
    }
}

fn refused(drops: i64, looks: i64) -> Row {
    Row { sums: Sums::dense([drops, looks]), ..Row::default() }
}

/// Names the network namespace of a process.
fn network_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(Path::new("/proc").join(pid.to_string()).join("ns/net")).ok()
}

/// What the listeners of a process's network namespace have refused since it was made.
fn counted(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("net/netstat")).ok()?;
    listen_drops(&text)
}

/// The counter in the text of `/proc/PID/net/netstat`: a line of names, a line of values.
fn listen_drops(netstat: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt:")).map(str::split_whitespace);
    let (names, values) = (lines.next()?, lines.next()?);
    names.zip(values).find(|(name, _)| *name == COUNTER)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::fates::LISTENING_SOCKET;

    use super::*;

    fn at(inode: u64, drops: u32, flags: u32) -> Sighting {
        Sighting { inode, drops, flags, port: 80, kind: LISTENING_SOCKET, ..Sighting::default() }
    }

    fn network(refused: u64) -> BTreeMap<PathBuf, u64> {
        BTreeMap::from([(PathBuf::from("net:[1]"), refused)])
    }

    fn sum(refusals: &Refusals) -> i64 {
        refusals.by_service()[&Subject::service(0)][&vec![80]].sums.get(0)
    }

    #[test]
    fn drops_count_from_the_first_look_and_those_of_new_listeners_from_the_begin() {
        let mut refusals = Refusals::default();
        refusals.add(&at(7, 100, OLDER));
        assert_eq!(sum(&refusals), 0);
        refusals.add(&at(7, 103, OLDER));
        refusals.add(&at(8, 2, 0));
        assert_eq!(sum(&refusals), 5);
        // The counter wraps; and a new socket may get the inode of one that is gone.
        refusals.add(&at(9, u32::MAX, OLDER));
        refusals.add(&at(9, 1, OLDER));
        refusals.add(&at(7, 1, 0));
        assert_eq!(sum(&refusals), 5 + 2 + 1);
    }

    #[test]
    fn listeners_that_are_gone_take_no_memory() {
        let mut refusals = Refusals::default();
        for inode in 0..1_000 {
            refusals.add(&at(inode, 2, 0));
            refusals.add(&at(1_000, 7, 0));
            refusals.end_look();
        }
        assert_eq!((sum(&refusals), refusals.last.len()), (2 * 1_000 + 7, 1 + GONE_AFTER as usize));
        // An inode that comes again is another socket's.
        refusals.add(&at(3, 5, 0));
        assert_eq!(sum(&refusals), 2 * 1_000 + 7 + 5);
    }

    #[test]
    fn no_more_is_refused_than_the_namespace_has_counted() {
        let mut refusals = Refusals::default();
        let own = std::process::id();
        refusals.begin([own].into_iter());
        // Segments of handshakes, in a network in which nothing was refused.
        refusals.add(&at(7, 0, OLDER));
        refusals.add(&at(7, 1_000_000, OLDER));
        refusals.bound(|| vec![(own, 0)]);
        // Others on this machine may be refused meanwhile.
        assert!(sum(&refusals) < 1_000_000, "{}", sum(&refusals));
        // Without a drop nobody asks.
        refusals.bound(|| panic!("asked"));
    }

    #[test]
    fn a_service_that_has_gone_keeps_its_figure() {
        let mut refusals = Refusals::default();
        refusals.most.insert(Subject::service(0), network(3));
        refusals.add(&at(7, 5, 0));
        refusals.bound(Vec::new);
        assert_eq!(sum(&refusals), 3);
        // Of one whose namespace was never seen the listeners' own count stands.
        refusals.most.clear();
        assert_eq!(sum(&refusals), 5);
    }

    #[test]
    fn one_that_defers_has_refused_only_what_the_others_have_not() {
        let mut refusals = Refusals::default();
        // Its handshakes, beside another that has refused 40 of the namespace's 42.
        refusals.add(&at(7, 1_000, DEFERS));
        refusals.add(&Sighting { service: 1, port: 81, ..at(8, 40, 0) });
        for service in 0..2 {
            refusals.most.insert(Subject::service(service), network(42));
        }
        assert_eq!(sum(&refusals), 2);
        assert_eq!(refusals.by_service()[&Subject::service(1)][&vec![81]].sums.get(0), 40);
        // In a namespace of its own the other takes nothing.
        refusals.most.insert(Subject::service(1), BTreeMap::from([(PathBuf::from("net:[2]"), 40)]));
        assert_eq!(sum(&refusals), 42);
    }

    #[test]
    fn the_counter_is_found_by_its_name() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 2 3\nIpExt: InNoRoutes\nIpExt: 9\n";
        assert_eq!(listen_drops(text), Some(3));
        assert_eq!(listen_drops("TcpExt: ListenDrops\n"), None);
    }
}
