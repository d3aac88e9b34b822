//! A million made-up paths, through the kernel side's normaliser and what names them in a report: memory stays bounded, and names stay words.

use acgs_perf_protocol::name::{Key, NAME};
use acgs_perf_protocol::walk::request_step;
use acgs_perf_protocol::{Found, Name, Protocol, Stream, Window};

use super::naming::Naming;
use super::paths::{MAX_NODES, Paths};
use crate::discover::EndpointRules;
use crate::live::probes::endpoints::key_of;

const PATHS: u64 = 1_000_000;
const HTTP: u32 = Protocol::Http1 as u32;
const KEY: Key = Key { start: 0x1234_5678_9abc_def0, factor: 0x8765_4321_0fed_cba9 };

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// A path such as nobody should ask for: words that are not there, values, bytes that are no text, of any depth.
fn path(state: &mut u64) -> Vec<u8> {
    let mut path = Vec::new();
    for _ in 0..=random(state) % 6 {
        path.extend_from_slice(b"/");
        let length = 1 + random(state) % 9;
        match random(state) % 10 {
            0 => path.extend((0..length).map(|_| b"0123456789"[(random(state) % 10) as usize])),
            1 => path.extend((0..length).map(|_| b"%\xff{}<'"[(random(state) % 6) as usize])),
            _ => path.extend((0..length).map(|_| b'a' + (random(state) % 26) as u8)),
        }
    }
    path
}

/// The name that the kernel side gives to a request for a path.
fn named(path: &[u8], window: &mut Window, name: &mut Name) -> String {
    let line = [b"GET ", path, b" HTTP/1.1\r\n\r\n"].concat();
    window.bytes[..line.len()].copy_from_slice(&line);
    (window.at, window.end) = (0, line.len() as u32);
    let mut stream = Stream::default();
    while !request_step(Protocol::Http1, &mut stream, window, name).has(Found::REQUEST.and(Found::LOST)) {}
    String::from_utf8_lossy(&name.bytes[..usize::from(stream.length).min(NAME)]).into_owned()
}

#[test]
fn a_million_paths_are_bounded_and_stay_words() {
    let (mut state, mut window, mut name) = (7, Window::new(), Name::new(KEY));
    let rules = EndpointRules { routes: vec!["/policies/{id}".into()], ..EndpointRules::default() };
    let mut paths = Paths::new(rules.words());
    let mut naming = Naming::new(&rules);
    let mut most = 0;
    for at in 0..PATHS {
        let named = named(&path(&mut state), &mut window, &mut name);
        let (method, path) = named.split_once(' ').unwrap();
        paths.add(HTTP, method, path);
        if at % 1_000 == 0 {
            most = most.max(paths.nodes());
            naming.learn(&key_of(HTTP, acgs_perf_protocol::Kind::Request as u32, &named), &named);
        }
    }
    assert!(most <= MAX_NODES, "{most} nodes");
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..10_000 {
        let named = named(&path(&mut state), &mut window, &mut name);
        let found = naming.name(&key_of(HTTP, acgs_perf_protocol::Kind::Request as u32, &named), &named).into_owned();
        for segment in found.trim_start_matches("GET ").split('/').skip(1) {
            let is_word = segment.bytes().all(|byte| byte.is_ascii_alphabetic());
            assert!(is_word || ["{}", "{name}", "{id}", "…"].contains(&segment), "{found}");
        }
        let path = named.trim_start_matches("GET ");
        names.insert(paths.name(HTTP, "GET", path).into_owned());
    }
    assert!(names.len() < 100, "{} names", names.len());
    assert_eq!(
        naming.name(&key_of(HTTP, acgs_perf_protocol::Kind::Request as u32, "x"), "GET /policies/abc"),
        "GET /policies/{id}"
    );
}
