//! Scheduler: who runs, who waits, who was woken, and who ran instead.

use acgs_perf_common::ledger::Loss;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use super::entry::run;
use crate::clock::thread;
use crate::count::lose;
use crate::globals::{counts, global};
use crate::kernel::task::Task;
use crate::kernel::time::now;
use crate::table::member::{service_byte_of_tgid, service_of_tgid};
use crate::table::preemptor::ran_instead;

#[btf_tracepoint]
pub fn sched_waking(ctx: BtfTracePointContext) -> i32 {
    run(|| {
        let task = Task::arg(&ctx, 0);
        match service_of_tgid(task.tgid()) {
            Some(service) => thread::waking(task, service),
            None => Ok(()),
        }
    })
}

#[btf_tracepoint]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    run(|| switch(&ctx))
}

#[inline(always)]
fn switch(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    let (prev, next) = (Task::arg(ctx, 1), Task::arg(ctx, 2));
    let (from, to) = (service_byte_of_tgid(prev.tgid()), service_byte_of_tgid(next.tgid()));
    if from | to == 0 {
        return Ok(());
    }
    let now = now();
    if from != 0 {
        let preempted = ctx.arg::<u64>(0) & 1 != 0;
        let has_state = global!(FIELDS.switch_has_state) != 0;
        let runnable = preempted || if has_state { ctx.arg::<u32>(3) == 0 } else { prev.is_runnable() };
        if let Err(loss) = thread::switched_out(prev, from - 1, runnable, now) {
            lose(loss);
        }
    }
    if to != 0 {
        let service = to - 1;
        let waited = thread::switched_in(next, service, prev, now)?;
        // The idle task stands in nobody's way.
        if waited != 0 && prev.pid() != 0 && counts() {
            ran_instead(service, prev, waited);
        }
    }
    Ok(())
}
