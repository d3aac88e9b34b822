//! The first table of `docs/cost.md`: what a request costs without the tool and with it, for who has never seen either.
//!
//! In: the committed counts, those of other tools too. Out: Markdown. A test compares it with the page.

use super::figures::{Row, WHOLE};
use super::gate::Table;
use super::plan::{DEFAULT, INFORMED, NAMED};
use super::table::{grouped, head, line};
use crate::cost::arms::{ALWAYS_ON, BARE, FLOOR};

/// The shapes, in words.
const SHAPES: &[(&str, &str)] = &[
    ("redis", "GETs, 16 at a time"),
    ("nginx", "pages, HTTP"),
    ("nginx-1k", "the same, requests of 1 KiB"),
    ("postgres", "SQL, one at a time"),
    ("downstream", "a GET that asks another service"),
    ("switch", "36 bytes there and back"),
];
/// The arms, in words.
const ARMS: &[(&str, &str)] = &[
    (FLOOR, "empty programs on the same hooks: what tracing costs anybody"),
    (INFORMED, "programs that read the clock and their notes, and return"),
    ("request", "**latency** (`--probes request`)"),
    (ALWAYS_ON, "**always-on**: and why the slowest were slow (`request,sched,attribution,tcp`)"),
    (NAMED, "**by endpoint**: and which requests they were (`…,endpoints`)"),
    (DEFAULT, "**everything** (`acgs-perf record`): and system calls, disk, memory"),
];
/// Other tools, with what they answer, and the shapes on which they were counted.
const RIVALS: &[(&str, &str)] = &[
    ("bpftrace requests", "bpftrace: latency"),
    ("bpftrace requests + run queue", "bpftrace: latency and run queue"),
    ("libbpf-tools runqlat", "libbpf-tools `runqlat`: run queue"),
];

/// The text.
pub fn text(own: &Table, rivals: Option<&Table>) -> String {
    let kernel = own.ground.kernel.split(' ').next().unwrap_or_default().trim_start_matches("linux-image-");
    let mut text = format!(
        "What a CPU has to do more for each request because it is recorded: instructions of client, server and kernel together, counted in a\n\
         machine that does nothing else. They are the same in every run and on every host. Linux {kernel}; how it is counted, and every\n\
         program by itself: [cost-instructions.md](cost-instructions.md).\n\n"
    );
    let names: Vec<&str> = SHAPES.iter().map(|(_, words)| *words).collect();
    text += &head("", &names);
    let bare = SHAPES.iter().map(|(shape, _)| {
        find(&own.rows, BARE, shape).map_or_else(|| "–".to_owned(), |row| grouped(row.tenths() as f64 / 10.0, false))
    });
    text += &line("a request, nobody looking", bare);
    for (arm, words) in ARMS {
        text += &line(words, SHAPES.iter().map(|(shape, _)| added(&own.rows, arm, shape)));
    }
    for (arm, words) in RIVALS {
        let Some(table) = rivals else { break };
        text += &line(words, SHAPES.iter().map(|(shape, _)| added(&table.rows, arm, shape)));
    }
    let beside = |arm, shape| added(&own.rows, arm, shape);
    text + &format!(
        "\nWho is **not** recorded while others are: a round trip between two strangers takes {} more always-on, {} with everything;\n\
         a stranger's system call {} always-on, {} with everything.\n",
        beside(ALWAYS_ON, "bystander-switch"),
        beside(DEFAULT, "bystander-switch"),
        beside(ALWAYS_ON, "bystander-calls"),
        beside(DEFAULT, "bystander-calls"),
    )
}

fn find<'r>(rows: &'r [Row], arm: &str, shape: &str) -> Option<&'r Row> {
    rows.iter().find(|row| row.what == WHOLE && row.arm == arm && row.shape == shape)
}

/// What an arm adds to a request, and how much of it that is.
fn added(rows: &[Row], arm: &str, shape: &str) -> String {
    let value = |arm| find(rows, arm, shape).map(|row| row.tenths() as f64 / 10.0);
    match (value(arm), value(BARE)) {
        (Some(value), Some(bare)) if (value - bare).abs() < 0.5 => "0".to_owned(),
        (Some(value), Some(bare)) => format!("{} ({:.1} %)", grouped(value - bare, true), (value / bare - 1.0) * 100.0),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use acgs_perf_setup::process::root;

    use super::super::{RIVALS_TABLE, TABLE};
    use super::*;
    use crate::cost::opening;

    fn row(arm: &str, shape: &str, instructions: u64) -> Row {
        Row { arm: arm.into(), shape: shape.into(), what: WHOLE.into(), count: 10, instructions }
    }

    #[test]
    fn what_is_added_is_told_and_what_was_not_counted_is_no_zero() {
        let rows =
            vec![row(BARE, "redis", 10_000), row(ALWAYS_ON, "redis", 11_000), row(BARE, "bystander-calls", 3_000)];
        let own = Table { rows: [rows, vec![row(ALWAYS_ON, "bystander-calls", 3_001)]].concat(), ..Table::default() };
        let rivals = Table {
            rows: vec![row(BARE, "redis", 10_000), row("bpftrace requests", "redis", 30_000)],
            ..Table::default()
        };
        let text = text(&own, Some(&rivals));
        assert!(text.contains("| a request, nobody looking | 1,000 | – |"), "{text}");
        assert!(text.contains("tcp`) | +100 (10.0 %) | – |"), "{text}");
        assert!(text.contains("| bpftrace: latency | +2,000 (200.0 %) | – |"), "{text}");
        assert!(text.contains("system call 0 always-on, – with everything"), "{text}");
    }

    #[test]
    fn the_page_begins_with_the_counts_that_are_committed() {
        let read = |name: &str| fs::read_to_string(root().join(name));
        let own = Table::parse(&read(TABLE).unwrap()).unwrap();
        let rivals = read(RIVALS_TABLE).ok().map(|text| Table::parse(&text).unwrap());
        let page = read(opening::PAGE).unwrap();
        assert_eq!(opening::of(&page), text(&own, rivals.as_ref()), "`cargo xtask bench instructions --accept`");
    }
}
