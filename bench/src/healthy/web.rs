//! Healthy web servers, alone and before others.
//!
//! In: the programs and the Python environment of the tests. Out: a server on loopback, and its load.

use std::fs;
use std::process::Command;

use acgs_perf_load::Messages;
use acgs_perf_tests::harness::{Service, fixture, free_port, php_fpm, python, run};
use acgs_perf_tests::{nginx, postgres, redis};
use anyhow::Result;

use super::drive::Drive;
use super::running::Running;

/// The file that nginx serves.
const FILE: [u8; 1024] = [b'x'; 1024];

/// The first of the services is asked for a path, over connections that are kept or one for each request.
fn asked(services: Vec<Service>, path: &str, is_closing: bool) -> Result<Running> {
    let target = services.first().map(Service::address).ok_or_else(|| anyhow::anyhow!("no service"))?;
    let messages = Messages::get(path, &target.to_string());
    Ok(Running::new(Drive::Messages { target, messages, is_closing }, services))
}

fn serve_file() -> Result<Service> {
    let (port, directory) = (free_port()?, tempfile::tempdir()?);
    let http = format!(
        "sendfile on; tcp_nopush on;
         server {{ listen 127.0.0.1:{port}; location / {{ root {}/www; }} }}",
        directory.path().display()
    );
    let arguments = nginx::arguments(directory.path(), 1, "user root;", &http)?;
    fs::create_dir(directory.path().join("www"))?;
    fs::write(directory.path().join("www/file"), FILE)?;
    Service::start_in(Command::new("nginx").args(arguments), port, directory)
}

/// A small file.
pub fn nginx_static() -> Result<Running> {
    asked(vec![serve_file()?], "/file", false)
}

/// The same with a connection for each request.
pub fn nginx_short() -> Result<Running> {
    asked(vec![serve_file()?], "/file", true)
}

/// nginx before PHP-FPM with four workers, with a connection for each request between the two: a kept one would keep a worker.
pub fn nginx_php() -> Result<Running> {
    let directory = tempfile::tempdir()?;
    // The workers run as another user.
    run(Command::new("chmod").arg("755").arg(directory.path()))?;
    let (script, path) = (directory.path().join("hello.php"), directory.path().join("php"));
    fs::write(&script, "<?php echo 'hello';\n")?;
    let configuration = format!(
        "[global]\ndaemonize = no\nerror_log = {}\n\
         [www]\nuser = www-data\ngroup = www-data\nlisten = {}\nlisten.mode = 0666\npm = static\npm.max_children = 4\n",
        directory.path().join("php-errors").display(),
        path.display()
    );
    let file = directory.path().join("fpm.conf");
    fs::write(&file, configuration)?;
    let php = Service::start_on(Command::new(php_fpm()?).arg("-F").arg("-y").arg(&file), &path)?;
    let (port, own) = (free_port()?, tempfile::tempdir()?);
    let http = format!(
        "server {{
           listen 127.0.0.1:{port};
           location / {{
             fastcgi_pass unix:{};
             fastcgi_param SCRIPT_FILENAME {};
             fastcgi_param REQUEST_METHOD $request_method;
             fastcgi_param REQUEST_URI $request_uri;
             fastcgi_param QUERY_STRING $query_string;
           }}
         }}",
        path.display(),
        script.display()
    );
    let arguments = nginx::arguments(own.path(), 1, "", &http)?;
    let server = Service::start_in(Command::new("nginx").args(arguments), port, own)?;
    Ok(asked(vec![server, php], "/items/1", false)?.with(directory))
}

fn start_uvicorn(app: &str, environment: &[(&str, u16)]) -> Result<Service> {
    let port = free_port()?;
    let mut command = Command::new(python("uvicorn")?);
    command.arg(app).arg("--app-dir").arg(fixture("")).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.envs(environment.iter().map(|(name, port)| (name, port.to_string())));
    Service::start(&mut command, port)
}

/// A route that waits for 1 ms.
pub fn uvicorn() -> Result<Running> {
    asked(vec![start_uvicorn("app:app", &[])?], "/late/1", false)
}

/// A route that asks Redis and then PostgreSQL.
pub fn uvicorn_calls() -> Result<Running> {
    let (redis, postgres) = (redis::start()?, postgres::start()?);
    let server = start_uvicorn("causes_asgi:app", &[("REDIS", redis.port), ("POSTGRES", postgres.port)])?;
    asked(vec![server, redis, postgres], "/query", false)
}

/// nginx before uvicorn, over connections that it keeps.
pub fn nginx_uvicorn() -> Result<Running> {
    let behind = start_uvicorn("app:app", &[])?;
    let (port, directory) = (free_port()?, tempfile::tempdir()?);
    let http = format!(
        "upstream behind {{ server 127.0.0.1:{}; keepalive 32; }}
         server {{
           listen 127.0.0.1:{port};
           location / {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ''; }}
         }}",
        behind.port
    );
    let arguments = nginx::arguments(directory.path(), 1, "", &http)?;
    let server = Service::start_in(Command::new("nginx").args(arguments), port, directory)?;
    asked(vec![server, behind], "/", false)
}

fn start_node() -> Result<Service> {
    let port = free_port()?;
    Service::start(Command::new("node").arg(fixture("causes_node.js")).env("PORT", port.to_string()), port)
}

/// Node's `http` module.
pub fn node() -> Result<Running> {
    asked(vec![start_node()?], "/ok", false)
}

/// HAProxy before Node.
pub fn haproxy_node() -> Result<Running> {
    let behind = start_node()?;
    let (port, directory) = (free_port()?, tempfile::tempdir()?);
    let file = directory.path().join("haproxy.cfg");
    let configuration = format!(
        "global\n nbthread 1\n maxconn 200\n\
         defaults\n mode http\n timeout connect 2s\n timeout client 60s\n timeout server 10s\n\
         frontend clients\n bind 127.0.0.1:{port}\n default_backend servers\n\
         backend servers\n server one 127.0.0.1:{}\n",
        behind.port
    );
    fs::write(&file, configuration)?;
    let server = Service::start_in(Command::new("haproxy").arg("-db").arg("-f").arg(&file), port, directory)?;
    asked(vec![server, behind], "/ok", false)
}

fn start_gunicorn(class: &str, workers: u32, threads: u32) -> Result<Service> {
    let port = free_port()?;
    let mut command = Command::new(python("gunicorn")?);
    command.arg("wsgi:app").arg("--chdir").arg(fixture("")).args(["--bind", &format!("127.0.0.1:{port}")]);
    command.args(["--worker-class", class, "--workers", &workers.to_string(), "--threads", &threads.to_string()]);
    command.args(["--log-level", "warning", "--no-control-socket", "--keep-alive", "120"]);
    Service::start(command.env("PYTHONDONTWRITEBYTECODE", "1"), port)
}

/// Two workers, each of which closes the connection after its reply.
pub fn gunicorn_sync() -> Result<Running> {
    asked(vec![start_gunicorn("sync", 2, 1)?], "/", true)
}

/// One worker with a thread for each connection.
pub fn gunicorn_gthread() -> Result<Running> {
    asked(vec![start_gunicorn("gthread", 1, 32)?], "/", false)
}
