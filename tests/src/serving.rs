//! An agent that serves, and what it is asked over HTTP.
//!
//! In: arguments of `serve`. Out: the agent, ended when dropped, with what it says; bodies of replies.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::harness::{end, wait};
use crate::signal;

const LIMIT: Duration = Duration::from_secs(60);

/// An agent that serves; ended when dropped.
pub struct Serving {
    /// The agent.
    pub child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Serving {
    /// Starts it, and waits until it counts.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut agent = Self { child, lines, said: Vec::new() };
        agent.wait_for("acgs-perf: serving ");
        agent
    }

    /// Waits until it says this; the line.
    pub fn wait_for(&mut self, words: &str) -> String {
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(line) = self.said.iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            match self.lines.recv_timeout(limit.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(_) => panic!("the agent does not say {words:?}\n{}", self.said.join("\n")),
            }
        }
    }

    /// What it has said until now.
    pub fn said(&mut self) -> &[String] {
        self.said.extend(self.lines.try_iter());
        &self.said
    }

    /// Ends it as a service manager does.
    pub fn stop(mut self) {
        signal::send(&self.child, libc::SIGTERM).unwrap();
        let status = wait(&mut self.child, LIMIT).unwrap().expect("it does not end");
        assert!(status.success(), "{status}: {}", self.said().join("\n"));
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        end(&mut self.child, libc::SIGKILL);
    }
}

/// Asks by GET, and gives the body of a reply with status 200.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    // As HTTP/1.0, so that the body comes in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (head, body) = reply.split_once("\r\n\r\n").context("no header")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "{path}: {head} {body}");
    Ok(body.to_owned())
}

/// What a Prometheus says to an expression: label sets with values.
pub fn query(prometheus: SocketAddr, expression: &str) -> Result<Vec<Value>> {
    let coded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let reply: Value = serde_json::from_str(&get(prometheus, &format!("/api/v1/query?query={coded}"))?)?;
    match reply["data"]["result"].as_array() {
        Some(result) if reply["status"] == "success" => Ok(result.clone()),
        _ => bail!("{expression}: {reply}"),
    }
}

/// The one value of an expression.
pub fn value(prometheus: SocketAddr, expression: &str) -> Result<f64> {
    let result = query(prometheus, expression)?;
    let [one] = result.as_slice() else { bail!("{expression}: {} values", result.len()) };
    Ok(one["value"][1].as_str().context("no value")?.parse()?)
}
