//! The Rust files of the workspace, read and parsed.
//!
//! In: the repository's root, or pairs of path and text. Out: the files by path, each with its syntax tree; an error that names
//! the file that cannot be read or parsed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// One Rust file.
pub struct Source {
    /// As it stands on the disk.
    pub text: String,
    /// What it says.
    pub syntax: syn::File,
}

/// Rust files by their path from the repository's root.
pub type Sources = BTreeMap<String, Source>;

/// Every Rust file below the root. Hidden directories, and those with cargo's mark for what it builds, are none of ours.
pub fn read(root: &Path) -> Result<Sources> {
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    parse(files)
}

/// Parses texts.
pub fn parse<T: Into<String>>(files: impl IntoIterator<Item = (T, T)>) -> Result<Sources> {
    let source = |(path, text): (T, T)| {
        let (path, text) = (path.into(), text.into());
        let syntax = syn::parse_file(&text).with_context(|| format!("parse {path}"))?;
        Ok((path, Source { text, syntax }))
    };
    files.into_iter().map(source).collect()
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<(String, String)>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", directory.display()))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().with_context(|| format!("look at {}", path.display()))?.is_dir() {
            if !name.starts_with('.') && !path.join("CACHEDIR.TAG").exists() {
                collect(root, &path, files)?;
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let place = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push((place, text));
        }
    }
    Ok(())
}
