//! A process without privileges that tells what is to be told: it runs the command and asks the webhook.
//!
//! In: orders of the agent, over a pair of sockets. Out: whether each has arrived. It is forked before the agent attaches anything, and is
//! user 65534 without capabilities for ever: whatever the agent may do, and however little it has kept, commands run with nothing. No
//! shell takes part, and the event comes on standard input, so that no text of it is ever a word of a command line.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::event::MAX_BYTES;
use super::target::{Kind, Targets, Webhook};
use crate::serve::confine;
use crate::serve::wire;

/// A command, or a webhook, has so long.
const LIMIT: Duration = Duration::from_secs(10);
/// The agent waits for so long for an answer.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How often is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Where commands find what they run.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// An order is at most so long.
const MAX_ORDER: usize = 2 * MAX_BYTES;
/// An answer.
const MAX_ANSWER: usize = 4 << 10;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    to: Kind,
    body: String,
}

/// Whether it has arrived, or why not.
type Answer = Result<(), String>;

/// The agent's end.
#[derive(Debug)]
pub struct Runner(UnixStream);

impl Runner {
    /// Forks the process.
    ///
    /// # Errors
    /// When it cannot be started, or cannot give up what it should.
    pub fn fork(targets: Targets) -> io::Result<Self> {
        if std::fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::other("threads have been started before the process that tells alerts"));
        }
        let (ours, theirs) = UnixStream::pair()?;
        // SAFETY: this process has no other thread, so that the child holds no lock of one that it does not have.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(ours);
                let code = i32::from(run(&theirs, &targets).is_err());
                // SAFETY: ends the process at once: what the agent has in memory is not the child's to clean up.
                unsafe { libc::_exit(code) }
            }
            _ => {
                drop(theirs);
                ours.set_read_timeout(Some(PATIENCE))?;
                let ready: Answer = wire::receive(&ours, MAX_ANSWER)
                    .map_err(|_| io::Error::other("the process that tells alerts cannot give up its privileges"))?;
                ready.map_err(io::Error::other)?;
                Ok(Self(ours))
            }
        }
    }

    /// Has something told.
    ///
    /// # Errors
    /// Why it has not arrived; `io::Error` if nobody is there any more.
    pub fn tell(&self, to: Kind, body: &str) -> io::Result<Answer> {
        wire::send(&self.0, &Order { to, body: body.to_owned() })?;
        wire::receive(&self.0, MAX_ANSWER)
    }

    /// Another handle of it, to end what is under way.
    ///
    /// # Errors
    /// When there are too many descriptors.
    pub fn handle(&self) -> io::Result<UnixStream> {
        self.0.try_clone()
    }
}

fn run(agent: &UnixStream, targets: &Targets) -> io::Result<()> {
    confine::close_others(&[agent.as_raw_fd()])?;
    confine::limit(libc::RLIMIT_CORE, 0)?;
    confine::limit(libc::RLIMIT_MEMLOCK, 0)?;
    // SAFETY: it takes nothing. A signal that a terminal sends to the agent is not meant for a command under way.
    unsafe { libc::setsid() };
    confine::become_nobody()?;
    wire::send(agent, &Answer::Ok(()))?;
    loop {
        // Ends when the agent does.
        let order: Order = wire::receive(agent, MAX_ORDER)?;
        let mut answer = match order.to {
            Kind::Command => targets.command.as_deref().map_or(Ok(()), |words| command(words, &order.body, LIMIT)),
            Kind::Webhook => targets.webhook.as_ref().map_or(Ok(()), |webhook| post(webhook, &order.body, LIMIT)),
        };
        if let Err(why) = &mut answer {
            *why = why.chars().take(200).collect();
        }
        wire::send(agent, &answer)?;
    }
}

/// Runs a program with this on its standard input; what it says is lost.
fn command(words: &[String], body: &str, limit: Duration) -> Answer {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // So that what it has started can be ended with it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // The pipe takes all of it at once; who does not want it need not read it.
        drop(stdin.write_all(body.as_bytes()));
    }
    let ended = wait(&mut child, limit);
    let group = child.id() as libc::pid_t;
    // SAFETY: it takes numbers; the group is the child's own, and none of it is left behind.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    let status = match ended {
        Some(status) => status,
        None => {
            drop(child.wait());
            return Err(format!("{program}: ended, because it ran for {} s", limit.as_secs()));
        }
    };
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}

fn wait(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(LOOK);
    }
    None
}

/// Posts it as JSON.
fn post(webhook: &Webhook, body: &str, limit: Duration) -> Answer {
    let Webhook { address, path } = webhook;
    let said = || -> io::Result<String> {
        let end = Instant::now() + limit;
        let left = || end.saturating_duration_since(Instant::now()).max(LOOK);
        let mut stream = TcpStream::connect_timeout(address, limit)?;
        stream.set_write_timeout(Some(left()))?;
        let len = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
        )?;
        // The first line of the reply is enough.
        let mut reply = Vec::new();
        while reply.len() < 1024 && !reply.contains(&b'\n') {
            stream.set_read_timeout(Some(left()))?;
            let mut some = [0; 256];
            match stream.read(&mut some)? {
                0 => break,
                // Who says it byte by byte has no more time than others.
                _ if Instant::now() >= end => return Err(io::ErrorKind::TimedOut.into()),
                len => reply.extend_from_slice(&some[..len]),
            }
        }
        Ok(String::from_utf8_lossy(&reply).lines().next().unwrap_or_default().to_owned())
    };
    let said = said().map_err(|error| format!("http://{address}{path}: {error}"))?;
    let mut words = said.split(' ');
    match (words.next(), words.next()) {
        (Some("HTTP/1.1" | "HTTP/1.0"), Some(status)) if status.len() == 3 && status.starts_with('2') => Ok(()),
        _ => Err(format!("http://{address}{path}: it said {said:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;

    use super::*;

    fn shell(script: &str, body: &str) -> Answer {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        command(&words, body, Duration::from_secs(1))
    }

    #[test]
    fn a_command_gets_the_event_and_has_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen");
        let long = "x".repeat(MAX_BYTES);
        shell(&format!("cat > {}; env >> {0}", path.display()), &long).unwrap();
        let seen = std::fs::read_to_string(&path).unwrap();
        assert!(seen.starts_with(&long) && seen.contains("PATH=/usr/local/sbin") && !seen.contains("HOME="), "{seen}");
        // Who does not read it need not.
        shell("exit 0", &long).unwrap();
        assert!(shell("exit 3", "{}").unwrap_err().contains('3'));
        let start = Instant::now();
        let why = shell("sleep 60 & sleep 60", "{}").unwrap_err();
        assert!(why.contains("because it ran for 1 s") && start.elapsed() < Duration::from_secs(5), "{why}");
        assert!(command(&["/nonexistent".to_owned()], "", LIMIT).unwrap_err().contains("No such file"));
    }

    /// A server that gives one reply, and what it was asked.
    fn asked(reply: &'static str) -> (Webhook, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let webhook = Webhook { address: listener.local_addr().unwrap(), path: "/hook".into() };
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut text = String::new();
            while !text.ends_with("\r\n\r\n") {
                lines.read_line(&mut text).unwrap();
            }
            let mut body = [0; 2];
            lines.read_exact(&mut body).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            text + &String::from_utf8_lossy(&body)
        });
        (webhook, thread)
    }

    #[test]
    fn a_webhook_says_whether_it_took_it() {
        let (webhook, thread) = asked("HTTP/1.1 204 No Content\r\n\r\n");
        post(&webhook, "{}", LIMIT).unwrap();
        let asked_for = thread.join().unwrap();
        assert!(asked_for.starts_with("POST /hook HTTP/1.1\r\n") && asked_for.ends_with("\r\n\r\n{}"), "{asked_for}");
        for reply in ["HTTP/1.1 500 Oh\r\n\r\n", "", "hello\r\n", "HTTP/1.1 2"] {
            let (webhook, thread) = asked(reply);
            assert!(post(&webhook, "{}", LIMIT).is_err(), "{reply}");
            thread.join().unwrap();
        }
        // Nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let webhook = Webhook { address: silent.local_addr().unwrap(), path: "/".into() };
        let start = Instant::now();
        assert!(post(&webhook, "{}", Duration::from_millis(300)).is_err());
        assert!(start.elapsed() < Duration::from_secs(3));
        drop(silent);
        assert!(post(&webhook, "{}", LIMIT).is_err());
    }
}
