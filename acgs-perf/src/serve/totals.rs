//! What was counted since the agent began to serve, by service: counters for whoever scrapes them.
//!
//! In: contexts and intervals. Out: sums that only what is exposed needs. A service is the same if its name is, also after the
//! configuration was read again.

use std::collections::BTreeMap;

use acgs_perf_common::attribution::{ALL, Component, attribution_bucket, component_word};

use super::endpoints::Endpoints;
use crate::discover::{EndpointRules, Objective};
use crate::live::probes::endpoints::SECTION;
use crate::live::probes::{attribution, request};
use crate::snapshot::fates::REFUSED;
use crate::snapshot::interval::section;
use crate::snapshot::open::OpenRequests;
use crate::snapshot::{Context, Interval, Subject};
use crate::sums::{Difference as _, Sections, Sums};

/// Sections that are kept whole: none of them grows with what clients do.
const KEPT: [&str; 4] = [request::COUNTERS, request::LATENCY, request::TIMES, request::FATES];

/// What was counted of one service.
#[derive(Clone, Debug, Default)]
pub struct OfService {
    /// The sections of its requests.
    pub sections: Sections,
    /// Time of its requests by `Component`.
    components: Sums,
    /// The same of those that took longer than the objective.
    slow_components: Sums,
    /// What its listeners dropped; `None` before one was looked at.
    pub refused: Option<u64>,
    /// The requests that were open at the last look; `None` before the first.
    pub open: Option<OpenRequests>,
    /// What it is held against.
    pub objective: Objective,
    /// What it was asked for.
    pub endpoints: Endpoints,
    /// What is said of these.
    pub rules: EndpointRules,
}

impl OfService {
    /// Time of its requests by component.
    pub fn components(&self) -> impl Iterator<Item = (Component, u64)> {
        by_component(&self.components)
    }

    /// The same of those that took longer than the objective, by more than a bucket of the attribution (6 %).
    pub fn slow_components(&self) -> impl Iterator<Item = (Component, u64)> {
        by_component(&self.slow_components)
    }
}

/// What was counted since the agent began to serve.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// The services of now, by name.
    pub services: BTreeMap<String, OfService>,
    /// What was lost, by the name of the reason.
    pub ledger: BTreeMap<String, u64>,
    /// What is recorded now.
    pub context: Option<Context>,
    /// CPU time of the agent.
    pub agent_cpu_ns: u64,
    /// Intervals.
    pub intervals: u64,
}

impl Totals {
    /// Takes what is recorded now. Services that are no longer recorded are forgotten.
    pub fn set_context(&mut self, context: Context) {
        let mut before = std::mem::take(&mut self.services);
        for service in &context.services {
            let mut of = before.remove(&service.name).unwrap_or_default();
            of.objective = service.objective;
            of.rules.clone_from(&service.endpoints);
            self.services.insert(service.name.clone(), of);
        }
        for name in &context.ledger {
            self.ledger.entry(name.clone()).or_default();
        }
        self.context = Some(context);
    }

    /// Adds an interval of the recording whose context came last.
    pub fn add(&mut self, interval: &Interval) {
        let Some(context) = &self.context else { return };
        for (index, service) in context.services.iter().enumerate() {
            let Some(of) = self.services.get_mut(&service.name) else { continue };
            let subject = Subject::service(index);
            if let Some(sections) = interval.of(&subject) {
                of.add(sections);
            }
            if let Some(look) = &interval.look {
                of.open = Some(look.open.get(&subject).cloned().unwrap_or_default());
            }
        }
        for (at, name) in context.ledger.iter().enumerate() {
            *self.ledger.entry(name.clone()).or_default() += interval.ledger.count(at as u32);
        }
        self.agent_cpu_ns += interval.agent_cpu_ns;
        self.intervals += 1;
    }
}

fn by_component(sums: &Sums) -> impl Iterator<Item = (Component, u64)> {
    ALL.into_iter().map(|component| (component, sums.count(component_word(component) as u32)))
}

impl OfService {
    fn add(&mut self, later: &Sections) {
        for name in KEPT {
            if let Some(section) = later.get(name) {
                self.sections.entry(name.into()).or_default().add(section);
            }
        }
        let slow = attribution_bucket(self.objective.p99.as_nanos() as u64) as u32;
        for (bucket, row) in section(Some(later), attribution::ROWS) {
            self.components.add(&row.sums);
            if bucket.first().is_some_and(|bucket| *bucket > slow) {
                self.slow_components.add(&row.sums);
            }
        }
        self.endpoints.add(&self.rules, section(Some(later), SECTION));
        for row in section(Some(later), REFUSED).values() {
            *self.refused.get_or_insert(0) += row.sums.count(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::ServiceContext;
    use crate::sums::{Row, Section};

    fn context(names: &[&str]) -> Context {
        let service = |name: &&str| ServiceContext { name: (*name).into(), ..ServiceContext::default() };
        Context { services: names.iter().map(service).collect(), ledger: vec!["x".into()], ..Context::default() }
    }

    fn interval(requests: &[i64]) -> Interval {
        let section =
            |count: i64| Section::from([(vec![], Row { sums: Sums::sparse([(0, count)]), ..Row::default() })]);
        let of = |(at, count): (usize, &i64)| {
            (Subject::service(at), Sections::from([(request::COUNTERS.into(), section(*count))]))
        };
        Interval {
            subjects: requests.iter().enumerate().map(of).collect(),
            ledger: Sums::sparse([(0, 2)]),
            ..Interval::default()
        }
    }

    #[test]
    fn a_service_goes_on_counting_under_another_number() {
        let mut totals = Totals::default();
        totals.add(&interval(&[1]));
        totals.set_context(context(&["a", "b"]));
        totals.add(&interval(&[5, 7]));
        totals.set_context(context(&["b", "c"]));
        totals.add(&interval(&[100, 1]));
        let requests = |name: &str| totals.services[name].sections[request::COUNTERS][&vec![]].sums.get(0);
        assert_eq!((requests("b"), requests("c")), (107, 1));
        assert!(!totals.services.contains_key("a"));
        assert_eq!((totals.ledger["x"], totals.intervals), (4, 2));
    }
}
