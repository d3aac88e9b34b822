//! Many reports into one, by addition: of hosts, of workers side by side, of runs one after another.
//!
//! In: reports in the order of `merge::plan`, to which [`head`] says what it has to know of each. Out: one report, of which nothing has
//! been concluded yet. Counts, histograms and sums add up exactly; percentiles and intervals are computed anew. What cannot be had from
//! reports is left out, and a note says so. What a report has of its recording as a whole (hosts, probes, cost, services, times) is
//! merged as that of captures is, by `crate::merge`.

mod at;
mod exemplars;
mod figures;
mod fit;
mod latency;
mod looks;
mod series;
mod service;
mod tables;
#[cfg(test)]
mod tests;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use fit::{head, unfit};

use super::model::{ClientReport, Report};
use super::sections;
use crate::merge::{Head, Merger};
use crate::snapshot::file::Part;
use at::At;
use service::Service;

/// A report that is put together.
#[derive(Debug, Default)]
pub struct ReportMerger {
    by_host: bool,
    whole: Merger,
    /// When the first one began.
    start_unix_ns: Option<u64>,
    /// By common name.
    services: BTreeMap<String, Service>,
    clients: Vec<ClientReport>,
    recording: BTreeMap<String, Value>,
    notes: BTreeSet<String>,
}

impl ReportMerger {
    /// A merger; `by_host` keeps services of the same name apart where their hosts are not the same.
    #[must_use]
    pub fn new(by_host: bool) -> Self {
        Self { by_host, whole: Merger::new(by_host), ..Self::default() }
    }

    /// The next report, in the order of the plan.
    pub fn add(&mut self, head: &Head, report: Report) {
        self.whole.part(head, Part::Context(Box::new(whole::context(&report))));
        self.whole.part(head, Part::Intervals(whole::times(&report)));
        self.whole.end();
        let first_ns = *self.start_unix_ns.get_or_insert(head.start_unix_ns());
        let at = At {
            host: head.host(),
            offset_ns: head.start_unix_ns().saturating_sub(first_ns),
            start_unix_ns: head.start_unix_ns(),
            end_unix_ns: head.end_unix_ns(),
        };
        for mut client in report.client {
            // Each part of a recording that was cut has it.
            if let Some(server) = &mut client.server {
                server.service = head.name_of(&server.service, self.by_host);
                (server.count, server.mean_ns, server.outside_mean_ns) = (0, None, None);
            }
            if !self.clients.contains(&client) {
                self.clients.push(client);
            }
        }
        tables::add(&mut self.recording, report.recording, &mut self.notes);
        for service in report.services {
            let name = head.name_of(&service.name, self.by_host);
            self.services.entry(name).or_default().add(service, &at, &mut self.notes);
        }
    }

    /// All of it, without what can be concluded.
    #[must_use]
    pub fn finish(self) -> Report {
        let Self { whole, mut services, mut clients, mut recording, mut notes, .. } = self;
        let mut report = sections::report(&whole.finish());
        for shell in &mut report.services {
            let Some(merged) = services.remove(&shell.name) else { continue };
            merged.finish(shell, &report.probes, report.window.duration_ns, &mut notes);
        }
        tables::settle(&mut recording);
        report.recording = recording;
        clients.sort_by(|a, b| (a.start_unix_ns, &a.url).cmp(&(b.start_unix_ns, &b.url)));
        for client in &mut clients {
            let Some(name) = client.server.take().map(|server| server.service) else { continue };
            let service = report.services.iter().find(|service| service.name == name);
            client.server = service.and_then(|service| sections::client::server(client, service));
        }
        report.client = clients;
        report.notes.extend(notes);
        report
    }
}
