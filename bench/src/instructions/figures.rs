//! What was counted: one row for each arm, shape and thing.
//!
//! In: the lines that `cost-instructions` prints inside the machine. Out: rows, and the hooks that the agent names.

use anyhow::{Context, Result, bail};

use crate::cost::floor::HOOKS;

/// A whole request or call, with all that the kernel and both ends do.
pub const WHOLE: &str = "whole";
/// The agent's own CPU time, by the second.
pub const AGENT: &str = "agent";
/// The kernel keeps so many letters of a program's name.
const LETTERS: usize = 15;
/// A program that runs less often than once in so many requests is not this load's.
const RARE: u64 = 20;

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was attached.
    pub arm: String,
    /// What was served.
    pub shape: String,
    /// A kernel program, or one of the two words above.
    pub what: String,
    /// Runs, requests or seconds.
    pub count: u64,
    /// Instructions in all of them.
    pub instructions: u64,
}

impl Row {
    /// Tenths of an instruction for each, rounded.
    pub fn tenths(&self) -> u64 {
        (self.instructions * 10 + self.count / 2) / self.count.max(1)
    }

    /// Whether it is a kernel program.
    pub fn is_program(&self) -> bool {
        self.what != WHOLE && self.what != AGENT
    }
}

/// All of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// In the order in which they were counted.
    pub rows: Vec<Row>,
    /// The hooks of each arm with an agent, by its report.
    pub hooks: Vec<(String, Vec<String>)>,
    /// The arms that this kernel does not have, with the reason.
    pub absent: Vec<(String, String)>,
}

impl Figures {
    /// Reads what was printed; other lines are passed over.
    pub fn among(lines: &[String]) -> Result<Self> {
        let mut figures = Self::default();
        for line in lines {
            let words: Vec<&str> = line.split('\t').collect();
            figures.note(&words).with_context(|| format!("the line {line:?}"))?;
        }
        for row in &mut figures.rows {
            row.what = full(&row.what, &figures.hooks);
        }
        if figures.rows.is_empty() {
            bail!("nothing was counted");
        }
        Ok(figures)
    }

    fn note(&mut self, words: &[&str]) -> Result<()> {
        let number = |word: &str| word.parse::<u64>().context("no number");
        let row = |arm: &str, shape: &str, what: &str, count, instructions| Row {
            arm: arm.to_owned(),
            shape: shape.to_owned(),
            what: what.to_owned(),
            count,
            instructions,
        };
        match words {
            ["whole", arm, shape, instructions, requests] => {
                self.rows.push(row(arm, shape, WHOLE, number(requests)?, number(instructions)?));
            }
            ["program", arm, shape, name, runs, instructions, requests] => {
                let runs = number(runs)?;
                if runs * RARE >= number(requests)? {
                    self.rows.push(row(arm, shape, name, runs, number(instructions)?));
                }
            }
            ["agent", arm, window, instructions, length] => {
                self.rows.push(row(arm, window, AGENT, number(length)? / 1_000_000_000, number(instructions)?));
            }
            ["hooks", arm, hooks] => {
                self.hooks.push(((*arm).to_owned(), hooks.split(',').map(str::to_owned).collect()));
            }
            ["absent", arm, reason] => self.absent.push(((*arm).to_owned(), (*reason).to_owned())),
            _ => {}
        }
        Ok(())
    }

    /// The row of this arm, shape and thing.
    pub fn find(&self, arm: &str, shape: &str, what: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.arm == arm && row.shape == shape && row.what == what)
    }

    /// The arms, or the shapes, or what else `of` gives, each once.
    pub fn each<'f>(&'f self, of: impl Fn(&'f Row) -> Option<&'f str>) -> Vec<&'f str> {
        let mut all = Vec::new();
        for name in self.rows.iter().filter_map(of) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }
}

/// The whole name of a program that the kernel cut: programs at tracepoints are named after them.
fn full(name: &str, hooks: &[(String, Vec<String>)]) -> String {
    if name.len() != LETTERS {
        return name.to_owned();
    }
    let of_reports = hooks.iter().flat_map(|(_, hooks)| hooks).filter_map(|hook| hook.rsplit('/').next());
    let mut fitting: Vec<&str> =
        HOOKS.iter().copied().chain(of_reports).filter(|hook| hook.starts_with(name)).collect();
    fitting.sort_unstable();
    fitting.dedup();
    match fitting.as_slice() {
        [only] => (*only).to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_among_other_lines() {
        let lines = "a warning\nwhole\tbare\tredis\t24000\t10\nwhole\talways-on\tredis\t27000\t10\n\
                     program\talways-on\tredis\tsock_recv_lengt\t20\t9990\t10\n\
                     program\talways-on\tredis\tsched_process_e\t1\t9990\t21\n\
                     agent\talways-on\tidle\t2400\t24000012345\nhooks\talways-on\ttp_btf/a,tp_btf/sk_data_ready\n\
                     absent\tfloor\tno tracepoint";
        let figures = Figures::among(&lines.lines().map(str::to_owned).collect::<Vec<_>>()).unwrap();
        let program = figures.find("always-on", "redis", "sock_recv_length").unwrap();
        assert_eq!((program.tenths(), program.is_program()), (4995, true));
        assert_eq!(figures.find("always-on", "idle", AGENT).unwrap().tenths(), 1000);
        assert_eq!(figures.rows.len(), 4, "a program that ran by chance is not of this load");
        assert_eq!(figures.each(|row| Some(&row.arm)), ["bare", "always-on"]);
        assert_eq!(figures.hooks[0].1, ["tp_btf/a", "tp_btf/sk_data_ready"]);
        assert_eq!(figures.absent, [("floor".to_owned(), "no tracepoint".to_owned())]);
    }

    #[test]
    fn nothing_is_no_result() {
        assert!(Figures::among(&["@@".to_owned()]).is_err());
        assert!(Figures::among(&["whole\ta\tb\tmany\t1".to_owned()]).is_err());
    }

    #[test]
    fn a_cut_name_is_completed_only_when_one_fits() {
        assert_eq!(full("inet_sock_set_s", &[]), "inet_sock_set_state");
        assert_eq!(full("sched_process_e", &[]), "sched_process_e");
        assert_eq!(full("sched_switch", &[]), "sched_switch");
    }
}
