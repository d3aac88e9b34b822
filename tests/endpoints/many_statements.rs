//! A hundred thousand statements, each with another name: those that have figures are right, all others count together, and the agent does
//! not grow.

use std::fs;
use std::io::Write as _;

use acgs_perf_tests::endpoints::{endpoints, requests};
use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::recording::{Recorder, Recording};

use super::postgres::{Extended, message, start};

const STATEMENTS: usize = 100_000;
/// So many are on their way at a time.
const AT_ONCE: usize = 500;
/// Those that come again at the end, and how often.
const AGAIN: (usize, u64) = (100, 5);

/// A word for each number.
fn word(number: usize) -> String {
    let letter = |at: u32| char::from(b'a' + (number / 26usize.pow(at) % 26) as u8);
    (0..4).map(letter).collect()
}

fn query(number: usize) -> Vec<u8> {
    message(b'Q', format!("SELECT {number} AS w_{}\0", word(number)).as_bytes())
}

/// Resident memory of the agent, in KiB.
fn resident(recording: &Recording) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", recording.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn names_without_end_are_counted_and_take_no_memory() {
    need_root();
    let service = start();
    let mut client = Extended::connect(service.address());
    let recording = Recorder::new("postgres", &format!("port:{}", service.port)).start().unwrap();
    let mut run = |numbers: &[usize]| {
        for some in numbers.chunks(AT_ONCE) {
            client.0.write_all(&some.iter().flat_map(|number| query(*number)).collect::<Vec<u8>>()).unwrap();
            client.ready(some.len());
        }
    };
    let all: Vec<usize> = (0..STATEMENTS).collect();
    run(&all[..STATEMENTS / 20]);
    let before = resident(&recording);
    run(&all[STATEMENTS / 20..]);
    (0..AGAIN.1).for_each(|_| run(&all[..AGAIN.0]));
    let after = resident(&recording);
    let report = recording.stop().unwrap();
    let whole = STATEMENTS as u64 + AGAIN.0 as u64 * AGAIN.1;
    let seen = requests(&endpoints(&report, "postgres"));
    let named: Vec<_> = seen.iter().filter(|(name, _)| *name != "others").collect();
    println!("{} of {STATEMENTS} names have figures; memory {before} KiB, then {after}", named.len());
    for (name, counts) in &named {
        let number = name.strip_prefix("select ? as w_").unwrap_or_else(|| panic!("nobody has asked for {name}"));
        let is_again = all[..AGAIN.0].iter().any(|of| word(*of) == number);
        assert!(number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
        assert_eq!((counts.requests, counts.failed), (1 + if is_again { AGAIN.1 } else { 0 }, 0), "{name}");
    }
    assert!((200..256).contains(&named.len()), "{} names", named.len());
    let sum: u64 = named.iter().map(|(_, counts)| counts.requests).sum();
    assert_eq!(seen["others"].requests, whole - sum);
    assert_eq!(report.requests("postgres"), whole);
    assert_eq!(report.integer("postgres", "/coverage/named"), sum);
    report.assert_nothing_lost(whole);
    assert!(after <= before + 2_048, "{before} KiB of memory, then {after}");
}
