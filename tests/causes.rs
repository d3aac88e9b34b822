//! Planted causes, a short selection: the report must name each. All of them, several times: `cargo xtask bench causes`.

use acgs_perf_tests::causes::run::once;
use acgs_perf_tests::causes::table::chosen;
use acgs_perf_tests::harness::need_root;

fn is_named(title: &str) {
    need_root();
    let cause = chosen(Some(title))[0];
    let run = once(cause, 1).unwrap();
    let latency = run.planted(cause).unwrap();
    let verdict = run.verdict(cause).unwrap();
    println!("{title}: {verdict:?}, {latency:?}");
    assert_eq!(verdict.wrong, None, "{title}");
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
    is_named("exhausted_pool/fastapi-threads");
}
