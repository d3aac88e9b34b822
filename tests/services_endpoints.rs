//! Requests by name, of real services: counts are those of the server's own log, or of its client.

#[path = "services_endpoints/bare.rs"]
mod bare;
#[path = "services_endpoints/http.rs"]
mod http;
#[path = "services_endpoints/nginx.rs"]
mod nginx;
#[path = "services_endpoints/postgres.rs"]
mod postgres;
#[path = "services_endpoints/redis.rs"]
mod redis;
#[path = "services_endpoints/redis_waits.rs"]
mod redis_waits;
#[path = "services_endpoints/resp.rs"]
mod resp;
#[path = "services_endpoints/uvicorn.rs"]
mod uvicorn;
