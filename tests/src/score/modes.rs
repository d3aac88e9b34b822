//! The ways in which a reply can come late to a client, each with what the clients' kernels say of it.
//!
//! In: how many requests. Out: the score of the report against the clients' stamps. All on loopback, and bounded.

use std::process::Command;
use std::time::Duration;

use acgs_perf_load::random::Random;
use anyhow::{Context, Result};

use super::Score;
use super::quantiles::Tolerance;
use super::seen::{row, truth};
use crate::delivery::Reading;
use crate::harness::{Service, program};
use crate::hostile::network;
use crate::recording::Recorder;
use crate::report::Report;
use crate::truth::clients::{Ask, Crowd, Patience, run};

const NAME: &str = "truth";

/// One way.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// What happens.
    pub name: &'static str,
    /// Flags of the truth server.
    server: &'static str,
    /// In a network of its own, where nobody else's drops are counted.
    alone: bool,
    /// How the clients behave.
    pub crowd: Crowd,
}

/// Microseconds, exponential with this mean.
fn micros(random: &mut Random, mean: f64) -> u64 {
    (mean * random.exponential()) as u64
}

/// A few clients that hold their connections.
const FEW: Crowd = Crowd {
    clients: 8,
    think: Duration::from_millis(8),
    new_connections: false,
    receive_buffer: None,
    ask: |random| Ask::plain(format!("spin:{}", micros(random, 100.0))),
};
/// As many as a stall of 100 ms each half second is to meet: of these one request in seven.
const MANY: Crowd = Crowd { clients: 64, think: Duration::from_millis(100), ..FEW };
/// One in so many requests is never answered.
const RARE: f64 = 0.04;

/// All of them.
pub const MODES: [Mode; 11] = [
    Mode { name: "at once", server: "--mode threads", alone: false, crowd: FEW },
    Mode {
        name: "stall before accept",
        server: "--mode threads --stall 100,500",
        alone: false,
        crowd: Crowd { new_connections: true, ask: |_| Ask::plain("spin:20".to_owned()), ..MANY },
    },
    Mode {
        name: "stall before read",
        server: "--mode epoll --stall 100,500",
        alone: false,
        crowd: Crowd { ask: |_| Ask::plain("spin:20".to_owned()), ..MANY },
    },
    Mode {
        name: "stall before reply",
        server: "--mode threads",
        alone: false,
        crowd: Crowd { ask: |random| Ask::plain(format!("sleep:{}", micros(random, 5_000.0))), ..FEW },
    },
    Mode {
        name: "pieces, without Nagle",
        server: "--mode threads",
        alone: false,
        crowd: Crowd { ask: |random| Ask::plain(format!("spin:20;reply:3,1000,{}", micros(random, 2_000.0))), ..FEW },
    },
    Mode {
        name: "pieces, with Nagle",
        server: "--mode threads",
        alone: false,
        crowd: Crowd {
            clients: 24,
            ask: |random| Ask::plain(format!("sleep:{};reply:2,100,0,nagle", micros(random, 5_000.0))),
            ..FEW
        },
    },
    Mode {
        name: "slow reader",
        server: "--mode threads",
        alone: false,
        crowd: Crowd {
            receive_buffer: Some(8 << 10),
            ask: |random| {
                let reading = Reading { bytes: 8 << 10, pause: Duration::from_micros(micros(random, 1_000.0)) };
                Ask { reading, ..Ask::plain("spin:20;reply:1,200000,0".to_owned()) }
            },
            ..FEW
        },
    },
    Mode {
        name: "slow sender",
        server: "--mode threads",
        alone: false,
        crowd: Crowd {
            ask: |random| {
                let pause = Duration::from_micros(micros(random, 2_000.0));
                Ask { parts: 4, pause, ..Ask::plain("spin:20".to_owned()) }
            },
            ..FEW
        },
    },
    Mode {
        name: "abandon",
        server: "--mode threads",
        alone: false,
        crowd: Crowd {
            ask: |random| {
                if random.uniform() < RARE {
                    let patience = Patience::Leaves(Duration::from_millis(50));
                    return Ask { patience, ..Ask::plain("sleep:200000".to_owned()) };
                }
                Ask::plain(format!("sleep:{}", micros(random, 3_000.0)))
            },
            ..FEW
        },
    },
    Mode {
        name: "never a reply",
        server: "--mode threads",
        alone: false,
        crowd: Crowd {
            ask: |random| {
                if random.uniform() < RARE {
                    return Ask { patience: Patience::Keeps, ..Ask::plain("sleep:60000000".to_owned()) };
                }
                Ask::plain(format!("sleep:{}", micros(random, 3_000.0)))
            },
            ..FEW
        },
    },
    Mode {
        name: "refuse",
        // Not in step with the second after which TCP tries again.
        server: "--mode threads --stall 100,700 --backlog 4",
        alone: true,
        crowd: Crowd { clients: 32, new_connections: true, ask: |_| Ask::plain("spin:20".to_owned()), ..MANY },
    },
];

/// The one of this name.
pub fn named(name: &str) -> Result<&'static Mode> {
    let names = || MODES.map(|mode| mode.name).join(", ");
    MODES.iter().find(|mode| mode.name == name).with_context(|| format!("{name:?} is none of {}", names()))
}

/// One of them; the server has this congestion control, or the host's.
pub fn score_of(mode: &Mode, requests: u64, tolerance: Tolerance, congestion: Option<&str>) -> Result<Score> {
    let prepare: fn(&mut Command) -> &mut Command = if mode.alone { network::of_its_own } else { |command| command };
    let congestion = congestion.map(|name| ["--congestion", name]);
    let flags: Vec<&str> = mode.server.split(' ').chain(congestion.into_iter().flatten()).collect();
    let server = Service::truth_with(program("truth-server"), &flags, prepare)?;
    let recording = Recorder::new(NAME, &format!("pid:{}", server.pid())).start()?;
    let clients = || run(server.address(), &mode.crowd, requests).with_context(|| mode.name.to_owned());
    let (outcome, refused) = if mode.alone {
        network::inside(server.pid(), || {
            let before = network::listen_drops()?;
            let outcome = clients()?;
            Ok((outcome, Some(network::listen_drops()? - before)))
        })?
    } else {
        (clients()?, None)
    };
    let report = recording.stop()?;
    let mut score = Score::default();
    if outcome.unstamped > 0 {
        score.inexact.push(format!("{}: {} requests without the kernel's stamps", mode.name, outcome.unstamped));
    }
    row(mode.name, &truth(&outcome, refused, window_end(&report)), &report, NAME, tolerance, &mut score);
    Ok(score)
}

/// When the window closed, on CLOCK_REALTIME.
fn window_end(report: &Report) -> u64 {
    let word = |name: &str| report.0["window"][name].as_u64().unwrap_or_default();
    word("start_unix_ns") + word("duration_ns")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::script::parse;

    #[test]
    fn a_mode_has_a_name_of_its_own() {
        assert!(MODES.iter().all(|mode| named(mode.name).is_ok_and(|found| found.server == mode.server)));
        let error = named("late").unwrap_err().to_string();
        assert!(error.contains("slow reader, slow sender"), "{error}");
    }

    #[test]
    fn what_the_clients_ask_for_is_a_script() {
        for Mode { name, crowd, .. } in MODES {
            let mut random = Random::new(1);
            for _ in 0..200 {
                let ask = (crowd.ask)(&mut random);
                assert!(parse(&ask.script).is_ok(), "{name}: {}", ask.script);
            }
        }
    }
}
