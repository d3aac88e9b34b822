//! `dist`: what a package needs, in one archive: the agent, completions for shells, manual pages, licences, an example of a configuration,
//! the unit for systemd.
//!
//! In: the sources. Out: `target/dist/acgs-perf-VERSION-ARCH/`, the same as `.tar.gz`, and its SHA-256. Owners and times are not those of whoever
//! builds, so that the same program gives the same archive.

use std::env::consts::ARCH;
use std::fs;
use std::path::Path;
use std::process::Command;

use acgs_perf_setup::process::{announce, root, run, target};
use acgs_perf_setup::{self as setup, agent};
use anyhow::{Context, Result, ensure};

/// Shell, and how the file of its completions is called where it looks for them.
const COMPLETIONS: [(&str, &str); 3] = [("bash", "acgs-perf"), ("zsh", "_acgs-perf"), ("fish", "acgs-perf.fish")];
/// Files of the repository, and where they go.
const FILES: [(&str, &str); 7] = [
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("docs/images", "docs/images"),
    ("deploy/acgs-perf.example.toml", "deploy/acgs-perf.example.toml"),
    ("deploy/acgs-perf.service", "deploy/acgs-perf.service"),
];

/// The whole task.
pub fn run_task() -> Result<()> {
    let agent = agent::build(&setup::ensure(false)?, true)?;
    let version = text_of(&agent, &["--version"])?;
    let version = version.split_whitespace().nth(1).context("the agent does not tell its version")?;
    let name = format!("acgs-perf-{version}-{ARCH}");
    let all = target().join("dist");
    let directory = all.join(&name);
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("remove {}", directory.display()))?;
    }
    fill(&agent, &directory)?;
    let archive = format!("{name}.tar.gz");
    let mut tar = Command::new("tar");
    tar.args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "--create",
        "--gzip",
        "--file",
    ]);
    announce(tar.env("GZIP", "-n").arg(all.join(&archive)).arg("--directory").arg(&all).arg(&name))?;
    let sum = Command::new("sha256sum").arg(&archive).current_dir(&all).output().context("sha256sum")?;
    ensure!(sum.status.success(), "sha256sum: {}", String::from_utf8_lossy(&sum.stderr));
    fs::write(all.join(format!("{archive}.sha256")), sum.stdout)?;
    println!("{}", all.join(archive).display());
    Ok(())
}

/// Puts everything into the directory.
fn fill(agent: &Path, directory: &Path) -> Result<()> {
    let made = |name: &str| {
        let path = directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display())).map(|()| path)
    };
    fs::copy(agent, made("bin")?.join("acgs-perf")).context("copy the agent")?;
    let completions = made("completions")?;
    for (shell, file) in COMPLETIONS {
        let path = completions.join(shell);
        fs::create_dir_all(&path)?;
        fs::write(path.join(file), text_of(agent, &["completions", shell])?)?;
    }
    run(Command::new(agent).arg("man").arg(made("man/man1")?))?;
    for (from, to) in FILES {
        let to = directory.join(to);
        fs::create_dir_all(to.parent().unwrap_or(directory))?;
        run(Command::new("cp").arg("--recursive").arg(root().join(from)).arg(&to))?;
    }
    Ok(())
}

/// What the agent prints.
fn text_of(agent: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(agent).args(arguments).output().with_context(|| agent.display().to_string())?;
    ensure!(output.status.success(), "acgs-perf {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("what it prints is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_goes_into_the_archive_is_there() {
        for (from, _) in FILES {
            assert!(root().join(from).exists(), "{from}");
        }
    }
}
