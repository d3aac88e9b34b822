//! The table of kernels, `docs/kernels.md`: what ran where, and by which hooks.
//!
//! In: the page as it is, the rows of the kernels that ran. Out: the page with those rows in the place of the old ones; the
//! rows of kernels that did not run stay as they are.

use super::doctor::Probe;

const TOP: &str = "# Kernels

What ran, and by which hooks; written by `cargo xtask test --vm`, which boots each kernel in QEMU and runs the live-kernel ring
inside. A row is replaced when its kernel runs again. Where there is no acceleration (TCG) two virtual CPUs take turns on one
real one, so that counts, states, names and bytes are checked there, and times are not.
`live` is the kernel of a development machine, written by `cargo xtask test --ring kernel --accept`.
";
const RUNS: &str = "| kernel | version | run by | tests passed |";
const PROBES: &str = "| kernel | probe | state | hooks |";

/// What is known of one kernel.
pub struct Row {
    /// Its name, the key of its rows.
    pub kernel: String,
    /// The release that booted, and the package's version.
    pub version: String,
    /// What executed it.
    pub acceleration: String,
    /// Tests that passed, and that ran.
    pub tests: (u64, u64),
    /// What the agent says of its probes.
    pub probes: Vec<Probe>,
}

/// The page with these rows.
pub fn page(before: &str, rows: &[Row]) -> String {
    let run = |row: &Row| {
        vec![format!(
            "| {} | {} | {} | {} of {} |",
            row.kernel, row.version, row.acceleration, row.tests.0, row.tests.1
        )]
    };
    let probes = |row: &Row| {
        row.probes
            .iter()
            .map(|probe| {
                let hooks: Vec<String> = probe.hooks.iter().map(|hook| format!("`{hook}`")).collect();
                let reason = probe.reason.as_ref().map_or(String::new(), |reason| format!(": {}", cell(reason)));
                let hooks = if probe.state == "active" { hooks.join(", ") } else { "none".to_owned() };
                format!("| {} | {} | {}{reason} | {hooks} |", row.kernel, probe.name, probe.state)
            })
            .collect()
    };
    let runs = table(RUNS, before, rows, run);
    let probes = table(PROBES, before, rows, probes);
    format!("{TOP}\n## Runs\n\n{runs}\n## Probes and hooks\n\n{probes}")
}

/// The rows under this header, old and new, in the order of the kernels.
fn table(header: &str, before: &str, rows: &[Row], lines: impl Fn(&Row) -> Vec<String>) -> String {
    let old = before.lines().skip_while(|line| *line != header).skip(2).take_while(|line| line.starts_with('|'));
    let mut all: Vec<(String, String)> = old
        .map(|line| (key(line), line.to_owned()))
        .filter(|(key, _)| rows.iter().all(|row| row.kernel != *key))
        .collect();
    all.extend(rows.iter().flat_map(|row| lines(row).into_iter().map(|line| (row.kernel.clone(), line))));
    // Stable, so that the probes of a kernel keep their order.
    all.sort_by_key(|(key, _)| numbers(key));
    let rule = "|---".repeat(header.matches('|').count() - 1) + "|";
    let lines: String = all.iter().map(|(_, line)| format!("{line}\n")).collect();
    format!("{header}\n{rule}\n{lines}")
}

fn key(line: &str) -> String {
    line.split('|').nth(1).unwrap_or_default().trim().to_owned()
}

fn numbers(kernel: &str) -> (bool, Vec<u32>) {
    let parts = kernel.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok());
    (kernel.starts_with("live"), parts.collect())
}

/// Text that stays inside its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kernel: &str, passed: u64) -> Row {
        let probe = |name: &str, state: &str, reason: Option<&str>| Probe {
            name: name.into(),
            state: state.into(),
            reason: reason.map(str::to_owned),
            hooks: vec![format!("tp_btf/{name}_hook")],
        };
        Row {
            kernel: kernel.into(),
            version: format!("{kernel}.0-1"),
            acceleration: "TCG".into(),
            tests: (passed, 9),
            probes: vec![probe("sched", "active", None), probe("tcp", "unsupported", Some("a|b"))],
        }
    }

    #[test]
    fn rows_stand_in_the_order_of_the_kernels_and_say_what_ran() {
        let text = page("", &[row("6.12", 9), row("6.1", 8), row("live 6.18", 7)]);
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("| 6") || line.starts_with("| live")).collect();
        assert_eq!(lines[0], "| 6.1 | 6.1.0-1 | TCG | 8 of 9 |");
        assert_eq!(lines[1], "| 6.12 | 6.12.0-1 | TCG | 9 of 9 |");
        assert_eq!(lines[2], "| live 6.18 | live 6.18.0-1 | TCG | 7 of 9 |");
        assert_eq!(lines[3], "| 6.1 | sched | active | `tp_btf/sched_hook` |");
        // A probe that does not run uses no hook.
        assert_eq!(lines[4], "| 6.1 | tcp | unsupported: a\\|b | none |");
    }

    #[test]
    fn rows_of_kernels_that_did_not_run_stay_and_the_others_are_replaced() {
        let first = page("", &[row("6.1", 1), row("6.12", 2)]);
        let second = page(&first, &[row("6.12", 9)]);
        assert!(second.contains("| 6.1 | 6.1.0-1 | TCG | 1 of 9 |"), "{second}");
        assert!(second.contains("| 6.12 | 6.12.0-1 | TCG | 9 of 9 |") && !second.contains("2 of 9"), "{second}");
        assert_eq!(page(&second, &[row("6.12", 9)]), second);
    }
}
