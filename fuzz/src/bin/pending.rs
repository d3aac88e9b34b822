//! Any sequence of requests that come, marks among them, and replies, as the queue of those that wait.
#![no_main]

use acgs_perf_protocol_fuzz::pending::try_queue;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| try_queue(bytes));
