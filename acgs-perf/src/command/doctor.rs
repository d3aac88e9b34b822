//! `acgs-perf doctor`: whether this host can be profiled, and which hook each probe would use. It changes nothing.
//!
//! In: the kernel's BTF and a few files under /proc. Out: a list on standard output; exit code 1 if recording cannot work.

use clap::ValueEnum;
use serde::Serialize;

use crate::probe::{self, session, table};
use crate::{capture, output};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  sudo acgs-perf doctor
  acgs-perf doctor --format json | jq '.checks[] | select(.ok | not)'";

/// Arguments of `acgs-perf doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
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
    probes: Vec<ProbeState>,
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
    let diagnosis = diagnose();
    let text = match args.format {
        Format::Text => text(&diagnosis),
        Format::Json => serde_json::to_string_pretty(&diagnosis)? + "\n",
    };
    output::print(&text)?;
    Ok(u8::from(!diagnosis.can_record))
}

fn diagnose() -> Diagnosis {
    let read = |path: &str| std::fs::read_to_string(path).map(|s| s.trim_end().to_owned());
    let mut checks = Vec::new();
    let mut check = |name, ok, detail: String| checks.push(Check { name, ok, detail });
    let release = probe::kernel_release();
    let btf = probe::kernel_btf();
    let fit = btf.as_ref().map_or(Ok(()), |btf| probe::needs::check(btf, &release));
    check("kernel", fit.is_ok(), fit.map_or_else(|error| error.to_string(), |()| release));
    // SAFETY: geteuid has no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    check("root", root, if root { "yes".into() } else { "no; recording needs it, run with sudo".into() });
    let object = session::has_object();
    let built = "built without kernel programs; run `cargo xtask setup` and build again";
    check("kernel programs", object, if object { "built in".into() } else { built.into() });
    let jit = read("/proc/sys/net/core/bpf_jit_enable").unwrap_or_else(|_| "unknown".into());
    check("BPF JIT", jit != "0", if jit == "0" { "off; set net.core.bpf_jit_enable=1".into() } else { "on".into() });
    let all: Vec<&table::Probe> = table::PROBES.iter().collect();
    let probes = match btf {
        Ok(btf) => {
            check("kernel BTF", true, probe::KERNEL_BTF.into());
            match probe::offsets::resolve(&btf) {
                Ok(_) => check("kernel fields", true, "all found".into()),
                Err(error) => check("kernel fields", false, error.to_string()),
            }
            let missing: Vec<_> =
                table::PROCESS_HOOKS.iter().filter(|hook| btf.tracepoint_arguments(hook).is_none()).copied().collect();
            let detail =
                if missing.is_empty() { "all found".into() } else { format!("missing: {}", missing.join(", ")) };
            check("process hooks", missing.is_empty(), detail);
            table::states(&btf, &all)
        }
        Err(error) => {
            check("kernel BTF", false, error.to_string());
            Vec::new()
        }
    };
    let can_record = checks.iter().all(|check| check.ok) && probes.iter().any(|probe| probe.state == "active");
    Diagnosis {
        constitutional_hash: acgs_perf_common::CONSTITUTIONAL_HASH,
        can_record,
        checks,
        probes: probes.into_iter().map(with_purpose).collect(),
    }
}

fn with_purpose(probe: capture::Probe) -> ProbeState {
    let purpose = table::PROBES.iter().find(|known| known.name == probe.name).map_or("", |known| known.purpose);
    ProbeState { name: probe.name, state: probe.state, reason: probe.reason, purpose, hooks: probe.hooks }
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    for check in &diagnosis.checks {
        let mark = if check.ok { "ok  " } else { "FAIL" };
        out += &format!("{mark}  {:<16} {}\n", check.name, check.detail);
    }
    for probe in &diagnosis.probes {
        let state = if probe.state == "active" { "can run" } else { &probe.state };
        out += &format!("\nprobe {:<9} {state}: {}\n", probe.name, probe.purpose);
        if let Some(reason) = &probe.reason {
            out += &format!("  {reason}\n");
        }
        out += &format!("  hooks: {}\n", probe.hooks.join(", "));
    }
    out += if diagnosis.can_record {
        "\nThis host can be profiled.\n"
    } else {
        "\nThis host cannot be profiled as it is.\n"
    };
    out += &format!("constitutional hash {}\n", diagnosis.constitutional_hash);
    out
}
