//! Findings about downstream calls, connections and the network in words.

use super::said::{Words, against, all, compared, number, share, value};
use crate::analysis::findings::{
    CLIENTS_RECONNECT, CONNECTION_CHURN, MANY_CALLS, REPLIES_WAIT_FOR_ACK, RETRANSMISSIONS, SEQUENTIAL_CALLS,
};
use crate::report::{Finding, ServiceReport};
use crate::units::{duration, grouped};

/// The words; `None` for a finding about something else.
pub fn words(finding: &Finding, service: &ServiceReport) -> Option<Words> {
    let name = &service.name;
    let words = match finding.id.as_str() {
        MANY_CALLS => Words(
            format!("a slow request to {name} makes {} calls, one after the other", calls(finding).0),
            waited(finding),
            "ask for everything in one call (a join, an IN list, MGET, a batch); a loop that asks for one row after the other \
             is the usual reason (N+1)"
                .into(),
        ),
        SEQUENTIAL_CALLS => Words(
            format!("a slow request to {name} makes {} calls, one after the other", calls(finding).0),
            waited(finding),
            "make the calls that do not need each other's answer at the same time (asyncio.gather, Promise.all, threads)".into(),
        ),
        CONNECTION_CHURN => Words(
            format!("{name} opens a connection for almost every call"),
            churn(finding),
            "keep connections open and use them again: a pool, keep-alive, one client object for the whole process".into(),
        ),
        CLIENTS_RECONNECT => Words(
            format!("the clients of {name} open a connection for almost every request"),
            format!(
                "{} connections accepted for {} requests",
                grouped(value(finding, "accepted")),
                grouped(against(finding, "accepted"))
            ),
            "let clients and the proxy before it keep connections open (keep-alive), and raise the service's idle timeout".into(),
        ),
        RETRANSMISSIONS => {
            let worst = all(finding, "retransmits_of").next();
            let worst = worst.map(|of| {
                format!("; {} of them to {}", grouped(number(of)), of.of.as_deref().unwrap_or("one peer"))
            });
            Words(
                format!("the network loses packets of {name}"),
                format!(
                    "{} packets had to be sent again, for {} requests{}; each makes its connection wait, often 200 ms or more",
                    grouped(value(finding, "retransmits")),
                    grouped(against(finding, "retransmits")),
                    worst.unwrap_or_default()
                ),
                "look for drops on the way: `nstat -az TcpRetransSegs`, `ethtool -S`, the switch, full queues, an overloaded client".into(),
            )
        }
        REPLIES_WAIT_FOR_ACK => Words(
            format!("{name} sends replies in two pieces, and the second waits for the client"),
            format!(
                "{} of {} replies were held back, for {} on average, until the client had confirmed the first piece",
                grouped(value(finding, "held_replies")),
                grouped(against(finding, "held_replies")),
                duration(value(finding, "held_mean"))
            ),
            "set TCP_NODELAY on the service's connections, or write head and body in one send".into(),
        ),
        _ => return None,
    };
    Some(words)
}

/// Calls of a slow request, and of another.
fn calls(finding: &Finding) -> (String, String) {
    let figure = all(finding, "calls").next();
    let value = figure.and_then(|figure| figure.value.as_f64()).unwrap_or(0.0);
    let usual = figure.and_then(|figure| figure.against.as_ref()?.as_f64()).unwrap_or(0.0);
    (format!("{value:.0}"), format!("{usual:.0}"))
}

fn waited(finding: &Finding) -> String {
    let peers = all(finding, "waited_for");
    let peers = peers.map(|of| format!("{} for {}", duration(number(of)), of.of.as_deref().unwrap_or("a peer")));
    let peers: Vec<_> = peers.collect();
    let most = all(finding, "most_called").next();
    let most = most.and_then(|of| {
        Some(format!("; most of all {} ({:.1} for each request)", of.of.as_deref()?, of.value.as_f64()?))
    });
    format!(
        "it waits {} of {} for their answers ({}): {}; other requests make {}{}",
        duration(value(finding, "downstream")),
        duration(against(finding, "downstream")),
        share(finding),
        peers.join(", "),
        calls(finding).1,
        most.unwrap_or_default()
    )
}

fn churn(finding: &Finding) -> String {
    let each = all(finding, "connects").map(|figure| {
        let whom = figure.of.as_deref().unwrap_or("a peer");
        format!("{} connections to {whom} for {} calls", grouped(number(figure)), grouped(compared(figure)))
    });
    let each = each.collect::<Vec<_>>().join(", ");
    match all(finding, "connect_p50").next() {
        Some(took) => format!("{each}; to open one takes {}", duration(number(took))),
        None => each,
    }
}
