//! The sentence for every cause, and for what cannot be known.

use acgs_perf_common::attribution::{ALL, Component};

use crate::analysis::sample::attribution::{POSTGRES, REDIS, Request, mixed, report_rows, request};
use crate::analysis::tail::{main_cut, tail};
use crate::report::{ActorReport, ExemplarReport, SegmentReport};

/// The sentence about some requests.
fn about(requests: &[Request], exemplars: &[ExemplarReport]) -> String {
    let rows = report_rows(requests);
    let tail = tail(&rows, &[], exemplars);
    super::sentence(main_cut(&tail.cuts), &rows, exemplars)
}

#[test]
fn few_requests_are_no_tail() {
    let body = request(&[(Component::OnCpu, 10_000)], &[]);
    let of = |n: usize| about(&mixed(n, 0, &body, &body), &[]);
    assert!(of(999).starts_with("Slow requests take hardly longer than others"), "{}", of(999));
    assert_eq!(of(19), "Only 19 requests were followed through the service, too few to say why some are slow.");
    assert_eq!(of(0), "No request was followed through the service, so nothing says what requests wait for.");
}

#[test]
fn who_held_the_cpu_is_named() {
    let wait = |duration_ns, pid, comm: &str| SegmentReport {
        component: "run_queue".into(),
        duration_ns,
        by: Some(ActorReport { pid, comm: comm.into() }),
        ..SegmentReport::default()
    };
    let segments = vec![wait(11, 9, "stress-ng"), wait(20, 7, "")];
    let exemplar = ExemplarReport { latency_ns: 70_000, segments, ..ExemplarReport::default() };
    let body = request(&[(Component::OnCpu, 10_000)], &[]);
    let slow = request(&[(Component::OnCpu, 12_000), (Component::RunQueue, 48_000)], &[]);
    assert_eq!(
        about(&mixed(1_000, 20, &body, &slow), &[exemplar]),
        "80 % of the slowest 1 % is waiting for a CPU while process 7 and stress-ng ran: 48 µs of 60 µs."
    );
}

#[test]
fn who_ended_the_waits_for_a_lock_is_named_where_that_was_one() {
    let wait = |component: &str, duration_ns, pid, comm: &str| SegmentReport {
        component: component.into(),
        duration_ns,
        by: (pid != 0).then(|| ActorReport { pid, comm: comm.into() }),
        ..SegmentReport::default()
    };
    let body = request(&[(Component::OnCpu, 10_000)], &[]);
    let of = |component: Component, segments| {
        let exemplar = ExemplarReport { latency_ns: 70_000, segments, ..ExemplarReport::default() };
        let slow = request(&[(Component::OnCpu, 12_000), (component, 48_000)], &[]);
        about(&mixed(1_000, 20, &body, &slow), &[exemplar])
    };
    let all = || vec![wait("lock", 40, 9, "VM Thread"), wait("lock", 5, 8, "http-1"), wait("queue_lock", 90, 0, "")];
    assert_eq!(
        of(Component::Lock, all()),
        "80 % of the slowest 1 % is waiting for a lock until VM Thread let it go on: 48 µs of 60 µs."
    );
    assert_eq!(
        of(Component::QueueLock, all()),
        "80 % of the slowest 1 % is waiting to be read, while the thread that reads waited for a lock until VM Thread let it go \
         on: 48 µs of 60 µs."
    );
    let many = vec![wait("lock", 40, 9, "http-2"), wait("lock", 40, 8, "http-1")];
    assert_eq!(of(Component::Lock, many), "80 % of the slowest 1 % is waiting for a lock: 48 µs of 60 µs.");
}

/// The sentence for 1,000 requests of 1 ms on a CPU, but for twenty with `slow` on top of `on_cpu_ns`.
fn sentence(on_cpu_ns: u64, slow: Request) -> String {
    let body = request(&[(Component::OnCpu, 1_000_000)], &[]);
    let mut slow = slow;
    slow.components.push((Component::OnCpu, on_cpu_ns));
    about(&mixed(1_000, 20, &body, &slow), &[])
}

fn with(component: Component) -> String {
    sentence(1_000_000, request(&[(component, 9_000_000)], &[]))
}

#[test]
fn each_component_has_its_words() {
    let queue = "waiting to be read, while the thread that reads";
    let table = [
        (
            Component::QueueAccept,
            "waiting to be accepted, because the service accepts connections too slowly".into(),
        ),
        (Component::QueueOnCpu, format!("{queue} was busy with other work")),
        (Component::QueueRunQueue, format!("{queue} waited for a CPU")),
        (Component::QueueCpuQuota, format!("{queue} is held back by the CPU quota of its control group")),
        (Component::QueueLock, format!("{queue} waited for a lock")),
        (Component::QueueDisk, format!("{queue} waited for the disk")),
        (Component::QueueDownstream, format!("{queue} waited for the answer to a call of another request")),
        (Component::QueueIdle, format!("{queue} had not been woken yet")),
        (Component::QueueSleep, format!("{queue} slept")),
        (Component::QueueFault, format!("{queue} waited for memory (page fault)")),
        (Component::QueueOther, format!("{queue} was blocked, it is not known in what")),
        (Component::RunQueue, "waiting for a CPU".into()),
        (Component::CpuQuota, "held back by the CPU quota of its control group".into()),
        (Component::Lock, "waiting for a lock".into()),
        (Component::Disk, "waiting for the disk".into()),
        (Component::Downstream, "waiting for downstream peers".into()),
        (Component::RequestBody, "waiting for the rest of the request, which the client was still sending".into()),
        (Component::Idle, "waiting for a timer, or for an event that is not known".into()),
        (Component::Sleep, "sleeping".into()),
        (Component::Fault, "waiting for memory (page faults)".into()),
        (Component::Other, "blocked in a system call of another kind".into()),
        (Component::SendBuffer, "waiting for the client, which takes the reply slowly".into()),
        (Component::LoopWait, "waiting for the event loop, which was busy with other requests".into()),
        (Component::PoolWait, "waiting for a free thread, because all of the pool are busy".into()),
        (Component::ConnectionWait, "waiting for a free connection to a peer, because all of the pool are in use".into()),
        (Component::Reply, "sending the reply".into()),
        (
            Component::DeliveryNagle,
            "waiting for the client to confirm the first part of the reply, before the rest is sent (Nagle's algorithm)".into(),
        ),
        (Component::DeliveryWindow, "waiting for the client, which takes the reply slowly".into()),
        (Component::DeliveryNetwork, "waiting for the network to take the reply (congestion, pacing, loss)".into()),
    ];
    for (component, words) in &table {
        assert_eq!(with(*component), format!("90 % of the slowest 1 % is {words}: 9 ms of 10 ms."), "{component:?}");
    }
    // On-CPU adds to what is there already, and unknown time is no cause.
    assert_eq!(with(Component::OnCpu), "100 % of the slowest 1 % is computing: 10 ms of 10 ms.");
    assert_eq!(
        with(Component::Unknown),
        "Of 90 % of the time of the slowest 1 % nobody knows what it was (9 ms of 10 ms), so that no cause can be named."
    );
    assert_eq!(table.len() + 2, ALL.len(), "a component has no sentence");
}

#[test]
fn a_peer_is_named_with_its_own_figures() {
    let one = sentence(1_000_000, request(&[], &[(POSTGRES, 38_000_000), (REDIS, 1_000_000)]));
    assert_eq!(one, "95 % of the slowest 1 % is waiting for 10.0.0.9:5432: 38 ms of 40 ms.");
    let two = sentence(1_000_000, request(&[], &[(POSTGRES, 20_000_000), (REDIS, 19_000_000), (0, 5)]));
    assert_eq!(
        two,
        "98 % of the slowest 1 % is waiting for downstream peers, most of all 10.0.0.9:5432 and 10.0.0.9:6379: \
         39.0 ms of 40.0 ms."
    );
    let others = sentence(1_000_000, request(&[], &[(0, 39_000_000)]));
    assert_eq!(others, "98 % of the slowest 1 % is waiting for other downstream peers: 39 ms of 40 ms.");
}

#[test]
fn calls_one_after_the_other_are_pointed_out() {
    let calls = |calls, many_calls_ns| {
        let mut slow = request(&[], &[(POSTGRES, 39_000_000)]);
        (slow.calls, slow.many_calls_ns) = (calls, many_calls_ns);
        sentence(1_000_000, slow)
    };
    let expected = "39 ms of 40 ms, in 20 calls one after the other; they could run in parallel.";
    assert!(calls(20, 3_900_000).ends_with(expected), "{}", calls(20, 3_900_000));
    // One call is no sequence, and calls that overlap for more than a tenth of the time are none either.
    assert!(calls(1, 0).ends_with("39 ms of 40 ms."));
    assert!(calls(20, 3_900_001).ends_with("39 ms of 40 ms."), "{}", calls(20, 3_900_001));
}

#[test]
fn the_queue_is_one_cause_however_many_components_it_has() {
    let parts = [(Component::QueueOnCpu, 3_000_000), (Component::QueueLock, 2_500_000), (Component::Disk, 3_500_000)];
    assert_eq!(
        sentence(1_000_000, request(&parts, &[])),
        "55 % of the slowest 1 % is waiting to be read, while the thread that reads was busy with \
         other work or waited for a lock: 5.50 ms of 10 ms."
    );
    // Waiting for a CPU is one cause before and after the read.
    let parts = [(Component::QueueRunQueue, 3_000_000), (Component::RunQueue, 3_500_000), (Component::Disk, 2_500_000)];
    assert_eq!(
        sentence(1_000_000, request(&parts, &[])),
        "65 % of the slowest 1 % is waiting for a CPU: 6.50 ms of 10 ms."
    );
}

#[test]
fn two_causes_are_named_if_none_explains_the_tail_alone() {
    let parts = [(Component::Lock, 3_000_000), (Component::Disk, 2_600_000), (Component::Fault, 2_400_000)];
    assert_eq!(
        sentence(1_000_000, request(&parts, &[])),
        "The slowest 1 % is mostly waiting for a lock (33 %, 3 ms of 9 ms) and waiting for the disk (29 %, 2.60 ms)."
    );
}

#[test]
fn a_difference_that_is_not_most_of_the_time_is_called_one() {
    let parts = [(Component::Lock, 400_000)];
    let text = sentence(1_000_000, request(&parts, &[]));
    assert_eq!(
        text,
        "The slowest 1 % takes 396 µs longer than the rest (1.40 ms against 1.00 ms), 100 % of it waiting for a lock \
         (396 µs more)."
    );
    let text = sentence(1_000_000, request(&[(Component::Lock, 100_000)], &[]));
    assert_eq!(
        text,
        "Slow requests take hardly longer than others (1.10 ms against 1.00 ms); 91 % of the time of the slowest 1 % is computing: 1 ms."
    );
}

#[test]
fn what_cannot_be_known_is_said() {
    // A third of the time is unknown: no cause, even if a lock is longer.
    let parts = [(Component::Lock, 5_000_000), (Component::Unknown, 3_100_000)];
    let text = sentence(1_000_000, request(&parts, &[]));
    assert!(
        text.starts_with("Of 34 % of the time of the slowest 1 % nobody knows what it was (3.10 ms of 9.10 ms)"),
        "{text}"
    );
    let parts = [(Component::Lock, 6_000_000), (Component::Unknown, 2_000_000)];
    assert!(sentence(1_000_000, request(&parts, &[])).starts_with("67 % of the slowest 1 % is waiting for a lock"));
    let shared = |shared_ns| {
        let mut slow = request(&[(Component::LoopWait, 9_000_000)], &[]);
        slow.shared_ns = shared_ns;
        sentence(1_000_000, slow)
    };
    assert!(
        shared(2_000_000)
            .ends_with("9 ms of 10 ms. 20 % of this time was split between requests that cannot be told apart.")
    );
    assert!(shared(1_000_000).ends_with("9 ms of 10 ms."));
}
