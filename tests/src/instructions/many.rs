//! Many services, each with many endpoints, on a machine with room for many CPUs: what the agent takes for its tables, its own
//! memory, and each look at all of them.
//!
//! In: how many services and endpoints. Out: lines of figures, as those of the arms.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::attach::{Attached, Wanted};
use super::take_turns;
use crate::clock;

/// Port of the first service.
const FIRST_PORT: u16 = 6000;
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// A multiple of the agent's intervals, as in the windows of the arms.
const WINDOW: Duration = Duration::from_secs(24);
/// In the window with load, how often each endpoint of each service is asked for.
const TIMES: u64 = 4;
/// Letters of a name; a digit would be taken for a variable part of a path.
const LETTERS: [u8; 20] = *b"abcdefghijklmnopqrst";

fn port(number: usize) -> u16 {
    FIRST_PORT + number as u16
}

fn request(endpoint: usize) -> Vec<u8> {
    let letter = |number: usize| char::from(LETTERS[number % LETTERS.len()]);
    let (first, second) = (letter(endpoint / LETTERS.len()), letter(endpoint));
    format!("GET /{first}{second} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// Answers whatever is asked, for ever.
pub fn answer(port: u16) -> io::Result<()> {
    take_turns()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        while stream.read(&mut [0; 256])? > 0 {
            stream.write_all(REPLY)?;
        }
    }
}

fn start(number: usize) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["answer", &port(number).to_string()]).stdin(Stdio::null());
    command.spawn().with_context(|| format!("start service {number}"))
}

/// One request for each endpoint of each service.
fn ask(streams: &mut [TcpStream], endpoints: usize) -> io::Result<()> {
    for endpoint in 0..endpoints {
        let request = request(endpoint);
        streams.iter_mut().try_for_each(|stream| stream.write_all(&request))?;
        streams.iter_mut().try_for_each(|stream| stream.read_exact(&mut [0; REPLY.len()]))?;
    }
    Ok(())
}

/// The whole run.
pub fn run(services: usize, endpoints: usize, probes: &str, programs: &Path) -> Result<()> {
    ensure!(endpoints <= LETTERS.len() * LETTERS.len(), "there are no more names than {}", LETTERS.len().pow(2));
    let children = (0..services).map(start).collect::<Result<Vec<_>>>()?;
    take_turns().context("scheduling")?;
    sleep(Duration::from_secs(5));
    let wanted: Vec<Wanted> = (0..services).map(|number| (format!("s{number}"), port(number))).collect();
    let attached = Attached::agent(probes, &wanted, programs)?;
    let streams = (0..services).map(|number| TcpStream::connect((Ipv4Addr::LOCALHOST, port(number))));
    let mut streams = streams.collect::<io::Result<Vec<_>>>()?;
    streams.iter().try_for_each(|stream| stream.set_nodelay(true))?;
    ask(&mut streams, endpoints)?;
    sleep(Duration::from_secs(2));
    for (name, times) in [("idle", 0), ("loaded", TIMES)] {
        let (start, cpu) = (clock::now(), attached.cpu()?);
        for time in 0..times {
            ask(&mut streams, endpoints)?;
            clock::sleep((start + (time + 1) * WINDOW.as_nanos() as u64 / times).saturating_sub(clock::now()));
        }
        clock::sleep((start + WINDOW.as_nanos() as u64).saturating_sub(clock::now()));
        println!("agent\t{services} services\t{name}\t{}\t{}", attached.cpu()? - cpu, clock::now() - start);
    }
    let report = attached.stop()?.context("the agent left no report")?;
    drop(children);
    let mut named = 0;
    for number in 0..services {
        let (name, sent) = (format!("s{number}"), (1 + TIMES) * endpoints as u64);
        ensure!(report.requests(&name) == sent, "{name}: {sent} were sent and {} counted", report.requests(&name));
        named += report.integer(&name, "/coverage/named");
    }
    println!("named\t{named}\t{}", (1 + TIMES) * (endpoints * services) as u64);
    let cost = &report.0["cost"];
    for field in ["map_bytes", "agent_max_rss_bytes"] {
        println!("bytes\t{field}\t{}", cost[field].as_u64().with_context(|| format!("no {field} in {cost}"))?);
    }
    Ok(())
}
