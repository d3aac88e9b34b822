//! A kernel's image: from the cache, or from its package.
//!
//! In: a kernel. Out: the path of its `vmlinuz`, with the package and version it came from. The cache is `target/vm/kernels`;
//! without it the newest package is fetched, or the one that was asked for by name and version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acgs_perf_setup::process::run;
use anyhow::{Context, Result, bail};

use crate::apt::{Mirrors, Suite};
use crate::kernels::Kernel;

/// What is booted.
pub struct Image {
    /// The compressed kernel.
    pub vmlinuz: PathBuf,
    /// `PACKAGE VERSION`.
    pub package: String,
}

fn home(kernel: &Kernel, directory: &Path) -> PathBuf {
    directory.join("kernels").join(kernel.name)
}

/// The image of a kernel that was fetched before.
pub fn cached(kernel: &Kernel, directory: &Path) -> Option<Image> {
    cached_in(&home(kernel, directory))
}

fn cached_in(own: &Path) -> Option<Image> {
    let (vmlinuz, package) = (own.join("vmlinuz"), fs::read_to_string(own.join("package")).ok()?);
    vmlinuz.is_file().then(|| Image { vmlinuz, package: package.trim().to_owned() })
}

/// The image of a kernel; fetched when it is not there.
pub fn ensure(kernel: &Kernel, directory: &Path) -> Result<Image> {
    if let Some(image) = cached(kernel, directory) {
        return Ok(image);
    }
    fetched_into(&home(kernel, directory), |own| fetch(kernel, &directory.join("apt"), own))
}

/// The image from exactly this package, `PACKAGE VERSION`: from the cache, or from the archive while that still has it. It has a
/// place of its own beside the newest.
pub fn ensure_package(kernel: &Kernel, wanted: &str, directory: &Path) -> Result<Image> {
    let own = directory.join("kernels").join(format!("{}-pinned", kernel.name));
    let known = [cached(kernel, directory), cached_in(&own)];
    if let Some(image) = known.into_iter().flatten().find(|image| image.package == wanted) {
        return Ok(image);
    }
    fetched_into(&own, |own| fetch_package(kernel, wanted, &directory.join("apt"), own))
}

/// Has an image made in a directory of its own.
fn fetched_into(own: &Path, fetch: impl FnOnce(&Path) -> Result<String>) -> Result<Image> {
    let (vmlinuz, stamp) = (own.join("vmlinuz"), own.join("package"));
    // What an interrupted run left.
    let _ = fs::remove_dir_all(own);
    fs::create_dir_all(own).with_context(|| format!("create {}", own.display()))?;
    let package = fetch(own)?;
    // Last, so that it stands for a complete image.
    fs::write(&stamp, format!("{package}\n")).with_context(|| format!("write {}", stamp.display()))?;
    Ok(Image { vmlinuz, package })
}

fn fetch(kernel: &Kernel, state: &Path, own: &Path) -> Result<String> {
    let mirrors = Mirrors::of_this_machine()?;
    let mut found: Vec<(String, Suite)> = Vec::new();
    let mut silent = Vec::new();
    for name in kernel.suites {
        match candidate(kernel, &mirrors, name, state) {
            Ok(Some(candidate)) => found.push(candidate),
            Ok(None) => silent.push(format!("{name} has none")),
            Err(error) => silent.push(format!("{error:#}")),
        }
    }
    let names: Vec<String> = found.iter().map(|(package, _)| package.clone()).collect();
    let newest = kernel.newest(names.iter().map(String::as_str));
    let Some((package, suite)) = found.iter().find(|(package, _)| Some(package.as_str()) == newest) else {
        bail!("no package matches {}: {}", kernel.pattern(), silent.join("; "));
    };
    let version = suite.version(package)?;
    download(suite, package, &version, own)
}

/// The same of a package that is known by its version.
fn fetch_package(kernel: &Kernel, wanted: &str, state: &Path, own: &Path) -> Result<String> {
    let (package, version) = wanted.split_once(' ').with_context(|| format!("no version in {wanted:?}"))?;
    let mirrors = Mirrors::of_this_machine()?;
    let mut found = Vec::new();
    for name in kernel.suites {
        match Suite::update(&mirrors, name, state) {
            Ok(suite) => match suite.version(package) {
                Ok(there) if there == version => return download(&suite, package, version, own),
                Ok(there) => found.push(format!("{name} has {there}")),
                Err(_) => found.push(format!("{name} has none")),
            },
            Err(error) => found.push(format!("{error:#}")),
        }
    }
    bail!("the archive has no {wanted} any more: {}", found.join("; "));
}

fn download(suite: &Suite, package: &str, version: &str, own: &Path) -> Result<String> {
    eprintln!("vm: fetching {package} {version}");
    suite.download(package, own)?;
    unpack(own)?;
    Ok(format!("{package} {version}"))
}

fn candidate(kernel: &Kernel, mirrors: &Mirrors, name: &str, state: &Path) -> Result<Option<(String, Suite)>> {
    let suite = Suite::update(mirrors, name, state)?;
    let packages = suite.packages("linux-")?;
    Ok(kernel.newest(packages.lines()).map(|package| (package.to_owned(), suite)))
}

/// Takes the kernel out of the package's file, which stays.
fn unpack(own: &Path) -> Result<()> {
    let files = |directory: &Path| -> Vec<PathBuf> {
        fs::read_dir(directory).map(|all| all.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
    };
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let package = files(own).into_iter().find(is_package).context("apt-get download left no file")?;
    let tree = own.join("tree");
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&tree))?;
    // Until 6.18 it is in /boot, later beside the modules.
    let mut places = vec![tree.join("boot")];
    places.extend(files(&tree.join("usr/lib/modules")));
    let is_kernel = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"));
    let image = places.iter().flat_map(|place| files(place)).find(is_kernel);
    let image = image.with_context(|| format!("no vmlinuz in {}", package.display()))?;
    fs::rename(&image, own.join("vmlinuz")).with_context(|| format!("move {}", image.display()))?;
    fs::remove_dir_all(&tree).with_context(|| format!("remove {}", tree.display()))
}
