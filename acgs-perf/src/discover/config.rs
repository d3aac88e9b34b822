//! The configuration file, and the built-in catalogue, which has the same format.
//!
//! In: a TOML file such as `deploy/acgs-perf.example.toml`. Out: [`Config`]. Whatever the file says that is not understood is
//! an error that names the file, the line and the key; so is a key that nothing would use. A constitution that does not fit its
//! hash is refused, and so is a file that is larger than anyone writes: it is read as root.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use acgs_perf_common::CONSTITUTIONAL_HASH;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::{Spanned, Value};

use super::Objective;

use super::endpoint::{EndpointRules, FileEndpoint, FileEndpoints, VerdictOf};
use super::error::DiscoverError;
use super::selector::{Selector, SelectorError};
use super::spec::{ServiceSpec, check_name};

/// The built-in catalogue.
const CATALOGUE: &str = include_str!("../../catalogue.toml");

/// Its name in errors.
const CATALOGUE_NAME: &str = "built-in catalogue";

/// The largest configuration that is read, in bytes: some thousand times a long one.
const MAX_CONFIG: u64 = 1 << 20;

/// The largest constitution that is read, in bytes.
const MAX_DOCUMENT: u64 = 32 << 20;

/// What the configuration says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What a service is held against unless it says otherwise.
    pub objective: Objective,
    /// What it says of the endpoints of all services.
    pub endpoints: EndpointRules,
    /// The services in the order of the file; those of the catalogue when the file has no `[services]`.
    pub services: Vec<ServiceSpec>,
    /// Whom `serve` tells that an objective is missed.
    pub alerts: Alerts,
}

/// Whom `serve` tells that an objective is missed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// A program and its arguments; none if it is empty.
    #[serde(default)]
    pub command: Vec<String>,
    /// A URL on loopback.
    pub webhook: Option<String>,
}

/// The built-in catalogue of services.
pub fn catalogue() -> Result<Config, DiscoverError> {
    parse(CATALOGUE, CATALOGUE_NAME, Path::new("."))
}

/// Reads a configuration file and checks the constitution that it names.
pub fn load(path: &Path) -> Result<Config, DiscoverError> {
    let bytes = read(path, "the configuration", MAX_CONFIG)?;
    let text = String::from_utf8(bytes).map_err(|error| DiscoverError::Config {
        place: path.display().to_string(),
        reason: format!("not UTF-8 from byte {} on; name a TOML file", error.utf8_error().valid_up_to()),
    })?;
    parse(&text, &path.display().to_string(), path.parent().unwrap_or(Path::new(".")))
}

/// Reads a file that is at most so large.
fn read(path: &Path, what: &'static str, max: u64) -> Result<Vec<u8>, DiscoverError> {
    let failed = |cause| DiscoverError::Read { path: path.to_owned(), what, cause };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(DiscoverError::TooLarge { path: path.to_owned(), what, max });
    }
    Ok(bytes)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    constitutional_hash: Option<Spanned<String>>,
    constitution: Option<Constitution>,
    objective: Option<FileObjective>,
    services: Option<Services>,
    alerts: Option<Alerts>,
    routes: Option<Spanned<Vec<String>>>,
    endpoint: Option<Spanned<BTreeMap<String, FileEndpoint>>>,
    words_per_level: Option<u32>,
}

type Services = std::collections::HashMap<Spanned<String>, Spanned<Value>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Constitution {
    document: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileObjective {
    p99_ms: Option<Spanned<f64>>,
    min_rps: Option<Spanned<f64>>,
    cache_hit_rate: Option<Spanned<f64>>,
    verdict: Option<VerdictOf>,
}

/// Parses `text`; `name` stands in errors, `directory` is where relative paths begin.
fn parse(text: &str, name: &str, directory: &Path) -> Result<Config, DiscoverError> {
    let source = Source { text, name };
    let file: Document = toml::from_str(text).map_err(|error| {
        let reason = error.message().lines().collect::<Vec<_>>().join(", ");
        source.error(error.span().map_or(0, |span| span.start), format!("{reason}; correct or remove it"))
    })?;
    if let Some(hash) = &file.constitutional_hash
        && hash.get_ref() != CONSTITUTIONAL_HASH
    {
        return Err(DiscoverError::Hash {
            place: source.place(hash.span().start),
            found: hash.get_ref().clone(),
            expected: CONSTITUTIONAL_HASH,
        });
    }
    if let Some(constitution) = file.constitution {
        check_constitution(&directory.join(constitution.document), name)?;
    }
    let limits = file.objective.unwrap_or_default();
    let default = Objective::default();
    let objective = Objective {
        p99: limits.p99_ms.map_or(Ok(default.p99), |ms| source.p99(*ms.get_ref(), ms.span().start))?,
        min_rps: limits.min_rps.map_or(Ok(default.min_rps), |rps| source.rps(*rps.get_ref(), rps.span().start))?,
        cache_hit_rate: limits.cache_hit_rate.map(|of| source.hit_rate(*of.get_ref(), of.span().start)).transpose()?,
    };
    let place = file.routes.as_ref().map(|of| of.span().start).or(file.endpoint.as_ref().map(|of| of.span().start));
    let endpoints = FileEndpoints {
        routes: file.routes.map(Spanned::into_inner).unwrap_or_default(),
        endpoint: file.endpoint.map(Spanned::into_inner).unwrap_or_default(),
        words_per_level: file.words_per_level,
        verdict: limits.verdict,
    };
    let of_file = endpoints.rules().map_err(|reason| source.error(place.unwrap_or(0), reason))?;
    let endpoints = EndpointRules::default().over(&of_file);
    let services = match file.services {
        Some(services) => source.services(services, objective, &of_file)?,
        None if name == CATALOGUE_NAME => Vec::new(),
        // What the file says about objective and endpoints holds for the catalogue too.
        None => {
            let all = catalogue()?.services.into_iter();
            all.map(|spec| ServiceSpec { objective, endpoints: endpoints.clone(), ..spec }).collect()
        }
    };
    Ok(Config { objective, endpoints, services, alerts: file.alerts.unwrap_or_default() })
}

/// The document's SHA-256 must begin with the constitutional hash.
fn check_constitution(path: &Path, config: &str) -> Result<(), DiscoverError> {
    let bytes = read(path, "the constitution", MAX_DOCUMENT)?;
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if digest.starts_with(CONSTITUTIONAL_HASH) {
        return Ok(());
    }
    Err(DiscoverError::Constitution {
        path: path.to_owned(),
        digest,
        expected: CONSTITUTIONAL_HASH,
        config: config.to_owned(),
    })
}

/// The text being read, for errors that say where.
struct Source<'a> {
    text: &'a str,
    name: &'a str,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> String {
        let line = 1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        format!("{}:{line}", self.name)
    }

    fn error(&self, offset: usize, reason: String) -> DiscoverError {
        DiscoverError::Config { place: self.place(offset), reason }
    }

    fn p99(&self, ms: f64, offset: usize) -> Result<Duration, DiscoverError> {
        if ms.is_finite() && ms > 0.0 && ms <= 60_000.0 {
            Ok(Duration::from_secs_f64(ms / 1e3))
        } else {
            Err(self.error(offset, format!("p99_ms is {ms}; use milliseconds above 0, up to 60000")))
        }
    }

    fn rps(&self, rps: f64, offset: usize) -> Result<f64, DiscoverError> {
        if rps.is_finite() && rps >= 0.0 {
            Ok(rps)
        } else {
            Err(self.error(offset, format!("min_rps is {rps}; use requests per second, 0 or more")))
        }
    }

    fn hit_rate(&self, rate: f64, offset: usize) -> Result<f64, DiscoverError> {
        if rate > 0.0 && rate <= 1.0 {
            Ok(rate)
        } else {
            Err(self.error(offset, format!("cache_hit_rate is {rate}; use a share above 0, up to 1, such as 0.85")))
        }
    }

    fn services(
        &self,
        services: Services,
        objective: Objective,
        endpoints: &EndpointRules,
    ) -> Result<Vec<ServiceSpec>, DiscoverError> {
        let mut entries: Vec<_> = services.into_iter().collect();
        // The first service that matches a process keeps it, so the order of the file matters.
        entries.sort_by_key(|(name, _)| name.span().start);
        let one = |(name, value): (Spanned<String>, Spanned<Value>)| {
            self.service(&name, value.into_inner(), objective, endpoints)
        };
        entries.into_iter().map(one).collect()
    }

    fn service(
        &self,
        name: &Spanned<String>,
        value: Value,
        all: Objective,
        of_all: &EndpointRules,
    ) -> Result<ServiceSpec, DiscoverError> {
        let offset = name.span().start;
        let name = name.get_ref();
        check_name(name).map_err(|reason| DiscoverError::ServiceName { place: self.place(offset), reason })?;
        let fail = |reason: String| self.error(offset, format!("services.{name}: {reason}"));
        let mut objective = all;
        let mut endpoints = toml::Table::new();
        let value = match value {
            Value::Table(table) => {
                let mut selector = None;
                for (key, value) in table {
                    match (key.as_str(), number(&value)) {
                        ("selector", _) => selector = Some(value),
                        ("p99_ms", Some(ms)) => objective.p99 = self.p99(ms, offset)?,
                        ("min_rps", Some(rps)) => objective.min_rps = self.rps(rps, offset)?,
                        ("cache_hit_rate", Some(rate)) => {
                            objective.cache_hit_rate = Some(self.hit_rate(rate, offset)?);
                        }
                        ("p99_ms" | "min_rps" | "cache_hit_rate", None) => {
                            return Err(fail(format!("{key} must be a number")));
                        }
                        ("routes" | "endpoint" | "words_per_level" | "verdict", _) => {
                            endpoints.insert(key, value);
                        }
                        _ => {
                            return Err(fail(format!(
                                "unknown key \"{key}\"; use selector, p99_ms, min_rps, cache_hit_rate, routes, endpoint, words_per_level or verdict"
                            )));
                        }
                    }
                }
                selector.ok_or_else(|| fail("no selector; add selector = \"port:8016\"".to_owned()))?
            }
            other => other,
        };
        let selectors = selectors(value, fail)?;
        let endpoints: FileEndpoints = endpoints
            .try_into()
            .map_err(|error: toml::de::Error| fail(error.message().lines().collect::<Vec<_>>().join(", ")))?;
        let endpoints = endpoints.rules().map_err(fail)?.over(of_all);
        Ok(ServiceSpec { name: name.clone(), selectors, objective, endpoints })
    }
}

/// The selectors of a service; `fail` says whose they are.
fn selectors(value: Value, fail: impl Fn(String) -> DiscoverError) -> Result<Vec<Selector>, DiscoverError> {
    let alternatives = match value {
        Value::Array(values) => values,
        one => vec![one],
    };
    if alternatives.is_empty() {
        return Err(fail("the list is empty; name at least one port".to_owned()));
    }
    alternatives
        .iter()
        .map(|value| match value {
            Value::Integer(port) => match u16::try_from(*port) {
                Ok(port) if port > 0 => Ok(Selector::port(port)),
                _ => Err(fail(SelectorError::Port(port.to_string()).to_string())),
            },
            Value::String(text) => text.parse().map_err(|error: SelectorError| fail(error.to_string())),
            other => Err(fail(format!(
                "a service is a port, a list of ports or a selector in quotes, not a value of type {}",
                other.type_str()
            ))),
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|integer| integer as f64))
}

#[cfg(test)]
mod tests;
