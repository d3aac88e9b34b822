//! Programs: which are wanted, and what each is attached to.
//!
//! In: a program of the hooks, or an iterator; the kernel's BTF. Out: what `object::Object::load` takes.

use aya::programs::ProgramError;
use aya_obj::generated::bpf_attach_type::{BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_TRACE_ITER, BPF_TRACE_RAW_TP};
use aya_obj::generated::bpf_prog_type::{BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_TRACING};

use super::LiveError;
use super::btf::Btf;
use super::hooks::{Kind, Program};

/// A program that is to be loaded.
pub struct Wanted {
    /// Its name in the object.
    pub name: &'static str,
    /// Its type, and how it is attached.
    pub kind: (u32, u32),
    /// What it is attached to: the id of a type of the kernel's; the name of the type, if the kernel has none of it.
    pub target: Result<u32, String>,
}

impl Wanted {
    fn traced(name: &'static str, attach_type: u32, target: Result<u32, String>) -> Self {
        Self { name, kind: (BPF_PROG_TYPE_TRACING as u32, attach_type), target }
    }

    /// One of a hook.
    #[must_use]
    pub fn program(btf: &Btf, program: &Program) -> Self {
        let function = || btf.function_id(program.target).ok_or_else(|| program.target.to_owned());
        let (attach_type, target) = match program.kind {
            Kind::Tracepoint => {
                let id = btf.tracepoint_id(program.target);
                (BPF_TRACE_RAW_TP, id.ok_or_else(|| format!("btf_trace_{}", program.target)))
            }
            Kind::Fentry => (BPF_TRACE_FENTRY, function()),
            Kind::Fexit => (BPF_TRACE_FEXIT, function()),
        };
        Self::traced(program.name, attach_type as u32, target)
    }

    /// One that goes over things of this kind.
    #[must_use]
    pub fn iterator(btf: &Btf, name: &'static str, over: &str) -> Self {
        let function = format!("bpf_iter_{over}");
        Self::traced(name, BPF_TRACE_ITER as u32, btf.function_id(&function).ok_or(function))
    }

    /// One that nothing calls but the agent.
    #[must_use]
    pub fn raw(name: &'static str) -> Self {
        Self { name, kind: (BPF_PROG_TYPE_RAW_TRACEPOINT as u32, 0), target: Ok(0) }
    }
}

/// What the kernel said when it refused something about a program.
pub fn refused(name: &'static str, source: ProgramError) -> LiveError {
    LiveError::Program { name, source: Box::new(source) }
}
