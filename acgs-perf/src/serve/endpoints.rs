//! The endpoints of a service for whoever scrapes them: as many as are bearable, and none that is called otherwise tomorrow.
//!
//! In: the rows of intervals, and the templates of the configuration. Out: rows by protocol and name. Levels of a path with many words are not
//! put together here: what a series is called must not depend on what comes later. The first 200 names have figures of their own, the others share
//! those of the row without a name.

use std::collections::BTreeMap;

use acgs_perf_protocol::{Kind, Protocol};

use crate::analysis::endpoints::Naming;
use crate::discover::EndpointRules;
use crate::live::probes::endpoints::{OTHERS, UNNAMED, kind_of};
use crate::sums::{Difference as _, Key, Row, Section, Sums};

/// Names with figures of their own.
pub const MOST: usize = 200;

/// Protocol and name; empty and `others` for all others.
pub type Name = (&'static str, String);

/// The endpoints of a service.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    rows: BTreeMap<Name, Sums>,
}

/// The name of a row of requests; `None` of what is no request.
#[must_use]
pub fn named(naming: &Naming<'_>, key: &Key, row: &Row) -> Option<Name> {
    let Some(kind) = kind_of(key) else { return Some(others()) };
    let name = naming.name(key, &row.label);
    if naming.kind(&name, kind) != Kind::Request {
        return None;
    }
    let protocol = Protocol::from_number(*key.first()? as u8).name();
    Some(if name == UNNAMED { others() } else { (protocol, name.into_owned()) })
}

/// All that have no figures of their own.
#[must_use]
pub fn others() -> Name {
    ("", OTHERS.to_owned())
}

impl Endpoints {
    /// Adds what an interval has.
    pub fn add(&mut self, rules: &EndpointRules, section: &Section) {
        if section.is_empty() {
            return;
        }
        let naming = Naming::new(rules);
        for (key, row) in section {
            let Some(name) = named(&naming, key, row) else { continue };
            let has_room = self.rows.len() < MOST || self.rows.contains_key(&name);
            self.rows.entry(if has_room { name } else { others() }).or_default().add(&row.sums);
        }
    }

    /// By protocol and name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Sums)> {
        self.rows.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::endpoints::sample::section;

    #[test]
    fn there_are_never_more_than_are_bearable_and_none_is_lost() {
        let names: Vec<String> = (0..1_000).map(|at| format!("GET /{}", "a".repeat(at + 1))).collect();
        let mut all = Endpoints::default();
        for names in names.chunks(100) {
            let rows: Vec<_> = names.iter().map(|name| (Kind::Request, name.as_str(), &[5u64, 6][..])).collect();
            all.add(&EndpointRules::default(), &section(&rows));
        }
        assert_eq!(all.iter().count(), MOST + 1);
        assert_eq!(all.iter().map(|(_, sums)| sums.get(0)).sum::<i64>(), 2_000);
        assert_eq!(all.rows[&others()].get(0), 1_600);
        all.add(&EndpointRules::default(), &section(&[(Kind::OneWay, "GET /a", &[1])]));
        assert_eq!(all.rows[&("http", "GET /a".to_owned())].get(0), 2);
    }

    #[test]
    fn templates_name_them_and_words_do_not() {
        let rules = EndpointRules { routes: vec!["/p/{id}".into()], ..EndpointRules::default() };
        let names: Vec<String> =
            (b'a'..=b'z').flat_map(|of| ["p", "q"].map(|at| format!("GET /{at}/{}", of as char))).collect();
        let rows: Vec<_> = names.iter().map(|name| (Kind::Request, name.as_str(), &[5u64][..])).collect();
        let mut all = Endpoints::default();
        all.add(&rules, &section(&rows));
        assert_eq!((all.iter().count(), all.rows[&("http", "GET /p/{id}".to_owned())].get(0)), (27, 26));
    }
}
