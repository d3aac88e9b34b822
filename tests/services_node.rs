//! Node's `http` module, and nginx as a proxy: every request counted, and the slow ones explained.

use acgs_perf_tests::causes::Outside;
use acgs_perf_tests::causes::run::once;
use acgs_perf_tests::causes::table::chosen;
use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::tries::one_of_three;

fn is_counted_and_explained(title: &str) {
    need_root();
    let cause = chosen(Some(title))[0];
    let requests = u64::from(cause.load.rate * cause.load.seconds);
    one_of_three(|number| {
        let run = once(cause, number.into()).unwrap();
        if matches!(cause.outside, Outside::Nothing) {
            run.report.assert_exact_with_calls(cause.service, requests);
        } else {
            // The slow requests come on top, one every 1.5 s.
            let slow = run.report.requests(cause.service) - requests;
            assert!((3..=20).contains(&slow), "{slow}");
            run.report.assert_exact_with_calls(cause.service, requests + slow);
        }
        run.explained(cause)
    });
}

#[test]
fn node_waits_for_its_slow_backend() {
    is_counted_and_explained("slow_backend/node");
}

#[test]
fn requests_wait_while_node_computes() {
    is_counted_and_explained("blocked_loop_spin/node");
}

#[test]
fn nginx_waits_for_the_backend_behind_it() {
    is_counted_and_explained("slow_proxied/nginx");
}
