//! The report as a whole: its types, and nothing that computes.
//!
//! In: filled by `analysis`. Out: serialised by `seal`, described by `schema`. A field that was not measured is absent,
//! never 0. Durations are integers in ns, sizes integers in bytes, with the unit in the name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::ClientReport;
use super::finding::Finding;
use super::service::ServiceReport;
use crate::live::status::ProbeStatus;
use crate::snapshot::Ending;

/// Version of the report's shape; raised when a field is renamed, removed or changes its meaning.
pub const SCHEMA_VERSION: u32 = 2;

/// A report of acgs-perf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of this shape.
    pub schema_version: u32,
    /// The constitutional hash that every artefact carries.
    pub constitutional_hash: String,
    /// Who wrote the report.
    pub tool: Tool,
    /// Where it was recorded; of a merged recording of several hosts their names, and the sum of their CPUs and of their memory.
    pub host: HostReport,
    /// The hosts of a merged recording, if there are several; absent otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostPartReport>,
    /// When it was recorded.
    pub window: Window,
    /// State of each probe.
    pub probes: Vec<ProbeStatus>,
    /// Every loss counter by name, zero or not; 0 means that nothing was lost in this way.
    pub ledger: BTreeMap<String, u64>,
    /// What the measurement cost.
    pub cost: CostReport,
    /// The services.
    pub services: Vec<ServiceReport>,
    /// What clients saw that loaded the services meanwhile: the runs of `acgs-perf load` as the COMMAND; absent if there was none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client: Vec<ClientReport>,
    /// What probes have counted that is no service's, by the name of the table; absent if there is no such table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recording: BTreeMap<String, Value>,
    /// What could not be read or done after the start, in one line each; empty if nothing.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What deserves attention, most severe first.
    pub findings: Vec<Finding>,
    /// `sha256:` and the hex SHA-256 of the canonical form; empty until the report is sealed.
    pub digest: String,
}

/// Who wrote the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Name of the program.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Facts about the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostReport {
    /// Host name.
    pub name: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture.
    pub arch: String,
    /// CPUs online.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What a merged recording has of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostPartReport {
    /// Facts about it.
    pub host: HostReport,
    /// Version of the agent there.
    pub agent: String,
    /// Captures of it.
    pub captures: u32,
    /// When the first of them began, ns since 1970-01-01 UTC.
    pub start_unix_ns: u64,
    /// When the last of them ended, ns since 1970-01-01 UTC.
    pub end_unix_ns: u64,
}

/// The time in which events were counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Begin, ns since 1970-01-01 UTC.
    pub start_unix_ns: u64,
    /// Length.
    pub duration_ns: u64,
    /// What ended the recording: `duration`, `interrupted`, `command exited with 3`, …
    #[schemars(with = "String")]
    pub ended_by: Ending,
}

/// What the measurement cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostReport {
    /// CPU time of the agent, user and system, over the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_cpu_ns: Option<u64>,
    /// Largest resident set of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_max_rss_bytes: Option<u64>,
    /// Memory of the kernel maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_bytes: Option<u64>,
    /// From the first program loaded to the last hook attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_ns: Option<u64>,
    /// Per kernel program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub programs: Option<Vec<ProgramCostReport>>,
    /// Why `programs` is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub programs_unmeasured: Option<String>,
    /// What `--max-overhead` has seen; absent without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overhead: Option<OverheadReport>,
}

/// Cost of kernel programs and agent in intervals of a second, in millionths of the CPU time of all online CPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OverheadReport {
    /// The limit.
    pub limit_ppm: u64,
    /// Intervals that were measured.
    pub intervals: u32,
    /// The last one; absent if the recording was too short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ppm: Option<u64>,
    /// The dearest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest_ppm: Option<u64>,
    /// What timing the programs has cost in the last one; it is part of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_ppm: Option<u64>,
}

/// Cost of one kernel program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramCostReport {
    /// Name of the program.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// Time spent in it.
    pub run_time_ns: u64,
}
