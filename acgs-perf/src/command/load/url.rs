//! What is to be loaded, as the command line names it.
//!
//! In: a URL. Out: protocol, host and port, and what the protocol wants to know; or one line that says how to write it.

use std::fmt;

use anyhow::{Context as _, bail};

/// What a URL is written like.
const FORMS: &str = "http://host:port/path, redis://host:port or postgres://user@host:port/database";

/// How to speak to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// Redis.
    Redis,
    /// PostgreSQL.
    Postgres,
}

impl Scheme {
    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Redis => 6379,
            Self::Postgres => 5432,
        }
    }
}

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// How to speak.
    pub scheme: Scheme,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Who one is.
    pub user: Option<String>,
    /// And how that is proved.
    pub password: Option<String>,
    /// Path with query; of Redis the number of the database, of PostgreSQL its name, without the stroke.
    pub path: String,
}

impl Url {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// If it is none, or of a scheme that is not spoken.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let whole = text;
        let text = &without_identity(whole);
        let Some((scheme, rest)) = whole.split_once("://") else {
            bail!("{text}: no URL; write {FORMS}");
        };
        let scheme = match scheme {
            "http" => Scheme::Http,
            "redis" => Scheme::Redis,
            "postgres" | "postgresql" => Scheme::Postgres,
            "https" => bail!("{text}: TLS is not spoken; load the server behind it by http://host:port/path"),
            "rediss" => bail!("{text}: TLS is not spoken; load the plain port by redis://host:port"),
            _ => bail!("{text}: the scheme {scheme} is not known; write {FORMS}"),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (identity, place) = match authority.rsplit_once('@') {
            Some((identity, place)) => (Some(identity), place),
            None => (None, authority),
        };
        let (user, password) = match identity.map(|identity| identity.split_once(':').unwrap_or((identity, ""))) {
            Some((user, password)) => (decoded(user), decoded(password)),
            None => (None, None),
        };
        if scheme == Scheme::Http && identity.is_some() {
            bail!("{text}: a user has no place in it; give --header 'Authorization: …'");
        }
        let (host, port) = place_of(place).with_context(|| text.clone())?;
        let path = match scheme {
            Scheme::Http if path.starts_with('/') => path.to_owned(),
            Scheme::Http => format!("/{path}"),
            Scheme::Redis | Scheme::Postgres => {
                let (path, query) = path.split_once('?').unwrap_or((path, ""));
                if !query.is_empty() {
                    bail!("{text}: what stands behind the ? is not known; --unix names a socket");
                }
                decoded(path.trim_start_matches('/')).unwrap_or_default()
            }
        };
        if path.chars().any(|c| c.is_control() || c == ' ') {
            bail!("{text}: there is a space or a control character in the path; write it as %20 or alike");
        }
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.default_port()), user, password, path })
    }
}

impl fmt::Display for Url {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let path = self.path.trim_start_matches('/');
        write!(f, "{}://{user}{host}:{}/{path}", self.scheme.name(), self.port)
    }
}

/// As it may be shown: what may hold a password is left out.
fn without_identity(text: &str) -> String {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at(begin);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}…{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// `host:port`, `host`, or `[address]:port`.
fn place_of(place: &str) -> anyhow::Result<(String, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').context("a [ without its ]")?;
            (host, rest.strip_prefix(':'))
        }
        None => match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        None | Some("") => None,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => bail!("the port {text}: want a number from 1 to 65535"),
        },
    };
    if host.contains(':') && !place.starts_with('[') {
        bail!("an IPv6 address stands in brackets: [{host}]");
    }
    let host = if host.is_empty() { "localhost" } else { host };
    Ok((host.to_owned(), port))
}

/// With each %XX as the byte that it stands for; `None` if nothing is there.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        let url = Url::parse("http://localhost:8000/a?b=c#d").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("localhost", 8000, "/a?b=c"));
        assert_eq!(url.to_string(), "http://localhost:8000/a?b=c");
        let url = Url::parse("http://[::1]").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", 80, "/"));
        assert_eq!(url.to_string(), "http://[::1]:80/");
        let url = Url::parse("redis://:p%40ss@127.0.0.1/3").unwrap();
        assert_eq!((url.user.clone(), url.password.as_deref(), url.port), (None, Some("p@ss"), 6379));
        assert_eq!((url.path.as_str(), url.to_string().as_str()), ("3", "redis://127.0.0.1:6379/3"));
        let url = Url::parse("postgresql://me@/shop").unwrap();
        assert_eq!((url.user.as_deref(), url.host.as_str(), url.path.as_str()), (Some("me"), "localhost", "shop"));
        assert_eq!(Url::parse("http://h?x=1").unwrap().path, "/?x=1");
    }

    #[test]
    fn what_is_no_url_is_told_how_to_be_one() {
        for (text, words) in [
            ("127.0.0.1:8000", "http://host:port/path"),
            ("https://h/", "TLS"),
            ("rediss://h", "TLS"),
            ("ftp://h", "ftp"),
            ("http://h:0/", "65535"),
            ("http://h:x/", "the port x"),
            ("http://::1/", "brackets"),
            ("http://u:p@h/", "Authorization"),
            ("http://h/a b", "%20"),
            ("http://h/a\r\nX: y", "control"),
            ("postgres://u@h/d?host=/tmp", "--unix"),
            ("", "no URL"),
        ] {
            let line = format!("{:#}", Url::parse(text).unwrap_err());
            assert!(line.contains(words) && !line.contains('\n') | text.contains('\n'), "{line}");
            assert!(!line.contains("u:p@"), "{line}");
        }
    }
}
