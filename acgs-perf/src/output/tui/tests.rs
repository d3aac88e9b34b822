//! Screens as they are drawn, byte for byte, and what must not happen to them whatever the figures are.
//!
//! In: the report of a capture of a kernel, and those of `analysis::sample`. Out: `fixtures/golden/top-*.txt`, which
//! `ACGS_PERF_ACCEPT=1 cargo test -p acgs-perf golden` writes anew.

use std::path::Path;

use ratatui_core::backend::{Backend as _, TestBackend};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::*;
use crate::analysis::analyse;
use crate::analysis::sample::{self, assessed};
use crate::golden::compare;
use crate::output::words::said;
use crate::snapshot::Ending;
use crate::snapshot::file::decode;

/// Sizes of the golden screens.
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];

/// What a terminal of this size shows, line by line.
fn screen(shown: &Shown<'_>, (columns, lines): (u16, u16)) -> String {
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, lines));
    draw(shown, &mut buffer);
    let mut terminal = TestBackend::new(columns, lines);
    let blank = Buffer::empty(buffer.area);
    terminal.draw(blank.diff(&buffer).into_iter()).unwrap();
    let cells = terminal.buffer();
    let line = |y: u16| {
        let text: String = (0..columns).filter_map(|x| cells.cell((x, y))).map(|cell| cell.symbol()).collect();
        text.trim_end().to_owned() + "\n"
    };
    (0..lines).map(line).collect()
}

fn fixture() -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures/6.18.capture");
    let mut capture = decode(&std::fs::read(path).unwrap()).unwrap().capture;
    capture.context.ended_by = Ending::Range;
    said(analyse(&capture))
}

fn shown<'a>(report: Option<&'a Report>, source: &'a Source, state: &'a State) -> Shown<'a> {
    Shown { report, source, state, theme: Theme::new(true) }
}

fn at_both_sizes(name: &str, report: Option<&Report>, source: &Source, state: &State) {
    for size in SIZES {
        let text = screen(&shown(report, source, state), size);
        compare(&format!("top-{name}-{}x{}.txt", size.0, size.1), &text);
    }
}

fn opened(report: &Report) -> State {
    State { open: report.services.last().map(|service| service.name.clone()), ..State::default() }
}

#[test]
fn golden_screens_of_a_capture() {
    let report = fixture();
    let replay = Replay { file: "6.18.capture".into(), at_ns: 2_500_000_000, whole_ns: 4_000_000_000, speed: 1.0 };
    at_both_sizes("list", Some(&report), &Source::Replay(replay), &State::default());
    at_both_sizes("service", Some(&report), &Source::Live, &opened(&report));
}

#[test]
fn golden_screens_of_services_with_every_section() {
    let report = said(assessed(sample::whole()));
    let mut state = State { is_paused: true, ..State::default() };
    at_both_sizes("whole-list", Some(&report), &Source::Live, &state);
    state.open = opened(&report).open;
    state.say("the trace is in trace.json");
    at_both_sizes("whole-service", Some(&report), &Source::Live, &state);
    state.has_help = true;
    at_both_sizes("help", Some(&report), &Source::Live, &state);
}

#[test]
fn nothing_is_shown_as_nothing() {
    let mut report = said(assessed(sample::small()));
    let state = State::default();
    let before = screen(&shown(None, &Source::Live, &state), SIZES[0]);
    assert!(before.contains("The first figures come within a second") && before.contains("q quit"), "{before}");
    report.services[0].requests = None;
    report.services[0].tail = None;
    let unmeasured = screen(&shown(Some(&report), &Source::Live, &state), SIZES[0]);
    let line = unmeasured.lines().find(|line| line.starts_with("▸ tiny")).unwrap();
    assert!(!line.contains('0') && line.matches('–').count() == 3, "unknown is not 0: {line}");
    let inside = screen(&shown(Some(&report), &Source::Live, &opened(&report)), SIZES[0]);
    assert!(inside.contains("not measured"), "{inside}");
    report.services.clear();
    let none = screen(&shown(Some(&report), &Source::Live, &state), SIZES[0]);
    assert!(none.contains("No service is recorded.") && none.contains("0 services"), "{none}");
    let nobody = State { filter: "x".into(), ..State::default() };
    report.services.extend(sample::small().services);
    let filtered = screen(&shown(Some(&report), &Source::Live, &nobody), SIZES[0]);
    assert!(filtered.contains("No service has \"x\" in its name"), "{filtered}");
}

#[test]
fn whoever_is_gone_is_looked_into_no_more() {
    let report = said(assessed(sample::small()));
    let state = State { open: Some("gone".into()), ..State::default() };
    assert!(screen(&shown(Some(&report), &Source::Live, &state), SIZES[0]).contains("▸ tiny"));
}

#[test]
fn names_neither_drive_the_terminal_nor_leave_their_place() {
    let mut report = said(assessed(sample::whole()));
    let foul = "\x1b]0;x\x07\u{202e}\n漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字".to_owned();
    for service in &mut report.services {
        service.name.clone_from(&foul);
        service.selector.clone_from(&foul);
        service.processes.iter_mut().for_each(|process| process.comm.clone_from(&foul));
        service.exemplars.iter_mut().flatten().for_each(|one| one.client.clone_from(&foul));
        service.downstream.iter_mut().flatten().for_each(|peer| peer.address.clone_from(&foul));
        let rows = serde_json::json!([{"name": foul, "kind": "request", "requests": 7, "failed": 1}]);
        service.tables.insert("endpoints".into(), rows);
    }
    report.findings.iter_mut().for_each(|finding| finding.service = Some(foul.clone()));
    report.host.name.clone_from(&foul);
    for open in [None, Some(foul.clone())] {
        for size in [(80, 24), (121, 30), (200, 50)] {
            let state = State { open: open.clone(), filter: String::new(), ..State::default() };
            let text = screen(&shown(Some(&report), &Source::Live, &state), size);
            let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(acts), "{text}");
            assert_eq!(text.lines().count(), usize::from(size.1));
        }
    }
}

#[test]
fn every_size_is_drawn_and_a_small_one_says_so() {
    let report = said(assessed(sample::whole()));
    for columns in [1, 20, 79, 80, 119, 120, 149, 150, 300] {
        for lines in [1, 23, 24, 25, 100] {
            for state in [State::default(), opened(&report), State { has_help: true, ..State::default() }] {
                let text = screen(&shown(Some(&report), &Source::Live, &state), (columns, lines));
                let is_small = columns < MIN_COLUMNS || lines < MIN_LINES;
                assert!(!is_small || columns < 20 || text.contains("too small"), "{text}");
                assert!(is_small || text.contains("own cost"), "cost is always there: {text}");
            }
        }
    }
}

#[test]
fn colours_say_nothing_that_words_do_not() {
    let report = said(assessed(sample::whole()));
    let state = State::default();
    let with = screen(&shown(Some(&report), &Source::Live, &state), SIZES[1]);
    let without = Shown { theme: Theme::new(false), ..shown(Some(&report), &Source::Live, &state) };
    assert_eq!(screen(&without, SIZES[1]), with);
    let mut buffer = Buffer::empty(Rect::new(0, 0, 80, 24));
    draw(&without, &mut buffer);
    let plain = ratatui_core::style::Color::Reset;
    assert!(buffer.content().iter().all(|cell| cell.fg == plain && cell.bg == plain));
}

#[test]
fn losses_and_cost_are_always_seen() {
    let mut report = said(assessed(sample::whole()));
    report.ledger.insert("errno_table_full".into(), 1234);
    for state in [State::default(), opened(&report)] {
        let text = screen(&shown(Some(&report), &Source::Live, &state), SIZES[0]);
        assert!(text.contains("LOST errno_table_full 1,234") && text.contains("own cost"), "{text}");
    }
}

#[test]
fn a_long_list_shows_the_chosen_line_and_a_long_service_all_its_lines() {
    let mut report = said(assessed(sample::small()));
    let one = report.services[0].clone();
    report.services = (0..64).map(|at| ServiceReport { name: format!("service-{at:02}"), ..one.clone() }).collect();
    for chosen in ["service-00", "service-40", "service-63"] {
        let state = State { chosen: Some(chosen.into()), ..State::default() };
        let text = screen(&shown(Some(&report), &Source::Live, &state), SIZES[0]);
        assert!(text.contains(&format!("▸ {chosen}")), "{text}");
    }
    let report = said(assessed(sample::whole()));
    let mut state = opened(&report);
    let mut buffer = Buffer::empty(Rect::new(0, 0, 80, 24));
    let most = draw(&shown(Some(&report), &Source::Live, &state), &mut buffer);
    assert!(most > 10, "{most}");
    state.scroll = most;
    let last = screen(&shown(Some(&report), &Source::Live, &state), SIZES[0]);
    state.scroll = usize::MAX;
    assert_eq!(screen(&shown(Some(&report), &Source::Live, &state), SIZES[0]), last);
}
