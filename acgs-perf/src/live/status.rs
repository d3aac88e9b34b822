//! What each probe does on this host, as the report says it.
//!
//! In: what the kernel can, and what was asked for. Out: a [`ProbeStatus`] per probe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a probe does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeState {
    /// It counts.
    Active,
    /// It was not asked for, or a probe that it needs is not active.
    #[default]
    Disabled,
    /// This kernel cannot run it.
    Unsupported,
    /// It counted until it was stopped.
    Stopped,
}

impl ProbeState {
    /// As in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Unsupported => "unsupported",
            Self::Stopped => "stopped",
        }
    }
}

/// State of one probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeStatus {
    /// `request`, `sched`, `syscalls`, `tcp`, `attribution`.
    pub name: String,
    /// What it does.
    pub state: ProbeState,
    /// Why it is not active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was stopped, after the begin of the window: its figures are those of the time until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_after_ns: Option<u64>,
    /// Kernel hooks it uses.
    pub hooks: Vec<String>,
}

impl ProbeStatus {
    /// Whether it counts.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == ProbeState::Active
    }

    /// Whether it counts, or did until it was stopped.
    #[must_use]
    pub fn has_figures(&self) -> bool {
        matches!(self.state, ProbeState::Active | ProbeState::Stopped)
    }
}

/// Whether the probe with this name has figures.
#[must_use]
pub fn has_figures(probes: &[ProbeStatus], name: &str) -> bool {
    probes.iter().any(|probe| probe.name == name && probe.has_figures())
}
