//! Findings about downstream calls, connections and the network in words.

use super::said::{Words, against, all, compared, number, part, share, value};
use crate::analysis::findings::{
    CALLS_ITSELF, CLIENTS_RECONNECT, CONNECTION_CHURN, MANY_CALLS, REPEATED_READS, REPLIES_WAIT_FOR_ACK,
    RETRANSMISSIONS, SEQUENTIAL_CALLS,
};
use crate::output::words::called;
use crate::report::{Finding, ServiceReport};
use crate::units::{duration, grouped, percent};

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
        REPEATED_READS => repeated_reads(finding, name),
        CALLS_ITSELF => calls_itself(finding, name),
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

fn repeated_reads(finding: &Finding, name: &str) -> Words {
    let each = all(finding, "reads").map(|of| {
        let what = called(of.of.as_deref().unwrap_or("the same"));
        let took = all(finding, "read_p50").find(|took| took.of == of.of);
        let took = took.map_or_else(String::new, |ns| format!(", {} each", duration(number(ns))));
        format!("{what}: {} times for {} requests{took}", grouped(number(of)), grouped(compared(of)))
    });
    let mut evidence: Vec<String> = each.collect();
    let again = value(finding, "repeated");
    if again > 0 {
        evidence.push(format!("{} of them right after the same for the same request", grouped(again)));
    }
    evidence.push(format!("waiting for them is {} of the time of all requests", part(finding, "read_time")));
    let share = |ppm| percent(ppm, 1_000_000);
    let rate = all(finding, "hit_rate").next().filter(|of| of.against.is_some());
    evidence.extend(rate.map(|of| {
        format!("{} of the requests did without, the objective asks for {}", share(number(of)), share(compared(of)))
    }));
    let kept = share(value(finding, "kept_hit_rate"));
    Words(
        format!("{name} reads the same again and again"),
        evidence.join("; "),
        format!(
            "keep the answer, in the process or in a cache beside it, for as long as it may be old: one second would do without {kept} \
             of the reads; read it once for each request at most"
        ),
    )
}

fn calls_itself(finding: &Finding, name: &str) -> Words {
    let each = all(finding, "own_calls");
    let each: Vec<_> = each
        .map(|of| format!("{} to {}", grouped(number(of)), of.of.as_deref().unwrap_or("one of its sockets")))
        .collect();
    let place = all(finding, "own_calls").next().and_then(|of| of.of.as_deref()).unwrap_or_default();
    let selector = match place.strip_prefix("unix:") {
        Some(path) => format!("unix:{path}"),
        None => format!("port:{}", place.rsplit(':').next().unwrap_or_default()),
    };
    Words(
        format!("{} of the requests to {name} are calls of its own processes, not of its clients", share(finding)),
        format!(
            "calls of its own: {}; it answered {} requests in all, and its percentiles are of both kinds together",
            each.join(", "),
            grouped(against(finding, "own_calls"))
        ),
        format!(
            "if processes of their own serve that socket, name it as a service beside this one, after it (--service \
             inner={selector}): what is left are the requests of the clients; else look at the endpoints, which are told apart"
        ),
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
