//! Services whose requests are counted by name, and clients that send them in any pieces.

mod autocannon;
mod bare;
mod called;
mod haproxy;
mod http;
mod many_statements;
mod memcached;
mod nginx;
mod postgres;
mod redis;
mod redis_waits;
mod resp;
mod tls;
mod uvicorn;
