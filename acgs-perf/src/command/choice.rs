//! Which services a verb is about, and which processes they have now.
//!
//! In: what the command line names. Out: targets; or one line that says why there are none, with what could have been named.

use std::path::Path;

use acgs_perf_common::maps::MAX_SERVICES;
use anyhow::bail;

use crate::discover::{self, Objective, ServiceSpec, Target, config};
use crate::live::rights;
use crate::output;

/// What the command line names.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// `NAME=SELECTOR` each; empty for those of the configuration or the catalogue.
    pub services: &'a [String],
    /// The configuration; the catalogue without it.
    pub config: Option<&'a Path>,
    /// Whether a service without a process is kept, because it may start later.
    pub keeps_absent: bool,
    /// Whether it is no error that none has a process.
    pub waits: bool,
}

impl Choice<'_> {
    /// Whether services were named, rather than taken from the catalogue.
    #[must_use]
    pub fn is_named(&self) -> bool {
        !self.services.is_empty() || self.config.is_some()
    }

    /// The services that were asked for.
    ///
    /// # Errors
    /// When they are not written as they should be.
    pub fn specs(&self) -> anyhow::Result<Vec<ServiceSpec>> {
        let config = match self.config {
            Some(path) => config::load(path)?,
            None => config::catalogue()?,
        };
        if self.services.is_empty() {
            return Ok(config.services);
        }
        Ok(discover::parse_services(self.services, config.objective)?)
    }

    /// The processes of the services.
    ///
    /// # Errors
    /// When there are none, and that matters; when a service cannot be told from others.
    pub fn targets(&self, specs: &[ServiceSpec]) -> anyhow::Result<Vec<Target>> {
        let root = Path::new("/proc");
        let mut targets = discover::resolve(root, specs)?;
        if let Some((target, why)) = targets.iter().find_map(|target| Some((target, target.refused.as_ref()?)))
            && self.is_named()
        {
            bail!("service {}: {why}", target.spec.name);
        }
        let found = targets.iter().any(|target| !target.pids.is_empty());
        if !self.keeps_absent {
            targets.retain(|target| !target.pids.is_empty());
        }
        if !found && !self.waits {
            let what = if self.services.is_empty() {
                "no service of the catalogue runs here".to_owned()
            } else {
                format!("nothing matches {}", self.services.join(", "))
            };
            let listening = discover::listening(root)?;
            if listening.is_empty() {
                bail!("{what}, and nothing listens on this host");
            }
            let what = format!("{what}; what listens here, and how to name it:");
            return Err(output::WithList { what, list: discover::suggestions(&listening) }.into());
        }
        for target in targets.iter().filter(|target| target.pids.is_empty()) {
            output::note(&format!(
                "{}: nothing matches {} yet; it is recorded from the moment it starts",
                target.spec.name,
                target.spec.selector_text()
            ));
        }
        for target in &targets {
            for note in &target.notes {
                output::note(&format!("{}: {note}", target.spec.name));
            }
        }
        Ok(targets)
    }
}

/// Every service that listens on TCP, for whoever names none, and what is to be said about those that are not taken.
///
/// # Errors
/// When there is none.
pub fn every() -> anyhow::Result<(Vec<Target>, Vec<String>)> {
    let found = discover::every(Path::new("/proc"), Objective::default(), MAX_SERVICES as usize)?;
    if found.targets.is_empty() {
        bail!(
            "nothing listens on TCP on this host; name a service with --service NAME=SELECTOR, see `acgs-perf services`"
        );
    }
    let mut notes = Vec::new();
    if !found.left_out.is_empty() {
        let (taken, all) = (found.targets.len(), found.targets.len() + found.left_out.len());
        let left_out = found.left_out.join(", ");
        notes.push(format!("{all} services listen, of which the {taken} busiest are taken; left out: {left_out}"));
    }
    if !found.unix_only.is_empty() {
        let commands = found.unix_only.join(", ");
        notes.push(format!("not taken, because they listen on UNIX sockets only: {commands}"));
    }
    Ok((found.targets, notes))
}

/// Whether this process may load programs into the kernel and look at the processes of others: as root, or as somebody who was given
/// what that takes.
#[must_use]
pub fn may_record() -> bool {
    // SAFETY: geteuid has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    is_root || rights::held().is_ok_and(|held| held.lacks(rights::RECORD).is_empty())
}

/// Fails unless this process may load programs into the kernel.
///
/// # Errors
/// When it may not.
pub fn need_root(verb: &str) -> anyhow::Result<()> {
    if !may_record() {
        bail!("`{verb}` needs root, because it loads programs into the kernel; run it with sudo");
    }
    discover::namespaces::check_pids(Path::new("/proc"))?;
    Ok(())
}
