//! Debian's archive, read with an apt state of its own, so that the machine's lists, preferences and packages stay untouched.
//!
//! In: the mirror that the machine's own apt sources name; a suite. Out: the packages of the suite, and a package's file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acgs_perf_setup::process::{is_root, output, run};
use anyhow::{Context, Result, bail, ensure};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the machine gets its packages: URI by kind of suite.
pub struct Mirrors {
    main: String,
    security: Option<String>,
}

impl Mirrors {
    /// Asks apt for the machine's own sources.
    pub fn of_this_machine() -> Result<Self> {
        ensure!(Path::new(KEYRING).exists(), "{KEYRING} is missing: kernels come from Debian's archive");
        let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
        let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or_default();
        let mut targets = sources();
        if targets.is_empty() && is_root() {
            // A machine whose lists were never fetched.
            run(Command::new("apt-get").args(["update", "-q"]))?;
            targets = sources();
        }
        Self::among(&targets, codename).with_context(|| {
            format!("apt has no source for Debian's {codename}; run `apt-get update`, see `apt-cache policy`")
        })
    }

    fn among(targets: &str, codename: &str) -> Option<Self> {
        let by_release: BTreeMap<&str, &str> = targets.lines().filter_map(|line| line.split_once('|')).collect();
        let main = (*by_release.get(codename)?).to_owned();
        let security = by_release.get(format!("{codename}-security").as_str()).map(|uri| (*uri).to_owned());
        Some(Self { main, security })
    }

    fn of_suite(&self, suite: &str) -> Option<&str> {
        if suite.ends_with("-security") { self.security.as_deref() } else { Some(&self.main) }
    }
}

fn sources() -> String {
    let mut command = Command::new("apt-get");
    output(command.args(["indextargets", "Created-By: Packages", "--format", "$(RELEASE)|$(REPO_URI)"]))
        .unwrap_or_default()
}

/// One suite with a state of its own.
pub struct Suite {
    name: String,
    directory: PathBuf,
}

impl Suite {
    /// Fetches the suite's list of packages.
    pub fn update(mirrors: &Mirrors, name: &str, state: &Path) -> Result<Self> {
        let Some(uri) = mirrors.of_suite(name) else { bail!("this machine has no source for security suites") };
        let suite = Self { name: name.to_owned(), directory: state.join(name) };
        for part in ["lists/partial", "cache/archives/partial", "empty"] {
            let directory = suite.directory.join(part);
            fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
        }
        let line = format!("deb [arch=amd64 signed-by={KEYRING}] {uri} {name} main\n");
        fs::write(suite.directory.join("sources.list"), line).context("write sources.list")?;
        run(suite.apt("apt-get").args(["update", "-qq", "--error-on=any"])).with_context(|| format!("suite {name}"))?;
        Ok(suite)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let place = |part: &str| self.directory.join(part).display().to_string();
        for option in [
            format!("Dir::State::Lists={}", place("lists")),
            format!("Dir::Cache={}", place("cache")),
            format!("Dir::Etc::sourcelist={}", place("sources.list")),
            format!("Dir::Etc::sourceparts={}", place("empty")),
            format!("Dir::Etc::preferencesparts={}", place("empty")),
            "Dir::Etc::preferences=/dev/null".into(),
            "Dir::State::status=/dev/null".into(),
            "APT::Architecture=amd64".into(),
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Acquire::Retries=3".into(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    /// The names of its packages that begin so.
    pub fn packages(&self, prefix: &str) -> Result<String> {
        output(self.apt("apt-cache").args(["pkgnames", prefix]))
            .with_context(|| format!("list the packages of {}", self.name))
    }

    /// The version of a package that a download would bring.
    pub fn version(&self, package: &str) -> Result<String> {
        let text = output(self.apt("apt-cache").args(["show", "--no-all-versions", package])).unwrap_or_default();
        let version = text.lines().find_map(|line| line.strip_prefix("Version: "));
        version.map(str::to_owned).with_context(|| format!("no version of {package} in {}", self.name))
    }

    /// Downloads a package's file, which apt checks against the signed list.
    pub fn download(&self, package: &str, into: &Path) -> Result<()> {
        let mut command = self.apt("apt-get");
        run(command.args(["download", "-qq", package]).current_dir(into))
            .with_context(|| format!("suite {}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_those_of_the_machines_own_release() {
        let targets = "stable|http://other.example/apt/\n\
                       bookworm|http://mirror.example/debian/\n\
                       bookworm-updates|http://mirror.example/debian/\n\
                       bookworm-security|http://mirror.example/security/";
        let mirrors = Mirrors::among(targets, "bookworm").unwrap();
        assert_eq!(mirrors.of_suite("trixie-backports"), Some("http://mirror.example/debian/"));
        assert_eq!(mirrors.of_suite("trixie-security"), Some("http://mirror.example/security/"));
        assert!(Mirrors::among(targets, "noble").is_none());
    }

    #[test]
    fn without_a_security_source_there_are_no_security_suites() {
        let mirrors = Mirrors::among("bookworm|http://mirror.example/debian/", "bookworm").unwrap();
        assert_eq!(mirrors.of_suite("bullseye-security"), None);
    }
}
