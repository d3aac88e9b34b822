//! The services that `bench diff` records, and their load: open loops of a few hundred requests a second, on loopback.
//!
//! In: how long. Out: captures in a directory.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use acgs_perf_load::{Arrivals, Bounds, Client, LoadError, Messages, Outcome, Schedule};
use acgs_perf_tests::harness::{Service, fixture, free_port, program, python};
use acgs_perf_tests::{nginx, redis};
use anyhow::{Context, Result, ensure};

/// How long services that were started anew have requests before they are recorded.
const WARM: Duration = Duration::from_secs(3);

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
    Planted { what: "FastAPI, 0.6 ms more sleep in the route", old: "api-old", new: "api-new", component: "sleep" },
];

/// A service and what it is sent.
struct Loaded {
    name: &'static str,
    service: Service,
    rate: f64,
    messages: Messages,
}

/// What is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Recordings {
    /// Services of which one is slower, instead of those that do not change.
    pub power: bool,
    /// Each of services that were started anew.
    pub anew: bool,
    pub count: u32,
    pub seconds: u64,
}

/// Services and their loads.
struct Running {
    services: Vec<Loaded>,
    loads: Vec<JoinHandle<Result<Vec<Outcome>, LoadError>>>,
    /// Ends the loads.
    stop: &'static AtomicBool,
}

impl Running {
    /// Starts them, for at most this long; arrivals and latencies differ from one `seed` to another.
    fn start(power: bool, seed: u64, duration: Duration) -> Result<Self> {
        let services = if power { planted()? } else { steady()? };
        // A load takes a flag that lives for ever: a byte for each start.
        let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let mut loads = Vec::new();
        for (number, of) in services.iter().enumerate() {
            let mut client = Client::new(of.service.address(), 16, of.messages.clone(), false)?;
            client.open()?;
            let schedule = Schedule::new(Arrivals::Poisson(of.rate), seed * services.len() as u64 + number as u64);
            let limit = duration + Duration::from_secs(30);
            let (duration, stop) = (Some(duration), Some(stop));
            let bounds = Bounds { requests: u64::MAX, duration, limit, timeout: None, log: false, stop };
            loads.push(thread::spawn(move || client.drive(schedule, &bounds)));
        }
        Ok(Self { services, loads, stop })
    }

    /// A service that is gone, or has no load any more, is recorded as one whose rate has fallen to nothing.
    fn check(&self, number: u32) -> Result<()> {
        for (of, load) in self.services.iter().zip(&self.loads) {
            ensure!(TcpStream::connect(of.service.address()).is_ok(), "{} is gone after recording {number}", of.name);
            ensure!(!load.is_finished(), "the load of {} ended before recording {number} did", of.name);
        }
        Ok(())
    }

    /// Ends the loads, and then the services.
    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.loads.into_iter().for_each(|load| drop(load.join()));
    }
}

/// Records so many captures of so many seconds.
pub fn record(agent: &Path, to: &Path, of: Recordings) -> Result<()> {
    // A recording takes some seconds to attach and to write, on a busy machine many.
    let length = Duration::from_secs(2 * of.seconds + 60) * if of.anew { 1 } else { of.count };
    let mut running = Running::start(of.power, 1, length)?;
    for number in 1..=of.count {
        eprintln!("recording {number} of {}", of.count);
        if of.anew {
            if number > 1 {
                running.end();
                running = Running::start(of.power, number.into(), length)?;
            }
            // First requests are slower: what is compared is how services run, not how they start.
            thread::sleep(WARM);
        }
        let file = |ending: &str| to.join(format!("{number:03}.{ending}"));
        let mut command = Command::new(agent);
        command.args(["record", "--interval", "100ms", "--duration", &format!("{}s", of.seconds)]);
        for of in &running.services {
            command.args(["--service", &format!("{}=port:{}", of.name, of.service.port)]);
        }
        command.arg("--capture").arg(file("capture")).arg("--output").arg(file("json"));
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {}", agent.display()))?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        running.check(number)?;
    }
    running.end();
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
