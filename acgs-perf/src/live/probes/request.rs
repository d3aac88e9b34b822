//! The probe `request`: latency, queue time and service time.

use acgs_perf_common::delivery::{DELIVERY_WORDS, HELD, HELD_BUCKETS, PUSHES, delivery_base};
use acgs_perf_common::fates::{ABANDONED, ABANDONED_BUCKETS, FATE_WORDS, FatesFields, fates_base};
use acgs_perf_common::maps::{Counter, Histogram};

use super::{FieldsSpec, MapSpec, ProbeSpec, SocketIterators, Stop};
use crate::live::hooks::{Hook, Program, chain};
use crate::live::maps::Maps;
use crate::sums::{Row, Section, Sections};

/// Counters of requests, by `Counter`.
pub const COUNTERS: &str = "request";
/// The latency, by `Histogram`; a section of its own, because it is read every second.
pub const LATENCY: &str = "latency";
/// Queue time and service time, by `Histogram`.
pub const TIMES: &str = "request_times";

/// Requests that ended otherwise than by a reply, as a single row; words as in `acgs_perf_common::fates`.
pub const FATES: &str = "fates";

/// Replies that were held, as a single row; words as in `acgs_perf_common::delivery`.
pub const DELIVERY: &str = "delivery";

/// The request clock.
pub static PROBE: ProbeSpec = ProbeSpec {
    name: "request",
    purpose: "latency, queue time and service time of requests on TCP and UNIX stream sockets",
    hooks: HOOKS,
    default: true,
    needs: &[],
    global: None,
    fields: Some(FieldsSpec { global: "FATES_FIELDS", names: FatesFields::NAMES }),
    maps: &[
        MapSpec { name: "FATES", entries: |s| fates_base(s.services) },
        MapSpec { name: "DELIVERY", entries: |s| delivery_base(s.services) },
    ],
    iterators: None,
    sockets: Some(SocketIterators {
        look: "sockets_look",
        map: "SOCKETS",
        look_everywhere: &[("sockets_look_tcp", "tcp"), ("sockets_look_unix", "unix")],
        begin: &[("sockets_begin_tcp", "tcp"), ("sockets_begin_unix", "unix")],
    }),
    read,
    read_often: Some(read_often),
    read_recording: None,
    tables: &[],
    others: &[],
    stop: Stop::Never,
};

/// The tracepoints came with Linux 6.3; before, the functions beneath the system calls are watched. The one that starts clocks
/// comes last: what is in flight at attach is never half counted.
const HOOKS: &[Hook] = &[
    Hook::new(&[
        chain!(
            "sock_send_length",
            "sock_send_length_standby",
            "sock_send_length_standby_2",
            "sock_send_length_standby_3"
        ),
        &[
            Program::fexit("sent_inet", "inet_sendmsg"),
            Program::fexit("sent_inet6", "inet6_sendmsg"),
            Program::fexit("sent_unix", "unix_stream_sendmsg"),
            Program::fexit("sent_page_inet", "inet_sendpage").where_it_exists(),
            Program::fexit("sent_page_unix", "unix_stream_sendpage").where_it_exists(),
        ],
    ]),
    Hook::new(&[
        chain!(
            "sock_recv_length",
            "sock_recv_length_standby",
            "sock_recv_length_standby_2",
            "sock_recv_length_standby_3"
        ),
        &[
            Program::fexit("received_inet", "inet_recvmsg"),
            Program::fexit("received_inet6", "inet6_recvmsg"),
            Program::fexit("received_unix", "unix_stream_recvmsg"),
        ],
    ]),
    Hook::new(&[
        chain!("sk_data_ready", "sk_data_ready_standby", "sk_data_ready_standby_2"),
        &[Program::fentry("readable", "sock_def_readable")],
    ]),
];

fn read(maps: &Maps, service: u32, sections: &mut Sections) {
    let times = [Histogram::QueueTime as u32, Histogram::ServiceTime as u32];
    maps.read_histograms(TIMES, service, times, sections);
    let (array, base) = (maps.array("DELIVERY"), delivery_base(service));
    let is_any = [HELD, PUSHES].iter().any(|word| array.get((base + word) as usize) != 0);
    let words = if is_any { DELIVERY_WORDS } else { HELD_BUCKETS };
    let sums = array.sums([base as usize].into_iter(), words as usize);
    sections.insert(DELIVERY.into(), Section::from([(Vec::new(), Row { sums, ..Row::default() })]));
}

fn read_often(maps: &Maps, service: u32, sections: &mut Sections) {
    let counters = Counter::Requests as u32..=Counter::UnsolicitedSends as u32;
    maps.read_counters(COUNTERS, service, counters, sections);
    maps.read_histograms(LATENCY, service, [Histogram::Latency as u32], sections);
    let fates = |words: u32| maps.array("FATES").sums([fates_base(service) as usize].into_iter(), words as usize);
    // Most services have no client that leaves, and the buckets are the costly part.
    let counts = fates(ABANDONED_BUCKETS);
    let sums = if counts.count(ABANDONED) == 0 { counts } else { fates(FATE_WORDS) };
    sections.insert(FATES.into(), Section::from([(Vec::new(), Row { sums, ..Row::default() })]));
}
