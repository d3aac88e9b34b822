//! The shape of a report: types, and nothing that computes.
//!
//! In: filled by `analysis`. Out: serialised by `report::seal`, described by `report::schema`.

mod attribution;
mod distribution;
mod root;
mod service;
mod tail;

pub use attribution::{
    ActorReport, AttributionReport, AttributionRowReport, CallsOutstandingReport, DownstreamReport, ExemplarReport,
    SegmentReport,
};
pub use distribution::Distribution;
pub use root::{
    CostReport, Finding, HostReport, OverheadReport, ProgramCostReport, Report, SCHEMA_VERSION, Severity, Tool, Window,
};
pub use service::{
    Blocked, ObjectiveReport, PeerReport, ProcessReport, RanInsteadReport, RequestsReport, SchedulerReport,
    SeriesPointReport, ServiceReport, Switches, SyscallReport, TcpReport, Verdict,
};
pub use tail::{CutComponentReport, CutPeerReport, CutReport, LeftOutReport, PreemptorReport, TailReport};

pub use crate::live::status::{ProbeState, ProbeStatus};
