//! The table of causes that are taken away.
//!
//! Each request first sleeps for as long as the server draws, or has a peer sleep so long: some 4 ms, one in a hundred 10 ms. A few requests
//! have the cause besides, for 40 ms and more, so that it alone makes the P99; without it the P99 is that of what the server draws.

use super::{Fix, Outside, Script};

/// What the server draws.
const DRAWN: &str = "--service lognormal:4000,0.4 --work sleep";
const THREADS: &str = "--mode threads";
/// Where the sleep is the peer's, the server's own is the cause alone.
const OWN: Script = Script { usual: "work", slow: "work" };
const OF_PEER: Script = Script { usual: "call:drawn", slow: "call:drawn" };

const fn fix(name: &'static str, findings: &'static [&'static str], before: Script, after: Script) -> Fix {
    Fix {
        name,
        findings,
        server: [THREADS, THREADS],
        script: [before, after],
        slow_share: 0.03,
        rate: 200,
        load: "--connections 64",
        outside: Outside::Nothing,
    }
}

const fn slow(usual: &'static str, slow: &'static str) -> Script {
    Script { usual, slow }
}

/// Twenty calls, as a loop over rows makes them.
const TWENTY: &str = "work;call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000];call:db[sleep:2000]";

/// All of them.
pub const FIXES: &[Fix] = &[
    Fix {
        // Who holds the lock takes 60 ms with it or without it.
        slow_share: 0.004,
        ..fix(
            "lock",
            &["tail_lock"],
            slow("work;lock:a:5", "lock:a[sleep:60000]"),
            slow("work;lock:a:5", "sleep:60000"),
        )
    },
    fix("disk", &["fsync_bound", "tail_disk"], slow("work", "work;fsync:200"), OWN),
    fix("cpu", &["tail_cpu"], slow("work", "work;spin:40000"), OWN),
    fix("sleep", &["tail_sleep"], slow("call:drawn", "call:drawn;sleep:40000"), OF_PEER),
    fix("page faults", &["tail_fault"], slow("work", "work;fault:40"), OWN),
    fix("downstream", &["tail_downstream"], slow("work", "work;call:db[sleep:40000]"), OWN),
    fix("N+1", &["many_calls"], slow("work", TWENTY), slow("work", "work;call:db[sleep:2000]")),
    fix(
        "sequential calls",
        &["sequential_calls"],
        slow("work", "work;call:db[sleep:20000];call:db[sleep:20000];call:db[sleep:20000]"),
        slow("work", "work;parallel[call:db[sleep:20000]|call:db[sleep:20000]|call:db[sleep:20000]]"),
    ),
    Fix {
        server: ["--mode threads --cpu 0", "--mode threads --cpu 0"],
        outside: Outside::Hog { busy: 60, every: 500 },
        ..fix("run queue", &["noisy_neighbour", "tail_run_queue"], OWN, OWN)
    },
    Fix {
        outside: Outside::Quota(10, 100),
        // 15 ms of CPU time take two periods.
        slow_share: 0.02,
        rate: 100,
        ..fix(
            "CPU quota",
            &["tail_cpu_quota", "cpu_quota"],
            slow("work", "work;spin:15000"),
            slow("work", "work;spin:15000"),
        )
    },
    Fix {
        server: ["--mode pool --pool 2", "--mode pool --pool 32"],
        rate: 350,
        ..fix("thread pool", &["tail_pool"], OWN, OWN)
    },
    Fix {
        server: ["--mode epoll", "--mode epoll"],
        slow_share: 0.004,
        ..fix(
            "blocked event loop",
            &["tail_queue", "tail_event_loop"],
            slow("work", "block:60000"),
            slow("work", "sleep:60000"),
        )
    },
    Fix {
        server: ["--mode threads --stall 60,700", THREADS],
        load: "--new-connections --connections 64",
        ..fix("late accept", &["tail_accept_backlog"], OWN, OWN)
    },
];

impl Fix {
    /// Flags of the server, before or after.
    pub fn server_flags(&self, after: bool) -> Vec<&str> {
        self.server[usize::from(after)].split(' ').chain(DRAWN.split(' ')).collect()
    }
}

/// What the peer `drawn` is started with.
pub fn drawn_flags() -> impl Iterator<Item = &'static str> {
    THREADS.split(' ').chain(DRAWN.split(' '))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::truth::Distribution;
    use crate::truth::load::Options as Load;
    use crate::truth::script::{parse, peers};

    #[test]
    fn what_is_run_can_be_run() {
        assert!(FIXES.len() >= 10);
        for fix in FIXES {
            for script in fix.script {
                for text in [script.usual, script.slow] {
                    let script = parse(text).unwrap();
                    assert!(peers(&script).iter().all(|peer| ["db", "drawn"].contains(peer)), "{}", fix.name);
                }
            }
            let words = ["truth-load", "--target", "127.0.0.1:1", "--requests", "1"];
            assert!(Load::try_parse_from(words.into_iter().chain(fix.load.split(' '))).is_ok(), "{}", fix.name);
            let is_same = fix.server[0] == fix.server[1] && fix.script[0] == fix.script[1];
            assert!(!is_same || fix.outside != Outside::Nothing, "{}: nothing is taken away", fix.name);
        }
        let drawn = DRAWN.split(' ').nth(1).unwrap();
        assert!(drawn.parse::<Distribution>().is_ok());
    }
}
