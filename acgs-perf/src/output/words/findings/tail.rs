//! The finding about a tail in words.
//!
//! In: its service, whose tail says what is the case. Out: title, evidence, and advice for each cause.

use acgs_perf_common::attribution::Component;

use super::said::{Words, numbers};
use crate::analysis::missed_for_latency;
use crate::analysis::tail::{Cause, Explanation, calls_in_sequence, explain, main_cut};
use crate::output::words::phrase::phrase;
use crate::output::words::tail::slowest;
use crate::report::{CutReport, Finding, ServiceReport};
use crate::units::{duration, grouped, percent, process_name};

/// The words.
pub fn words(finding: &Finding, service: &ServiceReport) -> Words {
    let cut = service.tail.as_ref().and_then(|tail| main_cut(&tail.cuts));
    let Some(explanation) = cut.map(explain).filter(|explanation| !explanation.main.is_empty()) else {
        return Words(finding.id.replace('_', " "), numbers(finding), String::new());
    };
    let mut evidence = evidence(service, &explanation);
    let mut recommendation = recommendation(&explanation);
    if let Some(connects) = finding.figures.iter().find(|figure| figure.what == "connects") {
        let count = |number: Option<u64>| grouped(number.unwrap_or(0));
        evidence.push_str(&format!(
            "; {} connections to {} for {} calls",
            count(connects.value.as_u64()),
            connects.of.as_deref().unwrap_or("a peer"),
            count(connects.against.as_ref().and_then(|calls| calls.as_u64()))
        ));
        recommendation.push_str("; keep connections open instead of opening one for each call");
    }
    Words(title(service, &explanation), evidence, recommendation)
}

fn title(service: &ServiceReport, explanation: &Explanation) -> String {
    let main = &explanation.main[0];
    if main.cause == Cause::Unknown {
        return format!("what makes {} slow could not be attributed", service.name);
    }
    let who = slowest(&explanation.cut.quantile);
    let subject = match explanation.clear || !missed_for_latency(service) {
        true => format!("the {who} of the requests to {}", service.name),
        false => format!("all requests to {}, not only the {who},", service.name),
    };
    format!("{subject} spend their time {}", phrase(main, explanation.cut).text)
}

fn evidence(service: &ServiceReport, explanation: &Explanation) -> String {
    let cut = explanation.cut;
    let threshold = cut.threshold_ns.map_or_else(|| "68.7 s or more".into(), duration);
    let mut facts = vec![format!(
        "{} requests above {} ({threshold}) take {} on average, the rest {}",
        grouped(cut.count),
        cut.quantile,
        duration(cut.mean_ns),
        duration(cut.body_mean_ns)
    )];
    for part in &explanation.main {
        let phrase = phrase(part, cut);
        facts.push(format!(
            "{}: {} ({}), in the rest {}",
            phrase.text,
            duration(phrase.mean_ns),
            percent(phrase.mean_ns, cut.mean_ns),
            duration(phrase.body_mean_ns)
        ));
    }
    if explanation.main.iter().any(|part| part.cause == Cause::Downstream) && cut.calls_per_request > 0.0 {
        facts.push(format!(
            "calls per request {:.1}, in the rest {:.1}",
            cut.calls_per_request, cut.body_calls_per_request
        ));
    }
    if explanation.main.iter().any(|part| part.cause == Cause::RunQueue) {
        facts.extend(ran_instead(service, cut));
    }
    facts.join("; ")
}

/// Who had the CPU: from the exemplars, or from all waits of the service where the exemplars do not tell.
fn ran_instead(service: &ServiceReport, cut: &CutReport) -> Option<String> {
    let one = |comm: &str, pid: u32, wait_ns: u64| format!("{} {}", process_name(comm, pid), duration(wait_ns));
    let exemplars: Vec<_> = cut.preemptors.iter().take(3).map(|p| one(&p.comm, p.pid, p.wait_ns)).collect();
    if !exemplars.is_empty() {
        return Some(format!("ran instead, in the exemplars: {}", exemplars.join(", ")));
    }
    let all = &service.scheduler.as_ref()?.ran_instead;
    let all: Vec<_> = all.iter().take(3).map(|r| one(&r.comm, r.pid, r.wait_ns)).collect();
    (!all.is_empty()).then(|| format!("ran instead, over all waits of the service: {}", all.join(", ")))
}

fn recommendation(explanation: &Explanation) -> String {
    let Some(main) = explanation.main.first() else { return String::new() };
    let advice = match main.cause {
        Cause::Accept => {
            "accept more often: raise the backlog of `listen` and net.core.somaxconn, add workers, let clients keep \
             their connections open"
        }
        Cause::Queue => queue_advice(main.first()),
        Cause::Cpu => "profile the code with `perf record` on the thread of an exemplar, and cache or divide the work",
        Cause::RunQueue => {
            "give the service CPUs of its own: move or limit the commands that ran instead (cpuset, CPUWeight=), raise \
             its CPU quota, or run fewer threads than CPUs"
        }
        Cause::CpuQuota => {
            "raise the CPU quota of its control group (CPUQuota=, cpu.max; in Kubernetes the CPU limit), or run fewer threads \
             at a time, so that the quota lasts for the period"
        }
        Cause::Lock => "find the lock with `perf lock contention` or `perf trace -e futex`, and hold it for less",
        Cause::Disk => "keep the data in memory, write asynchronously, or look at the device with `iostat -x 1`",
        Cause::Downstream if calls_in_sequence(explanation.cut).is_some() => {
            "make the calls that do not need each other's answer at the same time, or ask for everything in one call; \
             then look at the latency of the peer"
        }
        Cause::Downstream => {
            "look at the peer: record it as a service too, check its slow queries, its pool and its connects per call; \
             set a timeout on the call"
        }
        Cause::RequestBody => {
            "this is the client's own time: let a proxy take the whole request before it passes it on, limit how slowly a \
             client may send, or look at the network from it"
        }
        Cause::Idle => {
            "look at the exemplars: a timer or a sleep of the event loop, a wait that is not seen, as on another process, or a \
             lock, a channel or a sleep inside of a runtime such as Go's, which its own profile of blocked tasks shows"
        }
        Cause::Sleep => {
            "remove the sleep, the retry with a fixed pause, or the wait that only its time limit ends, from the path of the \
             request"
        }
        Cause::Fault => "check memory pressure and swap (`vmstat 1`), transparent huge pages, and memory-mapped files",
        Cause::Other => "look at the system calls of the service, and at the segments of the exemplars",
        Cause::EventLoop => {
            "move blocking and long work off the event loop (thread pool, worker process), or run more workers"
        }
        Cause::Pool => "enlarge the thread pool, or shorten what its threads do",
        Cause::Connection => {
            "enlarge the pool of connections to the peer (as far as that serves more calls at a time), hold a connection for less, or make \
             the calls faster"
        }
        Cause::Unknown => {
            "see in the exemplars which stretch is unknown; work that is handed to another process is not followed"
        }
        Cause::Reply => {
            "check whether the reply is large or streamed on purpose: the service itself takes this time between its sends"
        }
        Cause::Nagle => {
            "set TCP_NODELAY on the service's connections, or write the whole reply in one send: its end waits for the \
             client's acknowledgement, which the client delays"
        }
        Cause::SlowClient => {
            "this is the client's own time, which reads slowly: let a proxy take the reply (buffering), make it smaller \
             (compression, pages), or look at the client"
        }
        Cause::Network => {
            "look at the network to the clients: retransmissions (`nstat`, `ss -ti`), the congestion window and the \
             pacing of the connections, the rate of the device"
        }
    };
    advice.into()
}

fn queue_advice(component: Option<Component>) -> &'static str {
    match component {
        Some(Component::QueueOnCpu) => {
            "the thread that reads is busy: add workers, or move long work off the thread that reads"
        }
        Some(Component::QueueDownstream) => {
            "the thread that reads blocks in calls of other requests: use an asynchronous client, or more workers"
        }
        Some(Component::QueueLock) => {
            "the thread that reads waits for a lock: find it with `perf lock contention`, or add workers"
        }
        Some(Component::QueueDisk | Component::QueueFault) => {
            "the thread that reads waits for the disk or for memory: move such work off it, check memory pressure"
        }
        Some(Component::QueueSleep) => "the thread that reads sleeps: remove the sleep, or move it off that thread",
        _ => "the application reads too late: add workers, or move blocking and long work off the thread that reads",
    }
}
