//! The table of healthy workloads.
//!
//! In: nothing. Out: each with how it is started.

use anyhow::Result;

use super::running::Running;
use super::{services, web};

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
