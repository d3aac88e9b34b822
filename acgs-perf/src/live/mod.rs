//! The kernel side seen from the agent: which hooks a probe needs, where kernel fields are, loading and attaching.
//!
//! In: the probes the user chose, the kernel's BTF. Out: a [`session::Session`] that `snapshot` reads.

pub mod account;
mod array;
mod bpf;
pub mod btf;
pub mod calls;
pub mod diagnostics;
mod elsewhere;
pub mod endpoint_names;
mod entries;
pub mod hooks;
pub mod host_cpu;
pub mod look;
pub mod maps;
pub mod memory;
pub mod needs;
mod object;
pub mod offsets;
pub mod preemption;
pub mod probes;
mod program;
pub mod rights;
mod service_table;
pub mod session;
mod sightings;
pub mod status;
pub mod table;
pub mod workers;

/// Why the kernel side could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The kernel has no BTF, or it cannot be read.
    #[error("{path}: {source}; acgs-perf needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF=y)")]
    NoBtf {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The BTF is damaged.
    #[error("{path}: not valid BTF: {reason}")]
    BadBtf {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The kernel lacks what every probe needs.
    #[error("Linux {release} is too old: it lacks {missing}; acgs-perf needs {first} or newer", first = needs::FIRST_RELEASE)]
    TooOld {
        /// The running release.
        release: String,
        /// What it lacks.
        missing: String,
    },
    /// A field that every supported kernel has is missing.
    #[error("the kernel's BTF has no field {0}; this kernel is not supported, please report its version")]
    NoField(String),
    /// The agent was built without bpf-linker.
    #[error("this acgs-perf was built without its kernel programs; run `cargo xtask setup` and build it again")]
    NoObject,
    /// Too many services.
    #[error("{0} services: at most {max} can be recorded at once", max = acgs_perf_common::maps::MAX_SERVICES)]
    TooManyServices(usize),
    /// Every probe failed.
    #[error("no probe can run on this kernel: {0}")]
    NoProbe(String),
    /// The object was refused.
    #[error("the kernel refused the programs: {0}")]
    Load(#[from] aya::EbpfError),
    /// A program was refused.
    #[error("the kernel refused the program {name}: {source}")]
    Program {
        /// The program.
        name: &'static str,
        /// What the kernel said.
        source: Box<aya::programs::ProgramError>,
    },
    /// A map is not as expected.
    #[error("map {name}: {reason}")]
    Map {
        /// The map.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Where the kernel tells its types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The running kernel's release; empty where it cannot be read.
#[must_use]
pub fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map(|text| text.trim_end().to_owned()).unwrap_or_default()
}

/// Reads the running kernel's BTF.
///
/// # Errors
/// When there is none, or it is damaged.
pub fn kernel_btf() -> Result<btf::Btf, LiveError> {
    let path = || KERNEL_BTF.to_owned();
    let data = btf::Bytes::of_file(KERNEL_BTF).map_err(|source| LiveError::NoBtf { path: path(), source })?;
    btf::Btf::parse(data).map_err(|reason| LiveError::BadBtf { path: path(), reason })
}

/// What tests want to be other than usual.
#[derive(Clone, Debug, Default)]
pub struct Debug {
    /// Sizes of maps.
    pub map_entries: Vec<(String, u32)>,
    /// Programs have a standby although this kernel's tracepoints disable preemption.
    pub standby: bool,
    /// Programs are loaded too that stand in for others which this kernel accepts.
    pub every_program: bool,
}

/// Resolves the kernel's fields, chooses hooks, and loads the programs for `services` services.
///
/// # Errors
/// When this kernel can do nothing of what was asked for, with the reason.
pub fn start(chosen: &[&probes::ProbeSpec], services: usize, debug: &Debug) -> Result<session::Session, LiveError> {
    memory::give_files_back();
    let btf = kernel_btf()?;
    needs::check(&btf, &kernel_release())?;
    let fields = offsets::of_kernel(&btf)?;
    let preemption = preemption::Preemption::of(&btf, &kernel_release(), debug.standby);
    let standby = preemption.is_some();
    let process = hooks::choose(&btf, probes::process::HOOKS, standby).map_err(LiveError::NoProbe)?;
    let choices = probes::choose(&btf, chosen, standby);
    let wanted = wanted(&btf, &process, &choices);
    drop(btf);
    memory::give_files_back();
    let session = session::Session::load(&fields, &wanted, preemption, process, choices, services, debug);
    memory::give_files_back();
    memory::give_heap_back();
    session
}

/// The programs of the process hooks and of the active probes, with their iterators.
fn wanted(btf: &btf::Btf, process: &[hooks::Program], probes: &[probes::Choice]) -> Vec<program::Wanted> {
    let active = || probes.iter().filter(|choice| choice.is_active());
    let programs = process.iter().chain(active().flat_map(|choice| &choice.programs));
    let tasks = active().filter_map(|choice| choice.spec.iterators).flat_map(|iterators| iterators.names());
    let sockets = active().filter_map(|choice| choice.spec.sockets).flat_map(|iterators| iterators.programs());
    programs
        .map(|program| program::Wanted::program(btf, program))
        .chain(tasks.map(|name| program::Wanted::iterator(btf, name, "task")))
        .chain(sockets.map(|(name, over)| program::Wanted::iterator(btf, name, over)))
        .collect()
}
