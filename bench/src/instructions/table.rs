//! The page: `docs/cost-instructions.md`.
//!
//! In: the figures, and what they were counted with. Out: Markdown.

use super::figures::{AGENT, Figures, Row, WHOLE};
use super::gate::{Ground, ROOM, ROOM_ELSEWHERE};
use super::plan;
use crate::cost::arms::BARE;
use crate::cost::floor;

const TOP: &str = "# Cost in instructions

Written by `cargo xtask bench instructions --accept`. A virtual machine with one CPU, whose clock runs by the instructions that it
has executed (QEMU's `-icount`), serves a fixed number of requests with each arm attached. So the figures are counts: the same
build gives the same figures, however busy the host is. They do not say what a cache miss or a mispredicted branch costs;
[cost.md](cost.md) has times, and [cost-rivals.md](cost-rivals.md) other tools.
";

const GATE: &str = "The last ring of `cargo xtask test`, and `cargo xtask bench instructions --check`, fail when a program takes more than
{room} % above [cost-instructions.tsv](cost-instructions.tsv) in a run, when one came that is not in there, or one went;
`--accept` takes what is counted now. Both ask Debian's archive for the kernel of the table. Where kernel or compiler are others,
`--check` fails, and so does the ring where `CI` is set: take the new ones in a commit of its own, made on a tree that passed
before. Elsewhere the ring then allows {elsewhere} %, and says so.

Held to it is a program where it runs at least once in a request; a rarer one to 10 %, and only where it runs as often as in the table:
at the end of a connection microseconds decide whether a reply is still held, and other runs are partly those of the kernel's housekeeping, which makes its mean move by up to 3 % when anything in the image changes; whole requests and the
agent move by some tenths of a percent, and are not held. What is not run here
is not held: UNIX sockets, retransmissions and resets, forks and exits, and the record of a request above the running P99 (the load
makes its slow requests before the rounds, so that none of the others is).
";

const SHAPES: &str = "Shapes. **redis**: one thread with epoll on 16 connections; a client sends on all of them, then reads from all.
**nginx**: two workers behind one listener, HTTP over 8 connections of 30 requests each. **nginx-corked**: the same, header
and body of each reply sent behind a cork, as nginx does with `tcp_nopush`. **nginx-1k**: the same as nginx with requests of 1,024
bytes, most of them a cookie. **switch**: one connection, both ends sleep until the other has sent. **postgres**: the same with a
simple query of PostgreSQL's protocol and one row. **downstream**: the same with a GET of Redis' protocol, by a service that asks
another one, which is not recorded, before it answers; a request here counts what all three do. **bystander-switch**: as switch, by
a service that is not recorded, while the first seven are. **bystander-calls**: `getppid` by a process that is not recorded. Client
and server run on the one CPU and yield it only by sleeping, so that the number of requests per wake-up does not depend on the
scheduler's mood. A request counts all that both ends and the kernel do for it, in the cheapest of four rounds.
";

const PROGRAMS: &str = "By the kernel's own account (`kernel.bpf_stats_enabled`), in rounds of their own: the mean of the runs for both ends of the
connection, of which only one belongs to a recorded service. The account itself is in each figure: a program that returns at once
(**floor**) shows how much it is.
";

const OWN: &str = "CPU time of the agent's own process in instructions for each second of a recording, over 24 s: idle, and with 500 requests a
second to the Redis-like loop.
";

/// The whole page.
pub fn page(figures: &Figures, ground: &Ground, others: &[String]) -> String {
    let list = |lines: &[String]| lines.iter().map(|line| format!("- {line}\n")).collect::<String>();
    let gate = GATE.replace("{room}", &ROOM.to_string()).replace("{elsewhere}", &ROOM_ELSEWHERE.to_string());
    let mut on =
        vec![format!("Kernel: {}", ground.kernel), format!("Compiler of the kernel side: {}", ground.compiler)];
    on.extend_from_slice(others);
    let mut text = format!("{TOP}\n{}\n{SHAPES}\nArms:\n\n{}", list(&on), list(&plan::describe()));
    text += &format!("\n## Instructions per request\n\n{}", whole(figures));
    for (arm, reason) in &figures.absent {
        text += &format!("\nNot on this kernel: {arm} ({reason}).\n");
    }
    text += &format!("\n## Kernel programs\n\n{PROGRAMS}");
    for shape in figures.each(|row| row.is_program().then_some(row.shape.as_str())) {
        text += &format!("\n### {shape}\n\n{}", programs(figures, shape));
    }
    text += &format!("\n## The agent\n\n{OWN}\n{}", agent(figures));
    let differences: Vec<String> = figures.hooks.iter().flat_map(|(arm, hooks)| differences(arm, hooks)).collect();
    if !differences.is_empty() {
        text += &format!("\nThe floor is not on the agent's hooks: {}.\n", differences.join("; "));
    }
    text + &format!("\n## The gate\n\n{gate}")
}

/// Where the floor and the agent of an arm that has one are on different hooks.
fn differences(arm: &str, hooks: &[String]) -> Vec<String> {
    if arm != crate::cost::arms::ALWAYS_ON {
        return Vec::new();
    }
    let report = serde_json::json!({ "probes": [{ "state": "active", "hooks": hooks }] });
    floor::differences(&report)
}

/// Arms by shapes: bare as it is, the others as what they add.
pub fn whole(figures: &Figures) -> String {
    let of_whole = |row: &Row| row.what == WHOLE;
    let shapes = figures.each(|row| of_whole(row).then_some(row.shape.as_str()));
    let arms = figures.each(|row| of_whole(row).then_some(row.arm.as_str()));
    let mut text = head("arm", &shapes);
    for arm in arms {
        let cell = |shape: &&str| {
            let value = |arm| figures.find(arm, shape, WHOLE).map(|row| row.tenths() as f64 / 10.0);
            match (value(arm), value(BARE)) {
                (Some(value), _) if arm == BARE => grouped(value, false),
                (Some(value), Some(bare)) => {
                    format!("{} ({:+.1} %)", grouped(value - bare, true), (value / bare - 1.0) * 100.0)
                }
                _ => "–".to_owned(),
            }
        };
        text += &line(arm, shapes.iter().map(cell));
    }
    text
}

/// The programs of one shape by arms.
fn programs(figures: &Figures, shape: &str) -> String {
    let here = |row: &Row| row.is_program() && row.shape == shape;
    let names = figures.each(|row| here(row).then_some(row.what.as_str()));
    let arms = figures.each(|row| here(row).then_some(row.arm.as_str()));
    let columns: Vec<&str> = ["runs per request"].into_iter().chain(arms.iter().copied()).collect();
    let mut text = head("program", &columns);
    for name in names {
        // The last arm has all programs.
        let runs = arms.iter().rev().find_map(|arm| {
            let (program, whole) = (figures.find(arm, shape, name)?, figures.find(arm, shape, WHOLE)?);
            Some(format!("{:.2}", program.count as f64 / whole.count.max(1) as f64))
        });
        let cell = |arm: &&str| {
            let row = figures.find(arm, shape, name);
            row.map_or_else(|| "–".to_owned(), |row| format!("{}.{}", row.tenths() / 10, row.tenths() % 10))
        };
        text += &line(&format!("`{name}`"), runs.into_iter().chain(arms.iter().map(cell)));
    }
    text
}

fn agent(figures: &Figures) -> String {
    let of_agent = |row: &Row| row.what == AGENT;
    let windows = figures.each(|row| of_agent(row).then_some(row.shape.as_str()));
    let mut text = head("arm", &windows);
    for arm in figures.each(|row| of_agent(row).then_some(row.arm.as_str())) {
        let cell = |window: &&str| {
            let row = figures.find(arm, window, AGENT);
            row.map_or_else(|| "–".to_owned(), |row| grouped(row.tenths() as f64 / 10.0, false))
        };
        text += &line(arm, windows.iter().map(cell));
    }
    text
}

pub fn head(first: &str, columns: &[&str]) -> String {
    format!("| {first} | {} |\n|---{}|\n", columns.join(" | "), "|---:".repeat(columns.len()))
}

pub fn line(first: &str, cells: impl Iterator<Item = String>) -> String {
    format!("| {first} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// A whole number with its thousands parted.
pub fn grouped(value: f64, sign: bool) -> String {
    let value = value.round() as i64;
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match (value < 0, sign && value > 0) {
        (true, _) => format!("-{text}"),
        (_, true) => format!("+{text}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let lines = "whole\tbare\tredis\t24000000\t960\nwhole\tfloor\tredis\t24960000\t960\n\
                     program\tfloor\tredis\tsched_switch\t1920\t147840\t960\n\
                     whole\talways-on\tredis\t26928937\t960\nprogram\talways-on\tredis\tsched_switch\t480\t96000\t960\n\
                     program\talways-on\tredis\tsent\t1920\t816960\t960\nagent\talways-on\tidle\t24000000\t24000000000\n\
                     hooks\talways-on\ttp_btf/sched_switch";
        Figures::among(&lines.lines().map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn arms_are_shown_by_what_they_add() {
        let text = whole(&figures());
        assert!(text.contains("| bare | 25,000 |") && text.contains("| floor | +1,000 (+4.0 %) |"), "{text}");
        assert!(text.contains("| always-on | +3,051 (+12.2 %) |"), "{text}");
    }

    #[test]
    fn programs_are_shown_by_run_and_what_did_not_run_is_no_zero() {
        let text = programs(&figures(), "redis");
        assert!(text.contains("| program | runs per request | floor | always-on |"), "{text}");
        assert!(text.contains("| `sched_switch` | 0.50 | 77.0 | 200.0 |"), "{text}");
        assert!(text.contains("| `sent` | 2.00 | – | 425.5 |"), "{text}");
    }

    #[test]
    fn the_page_names_its_ground_and_a_floor_that_is_none() {
        let ground = Ground { kernel: "linux-image-1 1-1".into(), compiler: "rustc 1".into() };
        let text = page(&figures(), &ground, &["QEMU: 1".to_owned()]);
        assert!(text.contains("- Kernel: linux-image-1 1-1\n") && text.contains("- QEMU: 1\n"), "{text}");
        assert!(text.contains("| always-on | 1,000,000 |") && text.contains("more than\n2 % above"), "{text}");
        assert!(text.contains("sk_data_ready only in the floor"), "{text}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!((grouped(999.6, false), grouped(1_234_567.0, true)), ("1,000".to_owned(), "+1,234,567".to_owned()));
        assert_eq!((grouped(-1500.0, true), grouped(-0.2, true)), ("-1,500".to_owned(), "0".to_owned()));
    }
}
