//! Causes in words that an operator understands, with the figures that belong to the words.
//!
//! In: a part of a cut. Out: a phrase that continues "the request is …".

use acgs_perf_common::attribution::Component;

use crate::analysis::tail::{self, Cause, Part};
use crate::report::{CutPeerReport, CutReport};

/// A peer, a command or a component is named alone if it makes this much of its kind, in percent.
const ALONE_PERCENT: u128 = 80;

/// A cause in words.
pub struct Phrase {
    /// Continues "the request is …".
    pub text: String,
    /// What it means above the cut.
    pub mean_ns: u64,
    /// What it means in the rest.
    pub body_mean_ns: u64,
}

/// The phrase for a part of a cut.
pub fn phrase(part: &Part, cut: &CutReport) -> Phrase {
    let all = |text: &str| Phrase { text: text.into(), mean_ns: part.mean_ns, body_mean_ns: part.body_mean_ns };
    match part.cause {
        Cause::Accept => all("waiting to be accepted, because the service accepts connections too slowly"),
        Cause::Queue => all(&queueing(part, cut)),
        Cause::Cpu => all("computing"),
        Cause::RunQueue => all(&waiting_for_cpu(part, cut)),
        Cause::CpuQuota => all(&held_back(part)),
        Cause::Lock => all(&format!("waiting for a lock{}", which_ended(cut))),
        Cause::Disk => all("waiting for the disk"),
        Cause::Downstream => waiting_for_peers(part, cut),
        Cause::RequestBody => all("waiting for the rest of the request, which the client was still sending"),
        Cause::Idle => all("waiting for a timer, or for an event that is not known"),
        Cause::Sleep => all("sleeping"),
        Cause::Fault => all("waiting for memory (page faults)"),
        Cause::Other => all("blocked in a system call of another kind"),
        Cause::EventLoop => all("waiting for the event loop, which was busy with other requests"),
        Cause::Pool => all("waiting for a free thread, because all of the pool are busy"),
        Cause::Connection => all("waiting for a free connection to a peer, because all of the pool are in use"),
        Cause::Unknown => all("time of which nobody knows what it was"),
        Cause::Reply => all("sending the reply"),
        Cause::Nagle => all(
            "waiting for the client to confirm the first part of the reply, before the rest is sent (Nagle's algorithm)",
        ),
        Cause::SlowClient => all("waiting for the client, which takes the reply slowly"),
        Cause::Network => all("waiting for the network to take the reply (congestion, pacing, loss)"),
    }
}

/// What the thread that should have read the request did meanwhile.
fn doing(component: Option<Component>) -> &'static str {
    match component {
        Some(Component::QueueOnCpu) => "was busy with other work",
        Some(Component::QueueRunQueue) => "waited for a CPU",
        Some(Component::QueueLock) => "waited for a lock",
        Some(Component::QueueDisk) => "waited for the disk",
        Some(Component::QueueDownstream) => "waited for the answer to a call of another request",
        Some(Component::QueueIdle) => "had not been woken yet",
        Some(Component::QueueSleep) => "slept",
        Some(Component::QueueFault) => "waited for memory (page fault)",
        _ => "was blocked, it is not known in what",
    }
}

fn held_back(part: &Part) -> String {
    let quota = "held back by the CPU quota of its control group";
    match part.first() == Some(Component::QueueCpuQuota) {
        true => format!("waiting to be read, while the thread that reads is {quota}"),
        false => quota.into(),
    }
}

fn queueing(part: &Part, cut: &CutReport) -> String {
    let mut doings: Vec<&str> = Vec::new();
    let first = part.components.first().map_or(0, |first| u128::from(first.mean_ns));
    for component in &part.components {
        // The second is worth its words if it is more than half as long.
        if doings.len() < 2 && (doings.is_empty() || u128::from(component.mean_ns) * 2 > first) {
            doings.push(doing(tail::component(&component.name)));
        }
    }
    doings.dedup();
    let ended = match part.first() {
        Some(Component::QueueLock) if doings.len() == 1 => which_ended(cut),
        _ => String::new(),
    };
    format!("waiting to be read, while the thread that reads {}{ended}", doings.join(" or "))
}

/// Who let those go on that waited for a lock, if that was one thread nearly always.
fn which_ended(cut: &CutReport) -> String {
    let total: u128 = cut.lock_ended_by.iter().map(|who| u128::from(who.wait_ns)).sum();
    match cut.lock_ended_by.first() {
        Some(who) if u128::from(who.wait_ns) * 100 >= total * ALONE_PERCENT && !who.comm.is_empty() => {
            format!(" until {} let it go on", who.comm)
        }
        _ => String::new(),
    }
}

fn waiting_for_cpu(part: &Part, cut: &CutReport) -> String {
    let before_read = part.first() == Some(Component::QueueRunQueue);
    let (text, joint) = match before_read {
        true => ("waiting to be read, while the thread that reads waited for a CPU", "and"),
        false => ("waiting for a CPU", "while"),
    };
    let names = commands(cut);
    match names.is_empty() {
        true => text.into(),
        false => format!("{text} {joint} {} ran", names.join(" and ")),
    }
}

/// The one or two commands that held the CPU most.
fn commands(cut: &CutReport) -> Vec<String> {
    let mut commands: Vec<(String, u128)> = Vec::new();
    for preemptor in &cut.preemptors {
        let name = match preemptor.comm.as_str() {
            "" => format!("process {}", preemptor.pid),
            comm => comm.to_owned(),
        };
        match commands.iter_mut().find(|(known, _)| *known == name) {
            Some((_, wait)) => *wait += u128::from(preemptor.wait_ns),
            None => commands.push((name, preemptor.wait_ns.into())),
        }
    }
    commands.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let total: u128 = commands.iter().map(|(_, wait)| wait).sum();
    let alone = commands.first().is_some_and(|(_, wait)| wait * 100 >= total * ALONE_PERCENT);
    commands.into_iter().take(if alone { 1 } else { 2 }).map(|(name, _)| name).collect()
}

fn waiting_for_peers(part: &Part, cut: &CutReport) -> Phrase {
    let name = |peer: &CutPeerReport| match &peer.service {
        Some(service) => format!("{service} ({})", peer.peer),
        None if peer.peer == "others" => "other downstream peers".into(),
        None => peer.peer.clone(),
    };
    let peers = &cut.downstream;
    match peers.as_slice() {
        [] => Phrase {
            text: "waiting for downstream peers".into(),
            mean_ns: part.mean_ns,
            body_mean_ns: part.body_mean_ns,
        },
        [first, ..] if u128::from(first.mean_ns) * 100 >= u128::from(part.mean_ns) * ALONE_PERCENT => Phrase {
            text: format!("waiting for {}", name(first)),
            mean_ns: first.mean_ns,
            body_mean_ns: u64::try_from(i128::from(first.mean_ns) - i128::from(first.excess_ns)).unwrap_or(0),
        },
        [first, rest @ ..] => Phrase {
            text: match rest.first() {
                Some(second) => {
                    format!("waiting for downstream peers, most of all {} and {}", name(first), name(second))
                }
                None => format!("waiting for {}", name(first)),
            },
            mean_ns: part.mean_ns,
            body_mean_ns: part.body_mean_ns,
        },
    }
}
