//! `acgs-perf completions`: lets a shell complete the command line; and `man`, which is hidden: manual pages for a package.
//!
//! In: the command line as clap knows it. Out: a script for the shell on standard output; pages in a directory.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;

use crate::output::{self, Rendered};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf completions bash > /etc/bash_completion.d/acgs-perf
  acgs-perf completions zsh > \"${fpath[1]}/_acgs-perf\"
  acgs-perf completions fish > ~/.config/fish/completions/acgs-perf.fish";

/// Write what a shell needs to complete the command line
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Write the manual pages into a directory
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The directory, which is there
    pub directory: PathBuf,
}

/// Runs `completions` and returns the exit code.
///
/// # Errors
/// If it cannot be written.
pub fn run(args: &Args, mut command: Command) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "acgs-perf", &mut script);
    let script = String::from_utf8(script).context("the script is no text")?;
    Rendered::Json(script).print().context("standard output")?;
    Ok(0)
}

/// Runs `man` and returns the exit code.
///
/// # Errors
/// If a page cannot be written.
pub fn man(args: &ManArgs, command: Command) -> anyhow::Result<u8> {
    clap_mangen::generate_to(command, &args.directory).with_context(|| args.directory.display().to_string())?;
    output::say(&format!("manual pages written to {}", args.directory.display()));
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_verb() {
        let directory = tempfile::tempdir().unwrap();
        let command = Command::new("acgs-perf").subcommand(Command::new("record").about("Record"));
        man(&ManArgs { directory: directory.path().to_owned() }, command).unwrap();
        for name in ["acgs-perf.1", "acgs-perf-record.1"] {
            assert!(std::fs::read_to_string(directory.path().join(name)).unwrap().contains("acgs"), "{name}");
        }
    }
}
