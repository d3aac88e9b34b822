//! Real servers whose listening sockets are passed, inherited and handed over: clusters, socket activation, reloads and upgrades
//! under load, a supervisor. Every request counts once, in the service whose port it came to.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_tests::harness::{fixture, free_port, need_root, python, run};
use acgs_perf_tests::listening::{Server, ask_on, tcp};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::{nginx, redis};

const REQUESTS: u64 = 1_000;

/// A server that is killed with all that it has started.
struct Group(Child);

impl Group {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: kill takes integers; the group has the id of a child that was not waited for.
        unsafe { libc::kill(-(self.0.id() as i32), libc::SIGKILL) };
        let _ended = self.0.wait();
    }
}

#[track_caller]
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within 20 s");
        thread::sleep(Duration::from_millis(20));
    }
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// One request of HTTP on a connection of its own.
fn get(mut stream: impl Read + Write) -> io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    if reply.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&reply))) }
}

fn get_over_tcp(port: u16) {
    get(TcpStream::connect(("127.0.0.1", port)).unwrap()).unwrap();
}

fn get_over_unix(path: &Path) {
    get(UnixStream::connect(path).unwrap()).unwrap();
}

fn processes(report: &Report, name: &str) -> usize {
    report.service(name)["processes"].as_array().unwrap().len()
}

#[test]
fn a_cluster_of_node() {
    need_root();
    for policy in ["rr", "none"] {
        let port = free_port().unwrap();
        let mut command = Command::new("node");
        command.arg(fixture("cluster.js")).env("PORT", port.to_string()).env("NODE_CLUSTER_SCHED_POLICY", policy);
        let _node = Group::start(&mut command);
        wait_for("a worker", || listens(port));
        // The second one.
        thread::sleep(Duration::from_millis(300));
        let recording = Recorder::new("node", &format!("port:{port}")).start().unwrap();
        let url = format!("http://127.0.0.1:{port}/");
        let text = run(Command::new("ab").args(["-q", "-n", &REQUESTS.to_string(), "-c", "8", &url])).unwrap();
        assert!(text.contains(&format!("Complete requests:      {REQUESTS}\n")) && !text.contains("Non-2xx"), "{text}");
        let report = recording.stop().unwrap();
        println!("{policy}");
        report.assert_exact("node", REQUESTS);
        assert_eq!(processes(&report, "node"), 3, "{policy}");
    }
}

#[test]
fn gunicorn_that_is_started_by_its_socket() {
    need_root();
    for unix in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (port, path) = (free_port().unwrap(), directory.path().join("gunicorn"));
        let (place, selector) = if unix {
            (["--unix".to_owned(), path.display().to_string()], format!("unix:{}", path.display()))
        } else {
            (["--port".to_owned(), port.to_string()], format!("port:{port}"))
        };
        let mut arguments = place.to_vec();
        arguments.extend(["--".into(), python("gunicorn").unwrap().display().to_string()]);
        let chdir = fixture("").display().to_string();
        let own = ["wsgi:app", "--chdir", &chdir, "--workers", "2", "--log-level", "warning", "--no-control-socket"];
        arguments.extend(own.map(str::to_owned));
        let _server = Server::with(arguments, |command| command.env("PYTHONDONTWRITEBYTECODE", "1")).unwrap();
        let recording = Recorder::new("gunicorn", &selector).start().unwrap();
        for _ in 0..REQUESTS {
            if unix { get_over_unix(&path) } else { get_over_tcp(port) }
        }
        let report = recording.stop().unwrap();
        println!("unix {unix}");
        if unix {
            report.assert_exact_on_unix("gunicorn", REQUESTS)
        } else {
            report.assert_exact("gunicorn", REQUESTS)
        }
        assert_eq!(processes(&report, "gunicorn"), 3);
    }
}

/// nginx on a port and on a UNIX socket, with what is in its directory. It runs in the background: in the foreground it is not replaced.
struct Nginx {
    port: u16,
    directory: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Self {
        let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
        let listens_on = format!("listen 127.0.0.1:{port}; listen unix:{}/socket;", directory.path().display());
        let server = format!("server {{ {listens_on} location / {{ return 200 'ok'; }} }}");
        let arguments = nginx::arguments(directory.path(), 2, "", &server).unwrap();
        let file = directory.path().join("nginx.conf");
        fs::write(&file, fs::read_to_string(&file).unwrap().replace("daemon off;", "daemon on;")).unwrap();
        run(Command::new("chmod").arg("755").arg(directory.path())).unwrap();
        // By its whole path, which it starts its successor by.
        run(Command::new(program_path("nginx")).args(arguments)).unwrap();
        let nginx = Self { port, directory };
        wait_for("nginx", || listens(port));
        nginx
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn pid(&self, file: &str) -> Option<i32> {
        fs::read_to_string(self.directory.path().join(file)).ok()?.trim().parse().ok()
    }

    fn signal(&self, file: &str, signal: i32) {
        // SAFETY: kill takes two integers.
        let status = unsafe { libc::kill(self.pid(file).unwrap(), signal) };
        assert_eq!(status, 0, "{}", io::Error::last_os_error());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        for pid in ["pid", "pid.oldbin"].iter().filter_map(|file| self.pid(file)) {
            // SAFETY: kill takes two integers; the file is there as long as the process is.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
    }
}

fn program_path(name: &str) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&paths).map(|path| path.join(name)).find(|path| path.exists()).unwrap()
}

fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Requests on both sockets while something happens; how many.
fn under_load(nginx: &Nginx, happens: impl FnOnce()) -> u64 {
    let (done, path) = (AtomicBool::new(false), nginx.path());
    thread::scope(|scope| {
        let load = |over_unix: bool| {
            let (done, path, port) = (&done, &path, nginx.port);
            scope.spawn(move || {
                let mut requests = 0;
                while !done.load(Ordering::Relaxed) {
                    if over_unix {
                        get_over_unix(path)
                    } else {
                        get_over_tcp(port)
                    }
                    requests += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                requests
            })
        };
        let clients = [load(false), load(false), load(true)];
        thread::sleep(Duration::from_millis(300));
        // The clients end even if this fails.
        let happened = catch_unwind(AssertUnwindSafe(happens));
        thread::sleep(Duration::from_millis(300));
        done.store(true, Ordering::Relaxed);
        happened.unwrap();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

#[test]
fn nginx_that_is_reloaded_under_load() {
    need_root();
    let nginx = Nginx::start();
    let recording = Recorder::new("nginx", &format!("port:{}", nginx.port)).start().unwrap();
    let requests = under_load(&nginx, || {
        for _ in 0..3 {
            nginx.signal("pid", libc::SIGHUP);
            thread::sleep(Duration::from_millis(300));
        }
    });
    let report = recording.stop().unwrap();
    report.assert_exact_on_unix("nginx", requests);
    assert_eq!(processes(&report, "nginx"), 1 + 2 * 4);
}

#[test]
fn nginx_whose_program_is_replaced_under_load() {
    need_root();
    let nginx = Nginx::start();
    let recording = Recorder::new("nginx", &format!("port:{}", nginx.port)).start().unwrap();
    let old = nginx.pid("pid").unwrap();
    let requests = under_load(&nginx, || {
        nginx.signal("pid", libc::SIGUSR2);
        wait_for("a new master", || {
            nginx.pid("pid.oldbin") == Some(old) && nginx.pid("pid").is_some_and(|pid| pid != old)
        });
        thread::sleep(Duration::from_millis(300));
        nginx.signal("pid.oldbin", libc::SIGQUIT);
        wait_for("the end of the old master", || !is_alive(old));
    });
    let report = recording.stop().unwrap();
    report.assert_exact_on_unix("nginx", requests);
    assert_eq!(processes(&report, "nginx"), 2 * 3);
    // And once more from the begin, when nobody lives who has called listen.
    let recording = Recorder::new("nginx", &format!("unix:{}", nginx.path().display())).start().unwrap();
    let requests = under_load(&nginx, || {});
    let report = recording.stop().unwrap();
    report.assert_exact_on_unix("nginx", requests);
    assert_eq!(processes(&report, "nginx"), 3);
}

#[test]
fn a_supervisor_that_listens_itself() {
    need_root();
    for by_pid in [false, true] {
        let [own, redis, nginx, late] = std::array::from_fn(|_| free_port().unwrap());
        let directory = tempfile::tempdir().unwrap();
        run(Command::new("chmod").arg("755").arg(directory.path())).unwrap();
        let mut supervisor = Server::start(["--starts", "--port", &own.to_string()]).unwrap();
        let selector = if by_pid { format!("pid:{}", supervisor.pid()) } else { format!("port:{own}") };
        let others = [format!("redis=port:{redis}"), format!("nginx=port:{nginx}"), format!("late=port:{late}")];
        // Whoever is named first has a process that two selectors choose.
        let recorder = Recorder::new("redis", &format!("port:{redis}")).arg("--service").arg(&others[1]);
        let recorder = recorder.arg("--service").arg(&others[2]);
        let recorder = recorder.arg("--service").arg(&format!("supervisor={selector}"));
        let recording = recorder.start().unwrap();
        let line = |command: &Command| {
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            words
                .map(|word| if word.is_empty() { "\"\"" } else { word.to_str().unwrap() })
                .collect::<Vec<_>>()
                .join(" ")
        };
        supervisor.starts(&line(&redis::command(redis))).unwrap();
        let mut command = Command::new("nginx");
        let server = format!("server {{ listen 127.0.0.1:{nginx}; location / {{ return 200 'ok'; }} }}");
        command.args(nginx::arguments(directory.path(), 2, "", &server).unwrap());
        supervisor.starts(&line(&command)).unwrap();
        // One that is a process of the supervisor's for long enough to be listed there.
        let script = directory.path().join("late.py");
        let text = format!(
            "import socket, time\ntime.sleep(0.7)\nserver = socket.create_server(('127.0.0.1', {late}))\ntime.sleep(60)\n"
        );
        fs::write(&script, text).unwrap();
        supervisor.starts(&format!("{} {}", python("python3").unwrap().display(), script.display())).unwrap();
        wait_for("Redis, nginx and the late one", || [redis, nginx, late].into_iter().all(listens));
        ask_on(10, REQUESTS / 10, || tcp(own)).unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", redis)).unwrap();
        for _ in 0..2 * REQUESTS {
            stream.write_all(b"PING\r\n").unwrap();
            stream.read_exact(&mut [0; 7]).unwrap();
        }
        (0..REQUESTS / 2).for_each(|_| get_over_tcp(nginx));
        let report = recording.stop().unwrap();
        println!("by pid {by_pid}");
        report.assert_exact("supervisor", REQUESTS);
        report.assert_exact("redis", 2 * REQUESTS);
        report.assert_exact("nginx", REQUESTS / 2);
        let listed = ["redis", "nginx", "late", "supervisor"].map(|name| processes(&report, name));
        assert_eq!(listed, [1, 3, 1, 1], "{:?}", report.service("supervisor")["processes"]);
    }
}
