//! Whether captures can be merged, in which order, and how their clocks become one.
//!
//! In: what stands at the begin of each capture. Out: the same in order, each with what brings its clock to that of the first; or all
//! reasons why these captures are not to be added. The order does not depend on that in which the captures were named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::discover::Objective;
use crate::snapshot::Context;
use crate::units::{duration, timestamp};

/// Clocks of one host that differ by less are of one boot: the time of day is set now and then, and a boot takes longer.
const ONE_BOOT_NS: u64 = 30_000_000_000;
/// Two captures that overlap by less follow one another.
const TOUCH_NS: u64 = 1_000_000;

/// What has to be known of a capture before it is merged.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Where it is.
    pub path: PathBuf,
    /// Its last bytes, which hold its digest.
    seal: Vec<u8>,
    layout: u32,
    host: String,
    start_ns: u64,
    start_unix_ns: u64,
    duration_ns: u64,
    services: Vec<Service>,
    /// What is added to its clock, wrapping.
    pub(super) shift_ns: u64,
    /// Whether all captures are of its host.
    pub(super) is_alone: bool,
}

#[derive(Clone, Debug, Default)]
struct Service {
    name: String,
    objective: Objective,
    processes: Vec<(u32, String)>,
}

/// Why captures are not to be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// One has another layout.
    #[error("{}: has layout {layout}, and {} has layout {other_layout}; merge those of one layout", path.display(), other.display())]
    Layout {
        /// The one.
        path: PathBuf,
        /// Its layout.
        layout: u32,
        /// The first one.
        other: PathBuf,
        /// Its layout.
        other_layout: u32,
    },
    /// A service is held against two things.
    #[error("{}: holds {service} against {held}, and {} against {other_held}; merge those of one objective", path.display(), other.display())]
    Objective {
        /// One capture.
        path: PathBuf,
        /// The service.
        service: String,
        /// Its objective there.
        held: String,
        /// Another.
        other: PathBuf,
        /// Its objective there.
        other_held: String,
    },
    /// A report has another shape than this version writes.
    #[error("{}: has schema version {version}, and this agent adds those of version {own}; merge what was recorded with one version", path.display())]
    Schema {
        /// The report.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// What can be added.
        own: u32,
    },
    /// A report has buckets that are not ours.
    #[error("{}: {what} has other buckets than those of this agent, which do not add up; leave it out", path.display())]
    Buckets {
        /// The report.
        path: PathBuf,
        /// Which of its distributions.
        what: String,
    },
    /// One is there twice.
    #[error("{}: is the same recording as {}; name it once", path.display(), other.display())]
    Same {
        /// One name.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// Requests would count twice.
    #[error("{}: has {service} of {host} (process {pid}) from {from} for {length}, which {} has too; each request would count twice", path.display(), other.display())]
    Twice {
        /// One capture.
        path: PathBuf,
        /// The service.
        service: String,
        /// Its host.
        host: String,
        /// A process that both have.
        pid: u32,
        /// Since when both have it.
        from: String,
        /// For how long.
        length: String,
        /// Another capture.
        other: PathBuf,
    },
}

impl Head {
    /// What has to be known of the recording in `path`; what it ends with, the last of `bytes`, is its own alone.
    #[must_use]
    pub fn new(path: &Path, context: &Context, bytes: &[u8]) -> Self {
        let service = |of: &crate::snapshot::ServiceContext| Service {
            name: of.name.clone(),
            objective: of.objective,
            processes: of.processes.iter().map(|process| (process.pid, process.comm.clone())).collect(),
        };
        Self {
            path: path.to_owned(),
            seal: bytes[bytes.len().saturating_sub(64)..].to_vec(),
            layout: context.layout,
            host: context.host.name.clone(),
            start_ns: context.start_ns,
            start_unix_ns: context.start_unix_ns,
            duration_ns: context.duration_ns,
            services: context.services.iter().map(service).collect(),
            shift_ns: 0,
            is_alone: false,
        }
    }

    /// The name of its host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The common name of one of its services.
    #[must_use]
    pub fn name_of(&self, service: &str, by_host: bool) -> String {
        match by_host && !service.contains('@') {
            true => format!("{service}@{}", self.host),
            false => service.to_owned(),
        }
    }

    /// Its begin on the common clock.
    pub(super) fn common_start_ns(&self) -> u64 {
        self.start_ns.wrapping_add(self.shift_ns)
    }

    /// When it began, since 1970.
    #[must_use]
    pub fn start_unix_ns(&self) -> u64 {
        self.start_unix_ns
    }

    /// When it ended, since 1970.
    #[must_use]
    pub fn end_unix_ns(&self) -> u64 {
        self.start_unix_ns.saturating_add(self.duration_ns)
    }

    fn end_ns(&self) -> u64 {
        self.common_start_ns().saturating_add(self.duration_ns)
    }

    /// What the time of day is ahead of its clock, wrapping.
    fn offset_ns(&self) -> u64 {
        self.start_unix_ns.wrapping_sub(self.start_ns)
    }

    fn order(&self, start_ns: u64) -> impl Ord + use<> {
        let services: Vec<String> = self.services.iter().map(|service| service.name.clone()).collect();
        (start_ns, self.host.clone(), services, self.seal.clone())
    }
}

/// The order in which captures are merged.
///
/// # Errors
/// All reasons why they are not.
pub fn plan(mut heads: Vec<Head>, by_host: bool) -> Result<Vec<Head>, Vec<Refusal>> {
    let mut refusals = layouts(&heads);
    refusals.extend(same(&heads));
    refusals.extend(objectives(&heads, by_host));
    heads.sort_by_cached_key(|head| head.order(head.start_unix_ns));
    shift(&mut heads);
    heads.sort_by_cached_key(|head| head.order(head.common_start_ns()));
    if refusals.is_empty() {
        refusals = twice(&heads);
    }
    let is_alone = heads.windows(2).all(|pair| pair[0].host == pair[1].host);
    heads.iter_mut().for_each(|head| head.is_alone = is_alone);
    if refusals.is_empty() { Ok(heads) } else { Err(refusals) }
}

/// Brings all clocks to that of the first. The clock of one boot is one clock, whatever was done to the time of day meanwhile.
fn shift(heads: &mut [Head]) {
    let Some(first) = heads.first().map(Head::offset_ns) else { return };
    let mut boots: Vec<(String, u64)> = Vec::new();
    for head in heads {
        let offset = head.offset_ns();
        let is_of = |boot: &&(String, u64)| {
            let ahead = boot.1.wrapping_sub(offset);
            boot.0 == head.host && ahead.min(ahead.wrapping_neg()) < ONE_BOOT_NS
        };
        let of_boot = boots.iter().find(is_of).map(|boot| boot.1);
        if of_boot.is_none() {
            boots.push((head.host.clone(), offset));
        }
        head.shift_ns = of_boot.unwrap_or(offset).wrapping_sub(first);
    }
}

fn layouts(heads: &[Head]) -> Vec<Refusal> {
    let Some(first) = heads.first() else { return Vec::new() };
    let others = heads.iter().filter(|head| head.layout != first.layout);
    let refusal = |head: &Head| Refusal::Layout {
        path: head.path.clone(),
        layout: head.layout,
        other: first.path.clone(),
        other_layout: first.layout,
    };
    others.map(refusal).collect()
}

fn same(heads: &[Head]) -> Vec<Refusal> {
    let mut known: BTreeMap<&[u8], &Path> = BTreeMap::new();
    let mut refusals = Vec::new();
    for head in heads {
        match known.get(head.seal.as_slice()) {
            Some(other) => refusals.push(Refusal::Same { path: head.path.clone(), other: (*other).to_owned() }),
            None => drop(known.insert(&head.seal, &head.path)),
        }
    }
    refusals
}

fn objectives(heads: &[Head], by_host: bool) -> Vec<Refusal> {
    let mut known: BTreeMap<String, (Objective, &Path)> = BTreeMap::new();
    let mut refusals = Vec::new();
    for (head, service) in heads.iter().flat_map(|head| head.services.iter().map(move |service| (head, service))) {
        let name = head.name_of(&service.name, by_host);
        let (objective, other) = known.entry(name).or_insert((service.objective, &head.path));
        if *objective != service.objective {
            refusals.push(Refusal::Objective {
                path: head.path.clone(),
                service: service.name.clone(),
                held: held(service.objective),
                other: other.to_owned(),
                other_held: held(*objective),
            });
        }
    }
    refusals
}

fn held(objective: Objective) -> String {
    let ns = |of: Duration| u64::try_from(of.as_nanos()).unwrap_or(u64::MAX);
    let rate = objective.cache_hit_rate.map_or_else(String::new, |rate| format!(", cache_hit_rate {rate}"));
    format!("p99 < {} at > {} req/s{rate}", duration(ns(objective.p99)), objective.min_rps)
}

/// Captures that have the same process at the same time.
fn twice(heads: &[Head]) -> Vec<Refusal> {
    let mut going_on: BTreeMap<(&str, &str), Vec<(&Head, &Service)>> = BTreeMap::new();
    let mut refusals = Vec::new();
    for (head, service) in heads.iter().flat_map(|head| head.services.iter().map(move |service| (head, service))) {
        let at = head.common_start_ns();
        let others = going_on.entry((&head.host, &service.name)).or_default();
        others.retain(|(other, _)| other.end_ns() > at.saturating_add(TOUCH_NS));
        let shared = others.iter().find_map(|(other, of_other)| {
            let pid = service.processes.iter().find(|process| of_other.processes.contains(process))?.0;
            Some((*other, pid))
        });
        if let Some((other, pid)) = shared {
            refusals.push(Refusal::Twice {
                path: head.path.clone(),
                service: service.name.clone(),
                host: head.host.clone(),
                pid,
                from: timestamp(head.start_unix_ns),
                length: duration(head.end_ns().min(other.end_ns()).saturating_sub(at)),
                other: other.path.clone(),
            });
        }
        others.push((head, service));
    }
    refusals
}
