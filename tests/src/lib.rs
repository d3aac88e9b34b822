//! What the integration tests and the benches share: a server that knows its own times, waits of known length, and a harness
//! that starts services and the agent.

pub mod bpf;
pub mod busy;
pub mod causes;
pub mod clock;
pub mod confine;
pub mod delivery;
pub mod endpoints;
pub mod fate;
pub mod fixes;
pub mod floor;
pub mod grafana;
pub mod harness;
pub mod hostile;
pub mod instructions;
pub mod kernel;
pub mod listening;
pub mod network;
pub mod nginx;
pub mod postgres;
pub mod recording;
pub mod redis;
pub mod report;
pub mod score;
pub mod serving;
pub mod signal;
pub mod tmux;
pub mod tries;
pub mod truth;
pub mod vm;
pub mod waits;
