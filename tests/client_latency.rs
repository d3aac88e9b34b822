//! The latency that the client saw, by its own kernel: from the send stamp of the request's first segment to the receive stamp of the
//! last segment of the reply. The report has to say the same within 2 % or 50 µs at p50, p90 and p99, whatever it is that makes the client
//! wait, and to count exactly those who got no reply. Nearness is asked of one run of three, because others use the machine; the counts
//! must be exact in each. Longer runs: `cargo xtask bench accuracy --clients`.

use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::score::modes::{named, score_of};
use acgs_perf_tests::score::seen::SEEN;
use acgs_perf_tests::tries::one_of_three;

/// Few, so that all of them together take less than a minute.
const REQUESTS: u64 = 400;

fn seen(name: &str) {
    need_root();
    one_of_three(|_| score_of(named(name).unwrap(), REQUESTS, SEEN, None).unwrap().nearness());
}

#[test]
fn at_once() {
    seen("at once");
}

#[test]
fn stall_before_accept() {
    seen("stall before accept");
}

#[test]
fn stall_before_read() {
    seen("stall before read");
}

#[test]
fn stall_before_reply() {
    seen("stall before reply");
}

#[test]
fn pieces_without_nagle() {
    seen("pieces, without Nagle");
}

#[test]
fn pieces_with_nagle() {
    seen("pieces, with Nagle");
}

#[test]
fn slow_reader() {
    seen("slow reader");
}

#[test]
fn slow_sender() {
    seen("slow sender");
}

#[test]
fn abandon() {
    seen("abandon");
}

#[test]
fn never_a_reply() {
    seen("never a reply");
}

#[test]
fn refuse() {
    seen("refuse");
}
