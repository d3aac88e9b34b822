//! The table of planted causes.
//!
//! Where one slow request makes others wait (a blocked event loop, an exhausted pool, a held lock) there is one every 1.5 s, so
//! that most of the slowest 1 % are those that waited, and their reason is the one to be named. Elsewhere one in fifty is slow: with
//! one in a hundred it would be chance whether the P99 is one of them.

use acgs_perf_common::attribution::Component::{
    CpuQuota, Disk, Downstream, Fault, Lock, OnCpu, PoolWait, QueueAccept, QueueCpuQuota, QueueLock, QueueOnCpu,
    QueueRunQueue, QueueSleep, RunQueue, Sleep,
};

use super::{Cause, Outside, Peer, Server, Traffic};

const ASYNCIO: Server = Server::Uvicorn("asyncio");
const UVLOOP: Server = Server::Uvicorn("uvloop");
const SYNC: Server = Server::Gunicorn("sync", 4, 1);

const fn load(path: &'static str, slow: &'static str, share: f64) -> Traffic {
    Traffic { rate: 200, seconds: 10, connections: 64, new_connections: false, path, slow: Some((slow, share)) }
}

const fn cause(name: &'static str, service: &'static str, server: Server, load: Traffic, planted_ms: u64) -> Cause {
    Cause {
        name,
        service,
        server,
        peers: &[],
        environment: &[],
        quota: None,
        outside: Outside::Nothing,
        load,
        planted_ms,
        expected: &[],
        measured: None,
        peer: None,
        one_call: false,
        recorded: None,
    }
}

/// The usual load alone, somewhat more of it; the slow requests come from outside.
const fn victims(path: &'static str) -> Traffic {
    Traffic { rate: 300, slow: None, ..load(path, "", 0.0) }
}

/// One slow request every 1.5 s.
const fn now_and_then(path: &'static str) -> Outside {
    Outside::Burst { path, count: 1, every: 1500 }
}

/// A connection per request; a sync worker closes it after its reply anyway.
const fn closing(load: Traffic) -> Traffic {
    Traffic { new_connections: true, ..load }
}

/// All of them.
pub const CAUSES: &[Cause] = &[
    Cause {
        outside: Outside::Hog { busy: 80, every: 2000 },
        expected: &[QueueRunQueue, RunQueue],
        ..cause("cpu_hog", "uvicorn-asyncio", ASYNCIO, Traffic { slow: None, ..load("/ok", "", 0.0) }, 50)
    },
    Cause {
        quota: Some((10, 100)),
        expected: &[CpuQuota, QueueCpuQuota],
        ..cause("cpu_quota", "cause-server", Server::CauseServer, load("/ok", "/spin/25", 0.02), 40)
    },
    Cause {
        outside: now_and_then("/hold/60"),
        expected: &[Lock],
        ..cause("lock_convoy", "cause-server", Server::CauseServer, victims("/locked"), 40)
    },
    Cause {
        outside: now_and_then("/hold/80"),
        expected: &[Lock],
        ..cause("lock_convoy", "gunicorn-gthread", Server::Gunicorn("gthread", 1, 64), victims("/locked"), 40)
    },
    Cause {
        expected: &[Disk],
        measured: Some("fsync"),
        ..cause("fsync", "gunicorn-sync", SYNC, closing(load("/ok", "/fsync/40", 0.02)), 40)
    },
    Cause {
        expected: &[Disk],
        measured: Some("pread"),
        ..cause("direct_read", "cause-server", Server::CauseServer, load("/ok", "/pread/40", 0.02), 40)
    },
    Cause {
        peers: &[Peer::Redis, Peer::Backend],
        expected: &[Downstream],
        peer: Some(Peer::Backend),
        ..cause("slow_backend", "uvicorn-asyncio", ASYNCIO, load("/two", "/two/40", 0.02), 40)
    },
    Cause {
        peers: &[Peer::Redis, Peer::Postgres],
        expected: &[Downstream],
        peer: Some(Peer::Postgres),
        ..cause("slow_query", "uvicorn-uvloop", UVLOOP, load("/query", "/query/40", 0.02), 40)
    },
    Cause {
        peers: &[Peer::Backend],
        expected: &[Downstream],
        peer: Some(Peer::Backend),
        ..cause("slow_proxied", "nginx", Server::Nginx, load("/ok", "/sleep/40", 0.02), 40)
    },
    Cause {
        peers: &[Peer::Backend],
        expected: &[Downstream],
        peer: Some(Peer::Backend),
        ..cause("slow_backend", "node", Server::Node, load("/call", "/call/40", 0.02), 40)
    },
    Cause {
        peers: &[Peer::Redis, Peer::Backend],
        expected: &[Downstream],
        peer: Some(Peer::Backend),
        one_call: true,
        ..cause("sequential_calls", "uvicorn-asyncio", ASYNCIO, load("/two", "/sequence/20/2", 0.02), 40)
    },
    Cause {
        outside: now_and_then("/block/80"),
        expected: &[QueueSleep],
        measured: Some("block"),
        ..cause("blocked_loop_sleep", "uvicorn-asyncio", ASYNCIO, victims("/ok"), 50)
    },
    Cause {
        outside: now_and_then("/block/80"),
        expected: &[QueueSleep],
        measured: Some("block"),
        ..cause("blocked_loop_sleep", "uvicorn-uvloop", UVLOOP, victims("/ok"), 50)
    },
    Cause {
        outside: now_and_then("/spin/80"),
        expected: &[QueueOnCpu],
        measured: Some("spin"),
        ..cause("blocked_loop_spin", "uvicorn-uvloop", UVLOOP, victims("/ok"), 50)
    },
    Cause {
        outside: now_and_then("/spin/80"),
        expected: &[QueueOnCpu],
        measured: Some("spin"),
        peers: &[Peer::Backend],
        ..cause("blocked_loop_spin", "node", Server::Node, victims("/ok"), 50)
    },
    Cause {
        outside: now_and_then("/exhaust/80"),
        environment: &[("POOL", "4")],
        expected: &[PoolWait],
        ..cause("exhausted_pool", "fastapi-threads", ASYNCIO, victims("/pool"), 50)
    },
    Cause {
        // The thread that reads in the end is one of those that slept.
        outside: Outside::Burst { path: "/sleep/100", count: 2, every: 2500 },
        expected: &[QueueSleep],
        ..cause(
            "exhausted_pool",
            "gunicorn-gthread",
            Server::Gunicorn("gthread", 1, 2),
            Traffic { slow: None, ..load("/ok", "", 0.0) },
            50,
        )
    },
    Cause {
        outside: now_and_then("/collect"),
        environment: &[("HEAP", "600000")],
        expected: &[QueueOnCpu],
        measured: Some("collect"),
        ..cause("garbage_collection", "uvicorn-asyncio", ASYNCIO, victims("/ok"), 30)
    },
    Cause {
        outside: now_and_then("/collect"),
        // The other threads wait for the interpreter's lock; the one that collects computes, and then reads what has come.
        environment: &[("HEAP", "600000")],
        expected: &[QueueLock, Lock, QueueOnCpu],
        ..cause("garbage_collection", "gunicorn-gthread", Server::Gunicorn("gthread", 1, 8), victims("/ok"), 30)
    },
    Cause {
        expected: &[Fault],
        measured: Some("fault"),
        ..cause("page_fault", "cause-server", Server::CauseServer, load("/ok", "/fault/40", 0.02), 40)
    },
    Cause {
        outside: now_and_then("/sleep/80"),
        expected: &[QueueAccept],
        ..cause("late_accept", "gunicorn-sync", Server::Gunicorn("sync", 1, 1), closing(victims("/ok")), 50)
    },
    Cause { expected: &[Sleep], ..cause("timer", "uvicorn-uvloop", UVLOOP, load("/ok", "/timer/40", 0.02), 40) },
    Cause {
        expected: &[Sleep],
        measured: Some("sleep"),
        ..cause("sleep", "gunicorn-sync", SYNC, closing(load("/ok", "/sleep/40", 0.02)), 40)
    },
    Cause {
        expected: &[OnCpu],
        measured: Some("spin"),
        ..cause("cpu_burn", "gunicorn-sync", SYNC, closing(load("/ok", "/spin/40", 0.02)), 40)
    },
    Cause {
        // After each query the client's pool sends another that resets the session: 2 % of the calls are 1 % of the requests.
        // PostgreSQL waits for a row's lock in epoll_wait on its latch, until the process that holds it wakes it.
        peers: &[Peer::Postgres],
        expected: &[Lock],
        recorded: Some(Peer::Postgres),
        ..cause("row_lock", "postgres", ASYNCIO, load("/query", "/row/40", 0.02), 40)
    },
];

/// Those whose name, or `NAME/SERVICE`, is `wanted`; all without it.
pub fn chosen(wanted: Option<&str>) -> Vec<&'static Cause> {
    let is_wanted = |cause: &&Cause| wanted.is_none_or(|wanted| wanted == cause.name || wanted == cause.title());
    CAUSES.iter().filter(is_wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_keeps_its_promises() {
        let mut names: Vec<&str> = CAUSES.iter().map(|cause| cause.name).collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() >= 12, "{names:?}");
        let python = |cause: &&Cause| matches!(cause.server, Server::Uvicorn(_) | Server::Gunicorn(..));
        assert!(CAUSES.iter().filter(python).count() >= 5);
        for (at, cause) in CAUSES.iter().enumerate() {
            let title = cause.title();
            assert!(CAUSES[..at].iter().all(|other| other.title() != title), "{title} twice");
            assert!(!cause.expected.is_empty(), "{title} expects nothing");
            assert_eq!(cause.peer.is_some(), cause.expected == [Downstream], "{title}");
            let planted = [cause.load.slow.map(|(path, _)| path), cause.outside.path()].into_iter().flatten();
            let mut names = planted.map(|path| path.trim_start_matches('/').split('/').next().unwrap_or_default());
            assert!(cause.measured.is_none_or(|name| names.any(|planted| planted == name)), "{title}: not planted");
            assert!(cause.peer.is_none_or(|peer| cause.peers.contains(&peer)), "{title}");
            assert!(u64::from(cause.load.rate * cause.load.seconds) <= 10_000, "{title}: a bounded load");
        }
    }

    #[test]
    fn causes_are_chosen_by_name() {
        assert_eq!(chosen(None).len(), CAUSES.len());
        assert_eq!(chosen(Some("lock_convoy")).len(), 2);
        assert_eq!(chosen(Some("lock_convoy/gunicorn-gthread")).len(), 1);
        assert!(chosen(Some("nothing")).is_empty());
    }
}
