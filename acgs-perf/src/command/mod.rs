//! The verbs of the command line, one file or folder each. They print and decide on exit codes; the work is elsewhere.

pub mod alerts;
pub mod baseline;
mod choice;
pub mod completions;
pub(crate) mod deliver;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod export;
mod handover;
pub mod load;
pub mod merge;
mod nearest;
pub mod open;
pub mod record;
pub mod report;
mod rules;
pub mod serve;
pub mod services;
pub mod top;
pub mod verify;
