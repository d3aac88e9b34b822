//! A healthy service that runs.
//!
//! In: what was started. Out: its load and its selector; all of it ends when this is dropped.

use acgs_perf_tests::harness::Service;
use tempfile::TempDir;

use super::drive::Drive;

/// A service that runs, and what it is sent.
pub struct Running {
    /// The load.
    pub drive: Drive,
    /// What is recorded.
    pub selector: String,
    /// What runs for it, in the order in which it ends.
    _services: Vec<Service>,
    /// What these use, gone after them.
    _directory: Option<TempDir>,
}

impl Running {
    /// One that is recorded by the port of the first of these services.
    pub fn new(drive: Drive, services: Vec<Service>) -> Self {
        let port = services.first().map_or(0, |service| service.port);
        Self { drive, selector: format!("port:{port}"), _services: services, _directory: None }
    }

    /// The same with a directory that stays for as long as the services.
    pub fn with(self, directory: TempDir) -> Self {
        Self { _directory: Some(directory), ..self }
    }
}
