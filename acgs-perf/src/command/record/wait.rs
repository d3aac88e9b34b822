//! Waits until the services that are to be recorded run: `record --wait`.
//!
//! In: the services, how long at most. Out: when they run; or one line that says which do not, and what listens instead. Nothing is attached
//! meanwhile, so that a signal ends it as it ends any program.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::discover::{self, ServiceSpec, Target};
use crate::output;

/// How often is looked at least.
const EVERY: Duration = Duration::from_millis(100);
/// A look takes one part in so many of the time at most: on a large host it costs more.
const PART: u32 = 20;

/// Which of the services are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// All of them, because each was named.
    All,
    /// One: a file names what may run.
    One,
}

/// Waits until they run.
///
/// # Errors
/// When they do not for so long, or cannot be looked for.
pub fn until_running(specs: &[ServiceSpec], needed: Needed, most: Duration) -> anyhow::Result<()> {
    let (root, end) = (Path::new("/proc"), Instant::now() + most);
    let mut is_told = false;
    loop {
        let begun = Instant::now();
        let targets = discover::resolve(root, specs)?;
        let missing: Vec<&Target> = targets.iter().filter(|target| target.pids.is_empty()).collect();
        if missing.is_empty() || (needed == Needed::One && missing.len() < targets.len()) {
            return Ok(());
        }
        if begun >= end {
            // The port is there, but not for what can be recorded: what else listens here does not help.
            if let Some(why) = refused(&missing) {
                anyhow::bail!("{why}");
            }
            let what = format!("{} after {} of --wait", absent(&missing), humantime::format_duration(most));
            let listening = discover::listening(root)?;
            if listening.is_empty() {
                anyhow::bail!("{what}, and nothing listens on this host");
            }
            let what = format!("{what}; what listens here, and how to name it:");
            return Err(output::WithList { what, list: discover::suggestions(&listening) }.into());
        }
        if !is_told {
            output::say(&format!(
                "{}; waiting for it, at most {}; Ctrl-C ends that",
                absent(&missing),
                humantime::format_duration(most)
            ));
            refused(&missing).iter().for_each(|why| output::note(why));
            is_told = true;
        }
        let pause = (begun.elapsed() * PART).max(EVERY);
        sleep(pause.min(end.saturating_duration_since(Instant::now())));
    }
}

/// Why the first of those that mean nothing on this host does: it may come right, but who waits is told.
fn refused(missing: &[&Target]) -> Option<String> {
    missing.iter().find_map(|target| Some(format!("service {}: {}", target.spec.name, target.refused.as_ref()?)))
}

/// Whom nothing matches: names and selectors of the first.
fn absent(missing: &[&Target]) -> String {
    const NAMED: usize = 3;
    let one = |target: &&Target| format!("{} ({})", target.spec.name, target.spec.selector_text());
    let named: Vec<String> = missing.iter().take(NAMED).map(one).collect();
    let more = match missing.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("nothing matches {}{more}", named.join(", "))
}
