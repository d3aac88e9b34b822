//! Which network namespace the ports of a selector are meant in, decided once, before a recording.
//!
//! In: selectors, a [`Scan`], and where the agent is. Out: the same selectors with their [`Place`], and what the user should know. The
//! rules: the agent's own network namespace, if a process that the selector chooses listens there; otherwise the only other
//! one in which one does; if there are several, none, and the list of them. Where nobody listens yet, the agent's own.

use std::collections::BTreeMap;

use super::matching::Alternative;
use super::namespaces::Place;
use super::scan::Scan;
use super::selector::{Selector, Term};
use super::spec::ServiceSpec;

/// A service whose selectors have their places.
pub(super) struct Placed {
    pub(super) spec: ServiceSpec,
    /// Places that the user did not name.
    pub(super) notes: Vec<String>,
    /// Why a selector means nothing: its port is open in several other namespaces.
    pub(super) refused: Option<String>,
}

/// Gives every selector that names a port, and has none yet, its place.
pub(super) fn place(spec: &ServiceSpec, scan: &Scan<'_>, own: &Place) -> Placed {
    let mut placed = Placed { spec: spec.clone(), notes: Vec::new(), refused: None };
    for selector in placed.spec.selectors.iter_mut().filter(|selector| selector.has_port()) {
        if selector.place().is_some() {
            continue;
        }
        let found = listeners(selector, scan);
        let users = |network: u64| {
            let holders = found.get(&network).into_iter().flatten();
            own.at(network, holders.filter_map(|process| scan.processes()[*process].user()))
        };
        let chosen = match found.keys().collect::<Vec<_>>()[..] {
            _ if found.contains_key(&own.network) => own.network,
            [] => own.network,
            [only] => {
                placed.notes.push(format!(
                    "{selector} is not open in this network namespace; taken is {}",
                    named(scan, *only, &found[only])
                ));
                *only
            }
            ref several => {
                let list: Vec<String> = several.iter().map(|one| named(scan, **one, &found[one])).collect();
                placed.refused = Some(format!(
                    "{selector} is not open in this network namespace, but in {} others: {}; choose one with pid:PID,{selector}",
                    several.len(),
                    list.join(", ")
                ));
                own.network
            }
        };
        *selector = selector.at(Some(users(chosen)));
    }
    placed
}

/// The processes that the selector chooses wherever its ports are, by network namespace.
fn listeners(selector: &Selector, scan: &Scan<'_>) -> BTreeMap<u64, Vec<usize>> {
    let anywhere = Alternative::new(selector);
    let mut found: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for process in (0..scan.processes().len()).filter(|process| anywhere.holds(scan, *process)) {
        let mut ports = selector.terms().iter().filter_map(|term| match term {
            Term::Port(port) => Some(*port),
            _ => None,
        });
        let Some(first) = ports.next() else { continue };
        let mut networks: Vec<u64> = scan.networks_of_port(process, first).collect();
        ports.for_each(|port| networks.retain(|network| scan.networks_of_port(process, port).any(|n| n == *network)));
        networks.sort_unstable();
        networks.dedup();
        networks.into_iter().for_each(|network| found.entry(network).or_default().push(process));
    }
    found
}

/// A namespace as people can find it: its inode, and a process in it.
fn named(scan: &Scan<'_>, network: u64, holders: &[usize]) -> String {
    match holders.first().map(|process| &scan.processes()[*process]) {
        Some(process) => format!("network namespace {network} (pid {}, {})", process.pid, process.comm),
        None => format!("network namespace {network}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::super::{resolve, resolve_pids, spec};
    use crate::discover::Objective;

    const HERE: u64 = 4_026_531_840;
    const HOST: u32 = 5_000_001;

    /// The agent's namespace, and servers on port 6379: (network namespace, pid).
    fn host(servers: &[(u64, u32)]) -> Tree {
        let tree = Tree::new();
        tree.own(HERE, 1);
        tree.process(HOST, 0, "init", "/init");
        tree.tcp(HOST, &[]);
        for (network, pid) in servers {
            tree.process_in(*pid, HOST, "redis-server", "/usr/bin/redis-server", *network);
            let inode = u64::from(*pid);
            let others = servers.iter().filter(|(other, _)| other == network);
            let sockets: Vec<_> = others.map(|(_, other)| (6379, 0x0A, u64::from(*other))).collect();
            tree.tcp(*pid, &sockets);
            tree.socket(*pid, 3, inode);
            if *network == HERE {
                tree.tcp(HOST, &sockets);
            }
        }
        tree
    }

    fn specs(selector: &str) -> Vec<spec::ServiceSpec> {
        spec::parse_services(&[format!("r={selector}")], Objective::default()).unwrap()
    }

    #[test]
    fn a_port_means_the_agents_own_namespace() {
        let tree = host(&[(HERE, 5_000_010), (77, 5_000_020), (78, 5_000_030)]);
        let target = resolve(tree.root(), &specs("port:6379")).unwrap().remove(0);
        assert_eq!((target.pids, target.sockets), (vec![5_000_010], vec![(HERE, 6379)]));
        assert!(target.notes.is_empty() && target.refused.is_none());
    }

    #[test]
    fn or_the_only_other_one_which_is_named() {
        let tree = host(&[(77, 5_000_020)]);
        let target = resolve(tree.root(), &specs("port:6379")).unwrap().remove(0);
        assert_eq!((target.pids, target.sockets), (vec![5_000_020], vec![(77, 6379)]));
        assert!(target.notes[0].contains("network namespace 77 (pid 5000020, redis-server)"), "{:?}", target.notes);
    }

    #[test]
    fn several_others_are_refused_with_their_list_unless_another_term_tells_them_apart() {
        let tree = host(&[(77, 5_000_020), (78, 5_000_030)]);
        let target = resolve(tree.root(), &specs("port:6379")).unwrap().remove(0);
        let line = target.refused.unwrap();
        assert!(target.pids.is_empty() && line.contains("in 2 others") && line.contains("namespace 78 (pid 5000030"));
        let target = resolve(tree.root(), &specs("pid:5000030,port:6379")).unwrap().remove(0);
        assert_eq!((target.pids, target.refused), (vec![5_000_030], None));
    }

    #[test]
    fn who_starts_later_elsewhere_is_a_stranger() {
        for first in [&[][..], &[(HERE, 5_000_010)]] {
            let found = resolve(host(first).root(), &specs("port:6379")).unwrap().remove(0);
            let later = host(&[(HERE, 5_000_011), (77, 5_000_020)]);
            let pids = [5_000_011, 5_000_020];
            let joined = resolve_pids(later.root(), std::slice::from_ref(&found.spec), &pids).members;
            assert_eq!(joined.iter().map(|(member, _)| member.pid).collect::<Vec<_>>(), [5_000_011]);
            assert_eq!(resolve(later.root(), &[found.spec]).unwrap()[0].pids, [5_000_011]);
        }
    }

    #[test]
    fn a_user_namespace_of_its_own_is_a_stranger_later_too() {
        let found = resolve(host(&[]).root(), &specs("port:6379")).unwrap().remove(0);
        let later = host(&[(HERE, 5_000_011)]);
        later.link(5_000_011, "ns/user", "user:[9]");
        assert!(resolve_pids(later.root(), &[found.spec], &[5_000_011]).members.is_empty());
        // Whoever is there when the recording begins was chosen by its user.
        let found = resolve(later.root(), &specs("port:6379")).unwrap().remove(0);
        assert_eq!(found.pids, [5_000_011]);
        assert_eq!(resolve(later.root(), &[found.spec]).unwrap()[0].pids, [5_000_011]);
    }
}
