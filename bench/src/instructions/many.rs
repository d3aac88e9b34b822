//! Many CPUs, services and endpoints: what the agent takes for them.
//!
//! In: cases. Out: a step for each, and the page `docs/cost-many.md`.

use acgs_perf_vm::initial::{INSIDE, Step};
use anyhow::{Context, Result};

use super::plan::{DEFAULT_PROBES, PROGRAM, SECONDS};
use super::table::{grouped, head, line};

/// The page.
pub const PAGE: &str = "docs/cost-many.md";

const TOP: &str = "# Many services, many CPUs

Written by `cargo xtask bench instructions --many --accept`, in the machine of [cost-instructions.md](cost-instructions.md), whose
kernel makes room for as many CPUs as the first column says; one of them is there. `acgs-perf record` with all probes records so
many services, each of which answers at so many HTTP paths; each path is asked for, and \"loaded\" again every 6 s. \"Maps\" is all
memory of the kernel's maps, which grows with the number of CPUs up to 4, from where on they share; \"agent\" is its largest
resident set, the writing of the report included. Instructions are the agent's own, for each second of a recording. Requests were
counted exactly in each case; \"named\" are those that the table of names had room for.
";

/// How many of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// CPUs.
    pub possible: u32,
    services: usize,
    endpoints: usize,
}

/// From what is usual to what is the most.
pub const CASES: &[Case] = &[
    Case { possible: 2, services: 1, endpoints: 10 },
    Case { possible: 64, services: 1, endpoints: 200 },
    Case { possible: 64, services: 16, endpoints: 200 },
    Case { possible: 64, services: 64, endpoints: 200 },
];

impl Case {
    /// The step that runs it.
    pub fn step(&self) -> Step {
        let (programs, services, endpoints) =
            (format!("/{INSIDE}"), self.services.to_string(), self.endpoints.to_string());
        let arguments = ["many", "--services", &services, "--endpoints", &endpoints, "--probes", DEFAULT_PROBES];
        let arguments = [&arguments[..], &["--programs", &programs]].concat();
        Step::new("many", SECONDS, &format!("{programs}/{PROGRAM}"), &arguments)
    }
}

/// What it came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    idle: u64,
    loaded: u64,
    maps: u64,
    agent: u64,
    /// Requests with a name, and all.
    named: (u64, u64),
}

impl Outcome {
    /// Reads what was printed.
    pub fn among(lines: &[String]) -> Result<Self> {
        let mut outcome = Self::default();
        for line in lines {
            let number = |word: &str| word.parse::<u64>().with_context(|| format!("no number in {line:?}"));
            let each_second =
                |cpu: &str, length: &str| anyhow::Ok(number(cpu)? / (number(length)? / 1_000_000_000).max(1));
            match line.split('\t').collect::<Vec<_>>().as_slice() {
                ["agent", _, "idle", cpu, length] => outcome.idle = each_second(cpu, length)?,
                ["agent", _, "loaded", cpu, length] => outcome.loaded = each_second(cpu, length)?,
                ["bytes", "map_bytes", bytes] => outcome.maps = number(bytes)?,
                ["bytes", "agent_max_rss_bytes", bytes] => outcome.agent = number(bytes)?,
                ["named", named, all] => outcome.named = (number(named)?, number(all)?),
                _ => {}
            }
        }
        anyhow::ensure!(outcome.maps > 0 && outcome.idle > 0 && outcome.loaded > 0, "nothing was counted");
        Ok(outcome)
    }
}

/// The page.
pub fn page(runs: &[(&Case, Outcome)], kernel: &str) -> String {
    let columns =
        ["services", "endpoints of each", "maps", "agent", "instructions a second, idle", "loaded", "requests named"];
    let mut text = format!("{TOP}\n- Kernel: {kernel}\n\n{}", head("CPUs", &columns));
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    for (case, Outcome { idle, loaded, maps, agent, named }) in runs {
        let counts = [case.services.to_string(), case.endpoints.to_string()];
        let rest = [megabytes(*maps), megabytes(*agent), grouped(*idle as f64, false), grouped(*loaded as f64, false)];
        let named = format!("{} of {}", grouped(named.0 as f64, false), grouped(named.1 as f64, false));
        text += &line(&case.possible.to_string(), counts.into_iter().chain(rest).chain([named]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_and_shown() {
        let lines = "agent\t1 services\tidle\t48000000\t24000000100\nagent\t1 services\tloaded\t72000000\t24000000000\n\
                     named\t49\t50\nbytes\tmap_bytes\t2000000\nbytes\tagent_max_rss_bytes\t11500000";
        let outcome = Outcome::among(&lines.lines().map(str::to_owned).collect::<Vec<_>>()).unwrap();
        let text = page(&[(&CASES[0], outcome)], "linux 1");
        assert!(text.contains("| 2 | 1 | 10 | 2.0 MB | 11.5 MB | 2,000,000 | 3,000,000 | 49 of 50 |"), "{text}");
        assert!(Outcome::among(&[]).is_err());
    }
}
