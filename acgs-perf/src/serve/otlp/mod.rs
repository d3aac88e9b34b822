//! What was recorded, for a collector that speaks OTLP.
//!
//! In: the ring. Out: metrics and traces at a collector, each count once. The agent reads the ring (`feeder`) and gives one piece after the
//! other to a process without privileges (`exporter`), which makes messages of it (`metrics`, `spans`, `delta`) and delivers them
//! (`deliver`). That process can connect to nothing: the agent connects to the collector and hands the connection over (`handed`).
//! What the collector does not take stays in the ring.

mod deliver;
mod delta;
mod endpoint;
mod endpoints;
mod exporter;
mod feeder;
mod handed;
mod metrics;
mod points;
mod spans;
mod talk;
mod words;

pub use endpoint::Endpoint;
pub use exporter::{Config, fork};
pub use feeder::{Feeder, Kept};
