//! What an agent needs that does not end: a service manager to talk to, and a process of its own for whoever comes over the network.
//!
//! In: what the engine tells. Out: the state of the service, and pages over HTTP. The network-facing process (`side`) is forked before
//! anything is attached and gives up everything but its connections (`confine`); it is told what is recorded (`link`, `wire`), adds it
//! up (`totals`), and shows it (`http`, `metrics` as `text` or `native` histograms). `alerts` says who is woken, and when.

pub mod access;
pub mod alerts;
mod child;
mod confine;
mod family;
mod http;
pub mod link;
mod metrics;
mod native;
pub mod notify;
pub mod otlp;
mod page;
pub mod progress;
mod protobuf;
mod query;
mod reply;
pub mod secrets;
pub mod side;
mod text;
pub mod tls;
mod totals;
pub mod wire;
