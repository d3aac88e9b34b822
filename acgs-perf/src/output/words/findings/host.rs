//! Findings about CPUs and memory in words.

use super::said::{Words, against, all, compared, number, numbers, part, share, value, whose};
use crate::analysis::findings::{
    CONTEXT_SWITCHES, CPU_SATURATED, IDLE_CPUS, MAJOR_FAULTS, MEMORY_PRESSURE, NOISY_NEIGHBOUR, OWN_THREADS, SLOW_FORK,
    SLOW_WORKER,
};
use crate::report::{Finding, ServiceReport};
use crate::units::{duration, grouped, percent};

/// The words; `None` for a finding about something else.
pub fn words(finding: &Finding, service: &ServiceReport) -> Option<Words> {
    let name = &service.name;
    let waits = || {
        format!(
            "a slow request waits {} for a CPU ({} of its time), the others {}",
            duration(value(finding, "run_queue")),
            share(finding),
            duration(against(finding, "run_queue"))
        )
    };
    let words = match finding.id.as_str() {
        CPU_SATURATED => Words(
            format!("the CPUs are busy, and requests to {name} wait for one"),
            format!(
                "the services recorded used {} of the time of all {} CPUs; {}",
                part(finding, "cpu_time"),
                value(finding, "cpus"),
                waits()
            ),
            "add CPUs or hosts, or make the services compute less: `perf top` shows the code that takes the CPU".into(),
        ),
        IDLE_CPUS => Words(
            format!("{name} waits for a CPU while others are idle"),
            format!(
                "{} of the host's {} CPUs had nothing to do for at least half of the time; {}",
                grouped(value(finding, "idle_cpus")),
                grouped(against(finding, "idle_cpus")),
                waits()
            ),
            "let it use more CPUs: see `taskset -cp PID`, the cpuset of its container, CPUAffinity= and AllowedCPUs=; or keep \
             others off those that it has"
                .into(),
        ),
        NOISY_NEIGHBOUR => Words(
            format!("{} takes the CPU that {name} needs", whose(finding, "ran_instead")),
            format!(
                "it ran for {} of the {} for which threads of {name} waited for a CPU ({}); {}",
                duration(value(finding, "ran_instead")),
                duration(against(finding, "ran_instead")),
                part(finding, "ran_instead"),
                waits()
            ),
            "move it to another host or to CPUs of its own (cpuset, CPUAffinity=), or give it less weight (CPUWeight=, nice)"
                .into(),
        ),
        OWN_THREADS => Words(
            format!("{name} has more threads that want to run than it has CPUs"),
            format!(
                "its own threads ran for {} of the {} for which it waited for a CPU ({}); {}",
                duration(value(finding, "ran_instead")),
                duration(against(finding, "ran_instead")),
                part(finding, "ran_instead"),
                waits()
            ),
            "run as many workers as there are CPUs, or give the service more CPUs".into(),
        ),
        SLOW_WORKER => slow_worker(finding, name),
        SLOW_FORK => Words(
            format!("{name} stands still while it starts a process"),
            format!(
                "{} took {}, the slowest request {}",
                longest_call(value(finding, "calls"), whose(finding, "longest_call")),
                duration(value(finding, "longest_call")),
                duration(against(finding, "longest_call"))
            ),
            "start processes from a small process that does nothing else (a fork server), keep less memory in each process, or save from a replica (for Redis BGSAVE)".into(),
        ),
        CONTEXT_SWITCHES => Words(
            format!("the threads of {name} run only briefly before they make way for another"),
            format!(
                "{} changes of thread for {} requests, a thread runs for {} at a time; {} of the changes were forced",
                grouped(value(finding, "switches")),
                grouped(against(finding, "switches")),
                duration(value(finding, "on_cpu_between")),
                part(finding, "involuntary")
            ),
            "do more work per wake-up: read and write in larger pieces, use fewer threads, hand work over less often".into(),
        ),
        MAJOR_FAULTS => Words(
            format!("{name} has to read its own memory from the disk"),
            format!(
                "{} pages were read from a disk for {} requests",
                grouped(value(finding, "major_faults")),
                grouped(against(finding, "major_faults"))
            ),
            "give the service more memory (memory.max, MemoryMax=), turn swap off for it, or read mapped files beforehand".into(),
        ),
        MEMORY_PRESSURE => Words(
            format!("memory is short: threads stop until some is freed, which concerns {name}"),
            pressure(finding),
            "give it more memory (memory.max, MemoryMax=, or the host), or find what else uses it: `systemd-cgtop -m`".into(),
        ),
        _ => return None,
    };
    match words.1.is_empty() {
        true => Some(Words(words.0, numbers(finding), words.2)),
        false => Some(words),
    }
}

fn longest_call(calls: u64, name: &str) -> String {
    if calls == 1 { format!("a call of {name}") } else { format!("the longest of {} calls of {name}", grouped(calls)) }
}

fn slow_worker(finding: &Finding, name: &str) -> Words {
    Words(
            format!("one process of {name} is slower than the others: {}", whose(finding, "slow_requests")),
            format!(
                "of {} processes it answered {} of the {} requests ({}), and {} of the {} slow ones ({})",
                grouped(value(finding, "workers")),
                grouped(value(finding, "requests")),
                grouped(against(finding, "requests")),
                part(finding, "requests"),
                grouped(value(finding, "slow_requests")),
                grouped(against(finding, "slow_requests")),
                part(finding, "slow_requests")
            ),
            "look at that process: whether it is bound to a busy CPU (`taskset -cp PID`), swaps, or has grown; start it anew and \
             compare. If it gets other requests than the others, look at the endpoints instead"
                .into(),
        )
}

fn pressure(finding: &Finding) -> String {
    let share =
        |figure| format!("{} ({} of the time)", duration(number(figure)), percent(number(figure), compared(figure)));
    let kind = |figure: &crate::report::Figure| figure.of.as_deref().unwrap_or("memory").replace('_', " ");
    let stalls = all(finding, "stalled").map(|of| format!("its threads stopped for {} in {}", share(of), kind(of)));
    let others = all(finding, "pressure").map(|of| format!("some threads of {} stopped for {}", kind(of), share(of)));
    stalls.chain(others).collect::<Vec<_>>().join("; ")
}
