//! How `load` hands what it saw to the `record` that started it.
//!
//! In: a run; the file that an environment variable names. Out: a line of JSON in it for each run; at the end of the recording the runs,
//! each with the service that is at its address. Other programs do not know the file, and nothing changes for them.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

use crate::discover::Target;
use crate::snapshot::client::{ClientRun, HAND_OVER};

/// More than any load takes: 100 steps of a few KiB.
const MAX_BYTES: u64 = 32 << 20;
/// More runs than this are not shown.
const MAX_RUNS: usize = 100;

/// Hands a run over, if there is somebody to hand it to.
///
/// # Errors
/// If there is, and the file cannot be written.
pub fn give(run: &ClientRun) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os(HAND_OVER) else { return Ok(()) };
    let mut line = serde_json::to_vec(run)?;
    line.push(b'\n');
    let mut options = OpenOptions::new();
    let opened = options.append(true).open(&path);
    let mut file = opened.with_context(|| String::from_utf8_lossy(path.as_bytes()).into_owned())?;
    file.write_all(&line).context("cannot write")
}

/// Where runs are handed over.
pub struct Desk(NamedTempFile);

impl Desk {
    /// A new one, empty.
    ///
    /// # Errors
    /// If there is no place for temporary files.
    pub fn new() -> anyhow::Result<Self> {
        let file = tempfile::Builder::new().prefix("acgs-perf-runs").tempfile();
        file.map(Self).context("a file for what `load` hands over")
    }

    /// The variable of the environment, and its value.
    pub fn variable(&self) -> (&'static str, &std::path::Path) {
        (HAND_OVER, self.0.path())
    }

    /// What was handed over, each run with the service among these that is there.
    ///
    /// # Errors
    /// If it cannot be read, or is not what `load` writes.
    pub fn runs(&self, targets: &[Target]) -> anyhow::Result<Vec<ClientRun>> {
        let mut text = String::new();
        let mut file = self.0.as_file();
        file.rewind()?;
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        let mut runs = Vec::new();
        for line in text.lines().take(MAX_RUNS) {
            let Ok(run) = serde_json::from_str::<ClientRun>(line) else {
                bail!("run {} is not what `acgs-perf load` writes", runs.len() + 1);
            };
            let service = service_at(&run.address, targets);
            runs.push(ClientRun { service, ..run });
        }
        Ok(runs)
    }
}

/// The service at an address. One that started later has no sockets here; if it is the only one, it is meant.
fn service_at(address: &str, targets: &[Target]) -> Option<String> {
    let is_there = |target: &&Target| match address.strip_prefix("unix:") {
        Some(path) => target.unix_paths.iter().any(|bound| bound == path),
        None => {
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            port.is_some_and(|port: u16| target.ports.contains(&port))
        }
    };
    let found = targets.iter().find(is_there);
    let only = match targets {
        [only] if only.pids.is_empty() => Some(only),
        _ => None,
    };
    found.or(only).map(|target| target.spec.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::{Objective, parse_service};

    fn target(name: &str, ports: &[u16], paths: &[&str]) -> Target {
        Target {
            spec: parse_service(&format!("{name}=port:1"), Objective::default()).unwrap(),
            pids: vec![1],
            members: Vec::new(),
            ports: ports.to_vec(),
            sockets: Vec::new(),
            unix_paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            udp_ports: Vec::new(),
            notes: Vec::new(),
            refused: None,
        }
    }

    #[test]
    fn a_run_belongs_to_the_service_at_its_address() {
        let targets = [target("api", &[8000], &[]), target("db", &[5432, 5433], &["/run/db"])];
        let at = |address| service_at(address, &targets);
        assert_eq!(at("127.0.0.1:8000").as_deref(), Some("api"));
        assert_eq!((at("[::1]:5433").as_deref(), at("unix:/run/db").as_deref()), (Some("db"), Some("db")));
        assert_eq!((at("127.0.0.1:1"), at("unix:/run/x")), (None, None));
        let later = Target { pids: Vec::new(), ..target("late", &[], &[]) };
        assert_eq!(service_at("127.0.0.1:9", &[later]).as_deref(), Some("late"));
    }

    #[test]
    fn runs_go_over_the_desk_in_their_order() {
        let desk = Desk::new().unwrap();
        assert!(desk.runs(&[]).unwrap().is_empty());
        let mut file = OpenOptions::new().append(true).open(desk.variable().1).unwrap();
        for seed in 1..=3 {
            let run = ClientRun { seed, address: "127.0.0.1:8000".into(), ..ClientRun::default() };
            writeln!(file, "{}", serde_json::to_string(&run).unwrap()).unwrap();
        }
        let runs = desk.runs(&[target("api", &[8000], &[])]).unwrap();
        assert_eq!(runs.iter().map(|run| run.seed).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(runs.iter().all(|run| run.service.as_deref() == Some("api")));
        writeln!(file, "hello").unwrap();
        assert!(desk.runs(&[]).unwrap_err().to_string().contains("run 4"));
    }
}
