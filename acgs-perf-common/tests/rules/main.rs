//! The rules of attribution, driven by scripts of events on the host.

mod events;
mod executor;
mod helpers;
mod invariants;
mod limits;
mod orders;
mod places;
mod pools;
mod proxies;
mod runtimes;
mod scenarios;
mod seeds;
mod servers;
mod socket;
mod tables;
mod truth;
mod two_at_once;
mod world;
