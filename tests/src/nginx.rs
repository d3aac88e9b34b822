//! nginx of the tests and benches: one configuration for all of them, in a directory that goes away with the server.
//!
//! In: a directory, the number of workers, what it serves. Out: `nginx.conf` there, and the arguments that make nginx use it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Writes the configuration and gives nginx's arguments. `main` stands before everything, `http` inside the block of that name,
/// after what all have.
pub fn arguments(directory: &Path, workers: u32, main: &str, http: &str) -> Result<[OsString; 4]> {
    let path = directory.display();
    let configuration = format!(
        "{main} worker_processes {workers}; daemon off; pid {path}/pid; error_log {path}/errors;
         events {{ worker_connections 512; }}
         http {{
           access_log off; keepalive_requests 1000000000;
           client_body_temp_path {path}/a; proxy_temp_path {path}/b; fastcgi_temp_path {path}/c;
           uwsgi_temp_path {path}/d; scgi_temp_path {path}/e;
           {http}
         }}"
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration).with_context(|| format!("write {}", file.display()))?;
    Ok(["-c".into(), file.into(), "-e".into(), directory.join("errors").into()])
}
