//! Other tools in the machine that counts: the same questions, the same requests, one after the other.
//!
//! In: the tools that are installed here. Out: the step, the files that it needs from this machine, and the page
//! `docs/cost-rivals.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use acgs_perf_setup::process::output;
use acgs_perf_tests::instructions::UNIT;
use acgs_perf_tests::instructions::attach::ANY_PID;
use acgs_perf_vm::initial::Step;
use anyhow::{Context, Result, bail};

use super::figures::Figures;
use super::gate::Ground;
use super::{plan, table};
use crate::cost::arms::{ALL, ALL_PROBES, ALWAYS_ON, ALWAYS_ON_PROBES, BARE, BPFTRACE_ALL, BPFTRACE_ALWAYS};
use crate::cost::rivals::{self, Ready, Target, Tool};

/// Name of the step.
const STEP: &str = "rivals";
/// Services of one process, so that each tool can be told of it by its number.
const SHAPES: &str = "redis,switch";
/// A tool, by its name in the tables.
type Named = (&'static str, fn(&Target) -> Tool);
/// What the tools answer is what ours do: latency of requests, run queue, both, system calls.
const TOOLS: &[Named] = &[
    ("bpftrace requests", rivals::requests),
    ("bpftrace run queue", rivals::run_queue),
    (BPFTRACE_ALWAYS, rivals::requests_and_run_queue),
    (BPFTRACE_ALL, rivals::all_three),
    ("libbpf-tools runqlat", rivals::runqlat),
    ("libbpf-tools syscount", rivals::syscount),
];

const TOP: &str = "# Other tools, in instructions

Written by `cargo xtask bench instructions --rivals --accept`, in the machine of [cost-instructions.md](cost-instructions.md): what
each tool adds to a request while it is attached to the one process that answers. The programs are below. What a tool does in user
space is not in it, because all of them sleep until they are ended. Ours records seven services at the same time.
";

/// bpftrace asks the shell for a compiler, and crashes where there is none to ask.
const SHELL: &str = "/bin/sh";

/// Programs of this machine, each with its libraries.
pub fn files() -> Result<Vec<PathBuf>> {
    let mut all = BTreeSet::new();
    for name in programs().into_iter().chain([SHELL.to_owned()]) {
        let path =
            which(&name).with_context(|| format!("{name} is not installed; run `cargo xtask bench cost` once"))?;
        let text = output(Command::new("ldd").arg(&path)).with_context(|| format!("ldd {}", path.display()))?;
        all.extend(text.lines().filter_map(library));
        all.insert(path);
    }
    Ok(all.into_iter().collect())
}

/// A line such as `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, or the loader's own.
fn library(line: &str) -> Option<PathBuf> {
    line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from)
}

/// A path stays what it is.
fn which(name: &str) -> Option<PathBuf> {
    let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    places.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file())
}

fn target() -> Target {
    Target { selector: String::new(), pid: ANY_PID, comm: None }
}

fn programs() -> BTreeSet<String> {
    TOOLS.iter().filter_map(|(_, tool)| tool(&target()).words.into_iter().next()).collect()
}

/// What takes part besides the kernel and the compiler, with its version.
pub fn versions() -> Result<String> {
    let version = |name: &str| {
        let path = which(name).with_context(|| format!("{name} is not installed"))?;
        let text = output(Command::new(path).arg("--version")).with_context(|| format!("{name} --version"))?;
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    };
    Ok(programs().iter().map(|name| version(name)).collect::<Result<Vec<_>>>()?.join(", "))
}

fn arm((name, tool): &Named) -> Result<String> {
    let Tool { words, ready, proof } = tool(&target());
    let ready = if let Ready::Says(text) = ready { text } else { "" };
    let [program, rest @ ..] = words.as_slice() else { bail!("{name} has no program") };
    let path = which(program).with_context(|| format!("{program} is not installed"))?.display().to_string();
    let words: Vec<&str> = [ready, proof, &path].into_iter().chain(rest.iter().map(String::as_str)).collect();
    Ok(format!("{name}=tool:{}", words.join(&UNIT.to_string())))
}

/// The only step.
pub fn step() -> Result<Step> {
    let own = [(BARE, String::new()), ("request", "agent:request".to_owned())];
    let own = own.into_iter().chain([("request, sched", "agent:request,sched".to_owned())]);
    let own = own.chain([(ALWAYS_ON, format!("agent:{ALWAYS_ON_PROBES}")), (ALL, format!("agent:{ALL_PROBES}"))]);
    let mut arms: Vec<String> = own.map(|(name, what)| format!("{name}={what}")).collect();
    arms.extend(TOOLS.iter().map(arm).collect::<Result<Vec<_>>>()?);
    Ok(plan::run(STEP, &["--shapes", SHAPES], &arms))
}

/// The page.
pub fn page(figures: &Figures, ground: &Ground) -> String {
    let mut text = format!("{TOP}\n- Kernel: {}\n- With: {}\n", ground.kernel, ground.compiler);
    text += &format!("\n## Instructions per request\n\n{}", table::whole(figures));
    for (arm, reason) in &figures.absent {
        text += &format!("\nDid not start: {arm} ({reason}).\n");
    }
    text += "\n## Programs\n";
    for (name, tool) in TOOLS {
        let words = tool(&target()).words.join(" ").replace(&ANY_PID.to_string(), "PID");
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        text += &format!("\n**{name}**:\n\n    {words}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_where_the_loader_finds_them() {
        assert_eq!(library("\tlibc.so.6 => /lib/libc.so.6 (0x1)"), Some(PathBuf::from("/lib/libc.so.6")));
        assert_eq!(library("\t/lib64/ld-linux-x86-64.so.2 (0x1)"), Some(PathBuf::from("/lib64/ld-linux-x86-64.so.2")));
        assert_eq!(library("\tlinux-vdso.so.1 (0x1)"), None);
    }

    #[test]
    fn the_page_has_every_program_with_a_name_for_the_process() {
        let lines = ["whole\tbare\tredis\t1000\t10".to_owned(), "absent\tbpftrace requests\tno clang".to_owned()];
        let text = page(&Figures::among(&lines).unwrap(), &Ground::default());
        assert!(text.contains("-p PID") && text.contains("pid == PID") && !text.contains("4194303"), "{text}");
        assert!(text.contains("Did not start: bpftrace requests (no clang)."), "{text}");
    }
}
