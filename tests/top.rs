//! `top` on a terminal: what it shows of a real service at two sizes, and that it leaves the terminal and the kernel as they were, however it
//! is ended.
//!
//! In: a Redis of the test's own under load, tmux, a capture of a kernel. Out: screens as a person would read them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use acgs_perf_tests::bpf::{Loaded, loaded_by, still_there};
use acgs_perf_tests::harness::{Service, free_port, need_root};
use acgs_perf_tests::recording::agent;
use acgs_perf_tests::redis;
use acgs_perf_tests::tmux::Tmux;
use tempfile::TempDir;

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);
/// The load is over after this, whatever happens.
const LONGEST: Duration = Duration::from_secs(120);

/// A Redis that is asked some hundred times a second until this is dropped.
struct Busy {
    server: Service,
    is_over: Arc<AtomicBool>,
    client: Option<JoinHandle<()>>,
}

impl Busy {
    fn start() -> Self {
        Self::of(redis::start().unwrap())
    }

    /// One that listens there.
    fn on(port: u16) -> Self {
        Self::of(redis::start_on(port).unwrap())
    }

    fn of(server: Service) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (address, over) = (server.address(), Arc::clone(&is_over));
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let end = Instant::now() + LONGEST;
            while !over.load(Ordering::Relaxed) && Instant::now() < end {
                stream.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n").unwrap();
                stream.read_exact(&mut [0; 5]).unwrap();
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self { server, is_over, client: Some(client) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.client.take().map(JoinHandle::join));
    }
}

/// A terminal in a directory of its own, on which the view runs.
struct Viewing {
    terminal: Tmux,
    directory: TempDir,
}

impl Viewing {
    fn start(size: (u16, u16), arguments: &str) -> Self {
        let viewing = Self::of(size);
        viewing.run(arguments);
        viewing
    }

    /// A terminal on which nothing runs yet.
    fn of(size: (u16, u16)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let terminal = Tmux::start(size, directory.path()).unwrap();
        Self { terminal, directory }
    }

    /// Shows every service, where of the processes that run now only this one is seen: the other services of the host are nobody's business
    /// here.
    fn run_where_only(&self, pid: u32) {
        let script = format!(
            "mkdir empty\nfor of in /proc/[0-9]*; do case ${{of#/proc/}} in 1|{pid}|$$) ;; *) mount --bind empty $of 2>/dev/null;; esac; done\n\
             clear; echo $$ > pid; exec {} top\n",
            agent().display()
        );
        fs::write(self.directory.path().join("hidden.sh"), script).unwrap();
        self.terminal.line("unshare --mount sh hidden.sh").unwrap();
    }

    /// Types the command, which says its process id and becomes the agent.
    fn run(&self, arguments: &str) {
        let _ = fs::remove_file(self.pid_file());
        self.terminal
            .line(&format!("clear; sh -c 'echo $$ > pid; exec {} top {arguments}'", agent().display()))
            .unwrap();
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.path().join("pid")
    }

    fn pid(&self) -> u32 {
        fs::read_to_string(self.pid_file()).unwrap().trim().parse().unwrap()
    }

    /// The view is over: the shell answers, with its exit code, and the terminal is as it was.
    fn assert_over(&self, code: i32) {
        // Until the agent is gone it takes what is typed.
        let has_prompt = |screen: &str| screen.trim_end().ends_with("ready>");
        self.terminal.wait_until("the shell's prompt", has_prompt).unwrap();
        assert!(self.terminal.is_usual().unwrap(), "the cursor is hidden, or the picture is still there");
        self.terminal
            .line("echo code=$? $(stty -a | tr ' ;' '\\n\\n' | grep -cx -e icanon -e echo -e isig -e opost)")
            .unwrap();
        let screen = self.terminal.wait_until("the shell's answer", |screen| screen.contains("\ncode=")).unwrap();
        assert!(screen.contains(&format!("\ncode={code} 4\n")), "{screen}");
        assert!(screen.contains("echo code=$?"), "what is typed is seen: {screen}");
    }
}

fn live(redis: &Busy) -> Viewing {
    Viewing::start(SMALL, &format!("--service redis=port:{}", redis.server.port))
}

/// The line of the list about a service.
fn line_of<'a>(screen: &'a str, name: &str) -> Option<&'a str> {
    screen.lines().find(|line| line.starts_with(&format!("▸ {name} ")))
}

/// Requests a second in the list of a small screen, once they are seen.
fn rate(screen: &str) -> Option<f64> {
    const COLUMN: (usize, usize) = (46, 8);
    let cells: String = line_of(screen, "redis")?.chars().skip(COLUMN.0).take(COLUMN.1).collect();
    cells.trim().replace(',', "").parse().ok().filter(|rate| *rate > 50.0)
}

fn wait_until_gone(pid: u32) {
    let end = Instant::now() + Duration::from_secs(20);
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(Instant::now() < end, "the agent does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

fn kill(pid: u32, signal: i32) {
    // SAFETY: kill takes two integers; the process is one that this test has started and still waits for.
    assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
}

#[track_caller]
fn assert_fits(screen: &str, (columns, lines): (u16, u16)) {
    assert_eq!(screen.lines().count(), usize::from(lines), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= usize::from(columns)), "{screen}");
}

#[test]
fn a_service_is_seen_at_both_sizes() {
    need_root();
    let redis = Busy::start();
    let viewing = live(&redis);
    let terminal = &viewing.terminal;
    let small = terminal.wait_until("a rate", |screen| rate(screen).is_some()).unwrap();
    assert_fits(&small, SMALL);
    for words in ["acgs-perf top", "live · last ", "HEADROOM", "own cost", "of one CPU", "lost nothing", "q quit"] {
        assert!(small.contains(words), "no {words:?}: {small}");
    }
    let coloured = terminal.coloured().unwrap();
    assert!(coloured.contains("\x1b["), "{coloured}");
    // Components and endpoints are read every five seconds.
    terminal.keys(&["Enter"]).unwrap();
    let inside = terminal.wait_for("p99.9").unwrap();
    assert_fits(&inside, SMALL);
    terminal.resize(LARGE).unwrap();
    let large = terminal.wait_until("GET among the endpoints", |screen| screen.contains("endpoints, by")).unwrap();
    assert_fits(&large, LARGE);
    assert!(large.lines().any(|line| line.contains("GET ") && line.contains("100 %")), "{large}");
    terminal.wait_for("where the slowest spend their time").unwrap();
    terminal.keys(&["Escape"]).unwrap();
    let list = terminal.wait_until("the wide list", |screen| screen.contains("MOST OF IT")).unwrap();
    assert_fits(&list, LARGE);
    assert!(line_of(&list, "redis").is_some(), "{list}");
    // Too small, and back.
    terminal.resize((60, 20)).unwrap();
    terminal.wait_for("60x20 is too small").unwrap();
    terminal.resize(SMALL).unwrap();
    terminal.wait_until("the list", |screen| line_of(screen, "redis").is_some()).unwrap();
    terminal.keys(&["q"]).unwrap();
    viewing.assert_over(0);
}

#[test]
fn a_service_that_was_named_is_shown_from_its_start() {
    need_root();
    let port = free_port().unwrap();
    let viewing = Viewing::start(SMALL, &format!("--service redis=port:{port}"));
    let before = viewing.terminal.wait_until("its line", |screen| line_of(screen, "redis").is_some()).unwrap();
    assert_eq!(rate(&before), None, "{before}");
    let _redis = Busy::on(port);
    viewing.terminal.wait_until("a rate", |screen| rate(screen).is_some()).unwrap();
    viewing.terminal.keys(&["q"]).unwrap();
    viewing.assert_over(0);
}

#[test]
fn what_begins_to_listen_is_taken_up() {
    need_root();
    // Something has to listen, or there is nothing to be shown.
    let first = Busy::start();
    let viewing = Viewing::of(LARGE);
    viewing.run_where_only(first.server.pid());
    viewing.terminal.wait_until("a list", |screen| screen.contains("1 service")).unwrap();
    let redis = Busy::start();
    let name = format!("redis-server-{} ", redis.server.port);
    let is_there = |screen: &str| {
        let line = screen.lines().find(|line| line.contains(&name) && !line.contains("listens now"));
        line.is_some_and(|line| line.contains("MET") || line.contains("TOO FEW") || line.contains("LOW RATE"))
    };
    let screen = viewing.terminal.wait_until("the new one", is_there).unwrap();
    assert_fits(&screen, LARGE);
    let pid = viewing.pid();
    let loaded = attached(pid);
    viewing.terminal.keys(&["q"]).unwrap();
    viewing.assert_over(0);
    assert_eq!(still_there(&loaded).unwrap(), []);
}

#[test]
fn keys_do_what_the_help_says() {
    need_root();
    let redis = Busy::start();
    let viewing = live(&redis);
    let terminal = &viewing.terminal;
    terminal.wait_until("a rate", |screen| rate(screen).is_some()).unwrap();
    terminal.keys(&["?"]).unwrap();
    terminal.wait_for("any key closes this").unwrap();
    terminal.keys(&["q"]).unwrap();
    terminal.wait_until("the list again", |screen| line_of(screen, "redis").is_some()).unwrap();
    terminal.keys(&["s"]).unwrap();
    terminal.wait_for("P99▾").unwrap();
    terminal.keys(&["/", "n", "o"]).unwrap();
    terminal.wait_for("filter: no").unwrap();
    terminal.keys(&["Enter"]).unwrap();
    terminal.wait_for("No service has \"no\" in its name").unwrap();
    terminal.keys(&["Escape"]).unwrap();
    terminal.wait_until("the list again", |screen| line_of(screen, "redis").is_some()).unwrap();
    // Held: for two seconds, in which four hundred requests are answered, not a letter of the line changes.
    terminal.keys(&["Space"]).unwrap();
    let held = terminal.wait_for("PAUSED").unwrap();
    thread::sleep(Duration::from_secs(2));
    let later = terminal.screen().unwrap();
    assert_eq!(line_of(&later, "redis"), line_of(&held, "redis"));
    terminal.keys(&["Space"]).unwrap();
    terminal.wait_until("that it goes on", |screen| !screen.contains("PAUSED")).unwrap();
    terminal.keys(&["t"]).unwrap();
    let said = terminal.wait_for("the slowest requests are in ").unwrap();
    let traces: Vec<PathBuf> =
        fs::read_dir(viewing.directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let trace = traces.iter().find(|path| name(path).starts_with("acgs-perf-top")).expect(&said);
    assert!(said.contains(&name(trace)), "{said}");
    assert!(fs::metadata(trace).unwrap().len() > 500);
    terminal.keys(&["C-c"]).unwrap();
    viewing.assert_over(0);
}

#[test]
fn every_signal_gives_the_terminal_back_and_leaves_nothing_attached() {
    need_root();
    let redis = Busy::start();
    let viewing = live(&redis);
    let arguments = format!("--service redis=port:{}", redis.server.port);
    for (at, (signal, code)) in [(libc::SIGTERM, 143), (libc::SIGHUP, 129), (libc::SIGINT, 0)].into_iter().enumerate() {
        if at > 0 {
            viewing.run(&arguments);
        }
        viewing.terminal.wait_until("a rate", |screen| rate(screen).is_some()).unwrap();
        let pid = viewing.pid();
        let loaded = attached(pid);
        kill(pid, signal);
        viewing.assert_over(code);
        assert_eq!(still_there(&loaded).unwrap(), []);
    }
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    need_root();
    let redis = Busy::start();
    let viewing = live(&redis);
    viewing.terminal.wait_until("a rate", |screen| rate(screen).is_some()).unwrap();
    let pid = viewing.pid();
    let loaded = attached(pid);
    viewing.terminal.close().unwrap();
    wait_until_gone(pid);
    assert_eq!(still_there(&loaded).unwrap(), []);
}

fn attached(pid: u32) -> BTreeSet<Loaded> {
    let loaded = loaded_by(pid);
    assert!(loaded.iter().any(|one| matches!(one, Loaded::Link(_))), "nothing is attached: {loaded:?}");
    loaded
}

#[test]
fn a_capture_is_played_again_with_nothing_attached() {
    need_root();
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../acgs-perf/fixtures/captures/6.18.capture");
    let viewing = Viewing::start(SMALL, &format!("--replay {}", capture.display()));
    let terminal = &viewing.terminal;
    let end = terminal.wait_for("its end").unwrap();
    assert_fits(&end, SMALL);
    assert!(end.contains("6.18.capture") && line_of(&end, "truth").is_some_and(|line| line.contains("889")), "{end}");
    assert_eq!(loaded_by(viewing.pid()), BTreeSet::new());
    // To its begin, step by step, and then as fast as it happened, to its end.
    terminal.keys(&["["; 12]).unwrap();
    let begin = terminal.wait_for("replay ×1 · 100 ms of ").unwrap();
    assert!(begin.contains("last 100 ms"), "{begin}");
    terminal.keys(&[".", "."]).unwrap();
    terminal.wait_for("last 300 ms").unwrap();
    terminal.keys(&[","]).unwrap();
    terminal.wait_for("last 200 ms").unwrap();
    terminal.keys(&["+", "+", "Space"]).unwrap();
    terminal.wait_for("replay ×4").unwrap();
    terminal.wait_for("its end").unwrap();
    terminal.keys(&["Enter"]).unwrap();
    terminal.resize(LARGE).unwrap();
    let large = terminal.wait_for("the slowest requests, step by step").unwrap();
    assert_fits(&large, LARGE);
    assert!(large.contains("4,000 answered"), "{large}");
    terminal.keys(&["q"]).unwrap();
    viewing.assert_over(0);
}

#[test]
fn without_a_terminal_it_says_so_in_one_line() {
    for arguments in [&["top"][..], &["top", "--replay", "/nonexistent"]] {
        let output = Command::new(agent()).args(arguments).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains("terminal") && output.stdout.is_empty(), "{said}");
    }
    // Alone it is the help then.
    let output = Command::new(agent()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("Usage: acgs-perf") && said.contains("Commands:"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}
