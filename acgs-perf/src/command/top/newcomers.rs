//! Services that begin to listen while others are shown: for `top` without `--service` and `--config`.
//!
//! In: the services that are shown. Out: from time to time these and the new ones, found by a thread that only looks at /proc. Who listens for a
//! moment is not taken: what is new is a service when two looks in a row have seen it, because to take it the programs are loaded again.

use std::io;
use std::path::Path;
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

use acgs_perf_common::maps::MAX_SERVICES;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::discover::{self, Objective, ServiceSpec, Target};
use crate::live::rights;

/// Time between two looks at least.
const EVERY: Duration = Duration::from_secs(2);
/// A look takes one part in so many of the time at most.
const PART: u32 = 50;
/// After something was taken nothing else is for so long.
const CALM: Duration = Duration::from_secs(10);

/// Looks until nobody takes what was found.
///
/// # Errors
/// When there can be no thread.
pub fn watch(mut known: Vec<ServiceSpec>) -> io::Result<UnboundedReceiver<Vec<Target>>> {
    let (sender, found) = unbounded_channel();
    Builder::new().name("acgs-new".into()).stack_size(512 << 10).spawn(move || {
        rights::keep_in_thread(rights::LOOK);
        let (mut seen, mut pause): (Vec<String>, Duration) = (Vec::new(), EVERY);
        while !sender.is_closed() {
            sleep(pause);
            let begun = Instant::now();
            let look = discover::newcomers(Path::new("/proc"), &known, Objective::default(), MAX_SERVICES as usize);
            let targets = look.unwrap_or_else(|error| {
                tracing::debug!("search for new services: {error}");
                None
            });
            pause = (begun.elapsed() * PART).max(EVERY);
            let names = names(targets.as_deref().unwrap_or_default());
            if let Some(targets) = targets.filter(|_| names == seen) {
                known = targets.iter().map(|target| target.spec.clone()).collect();
                pause = pause.max(CALM);
                let _is_over = sender.send(targets);
            }
            seen = names;
        }
    })?;
    Ok(found)
}

/// The services by name.
pub fn names(targets: &[Target]) -> Vec<String> {
    targets.iter().map(|target| target.spec.name.clone()).collect()
}
