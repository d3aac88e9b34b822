//! Every service that listens, for whoever names none: by command and port, the busiest if there are too many.
//!
//! In: the root of a proc file system, what all are held against, how many there may be. Out: targets, and the names of those that are left
//! out. Who listens on several ports is one service; who listens on UNIX sockets only is not taken, because every desktop and every
//! container engine has dozens of these.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::listeners::{self, Listener, service_name, unique};
use super::selector::Selector;
use super::sockets::Endpoint;
use super::{DiscoverError, EndpointRules, Objective, ServiceSpec, Target, processes, resolve};

/// What listens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Every {
    /// The services, the busiest first.
    pub targets: Vec<Target>,
    /// Those that there was no room for.
    pub left_out: Vec<String>,
    /// Commands that listen on UNIX sockets only.
    pub unix_only: Vec<String>,
}

/// Listeners of one service.
struct Group {
    name: String,
    port: u16,
    pids: Vec<u32>,
    selectors: Vec<String>,
}

/// Finds every service that listens on TCP, at most `most` of them.
pub fn every(root: &Path, objective: Objective, most: usize) -> Result<Every, DiscoverError> {
    let listening = listeners::listening(root)?;
    let specs = specs(&groups(&listening), objective, HashSet::new());
    let mut targets = resolve(root, &specs)?;
    // Who shares its port with another one is part of that.
    targets.retain(|target| !target.pids.is_empty());
    // Nobody has named them, so that nobody wonders whose a process is.
    targets.iter_mut().for_each(|target| target.notes.clear());
    let uptime = uptime_ticks(root);
    let load = |target: &Target| target.pids.iter().map(|pid| processes::load(root, *pid, uptime)).sum::<u64>();
    let mut by_load: Vec<(u64, Target)> = targets.into_iter().map(|target| (load(&target), target)).collect();
    by_load.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.spec.name.cmp(&other.spec.name)));
    let mut targets: Vec<Target> = by_load.into_iter().map(|(_, target)| target).collect();
    let left_out = targets.split_off(most.min(targets.len())).into_iter().map(|target| target.spec.name).collect();
    let taken: HashSet<u32> = targets.iter().flat_map(|target| target.pids.iter().copied()).collect();
    let unix = listening.iter().filter(|listener| matches!(listener.endpoint, Endpoint::Unix(_)));
    let unix = unix.filter(|listener| listener.pid.is_some_and(|pid| !taken.contains(&pid)));
    let mut unix_only: Vec<String> = unix.filter_map(|listener| listener.comm.clone()).collect();
    unix_only.sort_unstable();
    unix_only.dedup();
    Ok(Every { targets, left_out, unix_only })
}

/// What listens now and is of none of these services: those that still run or have room, and behind them the new ones, at most `most` in
/// all. `None` if nothing is new.
pub fn newcomers(
    root: &Path,
    known: &[ServiceSpec],
    objective: Objective,
    most: usize,
) -> Result<Option<Vec<Target>>, DiscoverError> {
    let listening = listeners::listening(root)?;
    let mut targets = resolve(root, known)?;
    let pids: HashSet<u32> = targets.iter().flat_map(|target| target.pids.iter().copied()).collect();
    let selectors: HashSet<String> =
        known.iter().flat_map(|spec| &spec.selectors).map(|selector| selector.to_string()).collect();
    let mut groups = groups(&listening);
    groups.retain(|group| {
        let is_known = group.pids.iter().any(|pid| pids.contains(pid));
        !is_known && group.selectors.iter().all(|selector| !selectors.contains(selector))
    });
    let names = known.iter().map(|spec| spec.name.clone()).collect();
    let mut new = resolve(root, &specs(&groups, objective, names))?;
    // Whose selector a service before it has too is part of that.
    new.retain(|target| target.pids.iter().any(|pid| !pids.contains(pid)));
    if targets.len() + new.len() > most {
        targets.retain(|target| !target.pids.is_empty());
    }
    new.truncate(most.saturating_sub(targets.len()));
    if new.is_empty() {
        return Ok(None);
    }
    targets.extend(new);
    targets.iter_mut().for_each(|target| target.notes.clear());
    Ok(Some(targets))
}

/// Listeners by process and port: those that have either in common are of one service.
fn groups(listening: &[Listener]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for listener in listening {
        let (Endpoint::Tcp(address), Some(pid)) = (&listener.endpoint, listener.pid) else { continue };
        let selector = listener.selector();
        let is_same = |group: &Group| group.pids.contains(&pid) || group.selectors.contains(&selector);
        match groups.iter_mut().find(|group| is_same(group)) {
            Some(group) => {
                group.port = group.port.min(address.port());
                if !group.pids.contains(&pid) {
                    group.pids.push(pid);
                }
                if !group.selectors.contains(&selector) {
                    group.selectors.push(selector);
                }
            }
            None => groups.push(Group {
                name: service_name(listener),
                port: address.port(),
                pids: vec![pid],
                selectors: vec![selector],
            }),
        }
    }
    groups
}

fn specs(groups: &[Group], objective: Objective, mut names: HashSet<String>) -> Vec<ServiceSpec> {
    let spec = |group: &Group| {
        let selectors: Vec<Selector> = group.selectors.iter().filter_map(|text| text.parse().ok()).collect();
        // The name of a command that has no letter is that of its port already.
        let name = match group.name.starts_with("port-") {
            true => group.name.clone(),
            false => format!("{}-{}", group.name, group.port),
        };
        (!selectors.is_empty()).then(|| ServiceSpec {
            name: unique(&mut names, name),
            selectors,
            objective,
            endpoints: EndpointRules::default(),
        })
    };
    groups.iter().filter_map(spec).collect()
}

/// How long the host runs, in clock ticks.
fn uptime_ticks(root: &Path) -> u64 {
    let text = fs::read_to_string(root.join("uptime")).unwrap_or_default();
    let seconds = text.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok()).unwrap_or(0.0);
    (seconds * procfs::ticks_per_second() as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::*;

    const HERE: u64 = 4_026_531_840;
    const FIRST: u32 = 5_000_000;

    /// A host with servers: (pid, command, ports, ticks of CPU time).
    fn host(servers: &[(u32, &str, &[u16], u64)]) -> Tree {
        let tree = Tree::new();
        tree.own(HERE, 1);
        let all: Vec<_> =
            servers.iter().flat_map(|(pid, _, ports, _)| ports.iter().map(move |port| (*pid, *port))).collect();
        let inode = |pid: u32, port: u16| u64::from(pid) * 100_000 + u64::from(port);
        let sockets: Vec<_> = all.iter().map(|(pid, port)| (*port, 0x0A, inode(*pid, *port))).collect();
        for (pid, comm, ports, ticks) in servers {
            tree.process(*pid, 0, comm, &format!("/usr/bin/{pid}"));
            tree.cpu(*pid, comm, *ticks);
            tree.tcp(*pid, &sockets);
            for (fd, port) in (3..).zip(*ports) {
                tree.socket(*pid, fd, inode(*pid, *port));
            }
        }
        tree
    }

    fn names(targets: &[Target]) -> Vec<&str> {
        targets.iter().map(|target| target.spec.name.as_str()).collect()
    }

    #[test]
    fn who_listens_on_several_ports_is_one_service_named_by_command_and_port() {
        let tree = host(&[(FIRST, "nginx: m", &[443, 80], 1), (FIRST + 1, "redis-server", &[6379], 5)]);
        let every = every(tree.root(), Objective::default(), 64).unwrap();
        assert_eq!(names(&every.targets), ["redis-server-6379", "nginx--m-80"]);
        assert_eq!(every.targets[1].ports, [80, 443]);
        assert_eq!(every.targets[1].pids, [FIRST]);
        assert!(every.left_out.is_empty() && every.unix_only.is_empty());
    }

    #[test]
    fn of_too_many_the_busiest_are_taken_and_the_others_named() {
        let ports: Vec<[u16; 1]> = (0..70u16).map(|at| [2_000 + at]).collect();
        let servers: Vec<(u32, &str, &[u16], u64)> = (0..70u32)
            .map(|at| (FIRST + at, "s", &ports[at as usize][..], if at == 69 { 1_000 } else { u64::from(at) }))
            .collect();
        let tree = host(&servers);
        let every = every(tree.root(), Objective::default(), 64).unwrap();
        assert_eq!((every.targets.len(), names(&every.targets)[0]), (64, "s-2069"));
        assert_eq!(every.left_out, ["s-2005", "s-2004", "s-2003", "s-2002", "s-2001", "s-2000"]);
    }

    #[test]
    fn a_name_that_says_nothing_is_the_ports_and_none_stands_twice() {
        let tree = host(&[(FIRST, "\x1b[2J", &[81], 0), (FIRST + 1, "\u{7f}\u{7f}", &[82], 0)]);
        let every = every(tree.root(), Objective::default(), 64).unwrap();
        assert_eq!(names(&every.targets), ["2J-81", "port-82"]);
    }

    #[test]
    fn who_begins_to_listen_stands_behind_those_that_are_known() {
        let specs = |tree: &Tree| -> Vec<ServiceSpec> {
            every(tree.root(), Objective::default(), 64).unwrap().targets.into_iter().map(|of| of.spec).collect()
        };
        let before = host(&[(FIRST, "nginx", &[80], 9), (FIRST + 1, "redis-server", &[6379], 5)]);
        let known = specs(&before);
        let new = |tree: &Tree, most| {
            let found = newcomers(tree.root(), &known, Objective::default(), most).unwrap();
            found.map(|targets| targets.iter().map(|of| (of.spec.name.clone(), of.pids.len())).collect::<Vec<_>>())
        };
        assert_eq!(new(&before, 64), None);
        // Another port of one that is known, and one that has come back, are not new.
        let same = host(&[(FIRST, "nginx", &[80, 81], 9), (FIRST + 7, "redis-server", &[6379], 5)]);
        assert_eq!(new(&same, 64), None);
        let after =
            host(&[(FIRST, "nginx", &[80], 9), (FIRST + 2, "node", &[3000], 0), (FIRST + 3, "node", &[3001], 0)]);
        let of = |name: &str, pids| (name.to_owned(), pids);
        let all = [of("nginx-80", 1), of("redis-server-6379", 0), of("node-3000", 1), of("node-3001", 1)];
        assert_eq!(new(&after, 64).as_deref(), Some(&all[..]));
        // Who is gone makes room, and who runs does not.
        assert_eq!(new(&after, 2).as_deref(), Some(&[all[0].clone(), all[2].clone()][..]));
        assert_eq!(new(&after, 1), None);
    }

    #[test]
    fn a_host_on_which_nobody_listens_has_none() {
        let tree = host(&[(FIRST, "init", &[], 0)]);
        assert_eq!(every(tree.root(), Objective::default(), 64).unwrap(), Every::default());
    }
}
