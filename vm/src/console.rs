//! Reading what a machine printed on its console.
//!
//! In: the lines, with the markers of `vm-init`. Out: what each step came to, the kernel's release and whether it complained of
//! itself.

use std::collections::BTreeMap;

/// One command that ran inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code, or what became of it; `None` when it never ended.
    pub status: Option<String>,
    /// How long it took.
    pub milliseconds: u64,
    /// What it printed.
    pub lines: Vec<String>,
}

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Console {
    /// The release by the kernel's own word.
    pub release: Option<String>,
    /// `/proc/sys/kernel/tainted` at the end.
    pub taint: Option<u64>,
    /// What ran, by name.
    pub steps: BTreeMap<String, Outcome>,
    /// Whether the last line came: without it the kernel panicked or hung.
    pub done: bool,
    current: Option<String>,
}

/// The flags of `tainted` that say that the kernel found a fault in itself: died (an oops), warned, soft lockup.
const FAULTS: [(u64, &str); 3] = [(1 << 7, "an oops"), (1 << 9, "a warning"), (1 << 14, "a soft lockup")];

impl Console {
    /// Takes the next line.
    pub fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["@@", "booted", release] => self.release = Some((*release).to_owned()),
            ["@@", "begin", name] => {
                self.steps.insert((*name).to_owned(), Outcome::default());
                self.current = Some((*name).to_owned());
            }
            ["@@", "end", name, status, milliseconds] => {
                let step = self.steps.entry((*name).to_owned()).or_default();
                step.status = Some((*status).to_owned());
                step.milliseconds = milliseconds.parse().unwrap_or(0);
                self.current = None;
            }
            ["@@", "kernel", _, taint] => self.taint = taint.parse().ok(),
            ["@@", "done"] => self.done = true,
            _ => {
                if let Some(step) = self.current.as_ref().and_then(|name| self.steps.get_mut(name)) {
                    step.lines.push(line.to_owned());
                }
            }
        }
    }

    /// Whether this line is a marker, which the reader of the output need not see.
    pub fn is_marker(line: &str) -> bool {
        line.starts_with("@@ ")
    }

    /// The step that is running.
    pub fn running(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// What the kernel found wrong with itself.
    pub fn faults(&self) -> Vec<&'static str> {
        let taint = self.taint.unwrap_or(0);
        FAULTS.iter().filter(|(flag, _)| taint & flag != 0).map(|(_, what)| *what).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Console {
        let mut console = Console::default();
        text.lines().for_each(|line| console.note(line));
        console
    }

    #[test]
    fn a_whole_run_is_read() {
        let console = read(
            "[    0.1] noise\n@@ booted 6.12.1-cloud-amd64\n@@ begin scale\nrunning 2 tests\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
             @@ end scale 101 1234\n@@ kernel 6.12.1-cloud-amd64 512\n@@ done",
        );
        assert_eq!(console.release.as_deref(), Some("6.12.1-cloud-amd64"));
        let step = &console.steps["scale"];
        assert_eq!((step.status.as_deref(), step.milliseconds, step.lines.len()), (Some("101"), 1234, 3));
        assert!(console.done);
        assert_eq!(console.faults(), ["a warning"]);
    }

    #[test]
    fn a_hang_is_seen_where_it_happened() {
        let console = read("@@ booted 6.1\n@@ begin live_kernel\ntest a ...");
        assert_eq!(console.running(), Some("live_kernel"));
        assert!(!console.done && console.steps["live_kernel"].status.is_none());
    }
}
