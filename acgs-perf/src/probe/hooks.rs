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
    const fn tracepoint(name: &'static str) -> Self {
        Self { name, kind: Kind::Tracepoint, target: name, need: Need::Always }
    }

    const fn fentry(name: &'static str, target: &'static str) -> Self {
        Self { name, kind: Kind::Fentry, target, need: Need::Always }
    }

    const fn fexit(name: &'static str, target: &'static str) -> Self {
        Self { name, kind: Kind::Fexit, target, need: Need::Always }
    }

    const fn where_it_exists(self) -> Self {
        Self { need: Need::WhereItExists, ..self }
    }

    /// Stands by for the program of this tracepoint. The kernel runs programs in the order in which they were attached.
    const fn standby(name: &'static str, tracepoint: &'static str) -> Self {
        Self { name, kind: Kind::Tracepoint, target: tracepoint, need: Need::Standby }
    }

    /// Whether it does another program's work at times, and none of its own.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.need == Need::Standby
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

macro_rules! tracepoints {
    ($($name:literal),* $(,)?) => { &[$(Hook(&[&[Program::tracepoint($name)]])),*] };
}

/// A program at a tracepoint and its standbys, in the order in which they run.
macro_rules! chain {
    ($name:literal, $($standby:literal),+) => {
        &[Program::tracepoint($name), $(Program::standby($standby, $name)),+]
    };
}

/// Keep the service table right.
pub const PROCESS: &[Hook] = &[
    Hook(&[chain!("sched_process_fork", "sched_process_fork_standby")]),
    Hook(&[chain!("sched_process_exit", "sched_process_exit_standby")]),
    Hook(&[chain!("sched_process_exec", "sched_process_exec_standby")]),
    Hook(&[chain!("inet_sock_set_state", "inet_sock_set_state_standby")]),
];
/// Thread clocks. The kernel holds a lock of the run queue or of the thread there, so that these keep their CPU everywhere.
pub const SCHED: &[Hook] = tracepoints!["sched_waking", "sched_switch"];
/// System calls.
pub const SYSCALLS: &[Hook] =
    &[Hook(&[chain!("sys_enter", "sys_enter_standby")]), Hook(&[chain!("sys_exit", "sys_exit_standby")])];
/// Trouble on connections.
pub const TCP: &[Hook] = tracepoints!["tcp_retransmit_skb", "tcp_receive_reset", "tcp_send_reset"];
/// Request clocks. The tracepoints came with Linux 6.3; before, the functions beneath the system calls are watched. The one
/// that starts clocks comes last: what is in flight at attach is never half counted.
pub const REQUEST: &[Hook] = &[
    Hook(&[
        chain!(
            "sock_send_length",
            "sock_send_length_standby",
            "sock_send_length_standby_2",
            "sock_send_length_standby_3"
        ),
        &[
            Program::fexit("sent_inet", "inet_sendmsg"),
            Program::fexit("sent_inet6", "inet6_sendmsg"),
            Program::fexit("sent_unix", "unix_stream_sendmsg"),
            Program::fexit("sent_page_inet", "inet_sendpage").where_it_exists(),
            Program::fexit("sent_page_unix", "unix_stream_sendpage").where_it_exists(),
        ],
    ]),
    Hook(&[
        chain!(
            "sock_recv_length",
            "sock_recv_length_standby",
            "sock_recv_length_standby_2",
            "sock_recv_length_standby_3"
        ),
        &[
            Program::fexit("received_inet", "inet_recvmsg"),
            Program::fexit("received_inet6", "inet6_recvmsg"),
            Program::fexit("received_unix", "unix_stream_recvmsg"),
        ],
    ]),
    Hook(&[
        chain!("sk_data_ready", "sk_data_ready_standby", "sk_data_ready_standby_2"),
        &[Program::fentry("readable", "sock_def_readable")],
    ]),
];

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

/// Functions to which programs may be attached: the loader looks them up in the kernel's BTF.
pub fn functions() -> impl Iterator<Item = &'static str> {
    let all = [PROCESS, SCHED, SYSCALLS, TCP, REQUEST];
    let programs = all.into_iter().flatten().flat_map(|hook| hook.0).flat_map(|way| way.iter());
    programs.filter(|program| program.kind != Kind::Tracepoint).map(|program| program.target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standbys_follow_their_program_at_its_tracepoint_and_none_is_there_twice() {
        let mut names = Vec::new();
        for way in [PROCESS, SCHED, SYSCALLS, TCP, REQUEST].into_iter().flatten().flat_map(|hook| hook.0) {
            names.extend(way.iter().map(|program| program.name));
            let Some(first) = way.first() else { panic!("a way without programs") };
            assert!(!first.is_standby(), "{}", first.name);
            for standby in way.iter().filter(|program| program.is_standby()) {
                assert_eq!(standby.target, first.target);
                assert!(standby.name.starts_with(first.name), "{}", standby.name);
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
