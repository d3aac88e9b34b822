//! The state of all counters at one moment.
//!
//! In: filled by `read`. Out: what intervals are the difference of. All sums count from the moment at which the programs were loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::open::OpenRequests;
use crate::sums::{Sections, Sums};

/// Version of what snapshots, intervals and captures hold; raised when a section or a field changes its meaning.
pub const LAYOUT_VERSION: u32 = 2;

/// Whose figures these are: a service's, those of one of its endpoints, or nobody's but the recording's.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// Index of the service, in the order in which services were named; the largest number for the recording as a whole.
    pub service: u32,
    /// Its endpoint; `None` for the service as a whole.
    #[serde(default)]
    pub endpoint: Option<String>,
}

impl Subject {
    /// A service as a whole.
    #[must_use]
    pub fn service(index: usize) -> Self {
        Self { service: index as u32, endpoint: None }
    }

    /// The recording as a whole: what is no service's.
    #[must_use]
    pub fn recording() -> Self {
        Self { service: u32::MAX, endpoint: None }
    }
}

/// Figures by subject.
pub type Subjects = BTreeMap<Subject, Sections>;

/// All open requests at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// When, on the clock of the programs.
    pub at_ns: u64,
    /// Those of each subject that has any.
    pub open: BTreeMap<Subject, OpenRequests>,
}

impl Look {
    /// Becomes a look at both, at the same time.
    pub fn add_beside(&mut self, other: Self) {
        self.at_ns = self.at_ns.max(other.at_ns);
        for (subject, open) in other.open {
            self.open.entry(subject).or_default().add_beside(open);
        }
    }
}

/// The state of all counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`LAYOUT_VERSION`].
    pub layout: u32,
    /// When, on the clock of the programs.
    pub at_ns: u64,
    /// When, since 1970.
    pub unix_ns: u64,
    /// What is read every time.
    pub often: Subjects,
    /// What is dear to read, and read less often.
    pub rest: Arc<Subjects>,
    /// When that was, on the clock of the programs.
    pub rest_at_ns: u64,
    /// The open requests; `None` where nobody looked.
    #[serde(default)]
    pub look: Option<Look>,
    /// The loss ledger, by `Loss`.
    pub ledger: Sums,
    /// CPU time of the agent.
    pub agent_cpu_ns: u64,
}
