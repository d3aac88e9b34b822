//! Whole merges.
//!
//! In: captures of real services and made ones. Out: what is not the same in the pieces, merged, and in the whole.

pub mod cut;
mod hosts;

use std::fs;
use std::path::Path;

use super::*;
use crate::analysis::analyse;
use crate::snapshot::file::{decode, encode, walk};

/// A small generator, so that the same cases come every time.
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// `merge/four-services` is 14 s, in intervals of half a second, of nginx before a FastAPI application that calls Redis, and of another
/// server in Python, on a busy machine: `record --interval 500ms --service redis=port:… … -- CLIENTS`.
pub fn fixture(name: &str) -> Capture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(format!("{name}.capture"));
    decode(&fs::read(path).unwrap()).unwrap().capture
}

fn try_merge(captures: &[Capture], by_host: bool) -> Result<Capture, Vec<Refusal>> {
    let files: Vec<Vec<u8>> = captures.iter().map(|capture| encode(capture).unwrap()).collect();
    let heads = captures.iter().zip(&files).enumerate();
    let heads = heads.map(|(at, (capture, bytes))| Head::new(Path::new(&at.to_string()), &capture.context, bytes));
    let mut merger = Merger::new(by_host);
    for head in plan(heads.collect(), by_host)? {
        let at: usize = head.path.to_str().unwrap().parse().unwrap();
        assert_eq!(walk(&files[at], |part| merger.part(&head, part)).unwrap(), None);
        merger.end();
    }
    // As it is read back.
    Ok(decode(&encode(&merger.finish()).unwrap()).unwrap().capture)
}

pub fn merge(captures: &[Capture]) -> Capture {
    try_merge(captures, false).unwrap()
}

/// Where two differ, without thousands of figures.
fn assert_same(a: &Capture, b: &Capture, what: &str) {
    assert_eq!(a.context, b.context, "{what}");
    let (mut own, mut others) = (a.intervals.iter(), b.intervals.iter());
    for at in 0..a.intervals.len().max(b.intervals.len()) {
        let (Some(a), Some(b)) = (own.next(), others.next()) else {
            panic!("{what}: {} intervals and {}", a.intervals.len(), b.intervals.len());
        };
        assert_eq!((a.start_ns, a.len_ns, a.rest_start_ns), (b.start_ns, b.len_ns, b.rest_start_ns), "{what}: {at}");
        assert_eq!((&a.look, &a.ledger, a.agent_cpu_ns), (&b.look, &b.ledger, b.agent_cpu_ns), "{what}: interval {at}");
        assert_eq!(a.subjects.keys().collect::<Vec<_>>(), b.subjects.keys().collect::<Vec<_>>(), "{what}: {at}");
        for (subject, sections) in &a.subjects {
            for (name, section) in sections {
                assert_eq!(
                    Some(section),
                    b.subjects[subject].get(name),
                    "{what}: {name} of {subject:?}, interval {at}"
                );
            }
        }
        assert_eq!(a, b, "{what}: interval {at}");
    }
    assert_eq!(a.exemplars, b.exemplars, "{what}");
}

/// Shuffled.
pub fn shuffle<T>(all: &mut [T], state: &mut u64) {
    for at in (1..all.len()).rev() {
        all.swap(at, (random(state) % (at as u64 + 1)) as usize);
    }
}

#[test]
fn a_capture_cut_by_time_and_service_and_merged_in_any_order_is_the_whole() {
    let mut whole = fixture("merge/four-services");
    // The order of exemplars says nothing; merged ones have one of their own.
    exemplars::settle(&mut whole.exemplars);
    let (intervals, services) = (whole.intervals.len(), whole.context.services.len());
    assert!(intervals >= 16 && services == 4, "{intervals} intervals of {services} services");
    // A minute for all of them without optimisation.
    for seed in 0..if std::env::var_os("ACGS_PERF_LONG").is_some() { 8u64 } else { 2 } {
        let mut state = seed;
        // Sixteen times, of lengths that come by chance.
        let mut cuts: Vec<usize> = (1..intervals).collect();
        shuffle(&mut cuts, &mut state);
        cuts.truncate(15);
        cuts.extend([0, intervals]);
        cuts.sort_unstable();
        let mut pieces: Vec<Capture> = cuts
            .windows(2)
            .flat_map(|pair| (0..services).map(move |service| (pair[0], pair[1], service)))
            .map(|(from, to, service)| cut::piece(&whole, from, to, service))
            .collect();
        assert_eq!(pieces.len(), 64);
        let merged = merge(&pieces);
        // Services come in the order of their names, as nobody knows another one.
        let expected = reordered(&whole, &merged);
        assert_same(&merged, &expected, &format!("seed {seed}"));
        for _ in 0..2 {
            shuffle(&mut pieces, &mut state);
            assert_eq!(merge(&pieces), merged, "seed {seed}");
        }
        assert_eq!(analyse(&merged), analyse(&expected), "seed {seed}");
    }
}

/// The same capture with its services in the order of another one.
fn reordered(whole: &Capture, like: &Capture) -> Capture {
    let number = |of: &str| like.context.services.iter().position(|service| service.name == of).unwrap() as u32;
    let numbers: Vec<u32> = whole.context.services.iter().map(|service| number(&service.name)).collect();
    let file =
        OfFile { services: numbers, ledger: (0..whole.context.ledger.len() as u32).collect(), ..OfFile::default() };
    let mut context = whole.context.clone();
    context.services.sort_by_key(|service| number(&service.name));
    let intervals = whole.intervals.iter().map(|mut interval| {
        file.common(&mut interval);
        interval
    });
    Capture { context, intervals: Timeline::of(intervals), exemplars: file.renamed(whole.exemplars.clone()) }
}

#[test]
fn one_capture_alone_stays_what_it_is() {
    for name in ["captures/6.18", "captures/7.3", "merge/four-services"] {
        let mut whole = fixture(name);
        exemplars::settle(&mut whole.exemplars);
        let layout = std::mem::replace(&mut whole.context.layout, LAYOUT_VERSION);
        assert_same(&merge(&[whole.clone()]), &whole, &format!("{name}, layout {layout}"));
    }
}
