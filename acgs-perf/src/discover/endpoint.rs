//! What the configuration says of a service's endpoints: how paths become routes, what is no request, and what each is held against.
//!
//! In: parts of the configuration file. Out: [`EndpointRules`], which a recording keeps, and which another configuration may take the
//! place of when a report is made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Segments of a path that the kernel side keeps.
const MAX_SEGMENTS: usize = 17;
/// Templates and endpoints of a service.
const MAX_RULES: usize = 512;
/// A level of a path with more distinct words than this is one.
const WORDS_PER_LEVEL: u32 = 10;

/// What the configuration says of a service's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointRules {
    /// Templates of paths, in the order in which they are tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Endpoints that are named, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, EndpointRule>,
    /// Distinct words that a level of a path may have; 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words_per_level: Option<u32>,
    /// Whether the service's verdict is that of its worst endpoint.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_worst_endpoint: bool,
}

/// What is said of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointRule {
    /// What its requests are, if that is not what the protocol says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<EndpointKind>,
    /// Its P99 must be below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<Duration>,
    /// Its rate must be above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rps: Option<f64>,
    /// Whether it is no part of the service's latency and verdict.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclude: bool,
}

/// What requests of an endpoint may be said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// Somebody waits for the answer.
    Request,
    /// The answer comes when something happens.
    WaitByDesign,
}

impl EndpointRules {
    /// Distinct words that a level of a path may have.
    #[must_use]
    pub fn words(&self) -> usize {
        match self.words_per_level.unwrap_or(WORDS_PER_LEVEL) {
            0 => usize::MAX,
            words => words as usize,
        }
    }

    /// The endpoints that are held against something of their own.
    pub fn with_objective(&self) -> impl Iterator<Item = (&String, &EndpointRule)> {
        self.endpoints.iter().filter(|(_, rule)| rule.p99.is_some() || rule.min_rps.is_some())
    }

    /// The rules of a service, with those for all behind them: what it says of an endpoint takes the place of what they say.
    #[must_use]
    pub fn over(self, all: &Self) -> Self {
        let mut endpoints = all.endpoints.clone();
        let own = self.endpoints;
        let named = |endpoints: &BTreeMap<String, EndpointRule>| -> Vec<String> {
            endpoints.keys().filter(|name| is_route(name)).cloned().collect()
        };
        let mut routes = [named(&own), self.routes, named(&endpoints), all.routes.clone()].concat();
        let mut seen = std::collections::BTreeSet::new();
        routes.retain(|route| seen.insert(route.clone()));
        endpoints.extend(own);
        Self {
            routes,
            endpoints,
            words_per_level: self.words_per_level.or(all.words_per_level),
            by_worst_endpoint: self.by_worst_endpoint || all.by_worst_endpoint,
        }
    }
}

/// Whether an endpoint's name is a method and a path.
fn is_route(name: &str) -> bool {
    name.split_once(' ').is_some_and(|(method, path)| is_method(method) && path.starts_with('/'))
}

fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// What the file says of endpoints, for all services or for one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEndpoints {
    #[serde(default)]
    pub routes: Vec<String>,
    #[serde(default)]
    pub endpoint: BTreeMap<String, FileEndpoint>,
    pub words_per_level: Option<u32>,
    pub verdict: Option<VerdictOf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEndpoint {
    kind: Option<EndpointKind>,
    p99_ms: Option<f64>,
    min_rps: Option<f64>,
    #[serde(default)]
    exclude: bool,
}

/// Whose verdict a service's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VerdictOf {
    /// All of its requests'.
    AllRequests,
    /// That of the worst of its endpoints.
    WorstEndpoint,
}

impl FileEndpoints {
    /// The rules; what is wrong with them otherwise.
    pub fn rules(self) -> Result<EndpointRules, String> {
        for route in &self.routes {
            check_route(route).map_err(|why| format!("the route {route:?} {why}"))?;
        }
        if self.routes.len() + self.endpoint.len() > MAX_RULES {
            return Err(format!("there are more than {MAX_RULES} routes and endpoints"));
        }
        let mut endpoints = BTreeMap::new();
        for (name, of) in self.endpoint {
            let fail = |why: String| format!("endpoint.{name:?}: {why}");
            if is_route(&name) {
                check_route(&name).map_err(&fail)?;
            }
            if let Some(ms) = of.p99_ms.filter(|ms| !(ms.is_finite() && *ms > 0.0 && *ms <= 60_000.0)) {
                return Err(fail(format!("p99_ms is {ms}; use milliseconds above 0, up to 60000")));
            }
            if let Some(rps) = of.min_rps.filter(|rps| !(rps.is_finite() && *rps >= 0.0)) {
                return Err(fail(format!("min_rps is {rps}; use requests per second, 0 or more")));
            }
            if of.kind == Some(EndpointKind::WaitByDesign) && (of.p99_ms.is_some() || of.min_rps.is_some()) {
                return Err(fail("what waits by design has no objective; remove p99_ms and min_rps, or kind".into()));
            }
            let p99 = of.p99_ms.map(|ms| Duration::from_secs_f64(ms / 1e3));
            endpoints.insert(name, EndpointRule { kind: of.kind, p99, min_rps: of.min_rps, exclude: of.exclude });
        }
        Ok(EndpointRules {
            routes: self.routes,
            endpoints,
            words_per_level: self.words_per_level,
            by_worst_endpoint: self.verdict == Some(VerdictOf::WorstEndpoint),
        })
    }
}

/// Says what is wrong with a template: `/policies/{id}`, `GET /policies/{id}`, `/static/{path...}`.
fn check_route(route: &str) -> Result<(), String> {
    let (method, path) = match route.split_once(' ') {
        Some((method, path)) => (Some(method), path),
        None => (None, route),
    };
    if method.is_some_and(|method| !is_method(method)) || !path.starts_with('/') {
        return Err("is no path; write /policies/{id} or GET /policies/{id}".into());
    }
    if path.contains(['?', '#', ' ']) {
        return Err("has more than a path; names have neither query nor fragment".into());
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if segments.len() > MAX_SEGMENTS {
        return Err(format!("has more than {MAX_SEGMENTS} segments"));
    }
    for (at, segment) in segments.iter().enumerate() {
        let is_value = segment.starts_with('{') && segment.ends_with('}');
        if !is_value && segment.contains(['{', '}']) {
            return Err(format!("has the segment {segment:?}; a value is a whole segment, such as {{id}}"));
        }
        if segment.ends_with("...}") && at + 1 < segments.len() {
            return Err(format!("goes on behind {segment:?}, which stands for all of the rest"));
        }
    }
    Ok(())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<EndpointRules, String> {
        toml::from_str::<FileEndpoints>(text).map_err(|error| error.message().to_owned())?.rules()
    }

    #[test]
    fn a_service_goes_before_what_holds_for_all() {
        let all = rules(
            "routes = [\"/a/{x}\"]\n[endpoint.\"GET /health\"]\nexclude = true\n[endpoint.\"GET /a/b\"]\np99_ms = 2",
        )
        .unwrap();
        let own = rules("routes = [\"/b/{y}\", \"/a/{x}\"]\n[endpoint.\"GET /a/b\"]\nmin_rps = 3\n[endpoint.BRPOP]\nkind = \"request\"")
            .unwrap();
        let both = own.over(&all);
        assert_eq!(both.routes, ["GET /a/b", "/b/{y}", "/a/{x}", "GET /health"]);
        assert_eq!(both.endpoints["GET /a/b"], EndpointRule { min_rps: Some(3.0), ..EndpointRule::default() });
        assert_eq!(both.endpoints["BRPOP"].kind, Some(EndpointKind::Request));
        assert!(both.endpoints["GET /health"].exclude);
        assert_eq!(both.with_objective().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["GET /a/b"]);
        assert_eq!((both.words(), rules("words_per_level = 0").unwrap().words()), (10, usize::MAX));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_reason() {
        for (text, word) in [
            ("routes = [\"policies\"]", "is no path; write"),
            ("routes = [\"get /policies\"]", "is no path"),
            ("routes = [\"/a?b\"]", "neither query nor fragment"),
            ("routes = [\"/a/x{id}\"]", "a value is a whole segment"),
            ("routes = [\"/a/{rest...}/b\"]", "goes on behind"),
            ("[endpoint.\"GET /a\"]\np99 = 2", "unknown field `p99`"),
            ("[endpoint.\"GET /a\"]\np99_ms = 0", "p99_ms is 0"),
            ("[endpoint.\"GET /a\"]\nmin_rps = -1", "min_rps is -1"),
            ("[endpoint.\"GET /a\"]\nkind = \"push\"", "unknown variant `push`"),
            ("[endpoint.\"GET /a\"]\nkind = \"wait_by_design\"\np99_ms = 2", "has no objective"),
            ("verdict = \"best\"", "unknown variant `best`"),
        ] {
            let error = rules(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
