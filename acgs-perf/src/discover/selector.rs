//! Selectors: the language in which a user says which processes make up a service.
//!
//! In: text such as `port:6379,comm:redis-server`. Out: a [`Selector`], or an error that says what to write instead.
//! Nothing here looks at the host; `matching` does.
//!
//! A selector is one or more terms `kind:value` joined by `,`; a process matches when every term holds. After
//! `port:` and `pid:` every `,` separates. After the other kinds, whose values may themselves hold a `,`, it separates
//! only where one of the kinds and a `:` follow directly; `[,]port:` writes that literally in a regular expression.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::namespaces::Place;
pub use super::selector_error::{KINDS, SelectorError};

/// Bytes of a command name that the kernel keeps (TASK_COMM_LEN less the final zero).
pub const COMM_BYTES: usize = 15;

/// One condition on a process.
#[derive(Clone, Debug)]
pub enum Term {
    /// `port:N`: holds a TCP socket that listens on the port, whatever the address.
    Port(u16),
    /// `pid:N`: is this process. Its descendants join it, whatever they execute.
    Pid(u32),
    /// `comm:NAME`: has this command name; only the first 15 bytes count, the kernel keeps no more.
    Comm(String),
    /// `exe:/PATH`: executes this file; symbolic links are followed.
    Exe(String),
    /// `cmdline:REGEX`: its arguments, joined by single blanks, match somewhere.
    Cmdline(Regex),
    /// `cgroup:/PATH`: is in this control group or below it, in any hierarchy.
    Cgroup(String),
    /// `unit:NAME`: belongs to this systemd unit; without a suffix, `.service` is meant.
    Unit(String),
    /// `unix:/PATH` or `unix:@NAME`: holds a UNIX stream socket that listens on the path, or on the abstract name.
    Unix(String),
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Term {
    fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Port(port) => ("port", port.to_string()),
            Self::Pid(pid) => ("pid", pid.to_string()),
            Self::Comm(name) => ("comm", name.clone()),
            Self::Exe(path) => ("exe", path.clone()),
            Self::Cmdline(regex) => ("cmdline", regex.as_str().to_owned()),
            Self::Cgroup(path) => ("cgroup", path.clone()),
            Self::Unit(name) => ("unit", name.clone()),
            Self::Unix(path) => ("unix", path.clone()),
        }
    }

    fn parse(text: &str) -> Result<Self, SelectorError> {
        let Some((kind, value)) = text.split_once(':') else {
            return Err(SelectorError::NoKind(text.to_owned()));
        };
        if !KINDS.contains(&kind) {
            return Err(SelectorError::UnknownKind(kind.to_owned()));
        }
        if value.is_empty() {
            return Err(SelectorError::NoValue(kind.to_owned()));
        }
        let absolute = |abstract_too: bool| match value.as_bytes()[0] {
            b'/' => Ok(value.to_owned()),
            b'@' if abstract_too && value.len() > 1 => Ok(value.to_owned()),
            _ => Err(SelectorError::NotAbsolute { kind: kind.to_owned(), value: value.to_owned() }),
        };
        Ok(match kind {
            "port" => Self::Port(parse_port(value)?),
            "pid" => Self::Pid(
                digits(value)
                    .and_then(|pid| i32::try_from(pid).ok())
                    .filter(|pid| *pid > 0)
                    .map(i32::unsigned_abs)
                    .ok_or_else(|| SelectorError::Pid(value.to_owned()))?,
            ),
            "comm" => Self::Comm(value.to_owned()),
            "exe" => Self::Exe(absolute(false)?),
            "cmdline" => Self::Cmdline(Regex::new(value).map_err(|error| SelectorError::regex(value, &error))?),
            "cgroup" => Self::Cgroup(absolute(false)?),
            "unit" => Self::Unit(value.to_owned()),
            _ => Self::Unix(absolute(true)?),
        })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, value) = self.parts();
        write!(f, "{kind}:{value}")
    }
}

/// Terms that must all hold; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    terms: Vec<Term>,
    place: Option<Place>,
}

impl Selector {
    /// The selector of whoever listens on a TCP port; `port` must not be 0.
    pub fn port(port: u16) -> Self {
        Self { terms: vec![Term::Port(port)], place: None }
    }

    /// Where its ports are meant; `None` before the host was looked at.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The same selector for the ports of one place.
    pub(super) fn at(&self, place: Option<Place>) -> Self {
        Self { terms: self.terms.clone(), place }
    }

    /// Whether a term names a port.
    pub(super) fn has_port(&self) -> bool {
        self.terms.iter().any(|term| matches!(term, Term::Port(_)))
    }

    /// The terms, in the order in which they were written.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.is_empty() {
            return Err(SelectorError::Empty);
        }
        let terms = split(text).into_iter().map(Term::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { terms, place: None })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            write!(f, "{}{term}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Splits at each `,` that separates two terms; see the head of this file.
fn split(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    for (comma, _) in text.match_indices(',') {
        let plain = text[start..].starts_with("port:") || text[start..].starts_with("pid:");
        let rest = &text[comma + 1..];
        if plain || KINDS.iter().any(|kind| rest.strip_prefix(kind).is_some_and(|rest| rest.starts_with(':'))) {
            terms.push(&text[start..comma]);
            start = comma + 1;
        }
    }
    terms.push(&text[start..]);
    terms
}

/// A number of digits alone: no sign, no blank.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn parse_port(text: &str) -> Result<u16, SelectorError> {
    digits(text)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
        .ok_or_else(|| SelectorError::Port(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> String {
        let error = Selector::from_str(text).unwrap_err().to_string();
        assert!(!error.contains('\n'), "one line: {error}");
        error
    }

    #[test]
    fn every_kind_reads_and_prints_the_same() {
        for text in [
            "port:8016",
            "port:1",
            "port:65535",
            "pid:123",
            "comm:redis-server",
            "exe:/usr/bin/redis-server",
            "cmdline:uvicorn .*:app",
            "cgroup:/system.slice",
            "unit:redis",
            "unix:/run/x.sock",
            "unix:@abstract",
            "port:6379,comm:redis-server,pid:7",
        ] {
            assert_eq!(Selector::from_str(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_comma_separates_only_before_a_known_kind() {
        let terms = |text: &str| Selector::from_str(text).unwrap().terms().to_vec();
        assert_eq!(terms("cmdline:a{1,3},b,port:80").len(), 2);
        assert_eq!(terms("cmdline:a{1,3},b,port:80")[0].to_string(), "cmdline:a{1,3},b");
        assert_eq!(terms("cmdline:x[,]port:80").len(), 1);
        assert_eq!(terms("cmdline:x,portal:80").len(), 1);
        assert_eq!(terms("comm:a,b,unit:c").len(), 2);
    }

    #[test]
    fn errors_say_what_to_do() {
        let kinds = "use one of port, pid, comm, exe, cmdline, cgroup, unit, unix";
        assert_eq!(fails("prot:6379"), format!("unknown selector kind \"prot\"; {kinds}"));
        assert!(fails("port:1,prot:2").contains("unknown selector kind \"prot\""));
        assert!(fails("").contains("empty"));
        assert!(fails("6379").contains("has no kind"));
        assert!(fails("port:80,comm").contains("\"comm\" has no kind"));
        assert!(fails("comm:").contains("no value"));
        for port in ["0", "65536", "-1", "+80", " 80", "http", "99999999999999999999999"] {
            assert!(fails(&format!("port:{port}")).contains("1 to 65535"), "{port}");
        }
        for pid in ["0", "-4", "x", "2147483648", "1 "] {
            assert!(fails(&format!("pid:{pid}")).contains("is not a process id"), "{pid}");
        }
        assert!(fails("exe:redis").contains("absolute"));
        assert!(fails("exe:@redis").contains("absolute"));
        assert!(fails("unix:x.sock").contains("'@'"));
        assert!(fails("cmdline:a(b").contains("unclosed group"));
    }
}
