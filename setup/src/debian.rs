//! Debian's packages, installed without starting any of their daemons.
//!
//! In: package names. Out: the packages installed. A `policy-rc.d` that forbids starting daemons exists while apt runs,
//! and is taken away afterwards if it was ours; running daemons are left alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Found;
use crate::process::{announce, is_root, output, version_of, which};

/// (program, package, argument that prints its version).
const SERVICES: &[(&str, &str, &str)] = &[
    ("redis-server", "redis-server", "--version"),
    ("redis-benchmark", "redis-tools", "--version"),
    ("nginx", "nginx-light", "-v"),
    // 100 MB to fetch; looks at the HTML.
    ("chromium", "chromium", "--version"),
    ("wrk", "wrk", "-v"),
    ("ab", "apache2-utils", "-V"),
    ("node", "nodejs", "--version"),
    ("ip", "iproute2", "-V"),
    ("iptables", "iptables", "--version"),
    ("haproxy", "haproxy", "-v"),
    ("curl", "curl", "--version"),
    ("openssl", "openssl", "version"),
    ("memcached", "memcached", "--version"),
    ("tmux", "tmux", "-V"),
    ("taskset", "util-linux", "--version"),
    ("runuser", "util-linux", "--version"),
    // 19 MB to fetch.
    ("prometheus", "prometheus", "--version"),
    ("promtool", "prometheus", "--version"),
];

/// What only the long tests of services need, by the same columns.
const LONG: &[(&str, &str, &str)] = &[
    ("go", "golang-go", "version"),
    ("java", "default-jdk-headless", "--version"),
    ("puma", "puma", "--version"),
    ("mariadbd", "mariadb-server", "--version"),
    ("sysbench", "sysbench", "--version"),
    ("pgbouncer", "pgbouncer", "--version"),
];

/// Other tools that trace, by the same columns.
const RIVALS: &[(&str, &str, &str)] = &[
    ("bpftrace", "bpftrace", "--version"),
    ("runqlat", "libbpf-tools", "--version"),
    ("syscount", "libbpf-tools", "--version"),
    ("offcputime", "libbpf-tools", "--version"),
    ("perf", "linux-perf", "--version"),
    ("strace", "strace", "--version"),
];

/// Installs packages; does nothing for those that are there.
pub fn install(packages: &[&str]) -> Result<()> {
    let wanted: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let by_hand = format!("`apt-get update && apt-get install {}`", wanted.join(" "));
    if which("apt-get").is_none() {
        bail!("apt-get is not there; install the equivalent of {}", wanted.join(" "));
    }
    if !is_root() {
        bail!("not root; run {by_hand} as root");
    }
    let _policy = Policy::forbid_daemons()?;
    let mut update = Command::new("apt-get");
    announce(update.args(["update", "-q"])).with_context(|| format!("no network? {by_hand}"))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "-q", "--no-install-recommends"]);
    announce(install.args(&wanted)).with_context(|| format!("no network? {by_hand}"))
}

fn is_installed(package: &str) -> bool {
    output(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package])).as_deref() == Some("installed")
}

/// The services and load tools of the tests.
pub fn ensure_services(found: &mut Vec<Found>) -> Result<()> {
    let mut packages: Vec<&str> = Vec::new();
    for (program, package, _) in SERVICES {
        if which(program).is_none() {
            packages.push(package);
        }
    }
    let has_python = Path::new("/usr/lib/python3").exists() && is_installed("python3-venv");
    if !has_python {
        packages.push("python3-venv");
    }
    if postgres().is_none() {
        packages.extend(["postgresql", "postgresql-contrib"]);
    }
    if php_fpm().is_none() {
        packages.push("php-fpm");
    }
    install(&packages)?;
    for (program, package, argument) in SERVICES {
        let path = which(program).with_context(|| format!("{program} is missing although {package} is installed"))?;
        found.push(Found::new(program, version_of(&path, argument), path.display().to_string()));
    }
    let directory = postgres().context("initdb, postgres and pgbench are missing although postgresql is installed")?;
    let server = directory.join("postgres");
    found.push(Found::new("postgres", version_of(&server, "--version"), server.display().to_string()));
    let php = php_fpm().context("php-fpm is missing although it is installed")?;
    found.push(Found::new("php-fpm", version_of(&php, "--version"), php.display().to_string()));
    Ok(())
}

/// What the long tests need beside that.
pub fn ensure_long(found: &mut Vec<Found>) -> Result<()> {
    let missing = LONG.iter().filter(|(program, ..)| which(program).is_none());
    install(&missing.map(|(_, package, _)| *package).collect::<Vec<_>>())?;
    for (program, package, argument) in LONG {
        let path = which(program).with_context(|| format!("{program} is missing although {package} is installed"))?;
        found.push(Found::new(program, version_of(&path, argument), path.display().to_string()));
    }
    Ok(())
}

/// QEMU, and what unpacks a kernel's package.
pub fn ensure_qemu(found: &mut Vec<Found>) -> Result<()> {
    for (program, package) in [("qemu-system-x86_64", "qemu-system-x86"), ("dpkg-deb", "dpkg")] {
        if which(program).is_none() {
            install(&[package])?;
        }
        let path = which(program).with_context(|| format!("{program} is missing although {package} is installed"))?;
        found.push(Found::new(program, version_of(&path, "--version"), path.display().to_string()));
    }
    Ok(())
}

/// The tools of `bench cost`; one that cannot be had does not keep the others away.
pub fn ensure_rivals() -> Result<Vec<Found>> {
    for (program, package, _) in RIVALS {
        if which(program).is_none()
            && let Err(error) = install(&[package])
        {
            eprintln!("setup: {package}: {error:#}");
        }
    }
    let found = RIVALS.iter().map(|(program, package, argument)| match which(program) {
        Some(path) => Found::new(program, version_of(&path, argument), path.display().to_string()),
        None => Found::new(program, "missing", format!("Debian's {package}")),
    });
    Ok(found.collect())
}

/// Where the newest PostgreSQL with all its programs lives.
fn postgres() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    versions.retain(|bin| ["initdb", "postgres", "pgbench"].iter().all(|program| bin.join(program).exists()));
    versions.sort();
    versions.pop()
}

/// The newest PHP-FPM: its name ends with its version.
fn php_fpm() -> Option<PathBuf> {
    let mut programs: Vec<PathBuf> =
        fs::read_dir("/usr/sbin").ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    programs.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm")));
    programs.sort();
    programs.pop()
}

/// Keeps packages from starting daemons for as long as it lives.
struct Policy {
    ours: Option<PathBuf>,
}

impl Policy {
    fn forbid_daemons() -> Result<Self> {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path);
        match opened {
            Ok(mut file) => {
                let policy = Self { ours: Some(path) };
                file.write_all(b"#!/bin/sh\nexit 101\n").context("write /usr/sbin/policy-rc.d")?;
                file.set_permissions(fs::Permissions::from_mode(0o755)).context("chmod /usr/sbin/policy-rc.d")?;
                Ok(policy)
            }
            // There is one: the administrator's word on starting daemons stands.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self { ours: None }),
            Err(error) => {
                Err(error).context("create /usr/sbin/policy-rc.d, which keeps packages from starting daemons")
            }
        }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = &self.ours
            && let Err(error) = fs::remove_file(path)
        {
            eprintln!("setup: cannot remove {}: {error}", path.display());
        }
    }
}
