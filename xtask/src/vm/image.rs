//! A kernel's image: from the cache, or from its package.
//!
//! In: a kernel. Out: the path of its `vmlinuz`, with the package and version it came from. The cache is `target/vm/kernels`;
//! without it the newest package is fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::{Mirrors, Suite};
use super::kernels::Kernel;
use crate::process::run;

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
    let own = home(kernel, directory);
    let (vmlinuz, package) = (own.join("vmlinuz"), fs::read_to_string(own.join("package")).ok()?);
    vmlinuz.is_file().then(|| Image { vmlinuz, package: package.trim().to_owned() })
}

/// The image of a kernel; fetched when it is not there.
pub fn ensure(kernel: &Kernel, directory: &Path) -> Result<Image> {
    if let Some(image) = cached(kernel, directory) {
        return Ok(image);
    }
    let own = home(kernel, directory);
    let (vmlinuz, stamp) = (own.join("vmlinuz"), own.join("package"));
    // What an interrupted run left.
    let _ = fs::remove_dir_all(&own);
    fs::create_dir_all(&own).with_context(|| format!("create {}", own.display()))?;
    let package = fetch(kernel, &directory.join("apt"), &own)?;
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
