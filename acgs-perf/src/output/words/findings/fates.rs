//! The findings about requests without a reply in words.

use super::said::{Words, numbers};
use crate::analysis::findings::{ABANDONED, CUT_OFF, IN_SERVICE, REFUSED, UNDELIVERED, UNREAD};
use crate::report::{Finding, OpenReport, ServiceReport};
use crate::units::{duration, grouped};

/// Of the oldest requests so many are named.
const NAMED: usize = 3;

/// The words.
pub fn words(finding: &Finding, service: &ServiceReport) -> Words {
    let name = &service.name;
    let plain = || Words(finding.id.replace('_', " "), numbers(finding), String::new());
    let Some(fates) = &service.fates else { return plain() };
    match finding.id.as_str() {
        UNREAD => Words(
            format!("requests to {name} wait, and nobody reads them"),
            open(&fates.unread, "unread"),
            "see whether the process is stopped or frozen, whether its threads are all busy, and whether it accepts connections: \
             its clients wait"
                .into(),
        ),
        IN_SERVICE => Words(
            format!("requests to {name} were read and have no answer"),
            open(&fates.in_service, "without an answer"),
            "see what the threads of the named processes wait for (their stacks); set a \
             timeout on the calls that they make"
                .into(),
        ),
        UNDELIVERED => Words(
            format!("replies of {name} have not left"),
            open(&fates.undelivered, "answered, but not all of the reply was sent,"),
            "see whether the client reads slowly, or the network to it is slow".into(),
        ),
        ABANDONED => {
            let abandoned = &fates.abandoned;
            let longest = abandoned.oldest_ns.map_or_else(String::new, |ns| format!(": up to {}", duration(ns)));
            let all_the_same = match abandoned.into_closed {
                0 => String::new(),
                count => format!("; {} of all that left were answered all the same, for nobody", grouped(count)),
            };
            Words(
                format!("clients of {name} gave up before they were answered"),
                format!("{} left when they had waited as long as the objective allows, or longer{longest}{all_the_same}", grouped(abandoned.beyond_objective)),
                "their timeout is shorter than the latency: shorten what slow requests wait for, or stop working on requests whose \
                 client has left"
                    .into(),
            )
        }
        CUT_OFF => Words(
            format!("{name} closed connections instead of answering"),
            format!("{} requests had no answer when it closed", grouped(fates.cut_off.unwrap_or(0))),
            "look for crashes, restarts, limits of the request's size, and idle timeouts that are shorter than the work".into(),
        ),
        REFUSED => {
            let ports = service.refused.iter().flat_map(|refused| &refused.by_port);
            let ports: Vec<_> = ports.map(|(port, drops)| format!("{} on port {port}", grouped(*drops))).collect();
            Words(
                format!("the queue of connections that wait for {name} was full"),
                format!("dropped: {} (each try of a client counts)", ports.join(", ")),
                "accept more often, raise the backlog of `listen` and net.core.somaxconn, add workers, let clients keep their \
                 connections open"
                    .into(),
            )
        }
        _ => plain(),
    }
}

fn open(open: &OpenReport, what: &str) -> String {
    let mut facts =
        vec![format!("{} {what} for as long as the objective allows or longer", grouped(open.beyond_objective))];
    facts.extend(open.oldest_ns.map(|ns| format!("the oldest for {}", duration(ns))));
    if open.before_recording > 0 {
        facts.push(format!("{} of all had arrived before the recording began", grouped(open.before_recording)));
    }
    let named = open.oldest.iter().take(NAMED).map(|request| match request.pid {
        Some(pid) => format!("{} (process {pid} {})", request.client, request.comm),
        None => format!("{} (not accepted)", request.client),
    });
    let named: Vec<_> = named.collect();
    if !named.is_empty() {
        facts.push(format!("from {}", named.join(", ")));
    }
    facts.join("; ")
}
