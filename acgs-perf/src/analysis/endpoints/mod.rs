//! Endpoints: what a service is asked for, and how each of them fares.
//!
//! In: the section that the probe `endpoints` fills, or the report's table of it; the rules of the configuration. Out: names, figures,
//! and what follows from them: who is in the tail, who misses its objective.

mod figures;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hostile_statements;
mod moved;
mod naming;
mod objective;
mod paths;
#[cfg(test)]
pub(crate) mod sample;
mod tail;

pub use figures::{EndpointFigures, Latency, lower, of_report, of_section, shown, upper};
pub use moved::{Moved, moved};
pub use naming::Naming;
pub use objective::judge;
pub use paths::Paths;
pub use tail::tail;
