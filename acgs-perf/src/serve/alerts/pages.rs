//! Makes one page of what has one cause.
//!
//! In: alerts of services that have become due or are over, each with what is known of its cause. Out: an event for the first of those
//! that share a cause, none for the others, and one when all of them are over. Two alerts share a cause if a chain of keys leads from
//! one to the other: a service that waits for another one shares that one's, two that wait for one peer share it, and all that wait for
//! a CPU do.

use std::collections::{BTreeMap, BTreeSet};

use acgs_perf_common::CONSTITUTIONAL_HASH;
use serde::{Deserialize, Serialize};

use super::burn::Severity;
use super::event::{Event, Evidence, SCHEMA, Status};
use super::explain::Explanation;
use super::machine::{Because, Due};

/// One page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    id: String,
    severity: Severity,
    keys: BTreeSet<String>,
    /// Its services, and whether their alerts are due.
    services: BTreeMap<String, bool>,
    since_unix_s: u64,
}

/// All that are open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pages {
    open: Vec<Page>,
}

/// What became of an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It is to be told.
    Event(Box<Event>),
    /// It belongs to this page.
    Joined(String),
}

/// Who tells, and when.
#[derive(Clone, Debug)]
pub struct Now {
    /// The host's name.
    pub host: String,
    /// Seconds since 1970.
    pub unix_s: u64,
}

impl Pages {
    /// An alert of a service has become due.
    pub fn fired(&mut self, service: &str, severity: Severity, due: &Due, explanation: Explanation, now: &Now) -> Told {
        let keys: BTreeSet<String> = explanation.keys.iter().cloned().collect();
        let page = self.open.iter_mut().find(|page| page.severity == severity && !page.keys.is_disjoint(&keys));
        if let Some(page) = page {
            page.keys.extend(keys);
            page.services.insert(service.to_owned(), true);
            return Told::Joined(page.id.clone());
        }
        let id = format!("{}-{service}-{}", severity.name(), now.unix_s);
        let evidence = Evidence::of(due);
        let mut summary = format!("{service}: {}{}", evidence.sentence(), explanation.objective());
        if let Some(sentence) = explanation.sentence() {
            summary = format!("{summary}; {sentence}");
        }
        self.open.push(Page {
            id: id.clone(),
            severity,
            keys,
            services: [(service.to_owned(), true)].into(),
            since_unix_s: now.unix_s,
        });
        Told::Event(Box::new(Event {
            objective_p99_ns: explanation.p99_ns,
            evidence: Some(evidence),
            cause: explanation.cause,
            findings: explanation.findings,
            ..event(id, Status::Firing, severity, vec![service.to_owned()], (now.unix_s, summary), now)
        }))
    }

    /// An alert of a service is over. The event, if it was the last of its page.
    pub fn resolved(&mut self, service: &str, severity: Severity, because: Because, now: &Now) -> Option<Event> {
        let is_its = |page: &Page| page.severity == severity && page.services.get(service) == Some(&true);
        let at = self.open.iter().position(is_its)?;
        self.open[at].services.insert(service.to_owned(), false);
        if self.open[at].services.values().any(|is_due| *is_due) {
            return None;
        }
        let page = self.open.remove(at);
        let services: Vec<String> = page.services.into_keys().collect();
        let words = match because {
            Because::Calm => "the objective is kept again",
            Because::NoRequests => "no request came any more",
            Because::NotRecorded => "it is not recorded any more",
        };
        let minutes = now.unix_s.saturating_sub(page.since_unix_s).div_ceil(60);
        let summary = format!("{}: {words}, {minutes} minutes after the alert", services.join(", "));
        let event = event(page.id, Status::Resolved, severity, services, (page.since_unix_s, summary), now);
        Some(Event { because: Some(because), ..event })
    }
}

fn event(
    id: String,
    status: Status,
    severity: Severity,
    services: Vec<String>,
    (since_unix_s, summary): (u64, String),
    now: &Now,
) -> Event {
    Event {
        schema: SCHEMA,
        constitutional_hash: CONSTITUTIONAL_HASH.to_owned(),
        id,
        status,
        severity,
        host: now.host.clone(),
        services,
        since_unix_s,
        at_unix_s: now.unix_s,
        summary,
        objective_p99_ns: None,
        evidence: None,
        cause: None,
        findings: Vec::new(),
        because: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::alerts::history::Counts;

    fn due() -> Due {
        let burn = Severity::Page.burns()[0];
        Due { burn, long: Counts { requests: 1000, slow: 200 }, short: Counts { requests: 100, slow: 90 } }
    }

    fn fired(pages: &mut Pages, service: &str, keys: &[&str]) -> Option<Event> {
        let keys = [format!("service {service}")].into_iter().chain(keys.iter().map(|key| (*key).to_owned()));
        let explanation = Explanation { keys: keys.collect(), p99_ns: Some(5_000_000), ..Explanation::default() };
        match pages.fired(service, Severity::Page, &due(), explanation, &now(1000)) {
            Told::Event(event) => Some(*event),
            Told::Joined(_) => None,
        }
    }

    fn now(unix_s: u64) -> Now {
        Now { host: "h".into(), unix_s }
    }

    fn over(pages: &mut Pages, service: &str) -> Option<Event> {
        pages.resolved(service, Severity::Page, Because::Calm, &now(1600))
    }

    #[test]
    fn one_cause_is_one_page() {
        let mut pages = Pages::default();
        // `api` waits for `db`, which is paged later, and `web` for `api`; `mail` has nothing to do with it.
        let first = fired(&mut pages, "api", &["service db"]).unwrap();
        assert_eq!((first.services.as_slice(), first.status), (&["api".to_owned()][..], Status::Firing));
        assert_eq!(
            first.summary,
            "api: 20.0 % of 1000 requests in 1h and 90.0 % of 100 requests in 5m missed its objective, of which 1 % may (P99 < 5 ms)"
        );
        assert_eq!(fired(&mut pages, "db", &["peer disk"]), None);
        assert_eq!(fired(&mut pages, "web", &["service api"]), None);
        let other = fired(&mut pages, "mail", &[]).unwrap();
        assert_ne!(first.id, other.id);
        assert_eq!((over(&mut pages, "db"), over(&mut pages, "api")), (None, None));
        // Once more, and it is the same page still.
        assert_eq!(fired(&mut pages, "api", &[]), None);
        assert_eq!(over(&mut pages, "web"), None);
        let last = over(&mut pages, "api").unwrap();
        assert_eq!((last.id.as_str(), last.services.join(" ").as_str()), (first.id.as_str(), "api db web"));
        assert_eq!(last.summary, "api, db, web: the objective is kept again, 10 minutes after the alert");
        assert_eq!(over(&mut pages, "api"), None);
        assert_eq!(over(&mut pages, "mail").unwrap().id, other.id);
        assert!(pages.open.is_empty());
    }

    #[test]
    fn two_that_wait_for_a_cpu_are_one() {
        let mut pages = Pages::default();
        assert!(fired(&mut pages, "a", &["host cpu"]).is_some());
        assert!(fired(&mut pages, "b", &["host cpu"]).is_none());
    }
}
