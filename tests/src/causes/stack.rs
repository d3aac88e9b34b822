//! The services of a planted cause: the one under load, what it calls, and what disturbs it.
//!
//! In: a cause. Out: all of them running, on free ports of the loopback device; ended by pid when dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::inject::{self, Injection};
use super::measure::Measure;
use super::{Cause, Outside, Peer, Server};
use crate::harness::{Service, fixture, free_port, program, python, target};
use crate::{clock, nginx, postgres, redis};

/// What runs for a cause. Fields are dropped in this order: what disturbs first, peers last.
pub struct Stack {
    outside: Vec<Injection>,
    server: Service,
    peers: Vec<(Peer, Service)>,
    directory: TempDir,
}

impl Stack {
    /// Starts everything but what disturbs from outside.
    pub fn start(cause: &Cause) -> Result<Self> {
        clock::favoured().context("priority of the services")?;
        // Not in /tmp, which may be in memory: a disk is to be waited for.
        let directory = tempfile::tempdir_in(target())?;
        let mut peers = Vec::new();
        for peer in cause.peers {
            peers.push((*peer, start_peer(*peer).with_context(|| format!("start {peer:?}"))?));
        }
        let server = start_server(cause, &peers, &directory).with_context(|| format!("start {:?}", cause.server))?;
        // Workers and pools get ready.
        thread::sleep(Duration::from_millis(500));
        Ok(Self { outside: Vec::new(), server, peers, directory })
    }

    /// Begins to disturb.
    pub fn disturb(&mut self, cause: &Cause) -> Result<()> {
        let ms = Duration::from_millis;
        if let Some((quota, period)) = cause.quota {
            self.outside.push(inject::quota(self.server.pid(), quota * 1000, period * 1000)?);
        }
        match cause.outside {
            Outside::Nothing => {}
            Outside::Hog { busy, every } => self.outside.push(inject::hog(last_cpu(), ms(busy), ms(every))?),
            Outside::Burst { path, count, every } => {
                self.outside.push(inject::burst(self.address(), path, count, ms(every))?);
            }
        }
        Ok(())
    }

    /// Where the load goes.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What the server measured of its faults of this name.
    pub fn measure(&self, fault: &str) -> Result<Measure> {
        Measure::read(self.directory.path(), fault).context("the plant's own measure")
    }

    /// Port of a peer.
    pub fn port(&self, peer: Peer) -> Result<u16> {
        port(&self.peers, peer)
    }

    /// Address of a peer as the report has it.
    pub fn peer(&self, peer: Peer) -> Result<String> {
        Ok(format!("{}:{}", Ipv4Addr::LOCALHOST, self.port(peer)?))
    }
}

fn port(peers: &[(Peer, Service)], wanted: Peer) -> Result<u16> {
    let found = peers.iter().find(|(peer, _)| *peer == wanted);
    found.map(|(_, service)| service.port).with_context(|| format!("{wanted:?} does not run"))
}

fn last_cpu() -> usize {
    thread::available_parallelism().map_or(0, |cpus| cpus.get() - 1)
}

fn start_peer(peer: Peer) -> Result<Service> {
    match peer {
        Peer::Postgres => postgres::start(),
        Peer::Redis => redis::start(),
        Peer::Backend => {
            let port = free_port()?;
            Service::start(Command::new(program("cause-server")).args(["--port", &port.to_string()]), port)
        }
    }
}

fn start_server(cause: &Cause, peers: &[(Peer, Service)], directory: &TempDir) -> Result<Service> {
    let port = free_port()?;
    let mut command = match cause.outside {
        Outside::Hog { .. } => {
            let mut taskset = Command::new("taskset");
            taskset.args(["--cpu-list", &last_cpu().to_string()]);
            taskset
        }
        // Replaces itself by the program, as taskset does, so that the pid is the service's.
        _ => Command::new("env"),
    };
    match cause.server {
        Server::Uvicorn(event_loop) => {
            command.arg(python("uvicorn")?).arg("causes_asgi:app").arg("--app-dir").arg(fixture(""));
            command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--loop", event_loop]);
            command.args(["--http", "httptools", "--no-access-log", "--log-level", "warning"]);
        }
        Server::Gunicorn(class, workers, threads) => {
            command.arg(python("gunicorn")?).arg("causes_wsgi:app").arg("--chdir").arg(fixture(""));
            command.args(["--bind", &format!("127.0.0.1:{port}"), "--worker-class", class]);
            command.args(["--workers", &workers.to_string(), "--threads", &threads.to_string()]);
            command.args(["--log-level", "warning", "--no-control-socket"]);
            // Connections are kept for longer than a run.
            command.args(["--keep-alive", "120"]);
        }
        Server::CauseServer => {
            command
                .arg(program("cause-server"))
                .args(["--port", &port.to_string(), "--directory"])
                .arg(directory.path());
            if cause.load.slow.is_some_and(|(path, _)| path.starts_with("/fault")) {
                command.arg("--faults");
            }
        }
        Server::Node => {
            command.arg("node").arg(fixture("causes_node.js"));
        }
        Server::Nginx => {
            let backend = self::port(peers, Peer::Backend)?;
            // One worker, with kept connections to the backend.
            let http = format!(
                "upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; }}
                 server {{
                   listen 127.0.0.1:{port};
                   location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ''; }}
                 }}"
            );
            command.arg("nginx").args(nginx::arguments(directory.path(), 1, "", &http)?);
        }
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PORT", port.to_string()).env("DIRECTORY", directory.path());
    for (peer, service) in peers {
        let name = match peer {
            Peer::Backend => "BACKEND",
            Peer::Redis => "REDIS",
            Peer::Postgres => "POSTGRES",
        };
        command.env(name, service.port.to_string());
    }
    command.envs(cause.environment.iter().copied());
    Service::start(&mut command, port)
}
