//! What fails after the start throws no recording away: disks that are full, kernels that refuse, terminals that are gone.
//!
//! In: an agent in a world made for it: a mount namespace with a tiny file system, a filter for system calls, a terminal that
//! closes. Out: the report, in place or elsewhere, with an exit code that says so.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::confine::{self, Refuse};
use acgs_perf_tests::harness::{Service, end, need_root, program, wait};
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
    command.args(["record", "--details", "--service", &format!("truth=port:{}", server.port)]).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ask(server: &Service) {
    let mut client = Client::connect(server.address(), 4, &[1; 64], 64).unwrap();
    client.run(Plan { rate: None, requests: REQUESTS, limit: LIMIT }).unwrap();
    thread::sleep(Duration::from_millis(200));
}

/// Runs the agent, sends it requests once it is attached, ends it with SIGINT, and gives all that it wrote.
fn recorded(command: &mut Command, server: &Service) -> Output {
    recorded_with(command, server, |_| ())
}

/// The same, with something that is done to the agent while it records.
fn recorded_with(command: &mut Command, server: &Service, meanwhile: impl Fn(&Child)) -> Output {
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    while !said.lines().any(says_attached) {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "not attached: {said}");
    }
    ask(server);
    meanwhile(&child);
    signal::send(&child, libc::SIGINT).unwrap();
    let mut output = child.wait_with_output().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    output.stderr = said.into_bytes();
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The only line on standard error that says where the report is.
#[track_caller]
fn complaint(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = said.lines().filter(|line| !says_attached(line)).collect();
    assert_eq!(lines.len(), 1, "{said}");
    lines[0].to_owned()
}

#[track_caller]
fn assert_whole(path: &Path) {
    let verified = Command::new(agent()).arg("verify").arg(path).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    Report::read(path).unwrap().assert_exact("truth", REQUESTS);
}

#[test]
fn a_full_disk_sends_the_report_to_the_temporary_directory() {
    need_root();
    let server = truth();
    let (full, spare) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = record(&server);
    command.arg("--output").arg(full.path().join("report.json")).env("TMPDIR", spare.path());
    let output = recorded(confine::small_disks(&mut command, &[full.path()]), &server);
    assert_eq!(output.status.code(), Some(2));
    let line = complaint(&output);
    let files: Vec<PathBuf> = fs::read_dir(spare.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{line}");
    assert!(line.contains("report.json: cannot write to ") && line.contains("No space left on device"), "{line}");
    assert!(line.ends_with(&format!("the report is in {} instead", files[0].display())), "{line}");
    assert!(stdout(&output).contains(&format!("Report written to {}", files[0].display())), "{}", stdout(&output));
    assert_whole(&files[0]);
}

#[test]
fn without_any_disk_the_report_goes_to_standard_output() {
    need_root();
    let server = truth();
    let full = tempfile::tempdir().unwrap();
    let mut command = record(&server);
    command.arg("--output").arg(full.path().join("report.json")).env("TMPDIR", full.path());
    let output = recorded(confine::small_disks(&mut command, &[full.path(), Path::new("/var/tmp")]), &server);
    assert_eq!(output.status.code(), Some(2));
    let line = complaint(&output);
    assert!(line.ends_with("; the report goes to standard output instead"), "{line}");
    let path = full.path().join("from-stdout.json");
    fs::write(&path, &output.stdout).unwrap();
    assert_whole(&path);
}

#[test]
fn a_standard_output_that_takes_nothing_loses_no_report() {
    need_root();
    let server = truth();
    let spare = tempfile::tempdir().unwrap();
    let device = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = record(&server);
    command.args(["--output", "-"]).env("TMPDIR", spare.path()).stdout(device());
    let output = recorded(&mut command, &server);
    assert_eq!(output.status.code(), Some(2));
    let line = complaint(&output);
    let path = fs::read_dir(spare.path()).unwrap().next().unwrap().unwrap().path();
    assert!(line.contains("cannot write to standard output: No space left on device"), "{line}");
    assert!(line.ends_with(&format!("the report is in {} instead", path.display())), "{line}");
    assert_whole(&path);

    let file = spare.path().join("report.json");
    let mut command = record(&server);
    let output = recorded(command.arg("--output").arg(&file).stdout(device()), &server);
    assert_eq!(output.status.code(), Some(2));
    let line = complaint(&output);
    assert!(line.contains("cannot print the summary") && line.contains(&file.display().to_string()), "{line}");
    assert_whole(&file);
}

/// The notes of a report, which its summary and a finding repeat.
fn notes(report: &Report, text: &str) -> Vec<String> {
    let notes: Vec<String> = serde_json::from_value(report.0["notes"].clone()).unwrap();
    let findings = report.0["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["id"] == "measurement_incomplete").expect("no finding");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for note in &notes {
        assert!(finding["evidence"].as_str().unwrap().contains(note.as_str()), "{note}");
        assert!(words(text).contains(&words(note)), "{note}\n{text}");
    }
    notes
}

#[test]
fn tables_that_cannot_be_read_are_notes_in_the_report() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let mut command = record(&server);
    // Neither many at once nor one by one.
    let refused = [Refuse::Bpf(confine::BPF_MAP_LOOKUP_BATCH), Refuse::Bpf(confine::BPF_MAP_GET_NEXT_KEY)];
    let command = confine::refuse(command.arg("--output").arg(&path), &refused);
    let output = recorded(command, &server);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_whole(&path);
    let notes = notes(&Report::read(&path).unwrap(), &stdout(&output));
    let tables = ["DOWNSTREAM_PEER", "ERRNO", "PEER", "PREEMPTOR", "WORKER"];
    assert_eq!(notes.len(), tables.len(), "{notes:?}");
    for (note, table) in notes.iter().zip(tables) {
        assert!(note.contains(&format!("could not be read whole: map {table}: ")), "{note}");
        assert!(note.contains("Operation not permitted"), "{note}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(note.as_str()), "{note}");
    }
}

#[test]
fn tables_that_do_not_come_at_once_are_read_one_by_one() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let mut command = record(&server);
    let refused = [Refuse::Bpf(confine::BPF_MAP_LOOKUP_BATCH)];
    let output = recorded(confine::refuse(command.arg("--output").arg(&path), &refused), &server);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report = Report::read(&path).unwrap();
    assert!(!report.found("measurement_incomplete"), "{}", report.0["notes"]);
    assert!(!report.service("truth")["tcp"]["peers"].as_array().unwrap().is_empty());
}

/// Without a descriptor to be had, the threads cannot be walked, /proc cannot be read, and no file can be written.
#[test]
fn an_agent_that_can_open_nothing_more_still_reports() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let mut command = record(&server);
    command.arg("--output").arg(&path);
    let output = recorded_with(&mut command, &server, |agent| confine::no_more_files(agent).unwrap());
    assert_eq!(output.status.code(), Some(2));
    assert!(!path.exists());
    fs::write(&path, &output.stdout).unwrap();
    assert_whole(&path);
    let report = Report::read(&path).unwrap();
    let summary = Command::new(agent()).args(["report", "--details"]).arg(&path).output().unwrap();
    let notes = notes(&report, &stdout(&summary));
    for beginning in [
        "requests without a reply are not known: Too many open files",
        "the scheduler figures lack what each thread did since its last switch: walking the threads failed: ",
        "peers on UNIX sockets have no names: /proc: cannot read",
    ] {
        assert!(notes.iter().any(|note| note.starts_with(beginning)), "{beginning}: {notes:?}");
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.trim_end().ends_with("the report goes to standard output instead"), "{said}");
}

#[test]
fn a_cost_that_cannot_be_measured_ends_the_recording_with_its_report() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let mut command = record(&server);
    command.args(["--max-overhead", "100", "--output"]).arg(&path);
    let start = Instant::now();
    let command = confine::refuse(&mut command, &[Refuse::Bpf(confine::BPF_ENABLE_STATS)]);
    let output = command.output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(25), "not ended early");
    assert_eq!(output.status.code(), Some(2));
    let report = Report::read(&path).unwrap();
    assert_eq!(report.0["window"]["ended_by"], "overhead not known");
    let notes = notes(&report, &stdout(&output));
    assert!(notes.len() == 1 && notes[0].contains("its cost could not be measured: --max-overhead"), "{notes:?}");
}

#[test]
fn a_command_that_cannot_be_waited_for_costs_only_its_exit_code() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let mut command = record(&server);
    command.arg("--output").arg(&path).arg("--").arg(program("truth-waits")).args(["exit", "--count", "0"]);
    let calls = [Refuse::Call(libc::SYS_wait4), Refuse::Call(libc::SYS_waitid)];
    let output = confine::refuse(&mut command, &calls).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let report = Report::read(&path).unwrap();
    assert_eq!(report.0["window"]["ended_by"], "command lost");
    let notes = notes(&report, &stdout(&output));
    assert!(notes.len() == 1 && notes[0].starts_with("the exit code of the command is not known"), "{notes:?}");
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
        let set = if nohup { confine::nohup } else { confine::hears_hangup };
        let mut child = set(&mut command).spawn().unwrap();
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
    let mut child = confine::controlled_by_stdin(confine::hears_hangup(&mut command)).spawn().unwrap();
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

#[test]
fn without_a_name_no_report_is_replaced() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let first = directory.path().join("report.json");
    for (name, kept) in [("report.json", ""), ("report-2.json", " (report.json was there already)")] {
        let output = recorded(record(&server).current_dir(directory.path()), &server);
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        assert!(text.ends_with(&format!("Report written to {name}{kept}\n")), "{text}");
        assert_whole(&directory.path().join(name));
    }
    let before = fs::read(&first).unwrap();
    let mut command = record(&server);
    command.current_dir(directory.path()).args(["--output", "report.json"]);
    assert_eq!(recorded(&mut command, &server).status.code(), Some(0));
    assert_ne!(fs::read(&first).unwrap(), before, "a name that is given is meant");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}
