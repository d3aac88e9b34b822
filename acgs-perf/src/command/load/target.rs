//! Where a load goes, and what it says there.
//!
//! In: a URL and what the command line says about requests. Out: an address of this host, or of another if that is allowed; messages in
//! the protocol.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use acgs_perf_load::postgres::{Mode, Postgres};
use acgs_perf_load::redis::{self, Redis};
use acgs_perf_load::{Messages, Target, http};
use anyhow::{Context as _, bail};

use super::url::{Scheme, Url};
use super::{Args, near};

/// So long each address of a name is tried.
const TRY: Duration = Duration::from_secs(2);

/// The server's address.
///
/// # Errors
/// If it has none, or is not on this host and that was not allowed.
pub fn target(url: &Url, unix: Option<&Path>, allow_remote: bool) -> anyhow::Result<Target> {
    if let Some(path) = unix {
        // As the libraries of PostgreSQL, which name the directory.
        let is_directory = url.scheme == Scheme::Postgres && path.is_dir();
        let path = if is_directory { path.join(format!(".s.PGSQL.{}", url.port)) } else { path.to_owned() };
        if !path.exists() {
            bail!("--unix {}: there is no such socket", path.display());
        }
        return Ok(Target::Unix(path));
    }
    let found = (url.host.as_str(), url.port).to_socket_addrs();
    let mut addresses: Vec<SocketAddr> = found.with_context(|| format!("{url}: no address of {}", url.host))?.collect();
    if !allow_remote {
        addresses.retain(|address| may_be_loaded(address.ip()));
        if addresses.is_empty() {
            bail!(
                "{} is not on this host; a load on a server of others needs --allow-remote, and their consent",
                url.host
            );
        }
    }
    // A name may have several addresses, and the server may listen on one of them only.
    let is_open = |address: &&SocketAddr| TcpStream::connect_timeout(address, TRY).is_ok();
    let open = if addresses.len() > 1 { addresses.iter().find(is_open) } else { None };
    match open.or(addresses.first()) {
        Some(address) => Ok((*address).into()),
        None => bail!("{url}: no address of {}", url.host),
    }
}

/// What cannot be told is no address of this host.
fn may_be_loaded(address: IpAddr) -> bool {
    near::is_near(address).unwrap_or(false)
}

/// What is sent.
///
/// # Errors
/// If the command line says what the protocol does not know.
pub fn messages(url: &Url, args: &Args) -> anyhow::Result<Messages> {
    let foreign = [
        (Scheme::Http, "--method", args.method.is_some()),
        (Scheme::Http, "--header", !args.headers.is_empty()),
        (Scheme::Http, "--body", args.body.is_some()),
        (Scheme::Redis, "--command", !args.commands.is_empty()),
        (Scheme::Postgres, "--query", !args.queries.is_empty()),
        (Scheme::Postgres, "--extended", args.extended),
    ];
    if let Some((scheme, option, _)) = foreign.iter().find(|(scheme, _, given)| *given && *scheme != url.scheme) {
        bail!("{option} is for {}, and {url} is not", scheme.name());
    }
    match url.scheme {
        Scheme::Http => of_http(url, args),
        Scheme::Redis => of_redis(url, &args.commands),
        Scheme::Postgres => of_postgres(url, args),
    }
}

fn of_http(url: &Url, args: &Args) -> anyhow::Result<Messages> {
    let default = if args.body.is_some() { "POST" } else { "GET" };
    let method = args.method.as_deref().unwrap_or(default);
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        bail!("--method {method}: want a word such as POST");
    }
    let header = |text: &'_ str| match text.split_once(':') {
        Some((name, _)) if name.is_empty() || name.contains(char::is_whitespace) => None,
        Some(_) if text.chars().any(char::is_control) => None,
        Some((name, value)) => Some((name.to_owned(), value.trim().to_owned())),
        None => None,
    };
    let headers = args.headers.iter().map(|text| {
        header(text).with_context(|| format!("--header {text:?}: write for example 'Content-Type: application/json'"))
    });
    let headers = headers.collect::<anyhow::Result<Vec<_>>>()?;
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let host = match (url.host.contains(':'), url.port) {
        (false, 80) => url.host.clone(),
        (false, port) => format!("{}:{port}", url.host),
        (true, port) => format!("[{}]:{port}", url.host),
    };
    let body = args.body.as_deref().unwrap_or_default();
    let request = http::request(method, &url.path, &host, &headers, body.as_bytes());
    Ok(Messages::new(request, http::Http { is_head: method == "HEAD" }))
}

fn of_redis(url: &Url, commands: &[String]) -> anyhow::Result<Messages> {
    let mut greeting = Vec::new();
    if let Some(password) = &url.password {
        let words: Vec<&str> = ["AUTH"].into_iter().chain(url.user.as_deref()).chain([password.as_str()]).collect();
        greeting.push(redis::command(&words));
    }
    if !url.path.is_empty() {
        let number: u32 =
            url.path.parse().with_context(|| format!("{url}: the database {}: want a number", url.path))?;
        greeting.push(redis::command(&["SELECT", &number.to_string()]));
    }
    let mut requests = Vec::new();
    for text in commands {
        let words = words(text).with_context(|| format!("--command {text:?}"))?;
        // What has no reply, or more than one, cannot be waited for.
        let name = words[0].to_ascii_uppercase();
        if ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "QUIT", "SYNC", "PSYNC", "HELLO"]
            .contains(&name.as_str())
        {
            bail!("--command {text:?}: {name} has not one reply to each request");
        }
        requests.push(redis::command(&words));
    }
    if requests.is_empty() {
        requests.push(redis::command(&["PING"]));
    }
    Ok(Messages::rotating(requests, Redis { greeting }))
}

/// The words of a command: separated by spaces, those with spaces in quotes of either kind.
fn words(text: &str) -> anyhow::Result<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut quote = None;
    let mut in_word = false;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                if !in_word {
                    words.push(String::new());
                }
                in_word = true;
            }
            (None, c) if c.is_whitespace() => in_word = false,
            (_, c) => {
                if !in_word {
                    words.push(String::new());
                }
                in_word = true;
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    match (quote, words.is_empty()) {
        (Some(quote), _) => bail!("a {quote} is not closed"),
        (None, true) => bail!("it has no words; write for example 'GET key'"),
        (None, false) => Ok(words),
    }
}

fn of_postgres(url: &Url, args: &Args) -> anyhow::Result<Messages> {
    let user = url.user.clone().or_else(|| std::env::var("USER").ok()).filter(|user| !user.is_empty());
    let user = user.with_context(|| format!("{url}: as whom? Write postgres://user@host/database"))?;
    let database = if url.path.is_empty() { user.as_str() } else { url.path.as_str() };
    let mut queries: Vec<&str> = args.queries.iter().map(String::as_str).collect();
    if queries.is_empty() {
        queries.push("SELECT 1");
    }
    if let Some(query) = queries.iter().find(|query| query.contains('\0') || query.trim().is_empty()) {
        bail!("--query {query:?}: no SQL");
    }
    let mode = if args.extended { Mode::Extended } else { Mode::Simple };
    let (mut protocol, requests) = Postgres::new(&user, database, &queries, mode);
    if let Some(password) = &url.password {
        protocol = protocol.with_password(password);
    }
    Ok(Messages::rotating(requests, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_and_quotes() {
        assert_eq!(words("GET key").unwrap(), ["GET", "key"]);
        assert_eq!(words(r#"  SET "a b"'c'  "" "#).unwrap(), ["SET", "a bc", ""]);
        for foul in ["", "  ", "GET 'a"] {
            assert!(words(foul).is_err(), "{foul:?}");
        }
    }

    #[test]
    fn a_server_of_others_is_not_loaded() {
        let url = Url::parse("http://192.0.2.1:9/").unwrap();
        let line = target(&url, None, false).unwrap_err().to_string();
        assert!(line.contains("--allow-remote"), "{line}");
        let url = Url::parse("redis://localhost:1").unwrap();
        assert!(matches!(target(&url, None, false).unwrap(), Target::Tcp(_)));
        let line = target(&url, Some(Path::new("/nonexistent")), false).unwrap_err().to_string();
        assert!(line.contains("no such socket"), "{line}");
    }
}
