//! Whether programs at tracepoints can lose their CPU, and the kernel functions with which they keep it.
//!
//! In: the kernel's BTF. Out: the object whose calls of these functions the kernel understands. Up to Linux 6.18 a tracepoint
//! disables preemption for the programs that run there; from 7.0 on it only guards itself with SRCU, and each program needs a
//! standby (`acgs-perf-ebpf/src/hooks/standby.rs`).

use std::borrow::Cow;

use acgs_perf_common::kfuncs::KFUNCS;

use super::btf::Btf;

/// A variable of each CPU behind `DEFINE_SRCU(tracepoint_srcu)`, which kernels have whose tracepoints leave preemption enabled.
const GUARD: &str = "tracepoint_srcu_srcu_data";
/// Up to 6.13 the variable was there for tracepoints in idle loops.
const FIRST: (u32, u32) = (6, 19);
/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL` as the source register.
const OF_KFUNC: u8 = 2 << 4;

/// The kernel functions of this kernel: (mark in the object, BTF id).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemption(Vec<(u32, u32)>);

impl Preemption {
    /// What a kernel of this release needs whose tracepoints leave preemption enabled; `None` for all others. `forced`: as if
    /// this one were such a kernel.
    #[must_use]
    pub fn of(btf: &Btf, release: &str, forced: bool) -> Option<Self> {
        if !forced && (version(release) < FIRST || !btf.has_variable(GUARD)) {
            return None;
        }
        KFUNCS.iter().map(|(mark, name)| Some((*mark, btf.function_id(name)?))).collect::<Option<_>>().map(Self)
    }

    /// The object with the calls of this kernel's functions in place of the marks.
    #[must_use]
    pub fn resolve(&self, object: &[u8]) -> Vec<u8> {
        let mut object = object.to_vec();
        for (mark, id) in &self.0 {
            let marked = call(0, *mark);
            // Sections of code begin at a multiple of eight, and so do instructions.
            for instruction in object.chunks_exact_mut(8).filter(|bytes| **bytes == marked) {
                instruction.copy_from_slice(&call(OF_KFUNC, *id));
            }
        }
        object
    }
}

/// The first two numbers of a release such as `6.1.0-56-cloud-amd64`.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The object as it is to be loaded.
#[must_use]
pub fn resolved<'o>(object: &'o [u8], preemption: Option<&Preemption>) -> Cow<'o, [u8]> {
    preemption.map_or(Cow::Borrowed(object), |preemption| Cow::Owned(preemption.resolve(object)))
}

fn call(registers: u8, target: u32) -> [u8; 8] {
    let [a, b, c, d] = target.to_le_bytes();
    [CALL, registers, 0, 0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_first_two_numbers() {
        assert!(version("6.12.118+deb13-cloud-amd64") < FIRST && version("6.18.44") < FIRST);
        assert!(version("7.2.13+deb14-cloud-amd64") >= FIRST && version("7.0-rc1") >= FIRST);
    }

    #[test]
    fn only_marked_calls_change() {
        let (mark, helper) = (KFUNCS[1].0, 5);
        let object = [call(0, helper), call(0, mark), call(1 << 4, mark)].concat();
        let resolved = Preemption(vec![(mark, 777)]).resolve(&object);
        assert_eq!(resolved, [call(0, helper), call(2 << 4, 777), call(1 << 4, mark)].concat());
    }
}
