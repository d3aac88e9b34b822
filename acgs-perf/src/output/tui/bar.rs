//! Small pictures of one line: what the time of the slowest requests is made of, and how a figure went over time.
//!
//! In: times by component, points. Out: text. Each kind of component has a letter, so that a bar says without colours what it shows.

use super::canvas::{Line, styled};
use super::theme::Theme;

/// (letter, name) of what components are gathered to.
pub const KINDS: [(char, &str); 14] = [
    ('q', "queue"),
    ('c', "on-CPU"),
    ('r', "run queue"),
    ('l', "lock"),
    ('k', "disk"),
    ('d', "downstream"),
    ('w', "loop wait"),
    ('p', "pool wait"),
    ('n', "connection wait"),
    ('u', "CPU quota"),
    ('f', "page fault"),
    ('i', "idle or sleep"),
    ('x', "client, network"),
    ('?', "other, unknown"),
];

/// The kind of a component, as a place in [`KINDS`].
pub fn kind(component: &str) -> usize {
    match component {
        "run_queue" | "queue_run_queue" => 2,
        "cpu_quota" | "queue_cpu_quota" => 9,
        name if name.starts_with("queue_") => 0,
        "on_cpu" => 1,
        "lock" => 3,
        "disk" => 4,
        "downstream" => 5,
        "loop_wait" => 6,
        "pool_wait" => 7,
        "connection_wait" => 8,
        "fault" => 10,
        "idle" | "sleep" => 11,
        "request_body" | "send_buffer" | "reply" => 12,
        name if name.starts_with("delivery_") => 12,
        _ => 13,
    }
}

/// The sums of the kinds, in the order of [`KINDS`].
pub fn by_kind<'a>(components: impl IntoIterator<Item = (&'a str, u64)>) -> [u64; KINDS.len()] {
    let mut sums = [0u64; KINDS.len()];
    for (name, ns) in components {
        let sum = &mut sums[kind(name)];
        *sum = sum.saturating_add(ns);
    }
    sums
}

/// The largest kind and its share in percent.
pub fn largest(sums: &[u64; KINDS.len()]) -> Option<(usize, u64)> {
    let whole: u128 = sums.iter().map(|sum| u128::from(*sum)).sum();
    let (at, most) = sums.iter().enumerate().rev().max_by_key(|(_, sum)| **sum)?;
    (whole > 0).then(|| (at, (u128::from(*most) * 100 / whole) as u64))
}

/// Cells for each part: together `room`, each as near to its share as whole cells can be (largest remainder).
fn cells(parts: &[u64], room: usize) -> Vec<usize> {
    let whole: u128 = parts.iter().map(|part| u128::from(*part)).sum();
    if whole == 0 {
        return vec![0; parts.len()];
    }
    let exact = |part: &u64| u128::from(*part) * room as u128;
    let mut cells: Vec<usize> = parts.iter().map(|part| (exact(part) / whole) as usize).collect();
    let mut rest: Vec<usize> = (0..parts.len()).collect();
    rest.sort_by_key(|at| std::cmp::Reverse(exact(&parts[*at]) % whole));
    let missing = room - cells.iter().sum::<usize>();
    rest.into_iter().take(missing).for_each(|at| cells[at] += 1);
    cells
}

/// A bar of letters, the largest kind first; spaces where nothing is known.
pub fn composition(sums: &[u64; KINDS.len()], room: usize, theme: Theme) -> Line {
    let mut order: Vec<usize> = (0..KINDS.len()).filter(|at| sums[*at] > 0).collect();
    order.sort_by_key(|at| std::cmp::Reverse(sums[*at]));
    let parts: Vec<u64> = order.iter().map(|at| sums[*at]).collect();
    pieces(order.into_iter().zip(cells(&parts, room)), room, theme)
}

/// A bar of what followed each other, in this order.
pub fn sequence(steps: &[(usize, u64)], room: usize, theme: Theme) -> Line {
    let parts: Vec<u64> = steps.iter().map(|(_, ns)| *ns).collect();
    pieces(steps.iter().map(|(kind, _)| *kind).zip(cells(&parts, room)), room, theme)
}

fn pieces(parts: impl Iterator<Item = (usize, usize)>, room: usize, theme: Theme) -> Line {
    let mut taken = 0;
    let mut line: Line = parts
        .filter(|(_, cells)| *cells > 0)
        .map(|(kind, cells)| {
            taken += cells;
            styled(KINDS[kind].0.to_string().repeat(cells), theme.part(kind))
        })
        .collect();
    line.push(styled(" ".repeat(room - taken), ratatui_core::style::Style::new()));
    line
}

/// Points from left to right, the latest at the right end; `·` where there is none. Where there are more than cells, each shows its
/// largest.
pub fn sparkline(points: &[Option<u64>], room: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if room == 0 {
        return String::new();
    }
    let each = points.len().div_ceil(room).max(1);
    // Whole groups from the end, so that a new point does not regroup the others.
    let begin = points.len() % each;
    let (first, rest) = points.split_at(begin);
    let groups = [first].into_iter().filter(|first| !first.is_empty()).chain(rest.chunks(each));
    let values: Vec<Option<u64>> = groups.map(|group| group.iter().flatten().max().copied()).collect();
    let values = &values[values.len().saturating_sub(room)..];
    let most = values.iter().flatten().max().copied().unwrap_or(0).max(1);
    let level = |value: u64| LEVELS[(u128::from(value) * 7).div_ceil(u128::from(most)) as usize];
    let line: String = values.iter().map(|value| value.map_or('·', level)).collect();
    " ".repeat(room - values.len()) + &line
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::attribution::COMPONENT_NAMES;

    use super::*;

    fn text(line: &Line) -> String {
        line.iter().map(|piece| piece.text.as_str()).collect()
    }

    #[test]
    fn every_component_has_a_kind_and_every_kind_a_letter_of_its_own() {
        let unknown: Vec<_> = COMPONENT_NAMES.iter().map(|(name, _)| *name).filter(|name| kind(name) == 13).collect();
        assert_eq!(unknown, ["other", "unknown"]);
        let used: Vec<usize> = COMPONENT_NAMES.iter().map(|(name, _)| kind(name)).collect();
        assert!((0..KINDS.len()).all(|at| used.contains(&at)));
        assert!(KINDS.iter().enumerate().all(|(at, (letter, _))| KINDS[..at].iter().all(|(other, _)| other != letter)));
    }

    #[test]
    fn a_bar_has_all_its_cells_and_the_largest_part_first() {
        let sums = by_kind([("downstream", 76), ("on_cpu", 20), ("queue_lock", 3), ("queue_disk", 1)]);
        assert_eq!(text(&composition(&sums, 10, Theme::new(true))), "ddddddddcc");
        assert_eq!(text(&composition(&sums, 30, Theme::new(false))), "dddddddddddddddddddddddccccccq");
        assert_eq!(text(&composition(&[0; KINDS.len()], 4, Theme::new(true))), "    ");
        assert_eq!((largest(&sums), largest(&[0; KINDS.len()])), (Some((5, 76)), None));
        assert_eq!(text(&sequence(&[(0, 1), (5, 2), (1, 1)], 8, Theme::new(true))), "qqddddcc");
    }

    #[test]
    fn a_line_shows_the_worst_of_each_group_and_no_zero_for_what_is_not_known() {
        assert_eq!(sparkline(&[Some(1), None, Some(8)], 5), "  ▂·█");
        assert_eq!(sparkline(&[Some(8), Some(1), Some(1), Some(1), Some(8), Some(0)], 3), "█▂█");
        assert_eq!(sparkline(&[Some(1); 7], 2), "██");
        assert_eq!((sparkline(&[], 3), sparkline(&[Some(3)], 0)), ("   ".into(), String::new()));
    }
}
