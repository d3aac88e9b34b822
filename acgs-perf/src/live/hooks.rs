//! The hooks: for each event that a probe needs, the ways in which kernels show it, best first.
//!
//! In: the kernel's BTF. Out: the programs to load for an event, or why there are none. To give an event another way, add it
//! here and its programs in the kernel crate. There is no kprobe among the ways: such a program may not use the storage of a
//! socket or of a task, on which both clocks stand.

use super::btf::Btf;

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At a tracepoint, with typed arguments.
    Tracepoint,
    /// Where a function is entered.
    Fentry,
    /// Where a function returns.
    Fexit,
}

impl Kind {
    /// As in the report: `tp_btf`, `fentry`, `fexit`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tp_btf",
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
        }
    }
}

/// A program of the object, and what it is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// How it is attached.
    pub kind: Kind,
    /// Tracepoint or function.
    pub target: &'static str,
    need: Need,
}

/// Which kernels a program of a way is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Without it the way cannot be taken.
    Always,
    /// Only some kernels have the function.
    WhereItExists,
    /// It stands by for the program before it, where that can lose its CPU.
    Standby,
}

impl Program {
    pub(super) const fn tracepoint(name: &'static str) -> Self {
        Self { name, kind: Kind::Tracepoint, target: name, need: Need::Always }
    }

    /// At a tracepoint at which another program of its name is.
    #[must_use]
    pub const fn named(name: &'static str, tracepoint: &'static str) -> Self {
        Self { name, kind: Kind::Tracepoint, target: tracepoint, need: Need::Always }
    }

    pub(super) const fn fentry(name: &'static str, target: &'static str) -> Self {
        Self { name, kind: Kind::Fentry, target, need: Need::Always }
    }

    pub(super) const fn fexit(name: &'static str, target: &'static str) -> Self {
        Self { name, kind: Kind::Fexit, target, need: Need::Always }
    }

    pub(super) const fn where_it_exists(self) -> Self {
        Self { need: Need::WhereItExists, ..self }
    }

    /// Stands by for the program of this tracepoint. The kernel runs programs in the order in which they were attached.
    pub(super) const fn standby(name: &'static str, tracepoint: &'static str) -> Self {
        Self { name, kind: Kind::Tracepoint, target: tracepoint, need: Need::Standby }
    }

    /// Whether it does another program's work at times, and none of its own.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.need == Need::Standby
    }

    /// Whether it stands by for that one.
    #[must_use]
    pub fn stands_by_for(&self, other: &Self) -> bool {
        self.is_standby() && self.target == other.target && self.name.starts_with(other.name)
    }

    fn is_optional(&self) -> bool {
        self.need != Need::Always
    }

    /// As in the report, such as `tp_btf/sched_switch`.
    #[must_use]
    pub fn hook(&self) -> String {
        format!("{}/{}", self.kind.name(), self.target)
    }

    fn is_wanted(&self, btf: &Btf, standby: bool) -> bool {
        self.exists(btf) && (standby || !self.is_standby())
    }

    fn exists(&self, btf: &Btf) -> bool {
        match self.kind {
            Kind::Tracepoint => btf.tracepoint_arguments(self.target).is_some(),
            Kind::Fentry | Kind::Fexit => btf.has_function(self.target),
        }
    }
}

/// An event, and the ways to see it: sets of programs, best first.
#[derive(Debug)]
pub struct Hook(&'static [&'static [Program]]);

impl Hook {
    pub(super) const fn new(ways: &'static [&'static [Program]]) -> Self {
        Self(ways)
    }

    /// The ways to see it.
    pub fn ways(&self) -> impl Iterator<Item = &'static [Program]> {
        self.0.iter().copied()
    }
}

macro_rules! tracepoints {
    ($($name:literal),* $(,)?) => { &[$($crate::live::hooks::Hook::new(&[&[$crate::live::hooks::Program::tracepoint($name)]])),*] };
}

pub(super) use tracepoints;

/// A program at a tracepoint and its standbys, in the order in which they run.
macro_rules! chain {
    ($name:literal at $tracepoint:literal, $($standby:literal),+) => {
        &[
            $crate::live::hooks::Program::named($name, $tracepoint),
            $($crate::live::hooks::Program::standby($standby, $tracepoint)),+
        ]
    };
    ($name:literal, $($standby:literal),+) => {
        &[$crate::live::hooks::Program::tracepoint($name), $($crate::live::hooks::Program::standby($standby, $name)),+]
    };
}

pub(super) use chain;

/// The programs for a set of hooks on this kernel; with a `standby` for each that needs one.
///
/// # Errors
/// Says which event the kernel does not show.
pub fn choose(btf: &Btf, hooks: &'static [Hook], standby: bool) -> Result<Vec<Program>, String> {
    let mut chosen = Vec::new();
    for hook in hooks {
        let usable = hook.0.iter().find(|way| way.iter().all(|program| program.is_optional() || program.exists(btf)));
        let Some(way) = usable else {
            let missing: Vec<String> = hook
                .0
                .iter()
                .filter_map(|way| way.iter().find(|program| !program.is_optional() && !program.exists(btf)))
                .map(|program| match program.kind {
                    Kind::Tracepoint => format!("no tracepoint {}", program.target),
                    Kind::Fentry | Kind::Fexit => format!("no function {}", program.target),
                })
                .collect();
            return Err(format!("this kernel has {}", missing.join(" and ")));
        };
        chosen.extend(way.iter().filter(|program| program.is_wanted(btf, standby)));
    }
    Ok(chosen)
}
