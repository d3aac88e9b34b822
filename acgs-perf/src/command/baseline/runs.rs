//! Baselines on disk: a directory each, with a capture per run.
//!
//! In: a name. Out: its runs, oldest first; a new one is written beside them, and the oldest goes when there are too many. A directory can be
//! copied, cached and committed as it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::report;
use crate::snapshot::Capture;
use crate::snapshot::file::{decode, encode};

/// Where baselines are unless somebody says otherwise: in the working directory, where a pipeline can keep it.
pub const DIRECTORY: &str = ".acgs-perf/baselines";
/// More runs than this are not kept.
pub const MAX_RUNS: usize = 10;
/// How the name of a run ends.
const ENDING: &str = "capture";
/// A longer name is a mistake.
const MAX_NAME: usize = 100;

/// A run of a baseline.
pub struct Run {
    /// Its file.
    pub path: PathBuf,
    /// What was recorded.
    pub capture: Capture,
}

/// Fails unless a baseline can be called so.
///
/// # Errors
/// When it would not be a file's name of its own.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with(['.', '-']) || !name.chars().all(is_fine) {
        bail!("{name:?} is no name of a baseline: use letters, digits, '.', '_' and '-', for example main or v1.2");
    }
    Ok(())
}

/// The names of all baselines.
///
/// # Errors
/// When the directory cannot be read; one that is not there has none.
pub fn names(directory: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", directory.display())),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            (check_name(&name).is_ok() && entry.path().is_dir()).then_some(name)
        })
        .collect();
    names.sort();
    Ok(names)
}

/// The files of a baseline, oldest first.
///
/// # Errors
/// When there is no such baseline; the text has those that there are.
pub fn files(directory: &Path, name: &str) -> anyhow::Result<Vec<PathBuf>> {
    check_name(name)?;
    let mut files: Vec<PathBuf> = match fs::read_dir(directory.join(name)) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", directory.join(name).display())),
    };
    files.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
    files.sort();
    if files.is_empty() {
        let names = names(directory)?;
        let others =
            if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) };
        bail!("no baseline {name} in {}: {others}; `record --save-baseline {name}` makes one", directory.display());
    }
    Ok(files)
}

/// The runs of a baseline, oldest first.
///
/// # Errors
/// When there is no such baseline, or a run cannot be read.
pub fn runs(directory: &Path, name: &str) -> anyhow::Result<Vec<Run>> {
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).with_context(|| format!("{}: cannot read the baseline", path.display()))?;
        let decoded = decode(&bytes).with_context(|| path.display().to_string())?;
        if let Some(damage) = decoded.damage {
            bail!("{}: {damage}; delete it or record the baseline again", path.display());
        }
        Ok(Run { path, capture: decoded.capture })
    };
    files(directory, name)?.into_iter().map(read).collect()
}

/// Makes the directory of a baseline, so that what fails does before anything is recorded.
///
/// # Errors
/// When it cannot be made.
pub fn prepare(directory: &Path, name: &str) -> anyhow::Result<()> {
    check_name(name)?;
    let own = directory.join(name);
    fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
    report::check_writable(&own.join(format!("0000.{ENDING}")))?;
    Ok(())
}

/// Adds a run; gives its file and how many there are then.
///
/// # Errors
/// When it cannot be written.
pub fn add(directory: &Path, name: &str, capture: &Capture) -> anyhow::Result<(PathBuf, usize)> {
    prepare(directory, name)?;
    let before = files(directory, name).unwrap_or_default();
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u32>().ok();
    let next = before.iter().filter_map(number).max().unwrap_or(0) + 1;
    let path = directory.join(name).join(format!("{next:04}.{ENDING}"));
    report::write_atomically(&path, &encode(capture)?)?;
    let surplus = (before.len() + 1).saturating_sub(MAX_RUNS);
    for old in &before[..surplus] {
        fs::remove_file(old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    Ok((path, before.len() + 1 - surplus))
}

/// Deletes a baseline; gives how many runs it had.
///
/// # Errors
/// When there is none, or it cannot be deleted.
pub fn delete(directory: &Path, name: &str) -> anyhow::Result<usize> {
    let files = files(directory, name)?;
    let own = directory.join(name);
    for file in &files {
        fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    // What is not ours stays, and the directory with it.
    drop(fs::remove_dir(&own));
    Ok(files.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample;

    #[test]
    fn runs_are_added_listed_and_deleted_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("a/b");
        assert_eq!(names(&directory).unwrap(), Vec::<String>::new());
        for count in 1..=MAX_RUNS + 2 {
            let (path, kept) = add(&directory, "main", &sample::capture()).unwrap();
            assert!(path.exists());
            assert_eq!(kept, count.min(MAX_RUNS));
        }
        let all = runs(&directory, "main").unwrap();
        assert_eq!((all.len(), all[0].capture == sample::capture()), (MAX_RUNS, true));
        assert!(all[0].path.ends_with("0003.capture"));
        assert_eq!(names(&directory).unwrap(), ["main"]);
        let line = format!("{:#}", runs(&directory, "other").err().unwrap());
        assert!(line.contains("there are main") && !line.contains('\n'), "{line}");
        assert_eq!(delete(&directory, "main").unwrap(), MAX_RUNS);
        assert!(names(&directory).unwrap().is_empty() && delete(&directory, "main").is_err());
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in ["", ".", "..", "a/b", "../x", "-rf", ".hidden", "a b", "ä"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["main", "v1.2", "feature_x-3"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }
}
