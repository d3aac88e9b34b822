//! The hosts of several captures.
//!
//! In: the host of each capture. Out: that host, if there is one; else one that names them all, with the sum of their CPUs and of their
//! memory, and the list.

use std::collections::BTreeMap;

use super::Head;
use crate::snapshot::{Host, HostPart};

/// Names that are told in one line.
const NAMED: usize = 3;

/// The hosts so far.
#[derive(Debug, Default)]
pub struct Hosts(Vec<HostPart>);

impl Hosts {
    /// Adds the host of a capture, or those of a merged one.
    pub fn add(&mut self, host: &Host, parts: &[HostPart], agent: &str, head: &Head) {
        let whole = HostPart {
            host: host.clone(),
            agent: agent.to_owned(),
            captures: 1,
            start_unix_ns: head.start_unix_ns(),
            end_unix_ns: head.end_unix_ns(),
        };
        for part in if parts.is_empty() { std::slice::from_ref(&whole) } else { parts } {
            match self.0.iter_mut().find(|known| known.host == part.host && known.agent == part.agent) {
                None => self.0.push(part.clone()),
                Some(known) => {
                    known.captures = known.captures.saturating_add(part.captures);
                    known.start_unix_ns = known.start_unix_ns.min(part.start_unix_ns);
                    known.end_unix_ns = known.end_unix_ns.max(part.end_unix_ns);
                }
            }
        }
    }

    /// The host, and the list if there are several.
    pub fn finish(mut self) -> (Host, Vec<HostPart>) {
        self.0.sort_by(|a, b| (&a.host.name, a.start_unix_ns).cmp(&(&b.host.name, b.start_unix_ns)));
        let first = self.0.first().map(|part| part.host.clone()).unwrap_or_default();
        if self.0.iter().all(|part| part.host == first) {
            return (first, Vec::new());
        }
        let all = |what: fn(&Host) -> &str| several(self.0.iter().map(|part| what(&part.host)));
        // One that was started again with another kernel has no more CPUs for that.
        let mut sizes: BTreeMap<&str, (u32, u64)> = BTreeMap::new();
        for Host { name, cpus, memory_bytes, .. } in self.0.iter().map(|part| &part.host) {
            let (known_cpus, known_bytes) = sizes.entry(name).or_default();
            (*known_cpus, *known_bytes) = ((*known_cpus).max(*cpus), (*known_bytes).max(*memory_bytes));
        }
        let host = Host {
            name: all(|host| &host.name),
            kernel: all(|host| &host.kernel),
            arch: all(|host| &host.arch),
            cpus: sizes.values().fold(0, |sum, (cpus, _)| sum.saturating_add(*cpus)),
            memory_bytes: sizes.values().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes)),
        };
        (host, self.0)
    }
}

/// The first few of them, and how many more there are.
fn several<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in all.filter(|name| !name.is_empty()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let told = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}
