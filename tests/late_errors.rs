//! What fails after the start throws no recording away: terminals that are gone.
//!
//! In: an agent with a reader or a terminal that closes. Out: the report, with an exit code that says what ended it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use acgs_perf_tests::confine;
use acgs_perf_tests::harness::{Service, end, need_root, program, wait};
use acgs_perf_tests::load::{Client, Plan};
use acgs_perf_tests::recording::{agent, says_attached};
use acgs_perf_tests::report::Report;
use acgs_perf_tests::signal;

const REQUESTS: u64 = 500;
const LIMIT: Duration = Duration::from_secs(60);

fn truth() -> Service {
    Service::truth(program("truth-server"), &["--mode", "threads"]).unwrap()
}

/// `record` of this server, without an output.
fn record(server: &Service) -> Command {
    let mut command = Command::new(agent());
    command.args(["record", "--service", &format!("truth=port:{}", server.port)]).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ask(server: &Service) {
    let mut client = Client::connect(server.address(), 4, &[1; 64], 64).unwrap();
    client.run(Plan { rate: None, requests: REQUESTS, limit: LIMIT }).unwrap();
    thread::sleep(Duration::from_millis(200));
}

#[track_caller]
fn assert_whole(path: &Path) {
    let verified = Command::new(agent()).arg("verify").arg(path).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    Report::read(path).unwrap().assert_exact("truth", REQUESTS);
}

/// `record … 2>&1 | head -1` while the service dies.
#[test]
fn a_reader_that_has_gone_away_loses_no_report() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let mut command = record(&server);
    command.args(["--duration", "3s", "--output"]).arg(&path);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    drop(command);
    let mut first = String::new();
    BufReader::new(reader).read_line(&mut first).unwrap();
    assert!(says_attached(&first), "{first}");
    ask(&server);
    server.stop().unwrap();
    let status = wait(&mut child, LIMIT).unwrap();
    end(&mut child, libc::SIGKILL);
    assert_eq!(status.expect("it does not end").code(), Some(0));
    assert_whole(&path);
}

fn attached(child: &mut Child) -> BufReader<std::process::ChildStderr> {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(says_attached(&line), "{line}");
    stderr
}

#[test]
fn a_hangup_ends_a_recording_with_its_report_unless_it_is_ignored() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    for (nohup, code) in [(false, 129), (true, 0)] {
        let path = directory.path().join(format!("{code}.json"));
        let mut command = record(&server);
        command.args(["--duration", "60s", "--output"]).arg(&path);
        let mut child = if nohup { confine::nohup(&mut command) } else { &mut command }.spawn().unwrap();
        let _stderr = attached(&mut child);
        ask(&server);
        signal::send(&child, libc::SIGHUP).unwrap();
        if nohup {
            assert!(wait(&mut child, Duration::from_secs(1)).unwrap().is_none(), "nohup does not help");
            signal::send(&child, libc::SIGINT).unwrap();
        }
        let status = wait(&mut child, LIMIT).unwrap();
        end(&mut child, libc::SIGKILL);
        assert_eq!(status.expect("it does not end").code(), Some(code));
        assert_whole(&path);
        assert_eq!(Report::read(&path).unwrap().0["window"]["ended_by"], if nohup { "interrupted" } else { "hung up" });
    }
}

/// As a closed window or a broken ssh does: SIGHUP, and every write to the terminal fails from then on.
#[test]
fn a_terminal_that_closes_ends_a_recording_with_its_report() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let (terminal, inside) = confine::terminal().unwrap();
    let mut command = record(&server);
    command.args(["--duration", "60s", "--output"]).arg(&path);
    command.stdin(inside.try_clone().unwrap()).stdout(inside.try_clone().unwrap()).stderr(inside);
    let mut child = confine::controlled_by_stdin(&mut command).spawn().unwrap();
    drop(command);
    let mut terminal = BufReader::new(File::from(terminal));
    let mut first = String::new();
    terminal.read_line(&mut first).unwrap();
    assert!(says_attached(first.trim_end()), "{first}");
    ask(&server);
    drop(terminal);
    let status = wait(&mut child, LIMIT).unwrap();
    end(&mut child, libc::SIGKILL);
    assert_eq!(status.expect("it does not end").code(), Some(129));
    assert_whole(&path);
}
