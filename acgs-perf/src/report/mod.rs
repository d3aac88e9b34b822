//! The report: its types, its seal, its schema, and how it is written and read back.
//!
//! In: what `analysis` found. Out: a sealed JSON file, or a report loaded from one.

mod attribution;
mod distribution;
mod fit;
mod load;
mod model;
mod schema;
mod seal;
mod service;
mod tail;
mod write;

#[cfg(test)]
mod tests;

pub use attribution::{
    ActorReport, AttributionReport, AttributionRowReport, CallsOutstandingReport, DownstreamReport, ExemplarReport,
    SegmentReport,
};
pub use distribution::Distribution;
pub use fit::seal_to_fit;
pub use load::{Document, LoadError, load, load_document, verify, verify_bytes};
pub use model::{
    CostReport, Finding, HostReport, OverheadReport, ProbeReport, ProgramCostReport, Report, SCHEMA_VERSION, Severity,
    Tool, Window,
};
pub use schema::schema;
pub use seal::seal;
pub use service::{
    Blocked, ObjectiveReport, PeerReport, ProcessReport, RanInsteadReport, RequestsReport, SchedulerReport,
    SeriesPointReport, ServiceReport, Switches, SyscallReport, TcpReport, Verdict,
};
pub use tail::{CutComponentReport, CutPeerReport, CutReport, LeftOutReport, PreemptorReport, TailReport};
pub use write::{
    DEFAULT_NAME, WriteError, check_numbered, check_writable, write_aside, write_atomically, write_numbered,
};
