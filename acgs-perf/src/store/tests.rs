//! The ring as a whole: every count is there, whatever happens to the writer, the disk or the clock.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::read::{ReadError, Wanted, capture};
use super::ring::{Limits, OpenError, Ring, Tier};
use super::segment;
use crate::snapshot::{Capture, Context, Interval, LAYOUT_VERSION, ServiceContext, Subject};
use crate::sums::{Row, Section, Sections, Sums};

pub(super) const SECOND: u64 = 1_000_000_000;
/// The time of day at second 0 of the clock of the programs.
pub(super) const UNIX: u64 = 1_700_000_000 * SECOND;
const ALL: Wanted = Wanted { from_unix_ns: 0, to_unix_ns: u64::MAX, service: None };

/// A small generator, so that the same cases come every time.
pub(super) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// A second that is told for so long: 20 s in seconds, 100 s in ten, the rest in thirty.
pub(super) fn limits(bytes: u64) -> Limits {
    let tier = |every: u64, keep: u64, percent| Tier { every_ns: every * SECOND, keep_ns: keep * SECOND, percent };
    Limits { bytes, tiers: vec![tier(1, 20, 30), tier(10, 100, 20), tier(30, 100_000, 50)] }
}

pub(super) fn context(start: u64, services: &[&str]) -> Context {
    let service = |name: &&str| ServiceContext { name: (*name).into(), ..ServiceContext::default() };
    Context {
        layout: LAYOUT_VERSION,
        start_ns: start * SECOND,
        services: services.iter().map(service).collect(),
        ledger: vec!["a".into(), "b".into()],
        ..Context::default()
    }
}

/// The second that begins at `at`, with some counts of each service, some of them negative.
pub(super) fn interval(at: u64, services: u32, state: &mut u64) -> Interval {
    let mut interval = Interval {
        start_ns: at * SECOND,
        len_ns: SECOND,
        rest_start_ns: at * SECOND,
        ledger: Sums::sparse([(random(state) as u32 % 2, 1)]),
        agent_cpu_ns: 1,
        ..Interval::default()
    };
    for service in 0..services {
        let mut words: Vec<(u32, i64)> =
            (0..random(state) % 5).map(|_| (random(state) as u32 % 3840, random(state) as i64 % 9 - 2)).collect();
        words.sort_unstable();
        words.dedup_by_key(|(word, _)| *word);
        let row = Row { sums: Sums::sparse(words), ..Row::default() };
        let one = Row { sums: Sums::sparse([(0, 1)]), ..Row::default() };
        let sections = Sections::from([
            ("latency".into(), Section::from([(vec![0], row)])),
            ("ones".into(), Section::from([(vec![], one)])),
        ]);
        interval.subjects.insert(Subject { service, endpoint: None }, sections);
    }
    interval
}

pub(super) fn push(ring: &mut Ring, interval: &Interval) {
    ring.push(interval.clone(), UNIX + interval.end_ns()).unwrap();
}

pub(super) fn sum(intervals: &[Interval]) -> Interval {
    let mut all = intervals.iter().cloned();
    let mut whole = all.next().unwrap_or_default();
    all.for_each(|interval| whole.merge(&interval));
    whole.subjects.values_mut().for_each(|sections| sections.retain(|_, section| !section.is_empty()));
    whole
}

fn read(directory: &Path, wanted: &Wanted) -> Capture {
    capture(directory, wanted).unwrap().capture
}

/// What was pushed in the time of a capture is what it has.
fn assert_sum(capture: &Capture, pushed: &[Interval]) {
    let whole = capture.intervals.whole();
    let within = |interval: &&Interval| interval.start_ns >= whole.start_ns && interval.end_ns() <= whole.end_ns();
    let pushed: Vec<Interval> = pushed.iter().filter(within).cloned().collect();
    // Without the figures, of which there are thousands.
    assert!(whole == sum(&pushed), "{} intervals from {}", pushed.len(), whole.start_ns);
    assert_eq!(capture.context.duration_ns, pushed.len() as u64 * SECOND);
    assert_eq!(capture.context.start_ns, whole.start_ns);
}

/// How often the service with this name was there.
fn ones(capture: &Capture, name: &str) -> i64 {
    let at = capture.context.services.iter().position(|service| service.name == name).unwrap();
    let whole = capture.intervals.whole();
    whole.of(&Subject::service(at)).map_or(0, |sections| sections["ones"][&vec![]].sums.get(0))
}

pub(super) fn written(seconds: u64, state: &mut u64) -> (TempDir, Ring, Vec<Interval>) {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = Ring::open(directory.path(), &limits(8 << 20)).unwrap();
    ring.begin("boot", &context(0, &["x", "y"])).unwrap();
    let pushed: Vec<Interval> = (0..seconds).map(|at| interval(at, 2, state)).collect();
    pushed.iter().for_each(|interval| push(&mut ring, interval));
    (directory, ring, pushed)
}

#[test]
fn the_sum_over_any_range_is_that_of_its_whole_intervals() {
    for seed in 0..2 {
        let mut state = seed;
        let (directory, mut ring, pushed) = written(400 + seed * 7, &mut state);
        let end = pushed.len() as u64;
        for _ in 0..20 {
            let (a, b) = (random(&mut state) % end, random(&mut state) % end);
            let (from, to) = (a.min(b), a.max(b) + 1);
            let wanted = Wanted { from_unix_ns: UNIX + from * SECOND, to_unix_ns: UNIX + to * SECOND, service: None };
            let capture = read(directory.path(), &wanted);
            assert_sum(&capture, &pushed);
            let whole = capture.intervals.whole();
            assert!(whole.start_ns <= from * SECOND && whole.end_ns() >= to * SECOND, "{from} to {to}");
            // Of the last seconds each is told by itself; before, no interval is longer than the tiers say.
            let longest = if from + 20 >= end { SECOND } else { 40 * SECOND };
            assert!(capture.intervals.iter().all(|interval| interval.len_ns <= longest), "{from} to {to} of {end}");
        }
        ring.close().unwrap();
        assert_sum(&read(directory.path(), &ALL), &pushed);
    }
}

#[test]
fn a_crash_at_any_byte_loses_at_most_the_interval_under_way() {
    for seconds in [1, 9, 43] {
        let (directory, ring, pushed) = written(seconds, &mut 5);
        drop(ring);
        // The last frame of the finest tier is what was being written.
        let newest =
            fs::read_dir(directory.path()).unwrap().filter_map(|entry| segment::parse_path(&entry.unwrap().path()));
        let (tier, number) = newest.filter(|(tier, _)| *tier == 0).max_by_key(|(_, number)| *number).unwrap();
        let path = segment::path(directory.path(), tier, number);
        let bytes = fs::read(&path).unwrap();
        let entries = segment::scan(&bytes).unwrap().entries;
        let last = if entries.len() > 1 { entries[entries.len() - 2].1.end } else { 0 };
        let files: Vec<(String, Vec<u8>)> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
            .collect();
        for cut in (last..=bytes.len()).step_by(if seconds == 1 { 1 } else { 7 }).chain([bytes.len()]) {
            let crashed = tempfile::tempdir().unwrap();
            files.iter().for_each(|(name, bytes)| fs::write(crashed.path().join(name), bytes).unwrap());
            fs::write(segment::path(crashed.path(), tier, number), &bytes[..cut]).unwrap();
            let kept = if cut == bytes.len() { pushed.len() } else { pushed.len() - 1 };
            let before = capture(crashed.path(), &ALL);
            // Somebody writes on; what the coarser tiers lacked is there now, so that the finest is not needed.
            let mut ring = Ring::open(crashed.path(), &limits(8 << 20)).unwrap();
            if kept == 0 {
                assert!(matches!(before, Err(ReadError::Nothing(_))));
                continue;
            }
            assert_eq!(before.unwrap().capture.intervals.whole(), sum(&pushed[..kept]), "cut at {cut}");
            assert_eq!(read(crashed.path(), &ALL).intervals.whole(), sum(&pushed[..kept]));
            ring.begin("boot", &context(1000, &["x", "y"])).unwrap();
            for entry in fs::read_dir(crashed.path()).unwrap().map(|entry| entry.unwrap().path()) {
                if segment::parse_path(&entry).is_some_and(|(tier, _)| tier < 2) {
                    fs::remove_file(entry).unwrap();
                }
            }
            assert_eq!(read(crashed.path(), &ALL).intervals.whole(), sum(&pushed[..kept]), "cut at {cut}");
        }
    }
}

#[test]
fn a_changed_byte_is_no_count() {
    let (directory, mut ring, pushed) = written(12, &mut 9);
    ring.close().unwrap();
    let path = segment::path(directory.path(), 0, 0);
    let bytes = fs::read(&path).unwrap();
    assert!(segment::scan(&bytes).unwrap().is_sealed);
    for at in (0..bytes.len()).step_by(11) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        assert!(segment::scan(&changed).is_none_or(|segment| !segment.is_sealed), "byte {at}");
        fs::write(&path, changed).unwrap();
        // The coarser tier has them too.
        assert_sum(&read(directory.path(), &ALL), &pushed);
    }
}

#[test]
fn the_ring_stays_within_its_bytes_and_forgets_the_oldest_first() {
    let directory = tempfile::tempdir().unwrap();
    // The finest tier has room for what the next one has not summed up yet.
    let limit = 400_000;
    let mut ring = Ring::open(directory.path(), &limits(limit)).unwrap();
    ring.begin("boot", &context(0, &["x"])).unwrap();
    let mut state = 3;
    let mut pushed = Vec::new();
    for at in 0..1500 {
        let mut next = interval(at, 1, &mut state);
        // Some that hardly pack, as of a busy host.
        let words: Vec<(u32, i64)> = (0..1000).map(|word| (word, random(&mut state) as i64)).collect();
        next.subjects.values_mut().for_each(|sections| {
            sections.insert(
                "busy".into(),
                Section::from([(vec![], Row { sums: Sums::sparse(words.clone()), ..Row::default() })]),
            );
        });
        push(&mut ring, &next);
        pushed.push(next);
        let size: u64 =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(size <= limit && size == ring.bytes(), "{size} bytes, {} known", ring.bytes());
    }
    let capture = read(directory.path(), &ALL);
    assert_sum(&capture, &pushed);
    assert_eq!(capture.intervals.whole().end_ns(), 1500 * SECOND);
    assert!(capture.intervals.whole().start_ns > 0);
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert!(files < 60, "{files} files");
}

#[test]
fn what_a_tier_need_not_keep_is_removed() {
    let (directory, _ring, _) = written(600, &mut 1);
    let of_tier = |tier: usize| {
        let files =
            fs::read_dir(directory.path()).unwrap().filter_map(|entry| segment::parse_path(&entry.unwrap().path()));
        let numbers = files.filter(|(of, _)| *of == tier).map(|(_, number)| number);
        let bytes = numbers.map(|number| fs::read(segment::path(directory.path(), tier, number)).unwrap());
        bytes.map(|bytes| segment::scan(&bytes).unwrap().entries.len()).sum::<usize>()
    };
    assert!((20..=26).contains(&of_tier(0)) && (10..=14).contains(&of_tier(1)), "{} {}", of_tier(0), of_tier(1));
    // The running one of each is still open.
    assert!((18..=20).contains(&of_tier(2)), "{}", of_tier(2));
}

#[test]
fn clocks_may_be_set() {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = Ring::open(directory.path(), &limits(8 << 20)).unwrap();
    ring.begin("boot", &context(0, &["x", "y"])).unwrap();
    let mut state = 8;
    let pushed: Vec<Interval> = (0..60).map(|at| interval(at, 2, &mut state)).collect();
    for (at, interval) in pushed.iter().enumerate() {
        // An hour back after 30 s, and a year ahead after 45.
        let unix = match at {
            0..30 => UNIX,
            30..45 => UNIX - 3600 * SECOND,
            _ => UNIX + 31_536_000 * SECOND,
        };
        ring.push(interval.clone(), unix + interval.end_ns()).unwrap();
    }
    // Lengths are those of the monotonic clock.
    assert_sum(&read(directory.path(), &ALL), &pushed);
    // And each is found by the time of day that it had.
    let from_unix_ns = UNIX + 31_536_000 * SECOND;
    let late = read(directory.path(), &Wanted { from_unix_ns, ..ALL });
    assert_eq!((late.intervals.whole().end_ns(), ones(&late, "x")), (60 * SECOND, 15));
    let back = read(directory.path(), &Wanted { to_unix_ns: UNIX - 3000 * SECOND, ..ALL });
    assert_eq!((back.intervals.whole().start_ns, ones(&back, "y")), (30 * SECOND, 15));
    assert!(matches!(
        capture(
            directory.path(),
            &Wanted { from_unix_ns: UNIX + 100 * SECOND, to_unix_ns: UNIX + 200 * SECOND, service: None }
        ),
        Err(ReadError::NotThen { .. })
    ));
}

#[test]
fn what_cannot_be_written_is_written_later() {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = Ring::open(directory.path(), &limits(8 << 20)).unwrap();
    ring.begin("boot", &context(0, &["x", "y"])).unwrap();
    let mut state = 2;
    let pushed: Vec<Interval> = (0..50).map(|at| interval(at, 2, &mut state)).collect();
    // The next files cannot be created: somebody has put directories in their places.
    let block = |is_blocked: bool| {
        for (tier, number) in (0..3).flat_map(|tier| (0..40).map(move |number| (tier, number))) {
            let path = segment::path(directory.path(), tier, number);
            match is_blocked {
                true if !path.exists() => fs::create_dir(path).unwrap(),
                false if path.is_dir() => fs::remove_dir(path).unwrap(),
                _ => {}
            }
        }
    };
    let mut failures = 0;
    for (at, interval) in pushed.iter().enumerate() {
        if at == 8 || at == 31 {
            block(at == 8);
        }
        failures += usize::from(ring.push(interval.clone(), UNIX + interval.end_ns()).is_err());
    }
    assert!(failures > 5, "{failures}");
    ring.close().unwrap();
    assert_sum(&read(directory.path(), &ALL), &pushed);
}

#[test]
fn a_reader_sees_whole_intervals_while_they_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let mut ring = Ring::open(&path, &limits(8 << 20)).unwrap();
    ring.begin("boot", &context(0, &["x", "y"])).unwrap();
    push(&mut ring, &interval(0, 2, &mut 1));
    let writer = std::thread::spawn(move || {
        let mut state = 4;
        for at in 1..1500 {
            push(&mut ring, &interval(at, 2, &mut state));
        }
        ring
    });
    let mut reads = 0;
    while !writer.is_finished() || reads == 0 {
        // What is removed while it is read is noted, and nothing else is missing.
        let capture = read(&path, &ALL);
        let overwritten = capture.context.notes.iter().any(|note| note.contains("overwritten"));
        let whole = capture.intervals.whole();
        let seconds = capture.context.duration_ns / SECOND;
        assert_eq!(ones(&capture, "x") as u64, seconds);
        assert!(
            overwritten || whole.len_ns == seconds * SECOND,
            "{} of {seconds} s: {:?}",
            whole.len_ns,
            capture.context.notes
        );
        reads += 1;
    }
    drop(writer.join().unwrap());
    assert_eq!(ones(&read(&path, &ALL), "x"), 1500);
}

#[test]
fn services_are_the_same_by_name_over_restarts_and_reboots() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = 6;
    let mut ring = Ring::open(directory.path(), &limits(8 << 20)).unwrap();
    ring.begin("boot", &context(100, &["x", "y"])).unwrap();
    (100..105).for_each(|at| push(&mut ring, &interval(at, 2, &mut state)));
    // Others are recorded now, in another order, without a moment between.
    ring.begin("boot", &context(105, &["z", "y"])).unwrap();
    (105..109).for_each(|at| push(&mut ring, &interval(at, 2, &mut state)));
    assert!(matches!(Ring::open(directory.path(), &limits(8 << 20)), Err(OpenError::Locked(_))));
    drop(ring);
    // The host is started anew, and its clock with it; 91 s have passed.
    let mut ring = Ring::open(directory.path(), &limits(8 << 20)).unwrap();
    ring.begin("another boot", &context(1, &["y"])).unwrap();
    (1..4).for_each(|at| {
        let next = interval(at, 1, &mut state);
        ring.push(next.clone(), UNIX + 199 * SECOND + next.end_ns()).unwrap();
    });
    let capture = read(directory.path(), &ALL);
    assert_eq!(["x", "y", "z"].map(|name| ones(&capture, name)), [5, 12, 4]);
    assert_eq!(capture.context.duration_ns, 12 * SECOND);
    let intervals: Vec<Interval> = capture.intervals.iter().collect();
    assert_eq!((intervals[0].start_ns, intervals[9].start_ns), (100 * SECOND, 200 * SECOND));
    let notes = &capture.context.notes;
    assert!(notes.len() == 1 && notes[0].contains("(91 s)"), "{notes:?}");
    assert_eq!(capture.intervals.whole().ledger.iter().map(|(_, count)| count).sum::<i64>(), 12);
    let one = read(directory.path(), &Wanted { service: Some("z".into()), ..ALL });
    assert_eq!((one.context.services.len(), ones(&one, "z")), (1, 4));
    assert!(matches!(
        super::capture(directory.path(), &Wanted { service: Some("w".into()), ..ALL }),
        Err(ReadError::NoService { known, .. }) if known == ["x", "y", "z"]
    ));
}
