//! What an agent that serves outlives: a disk that becomes read-only, being killed at any moment, weeks of connections and processes.
//!
//! In: servers under load, and `acgs-perf serve`. Out: counts from the ring, which are the load's own; the agent's memory. With
//! `ACGS_PERF_LONG` in the environment (`cargo xtask test --long`) 20 kills and 600,000 connections and processes, otherwise 4, 20,000 and 6,000.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::harness::{Service, need_root, program};
use acgs_perf_tests::hostile::churn::{BATCH, fork, visits};
use acgs_perf_tests::hostile::{Kind, start};
use acgs_perf_tests::recording::agent;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::serving::Serving;

const LIMIT: Duration = Duration::from_secs(60);
/// An interval, and the time that it takes to be kept.
const KEPT: Duration = Duration::from_millis(1_600);
/// What the agent's own memory may grow by while it serves, in KiB.
const GROWTH_KIB: u64 = 4 << 10;
/// What the agent's own memory may be before, in KiB: 1,744 were measured, and 15 % more.
const MOST_KIB: u64 = 2 << 10;

fn truth() -> Service {
    Service::truth(program("truth-server"), &["--mode", "threads"]).unwrap()
}

fn ask(server: &Service, requests: u64) {
    let mut client = Client::connect(server.address(), 4, &[1; 64], 64).unwrap();
    client.run(Plan { rate: Some(1_000), requests, limit: LIMIT }).unwrap();
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn report(state: &Path, since: u64) -> Report {
    let mut command = Command::new(agent());
    command.args(["report", "--from", &format!("@{since}"), "--format", "json", "--state-dir"]).arg(state);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Report(serde_json::from_slice(&output.stdout).unwrap())
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// A file system that gives up writing because of an error makes itself read-only, also for what is open. ext4 does so when it is told.
#[test]
fn a_disk_that_becomes_read_only_loses_no_count() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let (image, state) = (directory.path().join("image"), directory.path().join("state"));
    fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    fs::create_dir(&state).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("not run: there is no mkfs.ext4");
        return;
    }
    let server = truth();
    let since = now();
    // In a mount namespace of its own, so that nothing is left mounted behind it.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.args(["mount -o loop \"$1\" \"$2\" && shift 2 && exec \"$@\"", "sh"]).args([&image, &state]).arg(agent());
    command.args(["serve", "--service", &format!("truth=port:{}", server.port), "--state-dir"]).arg(&state);
    let mut serving = Serving::start(&mut command);
    let pid = serving.child.id().to_string();
    let seen = Path::new("/proc").join(&pid).join("root").join(state.strip_prefix("/").unwrap());
    let mount = |arguments: &[&str]| {
        let inside = ["--target", &pid, "--mount", "mount"];
        run("nsenter", &[&inside[..], arguments, &[state.to_str().unwrap()]].concat());
    };
    ask(&server, 1_000);
    thread::sleep(KEPT);
    report(&seen, since).assert_exact("truth", 1_000);
    thread::scope(|scope| {
        let load = scope.spawn(|| ask(&server, 5_000));
        thread::sleep(Duration::from_millis(500));
        mount(&["-o", "remount,abort"]);
        serving.wait_for("intervals cannot be written");
        thread::sleep(KEPT);
        // What has come since is in memory; here is another disk.
        mount(&["-t", "tmpfs", "none"]);
        serving.wait_for("intervals are written again");
        load.join().unwrap();
    });
    thread::sleep(KEPT);
    let later = report(&seen, since);
    run("nsenter", &["--target", &pid, "--mount", "umount", "--lazy", state.to_str().unwrap()]);
    // What had been written before is still there.
    let earlier = report(&seen, since);
    let requests = |report: &Report| report.requests("truth");
    assert_eq!(requests(&earlier) + requests(&later), 6_000, "{} and {}", requests(&earlier), requests(&later));
    assert!(requests(&earlier) >= 1_000);
    assert_eq!((earlier.losses(), later.losses()), (vec![], vec![]));
    assert!(serving.child.try_wait().unwrap().is_none());
}

/// Sends one request after the other until `ends`; the moments in which replies came.
fn steadily(server: &Service, ends: &AtomicBool) -> Vec<Instant> {
    let mut client = Client::connect(server.address(), 1, &[1; 64], 64).unwrap();
    let mut replies = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        client.run(Plan { rate: None, requests: 1, limit: LIMIT }).unwrap();
        replies.push(Instant::now());
        thread::sleep(Duration::from_millis(2));
    }
    replies
}

#[test]
fn whenever_it_is_killed_no_more_is_lost_than_the_interval_under_way() {
    need_root();
    let server = truth();
    let directory = tempfile::tempdir().unwrap();
    let since = now();
    let mut random = u64::from(std::process::id());
    let mut before = 0;
    for round in 0..if std::env::var_os("ACGS_PERF_LONG").is_some() { 20 } else { 4 } {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = Duration::from_millis(1_000 + (random >> 33) % 2_500);
        let mut command = Command::new(agent());
        command.args(["serve", "--service", &format!("truth=port:{}", server.port), "--state-dir"]);
        let mut serving = Serving::start(command.arg(directory.path()));
        let ends = AtomicBool::new(false);
        let (killed, replies) = thread::scope(|scope| {
            let load = scope.spawn(|| steadily(&server, &ends));
            thread::sleep(life);
            serving.child.kill().unwrap();
            let killed = Instant::now();
            serving.child.wait().unwrap();
            ends.store(true, Ordering::Relaxed);
            (killed, load.join().unwrap())
        });
        let told = report(directory.path(), since);
        let (all, of_round) = (told.requests("truth"), told.requests("truth") - before);
        let until = |moment: Instant| replies.iter().filter(|reply| **reply <= moment).count() as u64;
        let (least, most) = (until(killed.checked_sub(KEPT).unwrap_or(killed)), until(killed) + 1);
        assert!((least..=most).contains(&of_round), "round {round}, {life:?}: {of_round} of {least} to {most}");
        before = all;
    }
}

/// Memory of the agent that is no file, in KiB.
fn memory(agent: &Serving) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn weeks_of_connections_processes_and_addresses_lose_nothing_and_take_no_memory() {
    need_root();
    let (connections, batches) =
        if std::env::var_os("ACGS_PERF_LONG").is_some() { (600_000, 600) } else { (20_000, 6) };
    let (server, forks, idle) = (start(Kind::Echo, &[]).unwrap(), start(Kind::Forks, &[]).unwrap(), truth());
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(agent());
    command.args(["serve", "--state-bytes", "8M", "--state-dir"]).arg(directory.path());
    for (name, port) in [("hostile", server.port), ("forks", forks.port), ("idle", idle.port)] {
        command.args(["--service", &format!("{name}=port:{port}")]);
    }
    let since = now();
    let mut agent = Serving::start(&mut command);
    visits(&server, 0..connections / 4);
    fork(&forks, batches / 3);
    let before = memory(&agent);
    visits(&server, connections / 4..connections);
    fork(&forks, batches - batches / 3);
    let after = memory(&agent);
    println!("{connections} connections and addresses, {} processes: {before} to {after} KiB", batches * BATCH);
    assert!(before < MOST_KIB && after < before + GROWTH_KIB, "{before} to {after} KiB");
    assert!(agent.child.try_wait().unwrap().is_none(), "{}", agent.said().join("\n"));
    // What is read less often is in the ring then, too.
    agent.stop();
    let told = report(directory.path(), since);
    assert_eq!(told.losses(), []);
    told.assert_requests("hostile", connections.into());
    told.assert_requests("forks", batches.into());
    let files = fs::read_dir(directory.path()).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 8 << 20, "{bytes} bytes");
}
