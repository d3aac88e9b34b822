//! `acgs-perf services`: which services of the catalogue run here, and what else could be profiled.
//!
//! In: the catalogue or a configuration file, and /proc. Out: a list on standard output, as text or JSON; exit code 0.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use acgs_perf_common::CONSTITUTIONAL_HASH;
use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use crate::discover::udp::UdpHolder;
use crate::discover::{self, Listener, Target, config};
use crate::output::{self, Page};

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
    let udp = discover::udp_sockets(root)?;
    match args.format {
        Format::Text => output::print(&text(&targets, &others, &udp)),
        Format::Json => output::print_json(&json(&targets, &others, &udp)?),
    }
    .context("standard output")?;
    Ok(0)
}

fn text(targets: &[Target], others: &[Listener], udp: &[UdpHolder]) -> Page {
    let mut rows = vec![["SERVICE", "PROCESSES", "LISTENS ON", "SELECTOR"].map(str::to_owned)];
    let (found, missing): (Vec<&Target>, Vec<&Target>) = targets.iter().partition(|target| !target.pids.is_empty());
    for target in &found {
        let ports = target.ports.iter().map(u16::to_string);
        let places: Vec<String> = ports.chain(target.unix_paths.iter().cloned()).collect();
        rows.push([target.spec.name.clone(), pids(&target.pids), places.join(" "), target.spec.selector_text()]);
    }
    let mut page = Page::default();
    if found.is_empty() {
        page.line("No service of the catalogue runs here.");
    } else {
        table(&rows, &mut page);
    }
    for target in targets {
        let notes = target.notes.iter().chain(&target.refused);
        page.lines(notes.map(|note| format!("note: {}: {note}", target.spec.name)));
    }
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|target| target.spec.name.as_str()).collect();
        page.line("");
        page.line(&format!("Not found: {}", names.join(", ")));
    }
    if !others.is_empty() {
        page.lines(["", "Also listening; to profile one, give its flag to `acgs-perf record`:"]);
        page.lines(discover::suggestions(others));
    }
    if !udp.is_empty() {
        page.lines(["", "On UDP, which is not measured:"]);
        page.lines(udp.iter().map(|holder| format!("  {}   (pid {}, {})", holder.address, holder.pid, holder.comm)));
    }
    page
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

fn table(rows: &[[String; 4]], page: &mut Page) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
        page.line(&format!("{}{}", cells.collect::<String>(), row[3]));
    }
}

#[derive(Serialize)]
struct Listing<'a> {
    schema_version: u32,
    constitutional_hash: &'static str,
    services: Vec<ListedService<'a>>,
    listeners: Vec<ListedListener<'a>>,
    /// What is not measured.
    udp: Vec<ListedUdp<'a>>,
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

#[derive(Serialize)]
struct ListedUdp<'a> {
    address: String,
    pid: u32,
    comm: &'a str,
}

fn json(targets: &[Target], others: &[Listener], udp: &[UdpHolder]) -> anyhow::Result<String> {
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
    let udp =
        udp.iter().map(|holder| ListedUdp { address: holder.address.to_string(), pid: holder.pid, comm: &holder.comm });
    let udp = udp.collect();
    let listing = Listing { schema_version: 1, constitutional_hash: CONSTITUTIONAL_HASH, services, listeners, udp };
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
            udp_ports: Vec::new(),
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
        assert_eq!(text(&targets, &others, &[]).as_str(), expected);
        assert!(text(&targets[1..], &[], &[]).as_str().starts_with("No service of the catalogue runs here.\n"));
    }

    #[test]
    fn names_and_paths_neither_drive_the_terminal_nor_forge_a_line() {
        let (mut targets, mut others) = sample();
        targets[0].unix_paths.push("/run/\x1b[2J\nNot found: all".to_owned());
        targets[0].notes.push("process 9 (\x1b]0;x\x07) matches too".to_owned());
        others[0].comm = Some("\x1b]0;x\x07\u{202e}".to_owned());
        let endpoint = Endpoint::Unix("/tmp/\x1b[2J\n  --service x=port:1".to_owned());
        others.push(Listener { endpoint, pid: Some(10), comm: Some("a\u{9b}b".to_owned()), elsewhere: false });
        let udp = [UdpHolder { address: "0.0.0.0:53".parse().unwrap(), pid: 11, comm: "x\x1b\ny".to_owned() }];
        let page = text(&targets, &others, &udp);
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!page.as_str().contains(acts), "{:?}", page.as_str());
        let lines: Vec<&str> = page.as_str().lines().collect();
        assert_eq!(lines.len(), 12, "{lines:#?}");
        assert!(lines[2].contains("process 9 (?]0;x?) matches too"), "{lines:#?}");
        assert!(
            !lines.iter().any(|line| line.starts_with("Not found: all") || line.contains("  --service x=port:1   ("))
        );
    }

    #[test]
    fn json_carries_the_hash_and_every_service() {
        let (targets, others) = sample();
        let value: serde_json::Value = serde_json::from_str(&json(&targets, &others, &[]).unwrap()).unwrap();
        assert_eq!(value["constitutional_hash"], "cdd01ef066bc6cf2");
        assert_eq!(value["services"][0]["pids"][6], 7);
        assert_eq!(value["services"][1]["pids"], serde_json::json!([]));
        assert_eq!(value["listeners"][0]["selector"], "port:80");
    }
}
