//! The services of several captures.
//!
//! In: the services of each capture, with their common names. Out: each once, with all processes, and the number of each.

use std::collections::BTreeMap;

use super::names::either;
use crate::snapshot::ServiceContext;

/// Processes that are listed per service.
const MAX_LISTED: usize = 512;

/// The services so far.
#[derive(Debug, Default)]
pub struct Services {
    all: Vec<ServiceContext>,
    numbers: BTreeMap<String, u32>,
    /// Where a process is listed: by service, host and number.
    listed: BTreeMap<(u32, String, u32), usize>,
}

impl Services {
    /// Adds a service of a host; gives its common number.
    pub fn add(&mut self, host: &str, name: String, of: &ServiceContext) -> u32 {
        let next = self.all.len() as u32;
        let number = *self.numbers.entry(name.clone()).or_insert(next);
        if number == next {
            self.all.push(ServiceContext { name, processes: Vec::new(), ..of.clone() });
        }
        let known = &mut self.all[number as usize];
        known.selector = either(std::mem::take(&mut known.selector), &of.selector);
        known.udp_ports.extend(&of.udp_ports);
        known.udp_ports.sort_unstable();
        known.udp_ports.dedup();
        for process in &of.processes {
            let place = (number, host.to_owned(), process.pid);
            match self.listed.get(&place) {
                Some(at) => known.processes[*at] = process.clone(),
                None if known.processes.len() < MAX_LISTED => {
                    self.listed.insert(place, known.processes.len());
                    known.processes.push(process.clone());
                }
                None => {}
            }
        }
        number
    }

    /// All of them.
    pub fn finish(self) -> Vec<ServiceContext> {
        self.all
    }
}
