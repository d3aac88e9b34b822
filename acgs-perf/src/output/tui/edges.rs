//! The first and the last lines of the screen: where the figures come from, what the tool costs and loses, which keys there are.
//!
//! In: what is shown. Out: lines. Cost and losses are there whatever else is.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::canvas::{Line, Piece, plain, put, styled, width};
use super::{Replay, Shown, Source};
use crate::report::{Report, Verdict};
use crate::units::{bytes, duration, grouped, percent, timestamp};

/// Lines at the top.
pub const TOP: u16 = 2;
/// Lines at the bottom.
pub const BOTTOM: u16 = 2;
/// Loss counters that are named.
const NAMED_LOSSES: usize = 2;

/// The first lines.
pub fn top(shown: &Shown<'_>, buffer: &mut Buffer, area: Rect) {
    let theme = shown.theme;
    let mut host = String::new();
    let mut end = String::new();
    if let Some(report) = shown.report {
        host = format!("  {} · Linux {}", report.host.name, report.host.kernel);
        host += &report.host.cpus.map_or_else(String::new, |cpus| format!(" · {cpus} CPUs"));
        end = timestamp(report.window.start_unix_ns.saturating_add(report.window.duration_ns));
    }
    let file = match shown.source {
        Source::Live => String::new(),
        Source::Replay(replay) => format!("  {}", replay.file),
    };
    let first = vec![styled("acgs-perf top", theme.strong()), plain(file), styled(host, theme.minor())];
    put_ends(buffer, area, 0, first, vec![styled(end, theme.minor())]);
    put_ends(buffer, area, 1, verdicts(shown), source(shown));
}

/// How many services there are of each verdict.
fn verdicts(shown: &Shown<'_>) -> Line {
    let (theme, Some(report)) = (shown.theme, shown.report) else { return Line::new() };
    let all = [
        (Some(Verdict::Missed), "missed"),
        (Some(Verdict::Met), "met"),
        (Some(Verdict::TooFew), "too few requests"),
        (Some(Verdict::NotTested), "low rate"),
        (None, "not measured"),
    ];
    let services = if report.services.len() == 1 { "service" } else { "services" };
    let mut line = vec![plain(format!("{} {services}", report.services.len()))];
    for (verdict, what) in all {
        let count = report.services.iter().filter(|service| service.objective.verdict == verdict).count();
        if count > 0 {
            line.push(plain(if line.len() == 1 { ": " } else { " · " }));
            line.push(styled(format!("{count} {what}"), theme.verdict(verdict)));
        }
    }
    line
}

/// Live, or where in a recording.
fn source(shown: &Shown<'_>) -> Line {
    let theme = shown.theme;
    let length = shown.report.map(|report| format!("last {}", duration(rounded(report.window.duration_ns))));
    let mut line = Line::new();
    if shown.state.is_paused {
        line.extend([styled(" PAUSED ", theme.reversed()), plain(" ")]);
    }
    match shown.source {
        Source::Live => line.push(styled("live", theme.heading())),
        Source::Replay(replay) => line.push(styled(position(replay), theme.heading())),
    }
    line.extend(length.map(|length| plain(format!(" · {length}"))));
    line
}

fn position(replay: &Replay) -> String {
    let end = if replay.at_ns >= replay.whole_ns { ", its end" } else { "" };
    let (at, whole) = (duration(rounded(replay.at_ns)), duration(rounded(replay.whole_ns)));
    format!("replay ×{} · {at} of {whole}{end}", replay.speed)
}

/// To tenths of a second: whoever looks at a clock wants no more.
fn rounded(ns: u64) -> u64 {
    const TENTH: u64 = 100_000_000;
    if ns < TENTH { ns } else { (ns + TENTH / 2) / TENTH * TENTH }
}

/// The last lines.
pub fn bottom(shown: &Shown<'_>, buffer: &mut Buffer, area: Rect) {
    let theme = shown.theme;
    if let Some(report) = shown.report {
        put_ends(buffer, area, 0, cost(shown, report), losses(shown, report));
    }
    if let Some(message) = shown.state.message() {
        put(buffer, area, 1, &[styled(format!(" {message} "), theme.reversed())]);
        return;
    }
    if shown.state.is_typing {
        put(buffer, area, 1, &[styled("filter: ", theme.heading()), plain(format!("{}▏", shown.state.filter))]);
        return;
    }
    let mut keys = match shown.state.open {
        Some(_) => vec![("Esc", "back"), ("↑↓", "scroll"), ("e", "endpoints by tail"), ("space", "pause")],
        None => vec![("Enter", "open"), ("↑↓", "choose"), ("s", "sort"), ("/", "filter"), ("space", "pause")],
    };
    if let Source::Replay(_) = shown.source {
        keys.retain(|(key, _)| *key != "↑↓");
        keys.extend([(",.", "step"), ("[]", "seek")]);
    } else {
        keys.push(("t", "trace"));
    }
    keys.extend([("?", "help"), ("q", "quit")]);
    let keys = keys.into_iter().flat_map(|(key, what)| [styled(key, theme.strong()), plain(format!(" {what}  "))]);
    put(buffer, area, 1, &keys.collect::<Line>());
}

fn cost(shown: &Shown<'_>, report: &Report) -> Line {
    let cost = &report.cost;
    let share = cost.agent_cpu_ns.map(|cpu| format!("{} of one CPU", percent(cpu, report.window.duration_ns)));
    let memory = cost.agent_max_rss_bytes.map(|most| format!("memory {}", bytes(most)));
    let maps = cost.map_bytes.map(|maps| format!("kernel maps {}", bytes(maps)));
    let known: Vec<String> = [share, memory, maps].into_iter().flatten().collect();
    let text = if known.is_empty() { "not measured".into() } else { known.join(" · ") };
    vec![styled("own cost ", shown.theme.minor()), plain(text)]
}

fn losses(shown: &Shown<'_>, report: &Report) -> Line {
    let lost: Vec<_> = report.ledger.iter().filter(|(_, count)| **count > 0).collect();
    if report.ledger.is_empty() {
        return vec![styled("losses not known", shown.theme.doubtful())];
    }
    if lost.is_empty() {
        return vec![plain("lost nothing")];
    }
    let named = lost.iter().take(NAMED_LOSSES).map(|(name, count)| format!("{name} {}", grouped(**count)));
    let mut named: Vec<String> = named.collect();
    if lost.len() > NAMED_LOSSES {
        named.push(format!("{} more", lost.len() - NAMED_LOSSES));
    }
    vec![styled(format!("LOST {}", named.join(", ")), shown.theme.bad())]
}

/// Draws one line at the left end and one at the right end, which goes first where there is no room for both.
fn put_ends(buffer: &mut Buffer, area: Rect, row: u16, left: Line, right: Line) {
    let columns = |line: &Line| line.iter().map(|piece: &Piece| width(&piece.text)).sum::<usize>();
    let taken = columns(&right).min(usize::from(area.width)) as u16;
    let room = area.width - taken;
    put(buffer, Rect { width: room.saturating_sub(1), ..area }, row, &left);
    put(buffer, Rect { x: area.x + room, width: taken, ..area }, row, &right);
}
