//! What the kernel programs and the agent both know: bucket arithmetic, thread states, loss counters, map layouts.
//!
//! In: nothing. Out: constants, `repr(C)` types and pure functions, `no_std`, tested on the host.
#![no_std]

pub mod attribution;
pub mod block_io;
pub mod delivery;
pub mod endpoint;
pub mod exemplar;
pub mod fates;
pub mod fields;
pub mod histogram;
pub mod kfuncs;
pub mod ledger;
pub mod maps;
pub mod members;
pub mod memory;
pub mod opaque;
pub mod quota;
pub mod rules;
pub mod sockets;
pub mod state;
mod subprogram;

/// The constitutional hash that every artefact carries.
pub const CONSTITUTIONAL_HASH: &str = "cdd01ef066bc6cf2";
