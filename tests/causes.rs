//! Planted causes, a short selection: the report must name each, in one run of three, for what else the machine does can be
//! the greater cause. All of them, several times: `cargo xtask bench causes`.

use acgs_perf_tests::causes::run::once;
use acgs_perf_tests::causes::table::chosen;
use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::tries::one_of_three;

fn is_named(title: &str) {
    need_root();
    let cause = chosen(Some(title))[0];
    one_of_three(|number| once(cause, number.into()).unwrap().explained(cause));
}

#[test]
fn a_held_lock() {
    is_named("lock_convoy/gunicorn-gthread");
}

#[test]
fn the_disk() {
    is_named("fsync/gunicorn-sync");
}

#[test]
fn a_blocked_event_loop() {
    is_named("blocked_loop_sleep/uvicorn-uvloop");
}

#[test]
fn an_exhausted_thread_pool() {
    is_named("exhausted_pool/gunicorn-gthread");
}

#[test]
fn a_cpu_quota() {
    is_named("cpu_quota");
}

#[test]
fn an_interpreter_that_collects_garbage() {
    is_named("garbage_collection/gunicorn-gthread");
}
