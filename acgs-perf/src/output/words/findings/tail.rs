//! The finding about a tail in words.
//!
//! In: its service, whose tail says what is the case. Out: title, evidence, and advice for each cause.

use acgs_perf_common::attribution::Component;

use super::said::{self, Words, against, compared, number, numbers, value};
use crate::analysis::missed_for_latency;
use crate::analysis::tail::{Cause, Explanation, Part, causes, explain, main_cut, sequence};
use crate::output::words::phrase::phrase;
use crate::output::words::tail::slowest;
use crate::report::{CutReport, Finding, PreemptorReport, ServiceReport};
use crate::units::{duration, grouped, percent, process_name};

/// The words of a cause of slow requests.
pub fn words(finding: &Finding, cause: Cause, service: &ServiceReport) -> Words {
    let cut = service.tail.as_ref().and_then(|tail| main_cut(&tail.cuts));
    let explanation = cut.map(explain);
    let all = cut.map(causes).unwrap_or_default();
    let (Some(explanation), Some(part)) = (explanation, all.iter().find(|part| part.cause == cause)) else {
        return Words(finding.id.replace('_', " "), numbers(finding), String::new());
    };
    let is_first = explanation.main.first().is_some_and(|main| main.cause == cause);
    let mut evidence = evidence(service, &explanation, part);
    let exemplars = service.exemplars.as_deref().unwrap_or_default();
    let mut recommendation = recommendation(part, sequence(explanation.cut, exemplars).is_some());
    if let Some(call) = finding.figures.iter().find(|figure| figure.what == "asked_for") {
        let part = percent(number(call), compared(call));
        evidence
            .push_str(&format!("; in the exemplars {part} of it is for {}", call.of.as_deref().unwrap_or_default()));
    }
    if let Some(connects) = said::all(finding, "connects").next() {
        evidence.push_str(&format!(
            "; {} connections to {} for {} calls",
            grouped(number(connects)),
            connects.of.as_deref().unwrap_or("a peer"),
            grouped(compared(connects))
        ));
        recommendation.push_str("; keep connections open instead of opening one for each call");
    }
    if let Some(endpoint) = &finding.endpoint {
        evidence.push_str(&format!(
            "; {endpoint} takes {} each time, half of all requests {} or less",
            duration(value(finding, "endpoint_p50")),
            duration(against(finding, "endpoint_p50"))
        ));
        recommendation = format!("begin with {endpoint}, which keeps others waiting: {recommendation}");
    }
    let title = title(service, &explanation, part, is_first);
    Words(title, evidence, recommendation)
}

fn title(service: &ServiceReport, explanation: &Explanation, part: &Part, is_first: bool) -> String {
    let name = &service.name;
    if part.cause == Cause::Unknown {
        return format!("nobody can tell what makes {name} slow");
    }
    let who = slowest(&explanation.cut.quantile);
    let text = phrase(part, explanation.cut).text;
    match explanation.clear || !missed_for_latency(service) {
        _ if !is_first => format!("the {who} of the requests to {name} also spend time {text}"),
        true => format!("the {who} of the requests to {name} spend their time {text}"),
        false => format!("all requests to {name}, not only the {who}, spend their time {text}"),
    }
}

fn evidence(service: &ServiceReport, explanation: &Explanation, part: &Part) -> String {
    let cut = explanation.cut;
    let threshold = cut.threshold_ns.map_or_else(|| "68.7 s".into(), duration);
    let phrase = phrase(part, cut);
    let mut facts = vec![
        format!(
            "{} requests take {threshold} or longer, {} on average; the others take {}",
            grouped(cut.count),
            duration(cut.mean_ns),
            duration(cut.body_mean_ns)
        ),
        format!(
            "{} of that ({}) is {}; of the others {}",
            duration(phrase.mean_ns),
            percent(phrase.mean_ns, cut.mean_ns),
            phrase.text,
            duration(phrase.body_mean_ns)
        ),
    ];
    if part.cause == Cause::Downstream && cut.calls_per_request > 0.0 {
        facts.push(format!(
            "they make {:.1} calls each, the others {:.1}",
            cut.calls_per_request, cut.body_calls_per_request
        ));
    }
    if part.cause == Cause::RunQueue {
        facts.extend(ran_instead(service, cut));
    }
    if part.cause == Cause::Lock || part.first() == Some(Component::QueueLock) {
        facts.extend(lock_ended_by(cut));
    }
    facts.join("; ")
}

/// Who had the CPU: from the exemplars, or from all waits of the service where the exemplars do not tell.
fn ran_instead(service: &ServiceReport, cut: &CutReport) -> Option<String> {
    let one = |comm: &str, pid: u32, wait_ns: u64| format!("{} {}", process_name(comm, pid), duration(wait_ns));
    let exemplars: Vec<_> = cut.preemptors.iter().take(3).map(|p| one(&p.comm, p.pid, p.wait_ns)).collect();
    if !exemplars.is_empty() {
        return Some(format!("meanwhile ran, while the slowest requests waited: {}", exemplars.join(", ")));
    }
    let all = &service.scheduler.as_ref()?.ran_instead;
    let all: Vec<_> = all.iter().take(3).map(|r| one(&r.comm, r.pid, r.wait_ns)).collect();
    (!all.is_empty()).then(|| format!("meanwhile ran, while threads of the service waited: {}", all.join(", ")))
}

/// Who let them go on.
fn lock_ended_by(cut: &CutReport) -> Option<String> {
    let one = |who: &PreemptorReport| format!("{} {}", process_name(&who.comm, who.pid), duration(who.wait_ns));
    let all: Vec<_> = cut.lock_ended_by.iter().take(3).map(one).collect();
    (!all.is_empty()).then(|| format!("threads that ended such waits: {}", all.join(", ")))
}

fn recommendation(main: &Part, is_sequence: bool) -> String {
    let advice = match main.cause {
        Cause::Accept => {
            "accept more often: raise the backlog of `listen` and net.core.somaxconn, add workers, let clients keep \
             their connections open"
        }
        Cause::Queue => queue_advice(main.first()),
        Cause::Cpu => "find the code with `perf record -g -p PID`, then cache its results, do less, or divide the work",
        Cause::RunQueue => {
            "give the service CPUs of its own: move or limit the commands that ran meanwhile (cpuset, CPUWeight=), or run \
             no more threads than there are CPUs"
        }
        Cause::CpuQuota => {
            "raise the CPU quota of its control group (CPUQuota=, cpu.max; in Kubernetes the CPU limit), or run fewer threads \
             at a time, so that the quota lasts for the period"
        }
        Cause::Lock => "find the lock with `perf lock contention` or `perf trace -e futex`, and hold it for less",
        Cause::Disk => "keep the data in memory, write asynchronously, or look at the device with `iostat -x 1`",
        Cause::Downstream if is_sequence => {
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
            "look for a timer, a sleep, a lock or a channel inside of the program: its own profiler shows them (for Go the block \
             profile); or for a wait for another process"
        }
        Cause::Sleep => {
            "remove the sleep, the retry with a fixed pause, or the wait that only its time limit ends, from the path of the \
             request"
        }
        Cause::Fault => "check memory pressure and swap (`vmstat 1`), transparent huge pages, and memory-mapped files",
        Cause::Other => "look at the system calls of the service (`--details`): one of them takes this time",
        Cause::EventLoop => {
            "move blocking and long work off the event loop (thread pool, worker process), or run more workers"
        }
        Cause::Pool => "enlarge the thread pool, or shorten what its threads do",
        Cause::Connection => {
            "enlarge the pool of connections to the peer (as far as that serves more calls at a time), hold a connection for less, or make \
             the calls faster"
        }
        Cause::Unknown => {
            "look at single slow requests (`acgs-perf report FILE --format perfetto`); work that is handed to another process is \
             not followed"
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
