//! The kernels of the matrix: which package each is, by a pattern, and what is expected of it.
//!
//! In: names on the command line; the packages that an archive has. Out: the kernels to run, and the newest matching package.
//! Versions in a suite move on and old ones vanish, so that a pattern is pinned and not a version; what was booted is recorded.

use anyhow::{Result, bail};

/// What is expected to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Every probe.
    Everything,
    /// Nothing but a clear refusal: there is no task storage before 5.11, and no `bpf_task_pt_regs` before 5.15.
    Refusal,
}

/// One kernel.
#[derive(Debug)]
pub struct Kernel {
    /// Its series, which is its name on the command line and in the tables.
    pub name: &'static str,
    /// The suites that may have it.
    pub suites: &'static [&'static str],
    /// What stands before the part of the package's name that moves on.
    stem: &'static str,
    /// Whether that part is a single number (`56`), or a version of its own (`118+deb13`).
    single: bool,
    /// What is expected to work.
    pub expected: Expected,
}

/// What stands after the part that moves on: Debian's kernels for virtual machines, with what a boot needs compiled in.
const FLAVOUR: &str = "-cloud-amd64";
const BACKPORTS: &[&str] = &["trixie-backports"];

/// All of them, oldest first. From 6.19 on the package `linux-image` is empty, and `linux-binary` has the kernel. Debian has
/// neither 5.15 nor 6.6.
pub const KERNELS: &[Kernel] = &[
    Kernel {
        expected: Expected::Refusal,
        ..kernel("5.10", &["bullseye-security", "bullseye"], "linux-image-5.10.0-", true)
    },
    kernel("6.1", &["bookworm-security", "bookworm"], "linux-image-6.1.0-", true),
    kernel("6.12", &["trixie-security", "trixie"], "linux-image-6.12.", false),
    kernel("6.16", BACKPORTS, "linux-image-6.16.", false),
    kernel("6.18", BACKPORTS, "linux-image-6.18.", false),
    kernel("7.2", &["trixie-backports", "sid"], "linux-binary-7.2.", false),
    kernel("7.3", &["trixie-backports", "sid"], "linux-binary-7.3.", false),
];

const fn kernel(name: &'static str, suites: &'static [&'static str], stem: &'static str, single: bool) -> Kernel {
    Kernel { name, suites, stem, single, expected: Expected::Everything }
}

impl Kernel {
    /// The newest package of this kernel among these.
    pub fn newest<'p>(&self, packages: impl Iterator<Item = &'p str>) -> Option<&'p str> {
        packages.filter_map(|package| Some((self.version(package)?, package))).max().map(|(_, package)| package)
    }

    /// The part of a package's name that moves on, as numbers to compare; `None` when it is no package of this kernel.
    fn version(&self, package: &str) -> Option<Vec<u32>> {
        let middle = package.strip_prefix(self.stem)?.strip_suffix(FLAVOUR)?;
        let numbers: Vec<u32> = middle
            .split(|letter: char| !letter.is_ascii_digit())
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().ok())
            .collect::<Option<_>>()?;
        let letters = |letter: char| letter.is_ascii_alphanumeric() || ".+~".contains(letter);
        let fits =
            if self.single { middle.bytes().all(|byte| byte.is_ascii_digit()) } else { middle.chars().all(letters) };
        (fits && middle.starts_with(|letter: char| letter.is_ascii_digit())).then_some(numbers)
    }

    /// Whether this is a package of this kernel.
    pub fn has(&self, package: &str) -> bool {
        self.version(package).is_some()
    }

    /// The pattern, for messages.
    pub fn pattern(&self) -> String {
        format!("{}*{FLAVOUR}", self.stem)
    }
}

/// The kernels of these names; all of them without a name.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Kernel>> {
    for name in names {
        if !KERNELS.iter().any(|kernel| kernel.name == name) {
            let known: Vec<&str> = KERNELS.iter().map(|kernel| kernel.name).collect();
            bail!("no kernel \"{name}\" in the matrix; there are {}, and `list`", known.join(", "));
        }
    }
    Ok(KERNELS.iter().filter(|kernel| names.is_empty() || names.iter().any(|name| name == kernel.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &'static Kernel {
        KERNELS.iter().find(|kernel| kernel.name == name).unwrap()
    }

    #[test]
    fn the_newest_is_by_number_and_only_of_this_series_and_flavour() {
        let packages = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64-unsigned",
            "linux-image-6.1.0-0.deb11.52-cloud-amd64",
            "linux-image-6.1.0-99-amd64",
            "linux-image-6.12.95+deb13-cloud-amd64",
            "linux-image-6.12.118+deb13-cloud-amd64",
            "linux-image-6.12-cloud-amd64",
            "linux-binary-7.3.4+deb13-cloud-amd64",
        ];
        let newest = |name| named(name).newest(packages.iter().copied());
        assert_eq!(newest("6.1"), Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(newest("6.12"), Some("linux-image-6.12.118+deb13-cloud-amd64"));
        assert_eq!(newest("7.3"), Some("linux-binary-7.3.4+deb13-cloud-amd64"));
        assert_eq!(newest("6.18"), None);
    }

    #[test]
    fn a_second_number_counts_too() {
        let packages = ["linux-image-6.12.90+deb13-cloud-amd64", "linux-image-6.12.90+deb13.1-cloud-amd64"];
        assert_eq!(named("6.12").newest(packages.into_iter()), Some(packages[1]));
    }

    #[test]
    fn names_are_taken_in_the_order_of_the_matrix_and_unknown_ones_refused() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let found: Vec<&str> = chosen(&names(&["6.12", "6.1"])).unwrap().iter().map(|kernel| kernel.name).collect();
        assert_eq!(found, ["6.1", "6.12"]);
        assert_eq!(chosen(&[]).unwrap().len(), KERNELS.len());
        assert!(chosen(&names(&["6.5"])).unwrap_err().to_string().contains("6.12"));
    }
}
