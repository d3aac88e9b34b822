//! The house pass: rules of this project that neither the compiler nor clippy knows. `cargo xtask lint` runs it.
//!
//! In: every Rust file, the list of debts. Out: the number of debts on standard error, or a line for each rule that is broken;
//! exit code 1 then. The rules are in CONTRIBUTING.md.

mod circles;
mod debt;
mod imports;
mod modules;
mod order;
mod printing;
mod sizes;
mod source;
mod syntax;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use debt::Debt;
use modules::Crate;
use source::Sources;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match run(root) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The whole pass.
fn run(root: &Path) -> Result<()> {
    let sources = source::read(root)?;
    let mut wrong = sizes::check(&sources);
    wrong.extend(printing::check(&sources));
    let (mut found, lost) = structure(&sources);
    wrong.extend(lost);
    found.extend(sizes::long_functions(&sources).into_iter().map(|pair| owed("long", pair)));
    let read = |file: &str| fs::read_to_string(root.join(file)).with_context(|| format!("read {file}"));
    let list = read(debt::FILE)?;
    let (listed, unreadable) = debt::parse(&list);
    wrong.extend(unreadable);
    wrong.extend(debt::check(&listed, &found));
    wrong.extend(debt::check_length(&read(debt::TOLD)?, &listed));
    if !wrong.is_empty() {
        bail!("house pass: {} rules broken:\n  {}", wrong.len(), wrong.join("\n  "));
    }
    eprintln!("house pass: {} files, {} debts in {}", sources.len(), listed.len(), debt::FILE);
    Ok(())
}

/// Imports that break a rule, in every crate; and files that no module names.
fn structure(sources: &Sources) -> (BTreeSet<Debt>, Vec<String>) {
    let (mut debts, mut wrong, mut reached) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    for root in sources.keys().filter(|path| is_root(path)) {
        let krate = Crate::of(sources, root);
        let imports = imports::of(&krate);
        debts.extend(circles::of(&krate, &imports).into_iter().map(|pair| owed("circle", pair)));
        debts.extend(order::backwards(&krate, &imports).into_iter().map(|pair| owed("order", pair)));
        wrong.extend(krate.lost);
        reached.extend(krate.modules.into_iter().map(|module| module.file));
    }
    let orphans = sources.keys().filter(|path| !reached.contains(*path));
    wrong.extend(orphans.map(|path| format!("{path}: no module names this file, so that nothing compiles it")));
    (debts, wrong)
}

fn owed(kind: &str, (from, to): (String, String)) -> Debt {
    Debt { kind: kind.to_owned(), from, to }
}

/// Whether a crate begins in this file.
fn is_root(path: &str) -> bool {
    let Some((directory, name)) = path.rsplit_once('/') else { return false };
    let is_package = |directory: &str| !directory.contains('/');
    match directory.rsplit_once('/') {
        None => name == "build.rs" || directory == "tests",
        Some((package, "src")) => is_package(package) && (name == "lib.rs" || name == "main.rs"),
        Some((inside, "bin")) => inside.strip_suffix("/src").is_some_and(is_package),
        Some((package, "benches" | "examples" | "tests")) => is_package(package),
        Some((inside, _)) => name == "main.rs" && inside.strip_suffix("/tests").is_some_and(is_package),
    }
}
