//! What differs between two recordings: types only.
//!
//! In: filled by `compare`. Out: the JSON of `acgs-perf diff`, and what its sentences are made from. Figures of time are in ns; a change is
//! new less old.

use serde::Serialize;

use crate::analysis::model::HostReport;

/// Version of this shape.
pub const COMPARISON_VERSION: u32 = 1;

/// Two recordings, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// [`COMPARISON_VERSION`].
    pub comparison_version: u32,
    /// The constitutional hash that every artefact carries.
    pub constitutional_hash: String,
    /// With this chance no figure of the whole comparison is told to have changed if nothing has.
    pub confidence: f64,
    /// Changes of less than this share are not told.
    pub least_share: f64,
    /// The earlier recording.
    pub old: SideFacts,
    /// The later one.
    pub new: SideFacts,
    /// What makes them hard to compare, or the intervals wide.
    pub notes: Vec<Note>,
    /// The services that both have, in the order of the new one.
    pub services: Vec<ServiceComparison>,
    /// Services that only the earlier one has.
    pub only_old: Vec<String>,
    /// Services that only the later one has.
    pub only_new: Vec<String>,
}

/// One of the recordings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SideFacts {
    /// What it was read from.
    pub name: String,
    /// How many recordings it is made of.
    pub recordings: usize,
    /// Its host.
    pub host: HostReport,
    /// When it began, ns since 1970.
    pub start_unix_ns: u64,
    /// How long it is.
    pub duration_ns: u64,
    /// Events that were lost, of all kinds.
    pub lost: u64,
}

/// What makes two recordings hard to compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// Kernels differ.
    Kernel {
        /// Then.
        old: String,
        /// Now.
        new: String,
    },
    /// Numbers of CPUs differ.
    Cpus {
        /// Then.
        old: Option<u32>,
        /// Now.
        new: Option<u32>,
    },
    /// Hosts differ.
    Host {
        /// Then.
        old: String,
        /// Now.
        new: String,
    },
    /// The objective of a service differs.
    Objective {
        /// Which.
        service: String,
    },
    /// One of them is a report, whose intervals are wider, and of which components have none.
    NoBlocks {
        /// Which.
        name: String,
    },
    /// The earlier one was recorded later.
    Swapped,
    /// Events were lost.
    Lost {
        /// By which.
        name: String,
        /// How many.
        count: u64,
    },
}

/// A service in both.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServiceComparison {
    /// Its name.
    pub name: String,
    /// Requests that were answered, then and now.
    pub requests: [u64; 2],
    /// Time in which its threads waited for a CPU that others had, by the time in which they had one, then and now; absent where it is not
    /// known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contention: Option<[f64; 2]>,
    /// All of its figures.
    pub figures: Vec<Shift>,
    /// The deciles of the latency, which are drawn, and never told.
    pub deciles: Vec<Decile>,
    /// What the requests at a quantile are made of, then and now; absent where there are too few.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_of: Option<MadeOf>,
    /// Endpoints that only the earlier one has, most requests first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints_only_old: Vec<EndpointOnly>,
    /// Endpoints that only the later one has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints_only_new: Vec<EndpointOnly>,
}

/// An endpoint that one of them has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EndpointOnly {
    /// Its name.
    pub name: String,
    /// Requests answered.
    pub requests: u64,
}

/// What a figure is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "of")]
pub enum Figure {
    /// A component of the latency, mean per request.
    Component {
        /// Its name.
        name: String,
    },
    /// Time in which a downstream peer was waited for, mean per request.
    Downstream {
        /// Its name or address.
        peer: String,
    },
    /// Calls of a downstream peer, per request.
    Calls {
        /// Its name or address.
        peer: String,
    },
    /// A quantile of the latency, in hundredths of a percent.
    Latency {
        /// Which.
        quantile: u32,
    },
    /// Requests without a reply, of those that have one: `abandoned`, `cut_off`, `refused`, `unanswered`.
    Fate {
        /// Which.
        name: String,
    },
    /// Requests answered per second.
    Rate,
    /// A quantile of an endpoint's latency, in hundredths of a percent.
    EndpointLatency {
        /// Its name.
        endpoint: String,
        /// Which.
        quantile: u32,
    },
    /// An endpoint's share of the requests of all endpoints.
    EndpointShare {
        /// Its name.
        endpoint: String,
    },
}

/// In what a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Per second.
    PerSecond,
    /// Per request.
    PerRequest,
}

/// What is told of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It has grown, by more than the least share.
    Up,
    /// It has fallen, by more than the least share.
    Down,
    /// No difference that could be told.
    Nothing,
    /// It has changed, and so has how much others used the CPUs that the service wanted: which of both, nobody can tell.
    Host,
    /// Too little is known for any difference to be told.
    TooLittle,
}

/// A figure, then and now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shift {
    /// What it is of.
    #[serde(flatten)]
    pub figure: Figure,
    /// In what it is.
    pub unit: Unit,
    /// Then.
    pub old: f64,
    /// Now.
    pub new: f64,
    /// Now less then.
    pub shift: f64,
    /// The interval of the shift; all intervals of the comparison hold together with its confidence. Absent where one end is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// How much more would have been seen; absent where nothing would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_be_seen: Option<f64>,
    /// What is told.
    pub told: Told,
}

/// A decile of the latency, then and now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Decile {
    /// In percent.
    pub percent: u32,
    /// Then.
    pub old_ns: u64,
    /// Now.
    pub new_ns: u64,
    /// The interval of the shift; absent where one end is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_ns: Option<[i64; 2]>,
}

/// What the requests next to a quantile are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MadeOf {
    /// The quantile, in hundredths of a percent.
    pub quantile: u32,
    /// Mean latency of the requests next to it, then and now.
    pub latency_ns: [u64; 2],
    /// The parts, by how much they have changed. The component `downstream` is divided by peer.
    pub parts: Vec<PartShift>,
}

/// A part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PartShift {
    /// The component.
    pub component: String,
    /// The peer that is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Mean then.
    pub old_ns: u64,
    /// Mean now.
    pub new_ns: u64,
    /// Now less then.
    pub shift_ns: i64,
}

impl Figure {
    /// Its name, as `--fail-on` takes it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Component { name } => format!("component:{name}"),
            Self::Downstream { peer } => format!("downstream:{peer}"),
            Self::Calls { peer } => format!("calls:{peer}"),
            Self::Latency { quantile: 9_990 } => "p99.9".into(),
            Self::Latency { quantile } => format!("p{}", quantile / 100),
            Self::Fate { name } => name.clone(),
            Self::Rate => "rate".into(),
            Self::EndpointLatency { endpoint, .. } => format!("endpoint:{endpoint}"),
            Self::EndpointShare { endpoint } => format!("share:{endpoint}"),
        }
    }

    /// Whether more of it is worse; of calls, and of what is asked for, nobody knows.
    #[must_use]
    pub fn is_worse_up(&self) -> bool {
        !matches!(self, Self::Rate | Self::Calls { .. } | Self::EndpointShare { .. })
    }
}

impl Shift {
    /// Whether it tells that the service got worse.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        match self.told {
            Told::Up => self.figure.is_worse_up(),
            Told::Down => self.figure == Figure::Rate,
            Told::Nothing | Told::Host | Told::TooLittle => false,
        }
    }

    /// The shift as a share of what was; `None` of nothing.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.old > 0.0).then(|| self.shift / self.old)
    }
}

impl Comparison {
    /// All figures that are told to have changed, with their services.
    pub fn told(&self) -> impl Iterator<Item = (&str, &Shift)> {
        let all = self.services.iter().flat_map(|of| of.figures.iter().map(|shift| (of.name.as_str(), shift)));
        all.filter(|(_, shift)| matches!(shift.told, Told::Up | Told::Down))
    }
}
