//! Who is woken, and when: rules for Prometheus, and alerts of the agent's own for hosts without one.
//!
//! In: services with their objectives; intervals. Out: YAML (`rules`); or events, to a command, a webhook on loopback and standard
//! error. Both follow the same burn rates (`burn`). Of the agent's own, `counts` takes from an interval what was slow, `history` keeps
//! it for three days, `machine` decides, `explain` looks up what the ring says about the cause, `pages` makes one page of what has one
//! cause, `outbox` tries again, and `runner` is a process without privileges that runs the command and asks the webhook. `watch` is the
//! thread on which all of that happens, and `state` what outlives it.

pub mod burn;
pub mod counts;
mod event;
mod explain;
mod history;
mod machine;
mod outbox;
mod pages;
pub mod rules;
pub mod runner;
mod state;
pub mod target;
pub mod watch;
#[cfg(test)]
mod year;
