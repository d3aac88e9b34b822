//! Service specifications: a name, the selectors that choose its processes, and what it is held against.
//!
//! In: `--service NAME=SELECTOR` arguments. Out: [`ServiceSpec`]s, in the order in which they were given.

use super::Objective;

use super::endpoint::EndpointRules;
use super::error::DiscoverError;
use super::selector::{Selector, SelectorError};

/// Longest name of a service, in bytes.
pub const MAX_NAME: usize = 64;

/// One service to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// Its name.
    pub name: String,
    /// A process belongs to the service when one of these matches; never empty.
    pub selectors: Vec<Selector>,
    /// What it is held against.
    pub objective: Objective,
    /// What is said of its endpoints.
    pub endpoints: EndpointRules,
}

impl ServiceSpec {
    /// The selectors as one text, such as `port:5439 or port:5432`.
    pub fn selector_text(&self) -> String {
        self.selectors.iter().map(Selector::to_string).collect::<Vec<_>>().join(" or ")
    }
}

/// Reads `--service` arguments, in order; every service gets the same objective. A name may stand only once.
pub fn parse_services(arguments: &[String], objective: Objective) -> Result<Vec<ServiceSpec>, DiscoverError> {
    let mut specs: Vec<ServiceSpec> = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let spec = parse_service(argument, objective)?;
        if specs.iter().any(|other| other.name == spec.name) {
            return Err(DiscoverError::DuplicateService { place: format!("--service {argument}"), name: spec.name });
        }
        specs.push(spec);
    }
    Ok(specs)
}

/// Reads one `NAME=SELECTOR`.
pub fn parse_service(argument: &str, objective: Objective) -> Result<ServiceSpec, DiscoverError> {
    let place = || format!("--service {argument}");
    // A regular expression may hold a '='; a name may not, and neither may a kind.
    let Some((name, selector)) = argument.split_once('=').filter(|(name, _)| !name.contains(':')) else {
        return Err(DiscoverError::NoServiceName { place: place() });
    };
    check_name(name).map_err(|reason| DiscoverError::ServiceName { place: place(), reason })?;
    let selector =
        selector.parse().map_err(|reason: SelectorError| DiscoverError::Selector { place: place(), reason })?;
    Ok(ServiceSpec { name: name.to_owned(), selectors: vec![selector], objective, endpoints: EndpointRules::default() })
}

/// Says what is wrong with a service name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() {
        Err("the service name is empty".to_owned())
    } else if name.len() > MAX_NAME {
        Err(format!("the service name is {} bytes long, at most {MAX_NAME} are allowed", name.len()))
    } else if let Some(bad) = name.chars().find(|c| !allowed(*c)) {
        Err(format!("{bad:?} cannot stand in a service name"))
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Err(format!("the service name \"{name}\" begins with neither a letter nor a digit"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Vec<ServiceSpec>, String> {
        let owned: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        parse_services(&owned, Objective::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_names_and_selectors_in_order() {
        let specs = parse(&["redis=port:6379", "api=cmdline:--app=x:y,port:80"]).unwrap();
        assert_eq!(specs[0].name, "redis");
        assert_eq!(specs[0].selector_text(), "port:6379");
        assert_eq!(specs[1].name, "api");
        assert_eq!(specs[1].selector_text(), "cmdline:--app=x:y,port:80");
    }

    #[test]
    fn errors_are_one_line_with_the_argument() {
        let cases = [
            ("redis=prot:6379", "--service redis=prot:6379: unknown selector kind \"prot\"; use one of port, pid, "),
            ("port:6379", "--service port:6379: no service name; write NAME=SELECTOR"),
            ("cmdline:--a=b", "no service name"),
            ("=port:1", "the service name is empty"),
            ("a b=port:1", "' ' cannot stand in a service name"),
            ("-a=port:1", "begins with neither"),
            ("redis=", "the selector is empty"),
            ("redis=port:70000", "1 to 65535"),
        ];
        for (argument, expected) in cases {
            let error = parse(&[argument]).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{argument}: {error}");
        }
        assert!(parse(&[&format!("{}=port:1", "n".repeat(65))]).unwrap_err().contains("65 bytes long"));
        let twice = parse(&["redis=port:1", "redis=port:2"]).unwrap_err();
        assert!(twice.contains("--service redis=port:2: the service \"redis\" is named twice"), "{twice}");
    }
}
