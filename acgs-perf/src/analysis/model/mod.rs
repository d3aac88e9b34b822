//! The shape of a report: types, and nothing that computes.
//!
//! In: filled by `analysis`. Out: serialised by `report::seal`, described by `report::schema`.

mod attribution;
mod client;
mod distribution;
mod fates;
mod finding;
mod root;
mod service;
mod tail;

pub use attribution::{
    ActorReport, AttributionReport, AttributionRowReport, CallsOutstandingReport, DownstreamReport, ExemplarReport,
    SegmentReport,
};
pub use client::{ClientPartsReport, ClientReport, ClientSliceReport, ServerSideReport};
pub use distribution::Distribution;
pub use fates::{
    AbandonedReport, CoverageReport, FatesReport, KindsReport, OpenReport, OpenRequestReport, PushReport,
    RefusedReport, Since, WaitByDesignReport,
};
pub use finding::{Confidence, Figure, Finding, Severity, Unit};
pub use root::{
    CostReport, HostPartReport, HostReport, OverheadReport, ProgramCostReport, Report, SCHEMA_VERSION, Tool, Window,
};
pub use service::{
    Because, Blocked, ClientTimeReport, HeldReport, LatencyColumnReport, ObjectiveReport, PeerReport, ProcessReport,
    ProcessState, RanInsteadReport, RequestsReport, SchedulerReport, SeriesPointReport, ServiceReport, Switches,
    SyscallReport, TcpReport, Verdict,
};
pub use tail::{CutComponentReport, CutPeerReport, CutReport, LeftOutReport, PreemptorReport, TailReport};

pub use crate::live::status::{ProbeState, ProbeStatus};
