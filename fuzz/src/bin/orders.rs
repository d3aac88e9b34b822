//! Any order of events on a host of five threads, as the rules of attribution: see `events::try_bytes`.
#![no_main]

#[path = "../../../acgs-perf-common/tests/rules/events.rs"]
mod events;
#[path = "../../../acgs-perf-common/tests/rules/invariants.rs"]
mod invariants;
#[path = "../../../acgs-perf-common/tests/rules/socket.rs"]
mod socket;
#[path = "../../../acgs-perf-common/tests/rules/tables.rs"]
mod tables;
#[expect(dead_code, reason = "the tests ask it more")]
#[path = "../../../acgs-perf-common/tests/rules/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| events::try_bytes(bytes));
