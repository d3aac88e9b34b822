//! The gate: what each kernel program takes on average in a run, against `docs/cost-instructions.tsv`.
//!
//! In: the committed table, what was counted just now. Out: programs that grew, came or went. Counts are exact, so that the room
//! is for what a changed layout of memory does, and not for noise.

use std::fmt;

use anyhow::{Context, Result, bail};

use super::figures::{Row, WHOLE};

const HEADER: &str = "arm\tshape\twhat\tcount\tinstructions";
/// How much a program may grow unnoticed, in percent of the committed value.
pub const ROOM: u64 = 2;
/// And one that runs less than once in a request: at the end of a connection it depends on microseconds whether a reply is still held,
/// which a changed layout moves by up to 4 %.
pub const ROOM_RARE: u64 = 10;
/// And where kernel or compiler are others than those of the table, which change every program a little.
pub const ROOM_ELSEWHERE: u64 = 10;

/// What the counts depend on besides the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// The kernel's package and its version.
    pub kernel: String,
    /// The compiler and the linker of the kernel side.
    pub compiler: String,
}

impl Ground {
    /// How this one differs from that of the table, one line for each difference.
    pub fn differences(&self, table: &Self) -> Vec<String> {
        let pairs = [("kernel", &self.kernel, &table.kernel), ("compiler", &self.compiler, &table.compiler)];
        let other = pairs.into_iter().filter(|(_, here, there)| here != there);
        other.map(|(what, here, there)| format!("{what}: {here} here, {there} in the table")).collect()
    }
}

/// The committed table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Where it was counted.
    pub ground: Ground,
    /// What was.
    pub rows: Vec<Row>,
}

impl Table {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self> {
        let mut table = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && *line != HEADER) {
            let words: Vec<&str> = line.split('\t').collect();
            match words.as_slice() {
                ["# kernel", kernel] => table.ground.kernel = (*kernel).to_owned(),
                ["# compiler", compiler] => table.ground.compiler = (*compiler).to_owned(),
                [arm, shape, what, count, instructions] => {
                    let number = |word: &str| word.parse().with_context(|| format!("no number in {line:?}"));
                    let [arm, shape, what] = [arm, shape, what].map(|word| (*word).to_owned());
                    let (count, instructions) = (number(count)?, number(instructions)?);
                    table.rows.push(Row { arm, shape, what, count, instructions });
                }
                _ => bail!("no row in {line:?}"),
            }
        }
        Ok(table)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let Ground { kernel, compiler } = &self.ground;
        let row = |Row { arm, shape, what, count, instructions }: &Row| {
            format!("{arm}\t{shape}\t{what}\t{count}\t{instructions}\n")
        };
        let rows: String = self.rows.iter().map(row).collect();
        format!("# kernel\t{kernel}\n# compiler\t{compiler}\n{HEADER}\n{rows}")
    }

    /// What changed, by more than `room` percent where it is a program's size.
    pub fn changes(&self, measured: &[Row], room: u64) -> Vec<Change> {
        let find = |rows: &[Row], row: &Row| {
            let same = |other: &&Row| other.arm == row.arm && other.shape == row.shape && other.what == row.what;
            rows.iter().find(same).cloned()
        };
        let mut changes = Vec::new();
        for row in measured.iter().filter(|row| row.is_program()) {
            let room = if is_frequent(measured, row) { room } else { room.max(ROOM_RARE) };
            let kind = match find(&self.rows, row) {
                None if is_frequent(measured, row) => Kind::Came,
                None => continue,
                Some(before) if !is_frequent(measured, row) && before.count != row.count => continue,
                Some(before) if is_above(row, &before, room) => Kind::Grew { before },
                Some(before) if is_above(&before, row, room) => Kind::Shrank { before },
                Some(_) => continue,
            };
            changes.push(Change { row: row.clone(), kind });
        }
        let gone = self.rows.iter().filter(|row| is_frequent(&self.rows, row) && find(measured, row).is_none());
        changes.extend(gone.map(|row| Change { row: row.clone(), kind: Kind::Went }));
        changes
    }
}

/// Whether it is a program that runs at least once in a request. The runs of a rarer one are a mixture of those that the load makes
/// and those that the kernel's housekeeping does, and can be compared only where both mixtures have the same number.
fn is_frequent(rows: &[Row], row: &Row) -> bool {
    let whole = rows.iter().find(|whole| whole.what == WHOLE && whole.arm == row.arm && whole.shape == row.shape);
    row.is_program() && whole.is_none_or(|whole| row.count >= whole.count)
}

/// Whether one is more than `room` percent above the other, for each run.
fn is_above(row: &Row, other: &Row, room: u64) -> bool {
    let product = |a: u64, b: u64, percent: u64| u128::from(a) * u128::from(b) * u128::from(percent);
    product(row.instructions, other.count, 100) > product(other.instructions, row.count, 100 + room)
}

/// A program that is not as in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    row: Row,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Grew { before: Row },
    Shrank { before: Row },
    Came,
    Went,
}

impl Change {
    /// Whether somebody has to look at it. A program that got smaller is no fault.
    pub fn is_failure(&self) -> bool {
        !matches!(self.kind, Kind::Shrank { .. })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { arm, shape, what, .. } = &self.row;
        write!(f, "{what} ({arm}, {shape}): ")?;
        match &self.kind {
            Kind::Grew { before } | Kind::Shrank { before } => {
                let (now, then) = (self.row.tenths(), before.tenths());
                let tenths = |value: u64| format!("{}.{}", value / 10, value % 10);
                let percent = (now as f64 / then.max(1) as f64 - 1.0) * 100.0;
                write!(f, "{} instructions a run, {percent:+.1} % against {}", tenths(now), tenths(then))
            }
            Kind::Came => write!(f, "runs now, and is not in the table"),
            Kind::Went => write!(f, "is in the table, and did not run"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(what: &str, count: u64, instructions: u64) -> Row {
        Row { arm: "always-on".into(), shape: "redis".into(), what: what.into(), count, instructions }
    }

    fn table() -> Table {
        let ground = Ground { kernel: "linux-image-1 1-1".into(), compiler: "rustc 1".into() };
        Table { ground, rows: vec![row("whole", 10, 20_000), row("sched_switch", 100, 10_000), row("sent", 50, 5_000)] }
    }

    #[test]
    fn what_is_read_is_written() {
        let text = table().text();
        assert_eq!(Table::parse(&text).unwrap(), table());
        assert!(Table::parse("a\tb\tc\t1").is_err());
        assert!(Table::parse("a\tb\tc\t1\tmany").is_err());
    }

    #[test]
    fn two_percent_of_a_run_is_the_limit_however_often_it_ran() {
        let changes =
            |instructions| table().changes(&[row("sched_switch", 200, instructions), row("sent", 50, 5_000)], 2);
        assert!(changes(20_400).is_empty());
        let grown = changes(20_401);
        assert!(grown.len() == 1 && grown[0].is_failure());
        assert!(table().changes(&[row("sched_switch", 200, 21_000), row("sent", 50, 5_000)], 10).is_empty());
        let grown = changes(20_600);
        assert_eq!(
            grown[0].to_string(),
            "sched_switch (always-on, redis): 103.0 instructions a run, +3.0 % against 100.0"
        );
        let smaller = changes(19_000);
        assert!(smaller.len() == 1 && !smaller[0].is_failure(), "{smaller:?}");
    }

    #[test]
    fn a_program_that_runs_less_often_than_the_requests_is_held_loosely_where_it_runs_as_often_as_before() {
        let measured = |runs| [row("whole", 10, 20_000), row("sched_switch", 100, 10_000), row("sent", runs, 9_000)];
        assert!(table().changes(&measured(9), 2).is_empty());
        assert_eq!(table().changes(&measured(10), 2).len(), 1);
        let rare = Table { rows: measured(9).to_vec(), ..table() };
        let grown = |to| [row("whole", 10, 20_000), row("sched_switch", 100, 10_000), row("sent", 9, to)];
        assert_eq!(rare.changes(&grown(9_901), 2).len(), 1, "as often as in the table");
        assert!(rare.changes(&grown(9_900), 2).is_empty());
    }

    #[test]
    fn programs_that_come_or_go_are_seen_and_what_is_no_program_is_not_held() {
        let measured = [row("whole", 10, 90_000), row("sched_switch", 100, 10_000), row("new", 10, 1)];
        let changes = table().changes(&measured, 2);
        let lines: Vec<String> = changes.iter().map(Change::to_string).collect();
        assert!(changes.iter().all(Change::is_failure) && changes.len() == 2, "{lines:?}");
        assert!(lines[0].starts_with("new (") && lines[1].starts_with("sent ("), "{lines:?}");
    }

    #[test]
    fn another_kernel_or_compiler_is_named() {
        let here = Ground { kernel: "linux-image-2 2-1".into(), ..table().ground };
        assert!(table().ground.differences(&table().ground).is_empty());
        assert_eq!(
            here.differences(&table().ground),
            ["kernel: linux-image-2 2-1 here, linux-image-1 1-1 in the table"]
        );
    }
}
