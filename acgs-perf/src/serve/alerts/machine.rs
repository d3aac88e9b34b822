//! Decides what is due: a state machine over time and counts, and nothing else.
//!
//! In: how many requests of each service came and were slow, with the time. Out: what has become due, and what is over. An alert is over
//! when each of its burn rates has been below half of its limit, over its longer or its shorter window, for some time: so what hovers
//! about a limit is one alert. Where requests have ceased nobody can tell, and the alert stays for a while.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::burn::{Burn, MIN_REQUESTS, Severity};
use super::history::{Counts, History, Sum};

/// An alert is over below this part of the limit.
const CALM: f64 = 0.5;

/// Minutes for which it must have been calm.
fn hold(severity: Severity) -> u32 {
    match severity {
        Severity::Page => 5,
        Severity::Ticket => 30,
    }
}

/// Minutes without a request after which an alert is over.
fn silence(severity: Severity) -> u32 {
    match severity {
        Severity::Page => 60,
        Severity::Ticket => 360,
    }
}

/// Why an alert is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// The objective is kept again.
    Calm,
    /// No request came any more.
    NoRequests,
    /// The service is not recorded any more.
    NotRecorded,
}

/// The evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Due {
    /// Which burn rate.
    pub burn: Burn,
    /// Over its longer window.
    pub long: Counts,
    /// Over its shorter one.
    pub short: Counts,
}

/// What has happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// It has become due.
    Fired(Due),
    /// It is over.
    Resolved(Because),
}

/// An alert of a service that has changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The service.
    pub service: String,
    /// Which of its alerts.
    pub severity: Severity,
    /// What has happened.
    pub step: Step,
    /// The minute in which it became due.
    pub since: u32,
}

/// An alert that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    since: u32,
    /// Since when it has been calm.
    calm: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Service {
    history: History,
    open: BTreeMap<Severity, Open>,
    /// When the last page was over.
    paged: Option<u32>,
}

/// The alerts of all services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    services: BTreeMap<String, Service>,
}

impl Machine {
    /// Whose alerts are looked at from now on; those of others are over.
    pub fn set_services(&mut self, names: &[&str]) -> Vec<Change> {
        let is_named = |name: &String| names.contains(&name.as_str());
        let gone = self.services.iter().filter(|(name, _)| !is_named(name));
        let changes = gone.flat_map(|(name, service)| {
            service.open.iter().map(|(severity, open)| Change {
                service: name.clone(),
                severity: *severity,
                step: Step::Resolved(Because::NotRecorded),
                since: open.since,
            })
        });
        let changes = changes.collect();
        self.services.retain(|name, _| is_named(name));
        for name in names {
            self.services.entry((*name).to_owned()).or_default();
        }
        changes
    }

    /// Adds what was counted of a service; minutes never go back.
    pub fn add(&mut self, service: &str, minute: u32, counts: Counts) {
        if let Some(service) = self.services.get_mut(service) {
            service.history.add(minute, counts);
        }
    }

    /// What has changed by this minute.
    pub fn evaluate(&mut self, now: u32) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, service) in &mut self.services {
            for severity in Severity::ALL {
                changes.extend(service.evaluate(severity, now).map(|(step, since)| Change {
                    service: name.clone(),
                    severity,
                    step,
                    since,
                }));
            }
        }
        changes
    }
}

impl Service {
    fn evaluate(&mut self, severity: Severity, now: u32) -> Option<(Step, u32)> {
        let Some(mut open) = self.open.get(&severity).copied() else {
            if severity == Severity::Ticket && self.was_paged(now) {
                return None;
            }
            let due = severity.burns().iter().find_map(|burn| self.due(burn, now))?;
            self.open.insert(severity, Open { since: now, calm: None });
            return Some((Step::Fired(due), now));
        };
        let because = match self.history.last(silence(severity), now).counts.requests {
            ..=0 => Some(Because::NoRequests),
            _ if severity.burns().iter().all(|burn| self.is_calm(burn, now)) => {
                let calm = *open.calm.get_or_insert(now);
                (now - calm >= hold(severity)).then_some(Because::Calm)
            }
            _ => {
                open.calm = None;
                None
            }
        };
        let Some(because) = because else {
            self.open.insert(severity, open);
            return None;
        };
        self.open.remove(&severity);
        if severity == Severity::Page {
            self.paged = Some(now);
        }
        Some((Step::Resolved(because), open.since))
    }

    /// Whether a page is about what a ticket would be about: there is one, or it was over within the shorter window of a ticket.
    fn was_paged(&self, now: u32) -> bool {
        let within = Severity::Ticket.burns()[0].short;
        self.open.contains_key(&Severity::Page) || self.paged.is_some_and(|at| now.saturating_sub(at) <= within)
    }

    fn due(&self, burn: &Burn, now: u32) -> Option<Due> {
        let is_over = |share: Option<f64>| share.is_some_and(|share| share > burn.limit());
        // The shorter one first: it is quickly summed up, and says no at nearly all times.
        let short = self.history.last(burn.short, now).counts;
        if !is_over(short.share()) {
            return None;
        }
        let Sum { counts: long, minutes } = self.history.last(burn.long, now);
        // Of what was not recorded, the same rate of requests is taken for healthy: else the first minute of an agent would be its
        // first six hours, and a slow start a page.
        let known = (f64::from(minutes) / f64::from(burn.long)).min(1.0);
        let is_due = is_over(long.share().map(|share| share * known)) && long.requests >= i64::from(MIN_REQUESTS);
        is_due.then_some(Due { burn: *burn, long, short })
    }

    fn is_calm(&self, burn: &Burn, now: u32) -> bool {
        let is_low = |minutes| {
            let share = self.history.last(minutes, now).counts.share();
            share.is_some_and(|share| share < burn.limit() * CALM)
        };
        is_low(burn.short) || is_low(burn.long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_MINUTE: i64 = 600;

    /// A service `a`, with so many slow of a thousand in each of the minutes; what changed, with the minute.
    fn run(machine: &mut Machine, minutes: impl IntoIterator<Item = (u32, i64)>) -> Vec<(u32, Severity, String)> {
        machine.set_services(&["a"]);
        let mut seen = Vec::new();
        for (minute, per_mille) in minutes {
            let requests = if per_mille < 0 { 0 } else { PER_MINUTE };
            machine.add("a", minute, Counts { requests, slow: requests * per_mille / 1000 });
            for change in machine.evaluate(minute) {
                let step = match change.step {
                    Step::Fired(due) => format!("fired {}", due.burn.factor),
                    Step::Resolved(because) => format!("{because:?}"),
                };
                seen.push((minute, change.severity, step));
            }
        }
        seen
    }

    fn level(from: u32, minutes: u32, per_mille: i64) -> impl Iterator<Item = (u32, i64)> {
        (from..from + minutes).map(move |minute| (minute, per_mille))
    }

    #[test]
    fn a_total_outage_is_a_page_in_minutes_and_over_in_half_an_hour() {
        let mut machine = Machine::default();
        let before = run(&mut machine, level(0, 1000, 2));
        assert_eq!(before, []);
        let seen = run(&mut machine, level(1000, 60, 1000).chain(level(1060, 600, 2)));
        // 14.4 % of an hour are 8.64 minutes.
        assert_eq!(seen[0], (1008, Severity::Page, "fired 14.4".into()));
        assert!(seen[1].0 <= 1060 + 30 + 1 + 5 && seen[1].2 == "Calm", "{seen:?}");
        assert_eq!(seen.len(), 2, "no ticket about the same: {seen:?}");
    }

    #[test]
    fn a_slow_burn_is_a_ticket() {
        let mut machine = Machine::default();
        let seen = run(&mut machine, level(0, 4320, 2).chain(level(4320, 3000, 30)).chain(level(7320, 1500, 2)));
        assert_eq!((seen[0].1, seen[1].2.as_str(), seen.len()), (Severity::Ticket, "Calm", 2), "{seen:?}");
        assert!(seen[0].0 > 4320 + 360 && seen[1].0 <= 7320 + 360 + 31, "{seen:?}");
    }

    #[test]
    fn a_slow_start_is_no_page_and_an_outage_at_the_start_is() {
        assert_eq!(run(&mut Machine::default(), level(0, 5, 120).chain(level(5, 500, 2))), []);
        let seen = run(&mut Machine::default(), level(0, 60, 1000));
        assert_eq!(seen, [(8, Severity::Page, "fired 14.4".into())]);
    }

    #[test]
    fn what_hovers_about_a_limit_is_one_alert() {
        let mut machine = Machine::default();
        let hovering = (0..2000).map(|minute| (minute, if minute / 20 % 2 == 0 { 180 } else { 110 }));
        let seen = run(&mut machine, hovering);
        assert_eq!(seen.len(), 1, "{seen:?}");
    }

    #[test]
    fn who_is_silent_is_not_well_at_once() {
        let mut machine = Machine::default();
        let seen = run(&mut machine, level(0, 20, 1000).chain(level(20, 200, -1)));
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert_eq!((seen[1].0, seen[1].2.as_str()), (19 + 61, "NoRequests"));
    }

    #[test]
    fn few_requests_are_no_page() {
        let mut machine = Machine::default();
        machine.set_services(&["a"]);
        for minute in 0..2000 {
            // 500 in three days tell something all the same.
            machine.add("a", minute, Counts { requests: 1, slow: 1 });
            let changes = machine.evaluate(minute);
            assert!(changes.iter().all(|change| change.severity == Severity::Ticket), "{changes:?}");
        }
    }

    #[test]
    fn it_goes_on_where_it_was() {
        let mut machine = Machine::default();
        assert_eq!(run(&mut machine, level(0, 30, 500)).len(), 1);
        let saved = rmp_serde::to_vec(&machine).unwrap();
        let mut machine: Machine = rmp_serde::from_slice(&saved).unwrap();
        // The agent was away for ten minutes.
        let seen = run(&mut machine, level(40, 20, 500).chain(level(60, 400, 0)));
        assert_eq!(seen.iter().map(|(_, _, step)| step.as_str()).collect::<Vec<_>>(), ["Calm"], "{seen:?}");
        let gone = machine.set_services(&["b"]);
        assert_eq!((gone.len(), machine.services.len()), (0, 1));
    }
}
