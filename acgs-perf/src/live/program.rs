//! One program: found in the object by its kind, loaded, attached.
//!
//! In: the loaded object, the kernel's entry points. Out: the kernel's facts about the program; a link that detaches it when
//! it is dropped.

use aya::programs::links::FdLink;
use aya::programs::{BtfTracePoint, FEntry, FExit, Iter, ProgramError, ProgramInfo};
use aya::{Btf, Ebpf};

use super::LiveError;
use super::hooks::{Kind, Program};

/// Does the same with a program of each kind: their types have the same methods, but no trait for them.
macro_rules! with_program {
    ($ebpf:expr, $program:expr, |$typed:ident| $body:expr) => {{
        let found = of($ebpf, $program.name)?;
        match $program.kind {
            Kind::Tracepoint => {
                let $typed: &mut BtfTracePoint = found.try_into().map_err(|e| refused($program.name, e))?;
                $body
            }
            Kind::Fentry => {
                let $typed: &mut FEntry = found.try_into().map_err(|e| refused($program.name, e))?;
                $body
            }
            Kind::Fexit => {
                let $typed: &mut FExit = found.try_into().map_err(|e| refused($program.name, e))?;
                $body
            }
        }
    }};
}

/// Loads a program, and gives what the kernel says of it.
pub fn load(ebpf: &mut Ebpf, program: &Program, types: &Btf) -> Result<ProgramInfo, LiveError> {
    let refused = |error| refused(program.name, error);
    with_program!(ebpf, program, |typed| {
        typed.load(program.target, types).map_err(refused)?;
        typed.info().map_err(refused)
    })
}

/// Attaches a loaded program.
pub fn attach(ebpf: &mut Ebpf, program: &Program) -> Result<FdLink, LiveError> {
    let refused = |error| refused(program.name, error);
    with_program!(ebpf, program, |typed| {
        let id = typed.attach().map_err(refused)?;
        Ok(typed.take_link(id).map_err(refused)?.into())
    })
}

/// A task iterator.
pub fn iterator<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Iter, LiveError> {
    of(ebpf, name)?.try_into().map_err(|e| refused(name, e))
}

fn of<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut aya::programs::Program, LiveError> {
    let missing = || LiveError::Map { name, reason: "no such program in the object".to_owned() };
    ebpf.program_mut(name).ok_or_else(missing)
}

/// What the kernel said when it refused something about a program.
pub fn refused(name: &'static str, source: ProgramError) -> LiveError {
    LiveError::Program { name, source: Box::new(source) }
}
