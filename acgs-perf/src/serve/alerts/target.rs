//! Where alerts are told, beside standard error.
//!
//! In: what the command line and the configuration say. Out: a program with its arguments, an address of loopback; or one line that says
//! what is wrong with it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A program.
    Command,
    /// Whoever listens on loopback.
    Webhook,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Command, Self::Webhook];

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Webhook => "webhook",
        }
    }
}

/// Where a webhook listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its address.
    pub address: SocketAddr,
    /// The path, with what follows a question mark.
    pub path: String,
}

/// All targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// A program and its arguments.
    pub command: Option<Vec<String>>,
    /// A webhook.
    pub webhook: Option<Webhook>,
}

/// What is wrong with a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no program.
    #[error("alert command {0}: {1}; name a program by its whole path; it gets the event as JSON on standard input")]
    Command(String, &'static str),
    /// It is no webhook.
    #[error("alert webhook {0}: {1}; want http://127.0.0.1:PORT/PATH, and a program that listens there")]
    Webhook(String, &'static str),
}

impl Targets {
    /// Checks both.
    ///
    /// # Errors
    /// When one of them cannot work.
    pub fn new(command: &[String], webhook: Option<&str>) -> Result<Self, TargetError> {
        if let Some(program) = command.first() {
            check(program).map_err(|why| TargetError::Command(program.clone(), why))?;
        }
        let parsed = webhook.map(|url| parse(url).map_err(|why| TargetError::Webhook(url.to_owned(), why)));
        Ok(Self { command: (!command.is_empty()).then(|| command.to_vec()), webhook: parsed.transpose()? })
    }

    /// The kinds that there are.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        let command = self.command.is_some().then_some(Kind::Command);
        command.into_iter().chain(self.webhook.is_some().then_some(Kind::Webhook)).collect()
    }
}

fn check(program: &str) -> Result<(), &'static str> {
    let path = Path::new(program);
    if !path.is_absolute() {
        return Err("not a whole path");
    }
    let about = path.metadata().map_err(|_| "no such program")?;
    if !about.is_file() || about.permissions().mode() & 0o001 == 0 {
        // It runs as a user who owns nothing.
        return Err("not a program that everybody may run");
    }
    Ok(())
}

fn parse(url: &str) -> Result<Webhook, &'static str> {
    let rest = url.strip_prefix("http://").ok_or("not http://")?;
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = host.strip_prefix("localhost:").map_or_else(|| host.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr = host.parse().map_err(|_| "not an address with a port")?;
    if !address.ip().is_loopback() || address.port() == 0 {
        return Err("not on loopback");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("there is a character in the path that cannot stand there");
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Webhook { address, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_on_loopback() {
        let of = |url: &str| Targets::new(&[], Some(url));
        let webhook = of("http://127.0.0.1:9095/hook?x=1").unwrap().webhook.unwrap();
        assert_eq!((webhook.address.port(), webhook.path.as_str()), (9095, "/hook?x=1"));
        assert_eq!(of("http://localhost:80").unwrap().webhook.unwrap().path, "/");
        assert!(of("http://[::1]:80/").is_ok());
        for url in [
            "",
            "https://127.0.0.1:1/",
            "http://10.0.0.1:80/",
            "http://example.org:80/",
            "http://127.0.0.1/",
            "http://127.0.0.1:1/a b",
            "http://127.0.0.1:1/\r\nX: y",
        ] {
            let error = of(url).unwrap_err().to_string();
            assert!(error.starts_with(&format!("alert webhook {url}: ")), "{error}");
        }
    }

    #[test]
    fn a_command_is_a_program_with_arguments() {
        let of = |words: &[&str]| Targets::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), None);
        let targets = of(&["/bin/sh", "-c", "true"]).unwrap();
        assert_eq!((targets.kinds(), targets.command.unwrap().len()), (vec![Kind::Command], 3));
        assert_eq!(of(&[]).unwrap(), Targets::default());
        for program in ["sh", "/nonexistent", "/etc", "/etc/passwd"] {
            let error = of(&[program]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("alert command {program}: ")), "{error}");
        }
    }
}
