//! What the slowest requests wait for: components gathered into causes that an operator can act upon.
//!
//! In: a cut. Out: its causes by excess, and which one or two of them explain it.

use acgs_perf_common::attribution::{ALL, COMPONENT_NAMES, Component};

use crate::analysis::model::{CutComponentReport, CutReport};

/// A cause explains a cut alone if it makes this much of the excess, in percent.
const ALONE_PERCENT: i128 = 40;
/// The tail has an excess of its own if its mean is this much of the rest's, in percent.
const CLEAR_PERCENT: u128 = 125;
/// Nothing below 2 µs is claimed.
const CLEAR_NS: u64 = 2_000;

/// Why requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The connection was not accepted.
    Accept,
    /// The application did not read the request.
    Queue,
    /// A thread computed.
    Cpu,
    /// A thread waited for a CPU, be it before the request was read or after.
    RunQueue,
    /// The CPU quota of the control group, be it before the request was read or after.
    CpuQuota,
    /// A lock.
    Lock,
    /// The disk.
    Disk,
    /// A downstream peer.
    Downstream,
    /// The client was still sending the request.
    RequestBody,
    /// A timer, or an unknown event.
    Idle,
    /// A thread slept of its own accord.
    Sleep,
    /// A page fault.
    Fault,
    /// Something else.
    Other,
    /// The event loop worked for others.
    EventLoop,
    /// No thread of the pool was free.
    Pool,
    /// No connection of a pool of connections to a peer was free.
    Connection,
    /// Not attributed.
    Unknown,
    /// Sending the reply.
    Reply,
    /// The end of the reply was held back to go with more bytes.
    Nagle,
    /// The client takes the reply too slowly.
    SlowClient,
    /// Congestion, pacing or loss kept the reply back.
    Network,
}

fn cause(component: Component) -> Cause {
    match component {
        Component::QueueAccept => Cause::Accept,
        Component::QueueOnCpu
        | Component::QueueRunQueue
        | Component::QueueLock
        | Component::QueueDisk
        | Component::QueueDownstream
        | Component::QueueIdle
        | Component::QueueSleep
        | Component::QueueFault
        | Component::QueueOther => Cause::Queue,
        Component::OnCpu => Cause::Cpu,
        Component::RunQueue => Cause::RunQueue,
        Component::CpuQuota | Component::QueueCpuQuota => Cause::CpuQuota,
        Component::Lock => Cause::Lock,
        Component::Disk => Cause::Disk,
        Component::Downstream => Cause::Downstream,
        Component::RequestBody => Cause::RequestBody,
        Component::Idle => Cause::Idle,
        Component::Sleep => Cause::Sleep,
        Component::Fault => Cause::Fault,
        Component::Other => Cause::Other,
        Component::LoopWait => Cause::EventLoop,
        Component::PoolWait => Cause::Pool,
        Component::ConnectionWait => Cause::Connection,
        Component::Unknown => Cause::Unknown,
        Component::Reply => Cause::Reply,
        Component::DeliveryNagle => Cause::Nagle,
        Component::SendBuffer | Component::DeliveryWindow => Cause::SlowClient,
        Component::DeliveryNetwork => Cause::Network,
    }
}

/// The component of that name; `None` for one of a later version.
pub fn component(name: &str) -> Option<Component> {
    COMPONENT_NAMES.iter().position(|(known, _)| *known == name).map(|index| ALL[index])
}

/// The components of one cause in a cut.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The cause.
    pub cause: Cause,
    /// Its components, largest excess first.
    pub components: Vec<&'a CutComponentReport>,
    /// Sum of their means above the cut.
    pub mean_ns: u64,
    /// Sum of their means in the rest.
    pub body_mean_ns: u64,
}

impl<'a> Part<'a> {
    fn new(cause: Cause, components: Vec<&'a CutComponentReport>) -> Self {
        let sum = |field: fn(&CutComponentReport) -> u64| {
            components.iter().fold(0u64, |sum, component| sum.saturating_add(field(component)))
        };
        Self { cause, mean_ns: sum(|c| c.mean_ns), body_mean_ns: sum(|c| c.body_mean_ns), components }
    }

    /// Excess of the tail over the rest.
    pub fn excess_ns(&self) -> i128 {
        i128::from(self.mean_ns) - i128::from(self.body_mean_ns)
    }

    /// The component with the largest excess; `None` for one of a later version.
    pub fn first(&self) -> Option<Component> {
        self.components.first().and_then(|first| component(&first.name))
    }
}

/// What explains a cut.
pub struct Explanation<'a> {
    /// The cut.
    pub cut: &'a CutReport,
    /// Whether the tail has an excess of its own; otherwise `main` explains the latency of all requests.
    pub clear: bool,
    /// One cause, or the two largest if none explains the cut alone; empty if nothing was attributed.
    pub main: Vec<Part<'a>>,
}

/// The causes in a cut, and which of them explain it.
pub fn explain(cut: &CutReport) -> Explanation<'_> {
    let excess_ns = cut.mean_ns.saturating_sub(cut.body_mean_ns);
    let clear = excess_ns >= CLEAR_NS
        && u128::from(cut.mean_ns) * 100 >= u128::from(cut.body_mean_ns).saturating_mul(CLEAR_PERCENT);
    let weight = |part: &Part| if clear { part.excess_ns() } else { part.mean_ns.into() };
    let whole = i128::from(if clear { excess_ns } else { cut.mean_ns });
    let mut parts = causes(cut);
    parts.sort_by(|a, b| weight(b).cmp(&weight(a)).then(b.mean_ns.cmp(&a.mean_ns)));
    // Where a third of the time or more is not attributed, any other cause would be a guess.
    let unknown = parts.iter().position(|part| part.cause == Cause::Unknown);
    if let Some(at) = unknown
        && (at == 0 && weight(&parts[at]) > 0 || u128::from(parts[at].mean_ns) * 3 >= u128::from(cut.mean_ns))
    {
        return Explanation { cut, clear, main: vec![parts.swap_remove(at)] };
    }
    parts.retain(|part| weight(part) > 0);
    let alone = parts.first().is_some_and(|part| weight(part) * 100 >= whole * ALONE_PERCENT);
    parts.truncate(if alone { 1 } else { 2 });
    Explanation { cut, clear, main: parts }
}

/// All causes in a cut, in no order.
#[must_use]
pub fn causes(cut: &CutReport) -> Vec<Part<'_>> {
    let mut groups: Vec<(Cause, Vec<&CutComponentReport>)> = Vec::new();
    let queue_cause = queue_on_run_queue(cut);
    for entry in &cut.components {
        let cause = match component(&entry.name) {
            Some(Component::QueueRunQueue) => queue_cause,
            Some(component) => cause(component),
            None => Cause::Other,
        };
        match groups.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, group)) => group.push(entry),
            None => groups.push((cause, vec![entry])),
        }
    }
    groups.into_iter().map(|(cause, group)| Part::new(cause, group)).collect()
}

/// Where the wait for a CPU before the read belongs: if it makes more than half of the excess of the queue time, the
/// requests lack a CPU before the read as well as after, and it is one cause; else it is one of several things that the
/// reading thread did.
fn queue_on_run_queue(cut: &CutReport) -> Cause {
    let excess = |wanted: fn(Component) -> bool| -> i128 {
        let of = |entry: &&CutComponentReport| component(&entry.name).is_some_and(wanted);
        cut.components.iter().filter(of).map(|entry| i128::from(entry.excess_ns.max(0))).sum()
    };
    let cpu = excess(|component| component == Component::QueueRunQueue);
    match cpu * 2 > excess(|component| cause(component) == Cause::Queue) {
        true => Cause::RunQueue,
        false => Cause::Queue,
    }
}
