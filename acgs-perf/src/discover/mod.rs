//! Discovery: which processes make up which service.
//!
//! In: selectors from the command line, a configuration file or the built-in catalogue, and the root of a proc file system.
//! Out: [`Target`]s with the processes to profile; for a host on which nothing matches, what does listen and how to name it.
//! Nothing is remembered between two calls. The rules of matching stand at the head of `matching`.

pub mod config;
mod endpoint;
pub mod error;
pub mod every;
#[cfg(test)]
mod fixture;
pub mod listeners;
mod matching;
pub mod namespaces;
mod objective;
mod places;
pub mod processes;
mod proof;
mod scan;
pub mod selector;
mod selector_error;
pub mod sockets;
pub mod spec;
#[cfg(test)]
mod tests;
pub mod udp;
mod udp_sockets;

use std::path::Path;

pub use endpoint::{EndpointKind, EndpointRule, EndpointRules};
pub use error::DiscoverError;
pub use every::{Every, every, newcomers};
pub use listeners::{Listener, listening, suggestions, udp_sockets};
pub use objective::Objective;
pub use spec::{ServiceSpec, parse_service, parse_services};

use matching::{Assignment, Matcher};
use namespaces::Place;
use places::Placed;
use scan::Scan;
use selector::Term;
use sockets::{Endpoint, Listening};

/// A process as it was when it was found: a later one may have its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Process id.
    pub pid: u32,
    /// When it started, clock ticks after boot.
    pub start_time: u64,
}

impl Member {
    fn of(process: &processes::Process) -> Self {
        Self { pid: process.pid, start_time: process.start_time }
    }

    /// Whether this very process is still there, and no zombie.
    pub fn lives(&self, root: &Path) -> bool {
        processes::Process::read(root, self.pid).is_some_and(|process| Self::of(&process) == *self)
    }
}

/// A service and the processes that make it up now.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What was asked for.
    pub spec: ServiceSpec,
    /// Its processes, by rising pid; empty when nothing matches yet, which is for the caller to judge.
    pub pids: Vec<u32>,
    /// The same with when each started.
    pub members: Vec<Member>,
    /// All TCP ports on which those processes listen, rising.
    pub ports: Vec<u16>,
    /// The same with the network namespace of each.
    pub sockets: Vec<(u64, u16)>,
    /// All UNIX stream sockets on which those processes listen, sorted; an abstract name begins with `@`.
    pub unix_paths: Vec<String>,
    /// UDP ports on which those processes take messages, rising; what goes over them is not measured.
    pub udp_ports: Vec<u16>,
    /// What the user should know: processes counted elsewhere, sockets whose holder cannot be seen.
    pub notes: Vec<String>,
    /// Why what was asked for means nothing on this host: its port is open in several other network namespaces, or for UDP only.
    pub refused: Option<String>,
}

/// The services of the built-in catalogue.
pub fn default_specs() -> Result<Vec<ServiceSpec>, DiscoverError> {
    Ok(config::catalogue()?.services)
}

/// Finds the processes of each service, in the order of `specs`. The calling process is never one of them. The specification
/// in a [`Target`] knows in which network namespace its ports are meant; give that one to later calls.
///
/// A service that nothing matches is a [`Target`] without pids; a `pid:` that does not exist is an error.
pub fn resolve(root: &Path, specs: &[ServiceSpec]) -> Result<Vec<Target>, DiscoverError> {
    let scan = whole_host(root)?;
    for spec in specs {
        check_pids(&scan, root, spec)?;
    }
    let own = Place::own(root);
    let placed: Vec<Placed> = specs
        .iter()
        .map(|spec| match &own {
            Some(own) => places::place(spec, &scan, own),
            None => Placed { spec: spec.clone(), notes: Vec::new(), refused: None },
        })
        .collect();
    let specs: Vec<ServiceSpec> = placed.iter().map(|placed| placed.spec.clone()).collect();
    let assignment = Matcher::new(&specs).assign(&scan);
    let targets = placed.into_iter().enumerate().map(|(service, placed)| {
        let mut target = target(&scan, &assignment, &specs, service, &specs[service]);
        target.notes.splice(0..0, placed.notes);
        Target { refused: placed.refused.or(target.refused.take()), ..target }
    });
    Ok(targets.collect())
}

/// Processes that start while a recording runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Those that belong to a service, and to which. Processes of no service, or already gone, are left out.
    pub members: Vec<(Member, usize)>,
    /// Network namespace and TCP port of the listening sockets that they hold, and the service: who inherits one calls no listen.
    pub sockets: Vec<(u64, u16, usize)>,
}

/// Says to which service each of these processes belongs. Reads only these processes, and
/// of their ancestors those that may matter.
pub fn resolve_pids(root: &Path, specs: &[ServiceSpec], pids: &[u32]) -> Joined {
    let matcher = Matcher::new(specs);
    let processes = processes::with_ancestors(root, pids, std::process::id(), matcher.takes_descendants());
    let scan = Scan::of_few(root, processes);
    let mut joined = Joined::default();
    for index in pids.iter().filter_map(|pid| scan.index(*pid)) {
        let Some(service) = matcher.service_of(&scan, index) else { continue };
        joined.members.push((Member::of(&scan.processes()[index]), service));
        let held = if scan.may_listen(index) { scan.held_indices(index) } else { &[] };
        joined.sockets.extend(held.iter().filter_map(|socket| match &scan.listening()[*socket] {
            Listening { endpoint: Endpoint::Tcp(address), network, .. } => Some((*network, address.port(), service)),
            _ => None,
        }));
    }
    joined
}

fn whole_host(root: &Path) -> Result<Scan<'_>, DiscoverError> {
    let processes = processes::all(root, std::process::id()).map_err(|cause| DiscoverError::Read {
        path: root.to_owned(),
        what: "the list of processes",
        cause,
    })?;
    Ok(Scan::new(root, processes))
}

fn terms(spec: &ServiceSpec) -> impl Iterator<Item = &Term> {
    spec.selectors.iter().flat_map(|selector| selector.terms())
}

fn check_pids(scan: &Scan<'_>, root: &Path, spec: &ServiceSpec) -> Result<(), DiscoverError> {
    for term in terms(spec) {
        if let Term::Pid(pid) = *term
            && pid != std::process::id()
            && scan.index(pid).is_none()
        {
            let service = spec.name.clone();
            return Err(match processes::process_of_thread(root, pid) {
                Some(process) => DiscoverError::Thread { service, pid, process },
                None => DiscoverError::NoSuchProcess { service, pid },
            });
        }
    }
    Ok(())
}

fn target(scan: &Scan<'_>, all: &Assignment, specs: &[ServiceSpec], service: usize, spec: &ServiceSpec) -> Target {
    let members: Vec<usize> =
        (0..scan.processes().len()).filter(|index| all.service[*index] == Some(service)).collect();
    let mut sockets = Vec::new();
    let mut unix_paths = Vec::new();
    for held in members.iter().flat_map(|index| scan.held_with_network(*index)) {
        match held {
            (network, Endpoint::Tcp(address)) => sockets.push((network, address.port())),
            (_, Endpoint::Unix(path)) => unix_paths.push(path.clone()),
        }
    }
    sockets.sort_unstable();
    sockets.dedup();
    let mut ports: Vec<u16> = sockets.iter().map(|(_, port)| *port).collect();
    ports.sort_unstable();
    ports.dedup();
    unix_paths.sort_unstable();
    unix_paths.dedup();
    let udp_ports = udp::ports(scan, &udp::held(scan, members.iter().copied()), &ports);
    let members: Vec<Member> = members.iter().map(|index| Member::of(&scan.processes()[*index])).collect();
    let pids: Vec<u32> = members.iter().map(|member| member.pid).collect();
    let mut notes = Vec::new();
    for (process, first, _) in all.conflicts.iter().filter(|(_, _, other)| *other == service) {
        let process = &scan.processes()[*process];
        notes.push(format!(
            "process {} ({}) matches too, but belongs to {}, which comes first",
            process.pid, process.comm, specs[*first].name
        ));
    }
    if terms(spec).any(|term| matches!(term, Term::Pid(pid) if *pid == std::process::id())) {
        notes.push(format!("process {} is acgs-perf itself and is left out", std::process::id()));
    }
    let mut refused = None;
    if pids.is_empty() {
        notes.extend(terms(spec).filter_map(|term| unseen_holder(scan, term)));
        refused = terms(spec).find_map(|term| udp::refusal(scan, term)).filter(|_| notes.is_empty());
    } else if !udp_ports.is_empty() {
        let ports: Vec<String> = udp_ports.iter().map(u16::to_string).collect();
        notes.push(format!("what it does over UDP (port {}) is not measured", ports.join(", ")));
    }
    Target { spec: spec.clone(), pids, members, ports, sockets, unix_paths, udp_ports, notes, refused }
}

/// Explains a socket that listens although no process was found for it.
fn unseen_holder(scan: &Scan<'_>, term: &Term) -> Option<String> {
    let here = |endpoint: &Endpoint| match (term, endpoint) {
        (Term::Port(port), Endpoint::Tcp(address)) => address.port() == *port,
        (Term::Unix(path), Endpoint::Unix(bound)) => path == bound,
        _ => false,
    };
    if !scan.listening().iter().any(|socket| here(&socket.endpoint)) {
        return None;
    }
    let holders: Vec<usize> = (0..scan.processes().len()).filter(|index| scan.held(*index).any(here)).collect();
    if holders.is_empty() {
        return Some(format!(
            "{term} is open, but who holds it cannot be seen; run as root in the host's PID namespace"
        ));
    }
    let waiting = holders.iter().all(|index| scan.is_activator(*index));
    waiting.then(|| format!("{term} is held by systemd, which starts the service with the first connection"))
}
