//! Components against the truth: servers that log what they really did, in every way in which a request can change threads.
//! The mean error of the shares must stay within its bound in one run of three, and the parts must add up in each. `cargo xtask bench accuracy` prints
//! the tables.

use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::score::scenario::{SHARES, shares_of};
use acgs_perf_tests::tries::one_of_three;

const REQUESTS: u64 = 1500;

fn agree(name: &str) {
    need_root();
    let run = SHARES.iter().find(|(title, ..)| *title == name).unwrap();
    one_of_three(|_| shares_of(run, REQUESTS).unwrap().nearness());
}

#[test]
fn a_thread_per_connection() {
    agree("threads");
}

#[test]
fn threads_that_share_a_lock() {
    agree("threads, one lock");
}

#[test]
fn an_event_loop() {
    agree("epoll, 8 in flight, calls only");
}

#[test]
fn a_pool_that_replies() {
    agree("pool");
}

#[test]
fn a_pool_that_hands_back() {
    agree("pool-back");
}
