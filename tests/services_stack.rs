//! A whole stack: FastAPI on uvicorn with PostgreSQL and Redis, all three recorded at once. One call in a hundred makes a
//! slow query, and the report must say in words that the slowest 1 % waits for PostgreSQL; in one run of three, for a pause
//! of the machine makes requests slow that make no slow query.

use acgs_perf_tests::causes::Peer;
use acgs_perf_tests::causes::run::load;
use acgs_perf_tests::causes::stack::Stack;
use acgs_perf_tests::causes::table::chosen;
use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::tries::{near, one_of_three};

#[test]
fn the_report_says_that_the_slowest_wait_for_postgres() {
    need_root();
    one_of_three(recorded);
}

/// One run.
fn recorded(number: u32) -> Result<(), String> {
    let cause = chosen(Some("slow_query/uvicorn-uvloop"))[0];
    let stack = Stack::start(cause).unwrap();
    let service = |name: &str, peer| format!("{name}=port:{}", stack.port(peer).unwrap());
    let recording = Recorder::new("api", &format!("port:{}", stack.address().port()))
        .arg("--service")
        .arg(&service("postgres", Peer::Postgres))
        .arg("--service")
        .arg(&service("redis", Peer::Redis))
        .start()
        .unwrap();
    load(cause, &stack, number.into()).unwrap();
    let report = recording.stop().unwrap();

    let requests = u64::from(cause.load.rate * cause.load.seconds);
    assert_eq!(report.requests("api"), requests);
    // Each call is at least one request to each of them; making connections and resetting sessions come on top.
    for peer in ["postgres", "redis"] {
        assert!(report.requests(peer) >= requests, "{peer}: {}", report.requests(peer));
    }
    let slow = report.spread("api", "/requests/latency").between(40_000_000, 60_000_000_000);
    near((requests / 200..=requests / 40).contains(&slow), || format!("{slow} of {requests} requests were slow"))?;

    let tail = &report.service("api")["tail"];
    let sentence = tail["sentence"].as_str().unwrap_or_else(|| panic!("no tail.sentence in {tail}"));
    println!("{sentence}");
    let cut = tail["cuts"].as_array().and_then(|cuts| cuts.iter().find(|cut| cut["quantile"] == "p99"));
    let cut = cut.unwrap_or_else(|| panic!("no p99 cut in {tail}"));
    let share = percentage(sentence).unwrap_or_else(|| panic!("no percentage: {sentence}"));
    // A call that is given to another request while several can run is missing from the share.
    near(sentence.contains("postgres") && (60.0..=100.0).contains(&share), || format!("{sentence}; {cut}"))?;
    let peer = &cut["downstream"][0];
    assert_eq!(peer["service"], "postgres", "{tail}");
    assert_eq!(peer["peer"], stack.peer(Peer::Postgres).unwrap(), "{tail}");
    Ok(())
}

/// The first number that stands before a percent sign.
fn percentage(text: &str) -> Option<f64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).find(|pair| pair[1].starts_with('%')).and_then(|pair| pair[0].parse().ok())
}
