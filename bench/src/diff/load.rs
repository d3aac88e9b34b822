//! The services that `bench diff` records, and their load: open loops of a few hundred requests a second, on loopback.
//!
//! In: how long. Out: captures in a directory.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use acgs_perf_load::{Arrivals, Client, Load, Messages};
use acgs_perf_tests::harness::{Service, fixture, free_port, program, python};
use acgs_perf_tests::{nginx, redis};
use anyhow::{Context, Result, ensure};

/// A change that is planted: a service, and one that is the same but for it.
pub struct Planted {
    pub what: &'static str,
    pub old: &'static str,
    pub new: &'static str,
    /// Where it goes.
    pub component: &'static str,
}

/// What is planted with `--power`.
pub const PLANTED: [Planted; 2] = [
    Planted { what: "truth service, all 5 % longer", old: "truth-old", new: "truth-new", component: "sleep" },
    Planted { what: "FastAPI, 0.6 ms more sleep in the route", old: "api-old", new: "api-new", component: "idle" },
];

/// A service and what it is sent.
struct Loaded {
    name: &'static str,
    service: Service,
    rate: f64,
    messages: Messages,
}

/// Records so many captures of so many seconds.
pub fn record(agent: &Path, to: &Path, power: bool, recordings: u32, seconds: u64) -> Result<()> {
    let services = if power { planted()? } else { steady()? };
    // A recording takes some seconds to attach and to write, on a busy machine many. The loads end with the services.
    let duration = Duration::from_secs(u64::from(recordings) * (2 * seconds + 60));
    let mut loads = Vec::new();
    for (seed, of) in services.iter().enumerate() {
        let mut client = Client::new(of.service.address(), 16, of.messages.clone(), false)?;
        client.open()?;
        let load = Load {
            arrivals: Arrivals::Poisson(of.rate),
            requests: u64::MAX,
            duration: Some(duration),
            limit: duration + Duration::from_secs(30),
            seed: seed as u64 + 1,
            log: false,
        };
        loads.push(thread::spawn(move || client.load(&load).map(|outcome| outcome.errors())));
    }
    for number in 1..=recordings {
        eprintln!("recording {number} of {recordings}");
        let file = |ending: &str| to.join(format!("{number:03}.{ending}"));
        let mut command = Command::new(agent);
        command.args(["record", "--interval", "100ms", "--duration", &format!("{seconds}s")]);
        for of in &services {
            command.args(["--service", &format!("{}=port:{}", of.name, of.service.port)]);
        }
        command.arg("--capture").arg(file("capture")).arg("--output").arg(file("json"));
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {}", agent.display()))?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // A service that is gone, or has no load any more, is recorded as one whose rate has fallen to nothing.
        for (of, load) in services.iter().zip(&loads) {
            ensure!(TcpStream::connect(of.service.address()).is_ok(), "{} is gone after recording {number}", of.name);
            ensure!(!load.is_finished(), "the load of {} ended before recording {number} did", of.name);
        }
    }
    drop(services);
    // With the services gone the loads end, with errors that mean nothing.
    loads.into_iter().for_each(|load| drop(load.join()));
    Ok(())
}

fn uvicorn() -> Result<Service> {
    let port = free_port()?;
    let mut command = Command::new(python("uvicorn")?);
    command.arg("app:app").arg("--app-dir").arg(fixture("")).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    // By default it closes a connection on which nothing comes for five seconds.
    command.args(["--timeout-keep-alive", "3600"]);
    command.args(["--no-access-log", "--log-level", "warning"]).env("PYTHONDONTWRITEBYTECODE", "1");
    Service::start(&mut command, port)
}

fn steady() -> Result<Vec<Loaded>> {
    let port = free_port()?;
    let directory = tempfile::tempdir()?;
    let http = format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"ok\"; }} }}");
    let mut nginx = Command::new("nginx");
    nginx.args(nginx::arguments(directory.path(), 1, "", &http)?);
    let get = |path: &str| Messages::get(path, "localhost");
    Ok(vec![
        Loaded {
            name: "redis",
            service: redis::start()?,
            rate: 1_000.0,
            messages: Messages::fixed(b"PING\r\n".to_vec(), 7),
        },
        Loaded {
            name: "nginx",
            service: Service::start_in(&mut nginx, port, directory)?,
            rate: 1_000.0,
            messages: get("/"),
        },
        Loaded { name: "uvicorn", service: uvicorn()?, rate: 300.0, messages: get("/") },
    ])
}

fn planted() -> Result<Vec<Loaded>> {
    let truth = |median_us: u32| {
        let service = format!("lognormal:{median_us},0.4");
        Service::truth(program("truth-server"), &["--mode", "threads", "--work", "sleep", "--service", &service])
    };
    let mut loaded = Vec::new();
    for (name, median_us) in [("truth-old", 2_000), ("truth-new", 2_100)] {
        loaded.push(Loaded {
            name,
            service: truth(median_us)?,
            rate: 2_000.0,
            messages: Messages::fixed(vec![0; 64], 64),
        });
    }
    for (name, us) in [("api-old", 10_000), ("api-new", 10_600)] {
        let messages = Messages::get(&format!("/nap/{us}"), "localhost");
        loaded.push(Loaded { name, service: uvicorn()?, rate: 100.0, messages });
    }
    Ok(loaded)
}
