//! What an endpoint is called in a report: by the templates of the configuration, else as it was named, with made-up words left out.
//!
//! In: the rules of a service, and the names of a recording, which are kept as the kernel side has them. Out: other names; rows of the same
//! name are added, histograms and all. So a better rule cuts an old capture anew.

use std::borrow::Cow;

use acgs_perf_protocol::{Kind, Protocol};

use super::paths::Paths;
use crate::discover::{EndpointKind, EndpointRules};
use crate::live::probes::endpoints::key_of;
use crate::sums::{Difference as _, Key, Row, Section};

/// Makes names.
#[derive(Clone, Debug)]
pub struct Naming<'a> {
    rules: &'a EndpointRules,
    templates: Vec<Template<'a>>,
    paths: Paths,
}

/// A path of the configuration.
#[derive(Clone, Debug)]
struct Template<'a> {
    method: Option<&'a str>,
    path: &'a str,
    segments: Vec<Segment<'a>>,
}

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Word(&'a str),
    /// One segment, whatever it is.
    Any,
    /// What the kernel side has taken for a value.
    Value,
    /// All that follow, at least one.
    Rest,
}

impl<'a> Naming<'a> {
    /// By these rules alone: a name is the same whatever else is asked for.
    #[must_use]
    pub fn new(rules: &'a EndpointRules) -> Self {
        Self {
            rules,
            templates: rules.routes.iter().map(|route| Template::new(route)).collect(),
            paths: Paths::new(rules.words()),
        }
    }

    /// By these rules, and by how many words there are in the paths that they do not name.
    #[must_use]
    pub fn of(rules: &'a EndpointRules, section: &Section) -> Self {
        let mut naming = Self::new(rules);
        section.iter().for_each(|(key, row)| naming.learn(key, &row.label));
        naming
    }

    /// Takes a name into account.
    pub fn learn(&mut self, key: &Key, name: &str) {
        let Some((protocol, method, path)) = parts(key, name) else { return };
        if !self.templates.iter().any(|template| template.fits(method, path)) {
            self.paths.add(protocol, method, path);
        }
    }

    /// The name of a row.
    #[must_use]
    pub fn name<'b>(&self, key: &Key, name: &'b str) -> Cow<'b, str> {
        let Some((protocol, method, path)) = parts(key, name) else { return name.into() };
        if let Some(template) = self.templates.iter().find(|template| template.fits(method, path)) {
            return format!("{method} {}", template.path).into();
        }
        match self.paths.name(protocol, method, path) {
            Cow::Borrowed(_) => name.into(),
            Cow::Owned(path) => format!("{method} {path}").into(),
        }
    }

    /// What the requests of a name are, whose protocol says `kind`.
    #[must_use]
    pub fn kind(&self, name: &str, kind: Kind) -> Kind {
        match self.rules.endpoints.get(name).and_then(|rule| rule.kind) {
            Some(EndpointKind::WaitByDesign) if kind == Kind::Request => Kind::WaitByDesign,
            Some(EndpointKind::Request) if kind == Kind::WaitByDesign => Kind::Request,
            _ => kind,
        }
    }

    /// Whether a name is no part of its service's latency.
    #[must_use]
    pub fn is_excluded(&self, name: &str) -> bool {
        self.rules.endpoints.get(name).is_some_and(|rule| rule.exclude)
    }

    /// The key and the name of a row.
    #[must_use]
    pub fn renamed(&self, key: &Key, row: &Row) -> (Key, String) {
        let name = self.name(key, &row.label);
        let Some((protocol, own)) = key.first().zip(kind_of(key)) else { return (key.clone(), name.into_owned()) };
        let kind = self.kind(&name, own);
        if kind == own && matches!(name, Cow::Borrowed(_)) {
            // A name that nobody has seen whole is told apart by more than its text.
            return (key.clone(), name.into_owned());
        }
        (key_of(*protocol, kind as u32, &name), name.into_owned())
    }

    /// The rows by name.
    #[must_use]
    pub fn recut(&self, section: &Section) -> Section {
        let mut all = Section::new();
        for (key, row) in section {
            let (key, label) = self.renamed(key, row);
            let known = all.entry(key).or_insert(Row { label, ..Row::NOTHING });
            known.sums.add(&row.sums);
        }
        all
    }
}

/// What the protocol says of a row's requests; `None` in the row of the others.
fn kind_of(key: &Key) -> Option<Kind> {
    crate::live::probes::endpoints::kind_of(key)
}

/// Protocol, method and path of a name that has them.
fn parts<'b>(key: &Key, name: &'b str) -> Option<(u32, &'b str, &'b str)> {
    let protocol = *key.first()?;
    if ![Protocol::Http1, Protocol::Http2, Protocol::FastCgi].iter().any(|of| *of as u32 == protocol) {
        return None;
    }
    let (method, path) = name.split_once(' ')?;
    path.starts_with('/').then_some((protocol, method, path))
}

impl<'a> Template<'a> {
    fn new(route: &'a str) -> Self {
        let (method, path) = match route.split_once(' ') {
            Some((method, path)) => (Some(method), path),
            None => (None, route),
        };
        Self { method, path, segments: path.split('/').skip(1).map(Segment::new).collect() }
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        if self.method.is_some_and(|own| own != method) {
            return false;
        }
        let mut segments = path.split('/').skip(1);
        for own in &self.segments {
            let Some(segment) = segments.next() else { return false };
            match own {
                Segment::Word(word) if *word != segment => return false,
                Segment::Value if segment != "{}" => return false,
                // Behind a last slash there is nothing that could be a value.
                Segment::Any if segment.is_empty() || segment == "…" => return false,
                Segment::Rest => return true,
                _ => {}
            }
        }
        segments.next().is_none()
    }
}

impl<'a> Segment<'a> {
    fn new(text: &'a str) -> Self {
        match text {
            "{}" => Self::Value,
            text if text.starts_with('{') && text.ends_with("...}") => Self::Rest,
            text if text.starts_with('{') => Self::Any,
            text if !is_kept(text) => Self::Value,
            text => Self::Word(text),
        }
    }
}

/// Whether the kernel side keeps this segment of a path as it is.
fn is_kept(text: &str) -> bool {
    let is_version =
        text.strip_prefix('v').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    is_version || (text.len() <= 32 && text.bytes().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sums::Sums;

    const HTTP: u32 = Protocol::Http1 as u32;

    fn section(names: &[(u32, Kind, &str, i64)]) -> Section {
        let row = |(protocol, kind, name, count): &(u32, Kind, &str, i64)| {
            let row = Row { sums: Sums::sparse([(0, *count), (9, *count)]), label: (*name).into(), ..Row::default() };
            (key_of(*protocol, *kind as u32, name), row)
        };
        names.iter().map(row).collect()
    }

    fn rules(routes: &[&str]) -> EndpointRules {
        EndpointRules { routes: routes.iter().map(|route| (*route).to_owned()).collect(), ..EndpointRules::default() }
    }

    fn named(rules: &EndpointRules, name: &str) -> String {
        Naming::new(rules).name(&key_of(HTTP, Kind::Request as u32, name), name).into_owned()
    }

    #[test]
    fn the_first_template_that_fits_gives_the_name() {
        let rules =
            rules(&["GET /policies/search", "/policies/{id}", "/files/{path...}", "/2fa/{code}", "/v2/x", "/u/{}"]);
        for (name, wanted) in [
            ("GET /policies/search", "GET /policies/search"),
            ("POST /policies/search", "POST /policies/{id}"),
            ("GET /policies/{}", "GET /policies/{id}"),
            ("GET /policies/", "GET /policies/"),
            ("GET /policies/{}/x", "GET /policies/{}/x"),
            ("GET /files/a/{}/…", "GET /files/{path...}"),
            ("GET /files", "GET /files"),
            // The kernel side takes a word with a digit for a value.
            ("GET /{}/{}", "GET /2fa/{code}"),
            ("GET /v2/x", "GET /v2/x"),
            ("GET /u/bob", "GET /u/bob"),
            ("GET /u/{}", "GET /u/{}"),
        ] {
            assert_eq!(named(&rules, name), wanted, "{name}");
        }
        let statement = "select /policies/{}";
        let key = key_of(Protocol::Postgres as u32, Kind::Request as u32, statement);
        assert_eq!(Naming::new(&rules).name(&key, statement), statement);
    }

    #[test]
    fn rows_of_one_name_are_added_and_only_they() {
        let rules = rules(&["/p/{id}"]);
        let section = section(&[
            (HTTP, Kind::Request, "GET /p/{}", 3),
            (HTTP, Kind::Request, "GET /p/new", 4),
            (HTTP, Kind::Request, "PUT /p/new", 5),
            (Protocol::FastCgi as u32, Kind::Request, "GET /p/new", 6),
            (HTTP, Kind::OneWay, "GET /p/new", 7),
        ]);
        let found = Naming::of(&rules, &section).recut(&section);
        let count = |protocol, kind, name: &str| found[&key_of(protocol, kind as u32, name)].sums.get(9);
        assert_eq!(found.len(), 4);
        assert_eq!(count(HTTP, Kind::Request, "GET /p/{id}"), 7);
        assert_eq!(count(HTTP, Kind::Request, "PUT /p/{id}"), 5);
        assert_eq!(count(HTTP, Kind::OneWay, "GET /p/{id}"), 7);
        assert_eq!(count(Protocol::FastCgi as u32, Kind::Request, "GET /p/{id}"), 6);
        // Nothing to say: the rows are as they were.
        let none = EndpointRules::default();
        assert_eq!(Naming::of(&none, &section).recut(&section), section);
    }

    #[test]
    fn templates_are_no_words_that_a_level_has_too_many_of() {
        let rules = rules(&["/x/{id}"]);
        let names: Vec<String> = (b'a'..=b'z').map(|letter| format!("GET /x/{}", char::from(letter))).collect();
        let section = section(&names.iter().map(|name| (HTTP, Kind::Request, name.as_str(), 1)).collect::<Vec<_>>());
        let found = Naming::of(&rules, &section).recut(&section);
        assert_eq!(found.values().map(|row| row.label.as_str()).collect::<Vec<_>>(), ["GET /x/{id}"]);
        let none = EndpointRules::default();
        let found = Naming::of(&none, &section).recut(&section);
        assert_eq!(found.values().map(|row| row.label.as_str()).collect::<Vec<_>>(), ["GET /x/{name}"]);
    }

    #[test]
    fn a_kind_can_be_moved_there_and_back() {
        let rule = |kind| crate::discover::EndpointRule { kind: Some(kind), ..Default::default() };
        let mut rules = EndpointRules::default();
        rules.endpoints.insert("GET /events".into(), rule(EndpointKind::WaitByDesign));
        rules.endpoints.insert("BRPOP".into(), rule(EndpointKind::Request));
        let redis = Protocol::Resp as u32;
        let section = section(&[
            (HTTP, Kind::Request, "GET /events", 1),
            (redis, Kind::WaitByDesign, "BRPOP", 2),
            (redis, Kind::Request, "BRPOP", 3),
            (redis, Kind::OneWay, "BRPOP", 4),
        ]);
        let found = Naming::of(&rules, &section).recut(&section);
        let count = |protocol, kind, name: &str| found[&key_of(protocol, kind as u32, name)].sums.get(0);
        assert_eq!(count(HTTP, Kind::WaitByDesign, "GET /events"), 1);
        assert_eq!((count(redis, Kind::Request, "BRPOP"), count(redis, Kind::OneWay, "BRPOP")), (5, 4));
        assert_eq!(found.len(), 3);
    }
}
