//! Which process belongs to which service.
//!
//! In: a [`Scan`] and service specifications. Out: per process the index of its service. The rules:
//!
//! 1. A process belongs to the first service, in order, one of whose selectors it matches itself. `port:` and `unix:` match
//!    every process that holds the listening socket, thus also workers that inherited it; systemd, which holds sockets for
//!    services that it starts on demand, they do not match.
//! 2. A process that matches nothing joins the service of its nearest matching ancestor when every process from it up to
//!    that ancestor executes the same file: pre-fork workers, PostgreSQL backends, the children that Redis saves with.
//! 3. Descendants of a process matched by a selector with `pid:` join it whatever they execute, so that the pid of a wrapper script
//!    will do. This is also what forks do while a recording runs.

use super::namespaces::Place;
use super::scan::Scan;
use super::selector::{Selector, Term};
use super::sockets::Endpoint;
use super::spec::ServiceSpec;

/// Specifications made ready for matching.
pub(super) struct Matcher<'a> {
    services: Vec<Vec<Alternative<'a>>>,
}

/// One selector; beside each path what it is once symbolic links are followed.
pub(super) struct Alternative<'a> {
    conditions: Vec<(&'a Term, Option<String>)>,
    has_pid: bool,
    place: Option<&'a Place>,
}

/// What became of each process.
pub(super) struct Assignment {
    /// Index of the service of each process of the scan.
    pub(super) service: Vec<Option<usize>>,
    /// (process, service, other service): processes that the other service, later in order, matches too.
    pub(super) conflicts: Vec<(usize, usize, usize)>,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(specs: &'a [ServiceSpec]) -> Self {
        let services = specs.iter().map(|spec| spec.selectors.iter().map(Alternative::new).collect()).collect();
        Self { services }
    }

    /// Applies the rules at the head of this file.
    pub(super) fn assign(&self, scan: &Scan<'_>) -> Assignment {
        let count = scan.processes().len();
        // (service, whether descendants join whatever they execute)
        let mut direct: Vec<Option<(usize, bool)>> = vec![None; count];
        let mut conflicts = Vec::new();
        for (process, slot) in direct.iter_mut().enumerate() {
            for (service, alternatives) in self.services.iter().enumerate() {
                let mut matching =
                    alternatives.iter().filter(|alternative| alternative.holds(scan, process)).peekable();
                if matching.peek().is_none() {
                    continue;
                }
                match slot {
                    None => *slot = Some((service, matching.any(|alternative| alternative.has_pid))),
                    Some((first, _)) => conflicts.push((process, *first, service)),
                }
            }
        }
        let service = (0..count).map(|process| Self::inherit(scan, &direct, process)).collect();
        Assignment { service, conflicts }
    }

    /// The service of one process, by the same rules. Its ancestors are looked at only where that can matter: a new program
    /// is mostly another one than its parent's.
    pub(super) fn service_of(&self, scan: &Scan<'_>, process: usize) -> Option<usize> {
        if let Some((service, _)) = self.direct(scan, process) {
            return Some(service);
        }
        let has_pid = self.takes_descendants();
        let mut child = process;
        let mut same = true;
        for ancestor in scan.ancestors(process) {
            same = same && scan.processes()[child].same_executable(&scan.processes()[ancestor]);
            if !same && !has_pid {
                return None;
            }
            match self.direct(scan, ancestor) {
                Some((service, all_descendants)) if same || all_descendants => return Some(service),
                _ => child = ancestor,
            }
        }
        None
    }

    /// Whether a descendant may belong to a service whatever it executes.
    pub(super) fn takes_descendants(&self) -> bool {
        self.services.iter().flatten().any(|alternative| alternative.has_pid)
    }

    /// The first service that a process matches itself, and whether its descendants join whatever they execute.
    fn direct(&self, scan: &Scan<'_>, process: usize) -> Option<(usize, bool)> {
        self.services.iter().enumerate().find_map(|(service, alternatives)| {
            let mut matching = alternatives.iter().filter(|alternative| alternative.holds(scan, process)).peekable();
            matching.peek()?;
            Some((service, matching.any(|alternative| alternative.has_pid)))
        })
    }

    fn inherit(scan: &Scan<'_>, direct: &[Option<(usize, bool)>], process: usize) -> Option<usize> {
        if let Some((service, _)) = direct[process] {
            return Some(service);
        }
        // Most processes have no matching ancestor at all; only the others are worth reading executables for.
        scan.ancestors(process).find(|ancestor| direct[*ancestor].is_some())?;
        let mut child = process;
        let mut same = true;
        for ancestor in scan.ancestors(process) {
            same = same && scan.processes()[child].same_executable(&scan.processes()[ancestor]);
            match direct[ancestor] {
                Some((service, all_descendants)) if same || all_descendants => return Some(service),
                _ => child = ancestor,
            }
        }
        None
    }
}

impl<'a> Alternative<'a> {
    pub(super) fn new(selector: &'a Selector) -> Self {
        let conditions: Vec<_> = selector
            .terms()
            .iter()
            .map(|term| match term {
                Term::Exe(path) | Term::Unix(path) => (term, canonical(path)),
                _ => (term, None),
            })
            .collect();
        let has_pid = conditions.iter().any(|(term, _)| matches!(term, Term::Pid(_)));
        Self { conditions, has_pid, place: selector.place() }
    }

    /// Whether all terms hold; those that need descriptors read come last.
    pub(super) fn holds(&self, scan: &Scan<'_>, process: usize) -> bool {
        let costly = |term: &Term| matches!(term, Term::Port(_) | Term::Unix(_));
        let check = |costly_now: bool| {
            self.conditions
                .iter()
                .filter(|(term, _)| costly(term) == costly_now)
                .all(|(term, canonical)| holds(scan, process, term, canonical.as_deref(), self.place))
        };
        check(false) && check(true)
    }
}

fn holds(scan: &Scan<'_>, index: usize, term: &Term, canonical: Option<&str>, place: Option<&Place>) -> bool {
    let process = &scan.processes()[index];
    let is = |path: &str, wanted: &str| path == wanted || canonical == Some(path);
    match term {
        Term::Pid(pid) => process.pid == *pid,
        Term::Comm(name) => same_comm(&process.comm, name),
        Term::Exe(path) => process.exe().is_some_and(|exe| is(exe, path)),
        Term::Cmdline(regex) => !process.cmdline().is_empty() && regex.is_match(process.cmdline()),
        Term::Cgroup(path) => process.cgroups().iter().any(|group| is_below(group, path)),
        Term::Unit(name) => process.cgroups().iter().any(|group| in_unit(group, name)),
        Term::Port(port) => {
            let here = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Tcp(address) if address.port() == *port);
            holds_socket(scan, index, here) && place.is_none_or(|place| opens_at(scan, index, *port, place))
        }
        Term::Unix(path) => holds_socket(scan, index, |endpoint| match endpoint {
            Endpoint::Unix(bound) => is(bound, path) || canonical.is_some() && same_socket(bound, path, canonical),
            Endpoint::Tcp(_) => false,
        }),
    }
}

/// Reads descriptors only when some socket on the host qualifies.
fn holds_socket(scan: &Scan<'_>, process: usize, qualifies: impl Fn(&Endpoint) -> bool) -> bool {
    scan.may_listen(process)
        && scan.listening().iter().any(|socket| qualifies(&socket.endpoint))
        && !scan.is_activator(process)
        && scan.held(process).any(qualifies)
}

/// Whether a process that holds a port holds it at this place.
fn opens_at(scan: &Scan<'_>, index: usize, port: u16, place: &Place) -> bool {
    let user = scan.processes()[index].user();
    scan.networks_of_port(index, port).any(|network| network == place.network)
        && user.is_none_or(|user| place.users.contains(&user))
}

/// A socket bound as /var/run/x and named as /run/x, or the other way round.
fn same_socket(bound: &str, path: &str, wanted: Option<&str>) -> bool {
    let name = |text: &str| text.rsplit('/').next().map(str::to_owned);
    name(bound) == name(path) && canonical(bound).as_deref() == wanted
}

fn canonical(path: &str) -> Option<String> {
    std::fs::canonicalize(path).ok()?.into_os_string().into_string().ok()
}

/// Compares as many bytes as the kernel keeps of a command name.
fn same_comm(comm: &str, wanted: &str) -> bool {
    let bytes = wanted.as_bytes();
    comm.as_bytes() == &bytes[..bytes.len().min(super::selector::COMM_BYTES)]
}

/// Whether `group` is `path` or below it; `path` may be given as it is below /sys/fs/cgroup.
fn is_below(group: &str, path: &str) -> bool {
    let path = path.strip_prefix("/sys/fs/cgroup").unwrap_or(path).trim_end_matches('/');
    group.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn in_unit(group: &str, name: &str) -> bool {
    const SUFFIXES: [&str; 4] = [".service", ".scope", ".slice", ".socket"];
    let complete = SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    group.split('/').any(|part| part == name || !complete && part.strip_suffix(".service") == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_names_compare_as_the_kernel_cuts_them() {
        assert!(same_comm("constitutional-", "constitutional-ai"));
        assert!(same_comm("redis-server", "redis-server"));
        assert!(!same_comm("redis-server", "redis"));
    }

    #[test]
    fn control_groups_compare_by_component() {
        assert!(is_below("/system.slice/redis.service", "/system.slice"));
        assert!(is_below("/system.slice", "/sys/fs/cgroup/system.slice/"));
        assert!(is_below("/anything", "/"));
        assert!(!is_below("/system.slicer", "/system.slice"));
    }

    #[test]
    fn units_need_no_suffix() {
        assert!(in_unit("/system.slice/redis.service", "redis"));
        assert!(in_unit("/system.slice/redis.service/payload", "redis.service"));
        assert!(in_unit("/system.slice/docker-1.scope", "docker-1.scope"));
        assert!(in_unit("/system.slice/x-postgresql.slice/postgresql@16-main.service", "postgresql@16-main"));
        assert!(!in_unit("/system.slice/redis.service", "red"));
        assert!(!in_unit("/system.slice/docker-1.scope", "docker-1"));
    }
}
