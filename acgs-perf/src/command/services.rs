//! `acgs-perf services`: which services of the catalogue run here, and what else could be profiled.
//!
//! In: the catalogue or a configuration file, and /proc. Out: a list on standard output, as text or JSON; exit code 0.

use std::collections::HashSet;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use acgs_perf_common::CONSTITUTIONAL_HASH;
use clap::ValueEnum;
use serde::Serialize;

use crate::discover::{self, Listener, Target, config};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  sudo acgs-perf services                           # what of the ACGS catalogue runs here, and what else listens
  sudo acgs-perf services --config acgs-perf.toml   # the same for one's own list of services
  sudo acgs-perf services --format json | jq -r '.services[] | select(.pids != []) | .name'";

/// Arguments of `acgs-perf services`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Look for the services of this file instead of the built-in catalogue
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs the command; the exit code is 0, and errors are for the caller to map to 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let root = Path::new("/proc");
    let specs = match &args.config {
        Some(path) => config::load(path)?.services,
        None => discover::default_specs()?,
    };
    let targets = discover::resolve(root, &specs)?;
    let known: HashSet<u32> = targets.iter().flat_map(|target| target.pids.iter().copied()).collect();
    let mut others = discover::listening(root)?;
    others.retain(|listener| listener.pid.is_none_or(|pid| !known.contains(&pid)));
    let text = match args.format {
        Format::Text => text(&targets, &others),
        Format::Json => json(&targets, &others)?,
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // The reader, such as `head`, has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
        result => Ok(result.map(|()| 0)?),
    }
}

fn text(targets: &[Target], others: &[Listener]) -> String {
    let mut rows = vec![["SERVICE", "PROCESSES", "LISTENS ON", "SELECTOR"].map(str::to_owned)];
    let (found, missing): (Vec<&Target>, Vec<&Target>) = targets.iter().partition(|target| !target.pids.is_empty());
    for target in &found {
        let ports = target.ports.iter().map(u16::to_string);
        let places: Vec<String> = ports.chain(target.unix_paths.iter().cloned()).collect();
        rows.push([target.spec.name.clone(), pids(&target.pids), places.join(" "), target.spec.selector_text()]);
    }
    let mut out = String::new();
    if found.is_empty() {
        out.push_str("No service of the catalogue runs here.\n");
    } else {
        out.push_str(&table(&rows));
    }
    for target in targets {
        for note in target.notes.iter().chain(&target.refused) {
            out.push_str(&format!("note: {}: {note}\n", target.spec.name));
        }
    }
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|target| target.spec.name.as_str()).collect();
        out.push_str(&format!("\nNot found: {}\n", names.join(", ")));
    }
    if !others.is_empty() {
        out.push_str("\nAlso listening; to profile one, give its flag to `acgs-perf record`:\n");
        out.push_str(&discover::render_suggestions(others));
    }
    out
}

/// At most five process ids, then how many more.
fn pids(pids: &[u32]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = pids.iter().take(SHOWN).map(u32::to_string).collect();
    match pids.len().saturating_sub(SHOWN) {
        0 => shown.join(" "),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}

fn table(rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut out = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(widths) {
            out.push_str(&format!("{cell:width$}  "));
        }
        out.push_str(&row[3]);
        out.push('\n');
    }
    out
}

#[derive(Serialize)]
struct Listing<'a> {
    schema_version: u32,
    constitutional_hash: &'static str,
    services: Vec<ListedService<'a>>,
    listeners: Vec<ListedListener<'a>>,
}

#[derive(Serialize)]
struct ListedService<'a> {
    name: &'a str,
    selector: String,
    pids: &'a [u32],
    ports: &'a [u16],
    unix_paths: &'a [String],
    notes: Vec<&'a str>,
}

#[derive(Serialize)]
struct ListedListener<'a> {
    protocol: &'static str,
    address: String,
    /// `null` where the holder cannot be seen.
    pid: Option<u32>,
    comm: Option<&'a str>,
    selector: String,
}

fn json(targets: &[Target], others: &[Listener]) -> anyhow::Result<String> {
    let services = targets
        .iter()
        .map(|target| ListedService {
            name: &target.spec.name,
            selector: target.spec.selector_text(),
            pids: &target.pids,
            ports: &target.ports,
            unix_paths: &target.unix_paths,
            notes: target.notes.iter().chain(&target.refused).map(String::as_str).collect(),
        })
        .collect();
    let listeners = others
        .iter()
        .map(|listener| ListedListener {
            protocol: listener.protocol(),
            address: listener.endpoint.to_string(),
            pid: listener.pid,
            comm: listener.comm.as_deref(),
            selector: listener.selector(),
        })
        .collect();
    let listing = Listing { schema_version: 1, constitutional_hash: CONSTITUTIONAL_HASH, services, listeners };
    Ok(serde_json::to_string_pretty(&listing)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::sockets::Endpoint;

    fn sample() -> (Vec<Target>, Vec<Listener>) {
        let mut specs = discover::default_specs().unwrap().into_iter();
        let target = |pids: &[u32]| Target {
            spec: specs.next_back().unwrap(),
            pids: pids.to_vec(),
            members: Vec::new(),
            sockets: Vec::new(),
            refused: None,
            ports: if pids.is_empty() { Vec::new() } else { vec![6379] },
            unix_paths: Vec::new(),
            notes: Vec::new(),
        };
        let targets = [&[1, 2, 3, 4, 5, 6, 7][..], &[]].map(target).to_vec();
        let endpoint = Endpoint::Tcp("127.0.0.1:80".parse().unwrap());
        (targets, vec![Listener { endpoint, pid: Some(9), comm: Some("nginx".to_owned()), elsewhere: false }])
    }

    #[test]
    fn text_lists_found_missing_and_other() {
        let (targets, others) = sample();
        let expected = "\
SERVICE  PROCESSES             LISTENS ON  SELECTOR
redis    1 2 3 4 5 and 2 more  6379        port:6389 or port:6379

Not found: postgres

Also listening; to profile one, give its flag to `acgs-perf record`:
  --service nginx=port:80   (pid 9, nginx)
";
        assert_eq!(text(&targets, &others), expected);
        assert!(text(&targets[1..], &[]).starts_with("No service of the catalogue runs here.\n"));
    }

    #[test]
    fn json_carries_the_hash_and_every_service() {
        let (targets, others) = sample();
        let value: serde_json::Value = serde_json::from_str(&json(&targets, &others).unwrap()).unwrap();
        assert_eq!(value["constitutional_hash"], "cdd01ef066bc6cf2");
        assert_eq!(value["services"][0]["pids"][6], 7);
        assert_eq!(value["services"][1]["pids"], serde_json::json!([]));
        assert_eq!(value["listeners"][0]["selector"], "port:80");
    }
}
