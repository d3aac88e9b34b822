//! One service over several reports.
//!
//! In: what each report has of it. Out: its sections, each that of all. The latency is put together at the end, when it is known which
//! requests are still open.

use std::collections::BTreeSet;

use super::at::At;
use super::looks::Looks;
use super::series::Series;
use super::{exemplars, figures, tables};
use crate::analysis::censored::{Ages, with_ages};
use crate::analysis::counts::Counts;
use crate::analysis::distribution::ended_of;
use crate::analysis::model::{Distribution, FatesReport, LatencyColumnReport, OpenReport, ServiceReport};
use crate::analysis::number::rate;
use crate::analysis::sections::{callers, series::design_effect};
use crate::live::status::ProbeStatus;
use crate::snapshot::interval::bucket_of_p99;
use crate::sums::{Difference as _, Sums};
use figures::fold;

/// More columns of latencies over time are too much for a report.
const MOST_COLUMNS: usize = 4_096;

/// A service that is put together.
#[derive(Debug, Default)]
pub struct Service {
    /// What adds up by itself.
    sum: Option<ServiceReport>,
    /// Latencies that have an end.
    ended: Counts,
    /// The same of each report, for how much they vary.
    of_each: Vec<Sums>,
    looks: Looks,
    series: Series,
    columns: Vec<LatencyColumnReport>,
}

impl Service {
    /// Adds what the next report has of it.
    pub fn add(&mut self, mut of: ServiceReport, at: &At<'_>, notes: &mut BTreeSet<String>) {
        self.looks.add(&of, at);
        self.series.add(std::mem::take(&mut of.series), at.offset_ns);
        self.columns.extend(
            std::mem::take(&mut of.latency_over_time).into_iter().map(|column| LatencyColumnReport {
                offset_ns: column.offset_ns.saturating_add(at.offset_ns),
                ..column
            }),
        );
        if let Some(requests) = &mut of.requests {
            let latency = std::mem::take(&mut requests.latency);
            note_older(&latency, notes);
            self.add_latency(&ended_of(&latency).unwrap_or_default());
        }
        let shifted = of.exemplars.take().map(|all| {
            let mut own = Vec::new();
            exemplars::add(&mut own, all, at.offset_ns);
            own
        });
        let of_tables = std::mem::take(&mut of.tables);
        let sum = self.sum.get_or_insert_with(|| ServiceReport {
            processes_forked: 0,
            processes_exited: 0,
            requests: None,
            fates: None,
            refused: None,
            kinds: None,
            tail: None,
            attribution: None,
            downstream: None,
            scheduler: None,
            syscalls: None,
            tcp: None,
            ..of.clone()
        });
        tables::add(&mut sum.tables, of_tables, notes);
        sum.processes_forked = sum.processes_forked.saturating_add(of.processes_forked);
        sum.processes_exited = sum.processes_exited.saturating_add(of.processes_exited);
        fold(&mut sum.requests, of.requests, figures::requests);
        fold(&mut sum.fates, of.fates.map(without_looks), |own, other| {
            figures::abandoned(&mut own.abandoned, other.abandoned);
            fold(&mut own.cut_off, other.cut_off, |own, other| *own = own.saturating_add(other));
        });
        fold(&mut sum.refused, of.refused, figures::refused);
        fold(&mut sum.kinds, of.kinds, figures::kinds);
        fold(&mut sum.attribution, of.attribution, figures::attribution);
        fold(&mut sum.downstream, of.downstream, figures::downstream);
        fold(&mut sum.exemplars, shifted, |own, other| exemplars::add(own, other, 0));
        fold(&mut sum.scheduler, of.scheduler, figures::scheduler);
        fold(&mut sum.syscalls, of.syscalls, figures::syscalls);
        fold(&mut sum.tcp, of.tcp, figures::tcp);
    }

    fn add_latency(&mut self, of: &Counts) {
        match self.of_each.is_empty() {
            true => self.ended = of.clone(),
            false => self.ended.add(of),
        }
        let counts = of.buckets.iter().chain([&of.over_range]).enumerate().filter(|(_, count)| **count > 0);
        self.of_each.push(Sums::sparse(counts.map(|(at, count)| (at as u32, *count as i64))));
    }

    /// Puts all sections into the service's report, which has its name, its processes and its objective.
    pub fn finish(
        self,
        into: &mut ServiceReport,
        probes: &[ProbeStatus],
        duration_ns: u64,
        notes: &mut BTreeSet<String>,
    ) {
        let Self { sum: Some(mut sum), mut ended, of_each, looks, series, columns } = self else { return };
        if looks.had_undelivered {
            notes.insert(format!(
                "{}: replies were on their way when one report ended and the next began; the mean latency is that without the time until then",
                into.name
            ));
        }
        note_counted_again(&sum, &ended, &into.name, of_each.len(), notes);
        let ages = sum.fates.as_mut().map_or_else(Ages::default, |fates| looks.settle(fates));
        let answered = sum.requests.as_ref().map_or(0, |requests| requests.count);
        if let Some(requests) = &mut sum.requests {
            ended.design_effect = [ended.design_effect, effect(&of_each)].into_iter().flatten().max_by(f64::total_cmp);
            if of_each.len() > 1 && ended.design_effect.is_none() {
                notes.insert(format!(
                    "{}: the reports are too short to tell by how much its slow requests come together; the interval of its P99 takes them for independent",
                    into.name
                ));
            }
            requests.latency = with_ages(&ended, &ages, into.objective.p99_ns);
            requests.rate_per_s = rate(requests.count, duration_ns);
        }
        if let (Some(peers), Some(attribution)) = (&mut sum.downstream, &sum.attribution) {
            figures::settle_downstream(peers, callers(probes, attribution, answered));
        }
        tables::settle(&mut sum.tables);
        sum.series = series.finish(&into.name, notes);
        // Columns of reports at the same time are none, for the same reason.
        sum.latency_over_time =
            if sum.series.is_empty() || columns.len() > MOST_COLUMNS { Vec::new() } else { columns };
        sum.name = std::mem::take(&mut into.name);
        sum.selector = std::mem::take(&mut into.selector);
        sum.processes = std::mem::take(&mut into.processes);
        sum.udp_ports = std::mem::take(&mut into.udp_ports);
        sum.objective = std::mem::take(&mut into.objective);
        *into = sum;
    }
}

/// What adds up of the fates.
fn without_looks(of: FatesReport) -> FatesReport {
    let nothing = OpenReport::default;
    FatesReport { unread: nothing(), in_service: nothing(), undelivered: nothing(), ..of }
}

/// Older agents have said means and no sums.
fn note_older(latency: &Distribution, notes: &mut BTreeSet<String>) {
    if latency.sum_ns.is_none() && latency.mean_ns.is_some() {
        notes.insert("reports of older agents have rounded means and no sums: means are exact to 1 ns".to_owned());
    }
}

/// A reply that went on after the end of a report has another latency in the next one, which does not know the first.
fn note_counted_again(sum: &ServiceReport, ended: &Counts, name: &str, reports: usize, notes: &mut BTreeSet<String>) {
    let Some(requests) = sum.requests.as_ref().filter(|_| reports > 1) else { return };
    let of_latency = ended.buckets.iter().fold(ended.over_range, |all, count| all.saturating_add(*count));
    let of_rows = sum.attribution.iter().flat_map(|of| &of.rows).map(|row| row.count).fold(0, u64::saturating_add);
    if let again @ 1.. = of_latency.max(of_rows).saturating_sub(requests.count) {
        let requests = if again == 1 { "request" } else { "requests" };
        notes.insert(format!(
            "{name}: {again} {requests} whose reply went on from one report into the next count twice, in latencies or components"
        ));
    }
}

/// By how much more the number of slow requests varies from report to report than chance has it; the greatest of what each report says
/// of itself is taken where there are too few.
fn effect(of_each: &[Sums]) -> Option<f64> {
    let mut all = Sums::default();
    of_each.iter().for_each(|sums| all.add(sums));
    let p99 = bucket_of_p99(&all)?;
    let count = |sums: &Sums, from: u32| sums.iter().filter(|(at, _)| *at >= from).map(|(_, count)| count as f64).sum();
    let blocks: Vec<(f64, f64)> = of_each.iter().map(|sums| (count(sums, 0), count(sums, p99 + 1))).collect();
    design_effect(&blocks)
}
