//! Bytes that fuzzing has come upon, and many like them: what a fuzz target asks of each input is asked of these in each run of the tests.
//!
//! A fuzz target needs another compiler and a minute to build; these need neither.

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

use acgs_perf_protocol::Protocol;

use super::random::Random;

/// Others that are made of each.
const LIKE_IT: usize = 500;

/// Says which bytes they were, if what is done with them panics.
struct Tried<'a>(&'a [u8]);

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the bytes were {}", self.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
    }
}

fn bytes(line: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    (0..line.len()).step_by(2).map(digits).collect()
}

/// Tries the bytes of each line, and others like them: some of it changed, or the end of one behind the begin of another.
fn try_all(lines: &str, tries: impl Fn(&[u8])) {
    let seeds: Vec<Vec<u8>> = lines.lines().map(bytes).collect();
    assert!(seeds.len() >= 40, "{} seeds", seeds.len());
    let mut random = Random(30);
    let one = |input: &[u8]| {
        let tried = Tried(input);
        tries(tried.0);
    };
    for seed in &seeds {
        one(seed);
        for _ in 0..LIKE_IT {
            let other = &seeds[random.below(seeds.len())];
            let both = [&seed[..random.below(seed.len())], &other[random.below(other.len())..]].concat();
            let from = if random.once_in(2) { &both } else { seed };
            one(&random.mutate(from));
        }
    }
}

#[test]
fn what_fuzzing_has_found_holds() {
    for (protocol, lines) in [
        (Protocol::Http1, include_str!("../../../fuzz/seeds/http1.hex")),
        (Protocol::Resp, include_str!("../../../fuzz/seeds/resp.hex")),
        (Protocol::Postgres, include_str!("../../../fuzz/seeds/postgres.hex")),
        (Protocol::MySql, include_str!("../../../fuzz/seeds/mysql.hex")),
        (Protocol::Memcached, include_str!("../../../fuzz/seeds/memcached.hex")),
        (Protocol::FastCgi, include_str!("../../../fuzz/seeds/fastcgi.hex")),
        (Protocol::Tls, include_str!("../../../fuzz/seeds/tls.hex")),
    ] {
        try_all(lines, |input| fuzz::try_both_sides(protocol, input));
    }
    try_all(include_str!("../../../fuzz/seeds/pending.hex"), fuzz::pending::try_queue);
}
