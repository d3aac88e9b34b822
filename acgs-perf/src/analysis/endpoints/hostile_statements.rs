//! A hundred thousand made-up statements, through the kernel side's normaliser, its table of names, and what adds up recordings: memory stays
//! bounded, nothing that is counted is lost, and no name has a value or another's count.

use std::collections::{BTreeMap, HashMap};

use acgs_perf_common::endpoint::{ENDPOINTS, FIRST_NAMED, REQUESTS};
use acgs_perf_protocol::name::{Key, NAME};
use acgs_perf_protocol::walk::request_step;
use acgs_perf_protocol::{Found, Kind, Name, Protocol, Stream, Window};

use super::sample;
use crate::analysis::analyse;
use crate::analysis::sample::capture;
use crate::live::probes::endpoints::{SECTION, key_of};
use crate::snapshot::{Capture, Interval, Timeline};
use crate::sums::{Row, Section};

const STATEMENTS: usize = 100_000;
/// Of each recording.
const STATEMENTS_EACH: usize = 10_000;
/// How often one of them comes among these.
const OFTEN: usize = 40;
const FREQUENT: &str = "select a from t where b = ?";
/// In every value, and in no name.
const SECRET: &str = "s3cret";
const KEY: Key = Key { start: 0x1234_5678_9abc_def0, factor: 0x8765_4321_0fed_cba9 };
/// Rows that are left of a section that is thinned out, and those of a recording.
const MOST_ROWS: usize = 2_048 + ENDPOINTS as usize;

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// A word for each number.
fn word(number: usize) -> String {
    let letter = |at: u32| char::from(b'a' + (number / 26usize.pow(at) % 26) as u8);
    (0..4).map(letter).collect()
}

/// A statement with values, and its name.
fn statement(number: usize, state: &mut u64) -> (String, String) {
    let (table, value) = (word(number), random(state));
    match random(state) % 4 {
        0 => (
            format!("SELECT a FROM t_{table} WHERE b = '{SECRET}{value}'"),
            format!("select a from t_{table} where b = ?"),
        ),
        1 => {
            let rows: Vec<String> = (0..=value % 9).map(|at| format!("({at}, '{SECRET}')")).collect();
            (format!("INSERT INTO t_{table} VALUES {}", rows.join(", ")), format!("insert into t_{table} values (?)"))
        }
        2 => (
            format!("UPDATE t SET {table}x = $${SECRET}$$ /* {SECRET} */ WHERE id IN ({value}, 2, 3)"),
            format!("update t set {table}x = ? where id in (?)"),
        ),
        _ => (format!("select {value} AS \"{table}\" -- {SECRET}"), format!("select ? as \"{table}\"")),
    }
}

/// What the kernel side makes of a query: its hash and its name.
fn named(text: &str, window: &mut Window, name: &mut Name) -> (u64, String) {
    let length = (text.len() as u32 + 5).to_be_bytes();
    let bytes = [b"Q", &length[..], text.as_bytes(), b"\0"].concat();
    window.bytes[..bytes.len()].copy_from_slice(&bytes);
    (window.at, window.end) = (0, bytes.len() as u32);
    let mut stream = Stream::default();
    while !request_step(Protocol::Postgres, &mut stream, window, name).has(Found::REQUEST.and(Found::LOST)) {}
    (stream.hash, String::from_utf8_lossy(&name.bytes[..usize::from(stream.length).min(NAME)]).into_owned())
}

/// A recording: who comes first has a number and a name, up to the last number; what has none counts as others.
struct Recording {
    numbers: HashMap<u64, String>,
    counts: BTreeMap<Option<String>, u64>,
}

impl Recording {
    fn new() -> Self {
        Self { numbers: HashMap::new(), counts: BTreeMap::new() }
    }

    fn add(&mut self, hash: u64, name: &str) {
        if self.numbers.len() < (ENDPOINTS - FIRST_NAMED) as usize {
            self.numbers.entry(hash).or_insert_with(|| name.to_owned());
        }
        *self.counts.entry(self.numbers.get(&hash).cloned()).or_default() += 1;
    }

    fn section(&self) -> Section {
        let row = |(name, count): (&Option<String>, &u64)| {
            let label = name.as_deref().unwrap_or_default();
            let row = sample::row(label, std::iter::repeat_n(1_000_000, *count as usize));
            let key = name.as_ref().map(|name| key_of(Protocol::Postgres as u32, Kind::Request as u32, name));
            (key.unwrap_or_default(), row)
        };
        self.counts.iter().map(row).collect()
    }
}

/// A capture of one service with these endpoints.
fn with(section: Section) -> Capture {
    let mut capture = capture();
    capture.context.probes.push(sample::status());
    let mut interval: Interval = capture.intervals.iter().next().unwrap();
    interval.subjects.values_mut().next().unwrap().insert(SECTION.into(), section);
    capture.intervals = Timeline::of([interval]);
    capture
}

fn requests(row: &Row) -> u64 {
    row.sums.count(REQUESTS)
}

#[test]
fn a_hundred_thousand_statements_are_bounded_and_none_has_another_ones_count() {
    let (mut state, mut window, mut name) = (11, Window::new(), Name::new(KEY));
    let mut truth = BTreeMap::<String, u64>::new();
    let (mut hashes, mut whole) = (HashMap::<u64, String>::new(), None::<Interval>);
    for first in (0..STATEMENTS).step_by(STATEMENTS_EACH) {
        let mut recording = Recording::new();
        for number in first..first + STATEMENTS_EACH {
            let (text, wanted) = if number % OFTEN == 0 {
                (FREQUENT.replace('?', &format!("'{SECRET}{number}'")), FREQUENT.to_owned())
            } else {
                statement(number, &mut state)
            };
            let (hash, found) = named(&text, &mut window, &mut name);
            assert_eq!(found, wanted, "{text}");
            assert_eq!(*hashes.entry(hash).or_insert_with(|| found.clone()), found, "two names of one hash");
            recording.add(hash, &found);
            *truth.entry(found).or_default() += 1;
        }
        let section = recording.section();
        assert!(section.len() <= (ENDPOINTS - FIRST_NAMED) as usize + 1, "{} rows", section.len());
        let later = with(section).intervals.iter().next().unwrap();
        match &mut whole {
            None => whole = Some(later),
            Some(whole) => whole.merge(&later),
        }
        let rows = &whole.as_ref().unwrap().subjects.values().next().unwrap()[SECTION];
        assert!(rows.len() <= MOST_ROWS, "{} rows", rows.len());
    }
    let section = whole.unwrap().subjects.values_mut().next().unwrap().remove(SECTION).unwrap();
    assert_eq!(section.values().map(requests).sum::<u64>(), STATEMENTS as u64);
    let named: Vec<&Row> = section.iter().filter(|(key, _)| !key.is_empty()).map(|(_, row)| row).collect();
    for row in &named {
        assert!(requests(row) <= truth[&row.label] && !row.label.contains(SECRET), "{}: {}", row.label, requests(row));
    }
    let frequent = named.iter().find(|row| row.label == FREQUENT).map(|row| requests(row));
    assert_eq!(frequent, Some(truth[FREQUENT]));
    // The report says how many have no name.
    let sum: u64 = named.iter().map(|row| requests(row)).sum();
    let service = analyse(&with(section.clone())).services.remove(0);
    let rows = crate::analysis::endpoints::of_report(&service);
    let others: u64 = rows.iter().filter(|of| !of.is_named()).map(|of| of.requests).sum();
    assert_eq!((others, rows.len()), (STATEMENTS as u64 - sum, section.len()));
    assert!(others > STATEMENTS as u64 / 2 && sum > 0, "{others} of {STATEMENTS}");
    let coverage = service.coverage.unwrap();
    assert_eq!(coverage.named, sum.min(coverage.counted));
}
