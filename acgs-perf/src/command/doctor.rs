//! `acgs-perf doctor`: whether this host can be profiled, and which hook each probe would use. It changes nothing.
//!
//! In: the kernel's BTF and a few files under /proc. Out: a list on standard output; exit code 1 if recording cannot work.

use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use crate::command::choice::may_record;
use crate::live::probes::{self, PROBES};
use crate::live::rights::{self, Right};
use crate::live::status::ProbeStatus;
use crate::live::{self, Debug, hooks, session};
use crate::output::Page;
use crate::{discover, output, units};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  sudo acgs-perf doctor
  sudo acgs-perf doctor --load        # also has the kernel verify every program
  acgs-perf doctor --format json | jq '.checks[] | select(.ok | not)'";

/// Arguments of `acgs-perf doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Also load every program, and say what the kernel's verifier made of it; needs root
    #[arg(long)]
    pub load: bool,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Serialize)]
struct Diagnosis {
    constitutional_hash: &'static str,
    can_record: bool,
    checks: Vec<Check>,
    capabilities: Capabilities,
    probes: Vec<ProbeState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    programs: Option<Vec<ProgramState>>,
}

/// What this process could use of root's power, and what the verbs keep of it once they record.
#[derive(Serialize)]
struct Capabilities {
    held: Vec<Right>,
    /// `serve`, and what `record` has until the report is written.
    recording: &'static [Right],
    /// The same with --max-overhead or --measure-cost.
    recording_timed: &'static [Right],
    /// `record`, for the report, and for a COMMAND that has to be ended.
    writing: &'static [Right],
    /// The process that --listen starts.
    network_facing: &'static [Right],
}

impl Capabilities {
    fn now() -> Self {
        let all = rights::RECORD_TIMED.iter().chain(rights::WRITE_AND_KILL).copied();
        let held = rights::held().map(|held| all.filter(|right| held.has(*right)).collect());
        Self {
            held: held.unwrap_or_default(),
            recording: rights::RECORD,
            recording_timed: rights::RECORD_TIMED,
            writing: rights::WRITE_AND_KILL,
            network_facing: rights::NONE,
        }
    }
}

#[derive(Serialize)]
struct ProgramState {
    name: &'static str,
    hook: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_instructions: Option<u32>,
    jited_bytes: u32,
    load_time_ns: u64,
}

impl From<session::Load> for ProgramState {
    fn from(load: session::Load) -> Self {
        Self {
            name: load.name,
            hook: load.hook,
            verified_instructions: load.verified_instructions,
            jited_bytes: load.jited_bytes,
            load_time_ns: load.time.as_nanos() as u64,
        }
    }
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

#[derive(Serialize)]
struct ProbeState {
    name: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    purpose: &'static str,
    hooks: Vec<String>,
}

/// Runs the command: 0 if this host can be profiled, 1 if not.
///
/// # Errors
/// Only when the result cannot be printed.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let diagnosis = diagnose(args.load);
    match args.format {
        Format::Text => output::print(&text(&diagnosis)),
        Format::Json => output::print_json(&(serde_json::to_string_pretty(&diagnosis)? + "\n")),
    }
    .context("standard output")?;
    Ok(u8::from(!diagnosis.can_record))
}

fn diagnose(load: bool) -> Diagnosis {
    let read = |path: &str| std::fs::read_to_string(path).map(|s| s.trim_end().to_owned());
    let mut checks = Vec::new();
    let mut check = |name, ok, detail: String| checks.push(Check { name, ok, detail });
    let release = live::kernel_release();
    let btf = live::kernel_btf();
    let fit = btf.as_ref().map_or(Ok(()), |btf| live::needs::check(btf, &release));
    let unfit = fit.err().map(|error| error.to_string());
    check("kernel", unfit.is_none(), unfit.clone().unwrap_or(release));
    let root = may_record();
    check("root", root, if root { "yes".into() } else { "no; recording needs it, run with sudo".into() });
    let pids = discover::namespaces::check_pids(Path::new("/proc"));
    check("process ids", pids.is_ok(), pids.err().map_or("the kernel's own".into(), |error| error.to_string()));
    let object = session::has_object();
    let built = "built without kernel programs; run `cargo xtask setup` and build again";
    check("kernel programs", object, if object { "built in".into() } else { built.into() });
    let jit = read("/proc/sys/net/core/bpf_jit_enable").unwrap_or_else(|_| "unknown".into());
    check("BPF JIT", jit != "0", if jit == "0" { "off; set net.core.bpf_jit_enable=1".into() } else { "on".into() });
    let all = PROBES;
    let probes = match btf {
        Ok(btf) => {
            check("kernel BTF", true, live::KERNEL_BTF.into());
            match live::offsets::resolve(&btf) {
                Ok(_) => check("kernel fields", true, "all found".into()),
                Err(error) => check("kernel fields", false, error.to_string()),
            }
            let process = hooks::choose(&btf, probes::process::HOOKS, false);
            check("process hooks", process.is_ok(), process.err().unwrap_or_else(|| "all found".into()));
            probes::choose(&btf, all, false).into_iter().map(|choice| choice.status).collect()
        }
        Err(error) => {
            check("kernel BTF", false, error.to_string());
            Vec::new()
        }
    };
    let (mut probes, mut programs): (Vec<ProbeStatus>, _) = (probes, None);
    if load {
        match live::start(all, 1, &Debug { every_program: true, ..Debug::default() }) {
            Ok(session) => {
                let without =
                    session.look().err().map(|why| format!("; requests without a reply are not known: {why}"));
                let accepted = format!("{} programs accepted{}", session.loads.len(), without.unwrap_or_default());
                check("verifier", true, accepted);
                probes = session.probes();
                programs = Some(session.loads.into_iter().map(ProgramState::from).collect());
            }
            Err(error) => check("verifier", false, error.to_string()),
        }
    }
    if let Some(reason) = unfit {
        for probe in probes.iter_mut().filter(|probe| probe.is_active()) {
            probe.state = live::status::ProbeState::Unsupported;
            probe.reason = Some(reason.clone());
        }
    }
    let can_record = checks.iter().all(|check| check.ok) && probes.iter().any(ProbeStatus::is_active);
    Diagnosis {
        constitutional_hash: acgs_perf_common::CONSTITUTIONAL_HASH,
        can_record,
        checks,
        capabilities: Capabilities::now(),
        probes: probes.into_iter().map(with_purpose).collect(),
        programs,
    }
}

fn with_purpose(probe: ProbeStatus) -> ProbeState {
    let purpose = probes::find(&probe.name).map_or("", |known| known.purpose);
    ProbeState {
        name: probe.name,
        state: probe.state.name().to_owned(),
        reason: probe.reason,
        purpose,
        hooks: probe.hooks,
    }
}

fn text(diagnosis: &Diagnosis) -> Page {
    let mut page = Page::default();
    for check in &diagnosis.checks {
        let mark = if check.ok { "ok  " } else { "FAIL" };
        page.line(&format!("{mark}  {:<16} {}", check.name, check.detail));
    }
    let rights = &diagnosis.capabilities;
    let names = |rights: &[Right]| if rights.is_empty() { "none".to_owned() } else { rights::names(rights) };
    page.line("");
    page.line(&format!("capabilities held here       {}", names(&rights.held)));
    page.line(&format!("kept while recording         {}", names(rights.recording)));
    page.line(&format!("  with --max-overhead        {}", names(rights.recording_timed)));
    page.line(&format!("kept by record to write      {}", names(rights.writing)));
    page.line(&format!("kept by serve's --listen     {}", names(rights.network_facing)));
    for probe in &diagnosis.probes {
        let state = if probe.state == "active" { "can run" } else { &probe.state };
        page.line("");
        page.line(&format!("probe {:<9} {state}: {}", probe.name, probe.purpose));
        if let Some(reason) = &probe.reason {
            page.line(&format!("  {reason}"));
        }
        page.line(&format!("  hooks: {}", probe.hooks.join(", ")));
    }
    if let Some(programs) = &diagnosis.programs {
        page.lines(["", "program                  verified      code  load time  hook"]);
        for program in programs {
            let verified = program.verified_instructions.map_or_else(|| "–".to_owned(), |n| n.to_string());
            let time = units::duration(program.load_time_ns);
            page.line(&format!(
                "{:<22} {verified:>10} {:>9} {time:>10}  {}",
                program.name, program.jited_bytes, program.hook
            ));
        }
    }
    page.line("");
    page.line(match diagnosis.can_record {
        true => "This host can be profiled.",
        false => "This host cannot be profiled as it is.",
    });
    page.line(&format!("constitutional hash {}", diagnosis.constitutional_hash));
    page
}
