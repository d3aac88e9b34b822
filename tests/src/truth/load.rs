//! The command line of `truth-load`: the load generator with the truth servers' scripts among its messages.
//!
//! In: flags. Out: a client that is not connected yet, and a plan.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use acgs_perf_load::{Arrivals, Client, Load, Messages, http};
use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};

use super::protocol;
use super::script::HELP;

/// How requests arrive at a given rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Process {
    /// In equal intervals.
    Constant,
    /// Independent of each other.
    Poisson,
}

/// Load that does not wait for a slow server, measured from each request's intended moment.
#[derive(Clone, Debug, Parser)]
#[command(after_help = HELP)]
pub struct Options {
    /// For example 127.0.0.1:8016.
    #[arg(long)]
    pub target: SocketAddr,
    /// Requests per second; without it a closed loop.
    #[arg(long)]
    pub rate: Option<f64>,
    /// How they arrive.
    #[arg(long, value_enum, default_value = "constant")]
    pub arrivals: Process,
    /// Connections held open; with --new-connections, how many at a time.
    #[arg(long, default_value_t = 8)]
    pub connections: usize,
    /// A new connection for each request.
    #[arg(long)]
    pub new_connections: bool,
    /// How many at most.
    #[arg(long)]
    pub requests: Option<u64>,
    /// Seconds after which nothing more is sent.
    #[arg(long)]
    pub duration: Option<f64>,
    /// Seconds after which to give up.
    #[arg(long, default_value_t = 60.0)]
    pub limit: f64,
    /// Bytes of a request and of a reply of fixed size.
    #[arg(long, default_value_t = 64)]
    pub message: usize,
    /// Text of a request of fixed size, with `\r` and `\n` for the ends of lines; its reply has `--reply` bytes.
    #[arg(long, requires = "reply", conflicts_with_all = ["message", "script", "http"])]
    pub send: Option<String>,
    /// Bytes of the reply to `--send`.
    #[arg(long, requires = "send")]
    pub reply: Option<usize>,
    /// Script for a truth server; empty for the service time that the server draws.
    #[arg(long, conflicts_with_all = ["message", "http"])]
    pub script: Option<String>,
    /// Script of the slow requests.
    #[arg(long, requires = "script")]
    pub slow_script: Option<String>,
    /// Path to get by HTTP/1.1.
    #[arg(long, conflicts_with = "message")]
    pub http: Option<String>,
    /// Path of the slow requests.
    #[arg(long, requires = "http")]
    pub slow_http: Option<String>,
    /// Share of the slow requests, from 0 to 1.
    #[arg(long, default_value_t = 0.01)]
    pub slow_share: f64,
    /// Of random arrivals and of the choice of slow requests.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of the first request.
    #[arg(long, default_value_t = 1)]
    pub first_id: u64,
    /// Where to write when each request was sent and answered.
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// Stay on this CPU.
    #[arg(long)]
    pub cpu: Option<usize>,
    /// Clients that behave in one of the ways of `bench accuracy --clients`, such as `slow reader`; prints what they saw by their
    /// kernel's stamps.
    #[arg(long, requires = "requests", conflicts_with_all = ["rate", "script", "http", "send", "log", "hold", "duration"])]
    pub clients: Option<String>,
    /// Connect, print `connected`, and begin when a line comes in.
    #[arg(long)]
    pub hold: bool,
}

impl Options {
    /// A client that is not connected yet.
    pub fn client(&self) -> Result<Client> {
        if !(0.0..=1.0).contains(&self.slow_share) {
            bail!("--slow-share {}: want a number from 0 to 1", self.slow_share);
        }
        if self.connections == 0 {
            bail!("--connections 0: want at least one");
        }
        let host = self.target.to_string();
        let mut messages = match (&self.script, &self.http, &self.send, self.reply) {
            (Some(script), ..) => protocol::messages(script),
            (None, Some(path), ..) => Messages::get(path, &host),
            (None, None, Some(text), Some(reply)) => {
                Messages::fixed(text.replace("\\r", "\r").replace("\\n", "\n").into_bytes(), reply)
            }
            _ => Messages::fixed(vec![b'x'; self.message], self.message),
        };
        // Each needs the usual one of its kind, so that both speak the same protocol.
        let slow = match (&self.slow_script, &self.slow_http) {
            (Some(script), _) => Some(protocol::request(script)),
            (None, Some(path)) => Some(http::get(path, &host)),
            (None, None) => None,
        };
        if let Some(slow) = slow {
            messages = messages.with_slow(slow, self.slow_share, self.seed);
        }
        let mut client = Client::new(self.target, self.connections, messages, self.new_connections)?;
        client.number_from(self.first_id);
        Ok(client)
    }

    /// The plan.
    pub fn load(&self) -> Result<Load> {
        if self.requests.is_none() && self.duration.is_none() {
            bail!("one of --requests and --duration is missing");
        }
        let arrivals = match (self.rate, self.arrivals) {
            (Some(rate), _) if !(rate > 0.0 && rate.is_finite()) => bail!("--rate {rate}: want a number above 0"),
            (Some(rate), Process::Constant) => Arrivals::Constant(rate),
            (Some(rate), Process::Poisson) => Arrivals::Poisson(rate),
            (None, Process::Constant) => Arrivals::Closed,
            (None, Process::Poisson) => bail!("--arrivals poisson: --rate is missing"),
        };
        let seconds = |flag: &str, value: f64| {
            Duration::try_from_secs_f64(value).map_err(|error| anyhow::anyhow!("{flag} {value}: {error}"))
        };
        Ok(Load {
            arrivals,
            requests: self.requests.unwrap_or(u64::MAX),
            duration: self.duration.map(|value| seconds("--duration", value)).transpose()?,
            limit: seconds("--limit", self.limit)?,
            seed: self.seed,
            log: self.log.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        let words = ["truth-load", "--target", "127.0.0.1:1"].into_iter().chain(text.split_whitespace());
        Options::try_parse_from(words).unwrap()
    }

    #[test]
    fn arrivals_are_chosen() {
        let arrivals = |text: &str| options(text).load().map(|load| load.arrivals).ok();
        assert_eq!(arrivals("--requests 1"), Some(Arrivals::Closed));
        assert_eq!(arrivals("--duration 1 --rate 2.5"), Some(Arrivals::Constant(2.5)));
        assert_eq!(arrivals("--requests 1 --rate 10 --arrivals poisson"), Some(Arrivals::Poisson(10.0)));
        for wrong in ["--rate 1", "--requests 1 --rate 0", "--requests 1 --arrivals poisson", "--duration -1"] {
            let text = wrong.replace("--duration -1", "--duration=-1");
            assert_eq!(arrivals(&text), None, "{wrong}");
        }
    }

    #[test]
    fn a_text_needs_the_size_of_its_reply() {
        let parse = |text: &str| Options::try_parse_from(["truth-load", "--target", "127.0.0.1:1", "--send", text]);
        assert!(parse("PING\\r\\n").is_err());
        let words = ["truth-load", "--target", "127.0.0.1:1", "--send", "PING\\r\\n", "--reply", "7"];
        let mut client = Options::try_parse_from(words).unwrap().client().unwrap();
        assert_eq!(client.messages().request(1, false), b"PING\r\n");
    }

    #[test]
    fn shares_are_checked() {
        assert!(options("--http / --slow-http /slow --slow-share 0.5").client().is_ok());
        assert!(options("--http / --slow-http /slow --slow-share 1.5").client().is_err());
        assert!(options("--connections 0").client().is_err());
    }
}
