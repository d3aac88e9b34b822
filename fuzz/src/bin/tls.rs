//! Any bytes as TLS.
#![no_main]

use acgs_perf_protocol::Protocol;
use acgs_perf_protocol_fuzz::try_both_sides;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| try_both_sides(Protocol::Tls, bytes));
