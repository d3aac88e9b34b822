//! The table of healthy workloads.
//!
//! In: nothing. Out: each with how it is started.

use acgs_perf_tests::harness::Service;
use anyhow::Result;
use tempfile::TempDir;

use super::drive::Drive;
use super::{services, web};

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

/// A healthy workload.
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// How it is started.
    pub start: fn() -> Result<Running>,
}

const fn workload(name: &'static str, start: fn() -> Result<Running>) -> Workload {
    Workload { name, start }
}

/// All of them.
pub const WORKLOADS: &[Workload] = &[
    workload("redis-get-set", services::redis_get_set),
    workload("redis-pipelined", services::redis_pipelined),
    workload("memcached", services::memcached),
    workload("pgbench-simple", services::pgbench_simple),
    workload("pgbench-prepared", services::pgbench_prepared),
    workload("mariadb-point-selects", services::mariadb),
    workload("nginx-static", web::nginx_static),
    workload("nginx-short-connections", web::nginx_short),
    workload("nginx-php", web::nginx_php),
    workload("nginx-uvicorn", web::nginx_uvicorn),
    workload("haproxy-node", web::haproxy_node),
    workload("uvicorn-async", web::uvicorn),
    workload("uvicorn-redis-postgres", web::uvicorn_calls),
    workload("gunicorn-sync", web::gunicorn_sync),
    workload("gunicorn-gthread", web::gunicorn_gthread),
    workload("node-http", web::node),
];
