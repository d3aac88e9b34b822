//! A recording as it can be saved: its context, its intervals, its notes.
//!
//! In: filled by the engine. Out: input of `analysis`, now or years later. Everything to the right of this is pure: no root, no
//! kernel, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::client::ClientRun;
use super::ending::Ending;
use super::exemplar::Exemplars;
use super::timeline::Timeline;
use crate::discover::{EndpointRules, Objective};
use crate::live::session::ProgramCost;
use crate::live::status::ProbeStatus;

/// A whole recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capture {
    /// What was recorded, where, and how.
    pub context: Context,
    /// What was counted.
    pub intervals: Timeline,
    /// Single requests: the slowest of all, and a sample.
    pub exemplars: Exemplars,
}

/// What was recorded, where, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// Version of the layout, [`super::LAYOUT_VERSION`].
    pub layout: u32,
    /// Version of the agent.
    pub agent: String,
    /// Facts about the host.
    pub host: Host,
    /// When counting began, ns since 1970.
    pub start_unix_ns: u64,
    /// When counting began, on the clock of the programs.
    pub start_ns: u64,
    /// Length of the time in which events were counted.
    pub duration_ns: u64,
    /// How the recording ended.
    pub ended_by: Ending,
    /// What each probe did.
    pub probes: Vec<ProbeStatus>,
    /// Names of the loss counters, by index.
    pub ledger: Vec<String>,
    /// What measuring cost.
    pub cost: Cost,
    /// The services, in the order in which they were named.
    pub services: Vec<ServiceContext>,
    /// Names of services that listen at addresses which were called, by address.
    pub directory: BTreeMap<String, String>,
    /// What could not be read or done after the start, in one line each.
    pub notes: Vec<String>,
    /// The hosts, where this was merged of captures of several; then `host` names them all, and its CPUs and memory are the sum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostPart>,
    /// What clients saw that loaded the services meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientRun>,
}

/// What a merged capture has of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPart {
    /// Facts about it.
    pub host: Host,
    /// Version of the agent there.
    pub agent: String,
    /// Captures of it.
    pub captures: u32,
    /// When the first of these began, since 1970.
    pub start_unix_ns: u64,
    /// When the last of these ended, since 1970.
    pub end_unix_ns: u64,
}

/// Facts about the host and its kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Host name.
    pub name: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture.
    pub arch: String,
    /// CPUs online.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// What was asked for about a service, and its processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceContext {
    /// Its name.
    pub name: String,
    /// The selector that chose it, as the user would write it.
    pub selector: String,
    /// What it is held against.
    pub objective: Objective,
    /// What the configuration says of its endpoints.
    #[serde(default)]
    pub endpoints: EndpointRules,
    /// Its processes.
    pub processes: Vec<Process>,
    /// UDP ports on which they took messages when the recording began, which is not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub udp_ports: Vec<u16>,
}

/// One process of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Command name.
    pub comm: String,
    /// Whether it was gone at the end of the window.
    pub exited: bool,
}

/// Cost of the measurement, beside what intervals have of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// CPU time of the agent itself, user and system, over the window.
    pub agent_cpu_ns: u64,
    /// Largest resident set of the agent.
    pub agent_max_rss_bytes: u64,
    /// Memory of the kernel maps.
    pub map_bytes: u64,
    /// Time from the first load to the last attach.
    pub attach_ns: u64,
    /// Per program; `None` unless it was asked for.
    pub programs: Option<Vec<ProgramCost>>,
    /// Why `programs` is `None` although it was asked for.
    pub programs_unmeasured: Option<String>,
    /// What `--max-overhead` has seen; `None` without it.
    pub overhead: Option<Overhead>,
}

/// Cost as `--max-overhead` measures it, in shares of the CPU time of all online CPUs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overhead {
    /// The limit.
    pub limit: f64,
    /// Times that were measured.
    pub intervals: u32,
    /// The last one.
    pub last: Option<f64>,
    /// The costliest one.
    pub highest: Option<f64>,
    /// What timing the programs has cost in the last one; it is part of that.
    pub account: Option<f64>,
}
