//! The list of services: a line each, and below it what is most to say about the chosen one.
//!
//! In: what is shown. Out: cells. With more columns there are a larger bar, its largest part in words, and what got no reply.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::Shown;
use super::bar::{KINDS, composition, largest, sparkline};
use super::canvas::{Line, left, part, plain, put, right, styled, width, wrapped};
use super::rows::{Sort, fates, has_left, headroom_words, p99_over_time, p99_words, tail_parts, verdict};
use crate::analysis::findings::OBJECTIVE_MISSED;
use crate::report::{Finding, Report, ServiceReport, Severity, Verdict};
use crate::units::rate;

/// Lines about the chosen service.
const ABOUT: u16 = 7;
/// The same where there is room.
const MUCH_ABOUT: u16 = 14;
/// From so many lines on there is.
const TALL: u16 = 36;
/// Columns of the labels there.
const LABEL: usize = 10;
/// From so many columns on there are more of them.
const WIDE: u16 = 120;

/// Widths of the columns.
struct Columns {
    name: usize,
    tail: usize,
    cause: usize,
    fates: usize,
    line: usize,
}

const VERDICT: usize = 8;
const P99: usize = 8;
const LEFT: usize = 9;
const RATE: usize = 8;
/// Spaces between and before the columns of a narrow screen.
const GAPS: usize = 9;

impl Columns {
    fn of(width: u16) -> Self {
        let fixed = VERDICT + P99 + LEFT + RATE + GAPS;
        if width < WIDE {
            let (name, tail) = (15, 12);
            return Self { name, tail, cause: 0, fates: 0, line: usize::from(width) - fixed - name - tail };
        }
        let (name, tail, cause, fates) = (28, 20, 20, 26);
        let rest = usize::from(width) - fixed - name - tail - cause - 2;
        // The line over time keeps room for points enough, and has all that is left.
        match rest.checked_sub(fates + 2).filter(|line| *line >= 24) {
            Some(line) => Self { name, tail, cause, fates, line },
            None => Self { name, tail, cause, fates: 0, line: rest },
        }
    }
}

/// Draws it.
pub fn draw(shown: &Shown<'_>, buffer: &mut Buffer, area: Rect) {
    let services = shown.services();
    let columns = Columns::of(area.width);
    put(buffer, area, 0, &[styled(left(&head(shown, &columns), area.width.into()), shown.theme.reversed())]);
    let Some(report) = shown.report else {
        put(buffer, area, 2, &[plain("Recording. The first figures come within a second.")]);
        return;
    };
    if services.is_empty() {
        let why = match report.services.is_empty() {
            true => "No service is recorded.".to_owned(),
            false => format!("No service has \"{}\" in its name; Esc shows all again.", shown.state.filter),
        };
        put(buffer, area, 2, &[plain(why)]);
        return;
    }
    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    let chosen = shown.state.place(&names);
    let lines_about = if area.height >= TALL { MUCH_ABOUT } else { ABOUT };
    let room = usize::from(area.height - 1 - lines_about);
    // Where there are more than lines, the chosen one is among those shown.
    let first = (chosen + 1).saturating_sub(room);
    for (row, (at, service)) in (1..).zip(services.iter().enumerate().skip(first).take(room)) {
        put(buffer, area, row, &line(shown, service, &columns, at == chosen));
    }
    if let Some(service) = services.get(chosen) {
        about(shown, service, buffer, part(area, area.height - lines_about, lines_about));
    }
}

fn head(shown: &Shown<'_>, columns: &Columns) -> String {
    let state = shown.state;
    let mark = |sort: Sort, name: &str| {
        let arrow = if state.is_reversed { "▴" } else { "▾" };
        if state.sort == sort { format!("{name}{arrow}") } else { name.to_owned() }
    };
    let mut head = format!(
        "  {} {} {} {} {}  {} ",
        left(&mark(Sort::Name, "SERVICE"), columns.name),
        left("VERDICT", VERDICT),
        right(&mark(Sort::P99, "P99"), P99),
        right(&mark(Sort::Headroom, "HEADROOM"), LEFT),
        right(&mark(Sort::Rate, "REQ/S"), RATE),
        left("TAIL IS", columns.tail),
    );
    if columns.cause > 0 {
        head += &format!("{}  ", left("MOST OF IT", columns.cause));
    }
    if columns.fates > 0 {
        head += &format!("{}  ", left("WITHOUT REPLY", columns.fates));
    }
    if !state.filter.is_empty() && !state.is_typing {
        return head + &format!("/{}", state.filter);
    }
    head + if columns.cause > 0 { "P99 OVER TIME" } else { "OVER TIME" }
}

fn line(shown: &Shown<'_>, service: &ServiceReport, columns: &Columns, is_chosen: bool) -> Line {
    let theme = shown.theme;
    let objective = &service.objective;
    let verdict_style = theme.verdict(objective.verdict);
    let per_second = service.requests.as_ref().and_then(|requests| requests.rate_per_s);
    let is_left = has_left(service);
    let parts = tail_parts(service);
    let name = left(&service.name, columns.name);
    let mut line = vec![
        plain(if is_chosen { "▸ " } else { "  " }),
        if is_chosen { styled(name, theme.reversed()) } else { plain(name) },
        plain(" "),
        styled(left(verdict(objective.verdict), VERDICT), verdict_style),
        styled(format!(" {}", right(&p99_words(service), P99)), theme.strong()),
        styled(format!(" {}", right(&headroom_words(service), LEFT)), verdict_style),
        plain(format!(" {}", right(&per_second.map_or_else(|| "–".into(), short_rate), RATE))),
        // Whoever has requests without a reply is marked where there is no column for them.
        styled(if is_left && columns.fates == 0 { " !" } else { "  " }, theme.bad()),
    ];
    line.extend(composition(&parts, columns.tail, theme));
    line.push(plain(" "));
    if columns.cause > 0 {
        let cause = largest(&parts).map(|(kind, share)| format!("{share} % {}", KINDS[kind].1)).unwrap_or_default();
        line.push(plain(format!("{}  ", left(&cause, columns.cause))));
    }
    if columns.fates > 0 {
        let style = if is_left { theme.bad() } else { theme.minor() };
        line.push(styled(format!("{}  ", left(&fates(service).join(", "), columns.fates)), style));
    }
    line.push(plain(sparkline(&p99_over_time(service), columns.line)));
    line
}

/// A rate in few letters.
fn short_rate(per_second: f64) -> String {
    if per_second < 100.0 { format!("{per_second:.1}") } else { rate(per_second) }
}

/// What is most to say about a service.
fn about(shown: &Shown<'_>, service: &ServiceReport, buffer: &mut Buffer, area: Rect) {
    let theme = shown.theme;
    let room = usize::from(area.width) - 2;
    let rule = "─".repeat(room.saturating_sub(width(&service.name) + 1));
    put(buffer, area, 0, &[styled(service.name.clone(), theme.heading()), styled(format!(" {rule}"), theme.minor())]);
    let mut lines: Vec<Line> = Vec::new();
    let mut say = |label: &str, text: &str, style| {
        for (at, words) in wrapped(text, room - LABEL, 0).into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            lines.push(vec![styled(left(label, LABEL), theme.minor()), styled(words, style)]);
        }
    };
    let without_reply = fates(service);
    if !without_reply.is_empty() {
        let style = if has_left(service) { theme.bad() } else { theme.minor() };
        say("no reply", &without_reply.join(" · "), style);
    }
    let finding = shown.report.and_then(|report| foremost(report, service));
    if let Some(finding) = finding {
        say("finding", &finding.title, theme.severity(finding.severity));
        say("do", &finding.recommendation, theme.strong());
        say("gain", &finding.gain, theme.good());
    }
    let objective = &service.objective;
    if finding.is_none() && objective.verdict != Some(Verdict::Met) {
        say("because", &objective.reason, theme.minor());
    }
    if let Some(tail) = &service.tail {
        say("tail", &tail.sentence, theme.strong());
    }
    for (row, line) in (1..area.height).zip(lines) {
        put(buffer, area, row, &line);
    }
}

/// The finding that says most: that the objective is missed the verdict says already.
fn foremost<'a>(report: &'a Report, service: &ServiceReport) -> Option<&'a Finding> {
    let is_of = |finding: &&Finding| finding.service.as_deref() == Some(service.name.as_str());
    let all = || report.findings.iter().filter(is_of).filter(|finding| finding.severity != Severity::Info);
    all().find(|finding| finding.id != OBJECTIVE_MISSED).or_else(|| all().next())
}
