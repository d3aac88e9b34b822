//! What the kernel's account of run times costs: a program that does nothing, and that the agent runs by itself. It is never
//! attached.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

#[raw_tracepoint]
pub fn empty_run(_ctx: RawTracePointContext) -> i32 {
    0
}
