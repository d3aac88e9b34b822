//! Watches what the recording itself costs, and stops probes while it is more than `--max-overhead` allows.
//!
//! In: run times of the kernel programs, CPU time of the agent. Out: probes stopped, with the reason in their state, in the
//! loss ledger and on standard error; and the word when even that is not enough. The kernel times programs only while
//! statistics are on, and reads its clock twice per run for that; so they are on for a tenth of each interval only. What that
//! costs is measured once, by an empty program: it is taken off the programs' times, which have it only while they are timed,
//! and is a cost of its own for the runs that were. Switching the statistics on and off is the agent's CPU time; that of other CPUs,
//! which the kernel interrupts for it twice a second, is not in it.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use acgs_perf_common::ledger::Loss;

use super::limit::{Decision, Limit, Spent};
use crate::engine::host;
use crate::engine::notes::Notes;
use crate::live::account::Account;
use crate::live::session::{ProgramCost, Session};
use crate::snapshot::Overhead;

/// Time over which the cost is judged.
const INTERVAL: Duration = Duration::from_secs(1);
/// The part at its end in which the kernel times its programs.
const WINDOW: Duration = Duration::from_millis(100);

/// What is missing when the threads could not be walked at the end of the scheduler's figures.
pub const UNSETTLED: &str =
    "the scheduler figures lack what each thread did since its last switch: walking the threads failed";

/// What the watch has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Keep,
    /// This probe was stopped.
    Stopped(&'static str),
    /// The recording must end.
    End,
}

/// The watch.
pub struct Watch {
    percent: f64,
    limit: Limit,
    /// Whether statistics are on all the time anyway.
    always_on: bool,
    began: Instant,
    agent_cpu: Duration,
    window: Option<Window>,
    /// What timing costs per run, once it was measured.
    account: Option<Account>,
    figures: Overhead,
}

/// A time in which the kernel times its programs.
struct Window {
    /// Statistics are on until this is closed.
    _statistics: Option<OwnedFd>,
    began: Instant,
    programs: Vec<ProgramCost>,
}

impl Watch {
    /// Begins to watch for a limit in percent of the CPU time of all online CPUs.
    pub fn begin(percent: f64, always_on: bool) -> Self {
        let figures = Overhead { limit: percent / 100.0, ..Overhead::default() };
        Self {
            percent,
            limit: Limit::new(percent),
            always_on,
            began: Instant::now(),
            agent_cpu: host::cpu(),
            window: None,
            account: None,
            figures,
        }
    }

    /// When [`Watch::tick`] is to be called next.
    pub fn due(&self) -> Instant {
        match &self.window {
            None if self.always_on => self.began,
            None => self.began + (INTERVAL - WINDOW),
            Some(_) => self.began + INTERVAL,
        }
    }

    /// Opens the window, or closes it and judges.
    ///
    /// # Errors
    /// When the cost cannot be measured, so that the limit cannot be kept.
    pub fn tick(&mut self, session: &mut Session, elapsed: Duration, notes: &mut Notes) -> anyhow::Result<Verdict> {
        let Some(window) = self.window.take() else {
            self.window = Some(self.open(session)?);
            return Ok(Verdict::Keep);
        };
        let spent = self.close(&window, session)?;
        let total = spent.total();
        self.figures.intervals += 1;
        self.figures.last = Some(total);
        self.figures.account = Some(spent.account);
        self.figures.highest = Some(self.figures.highest.map_or(total, |highest| highest.max(total)));
        let measured = format!(
            "{:.3} % of the host's CPU time, more than the {} % of --max-overhead",
            total * 100.0,
            self.percent
        );
        let when = humantime::format_duration(Duration::from_millis(elapsed.as_millis() as u64));
        Ok(match self.limit.judge(&spent, &session.probes()) {
            Decision::Keep => Verdict::Keep,
            Decision::Stop(probe) => {
                let stopped = session.stop(probe, elapsed, format!("after {when} the measurement took {measured}"));
                notes.unless(stopped, UNSETTLED);
                session.maps.lose(Loss::ProbesStopped);
                notes.tell(format!("the measurement takes {measured}: probe {probe} stopped after {when}"));
                Verdict::Stopped(probe)
            }
            Decision::End => {
                notes.tell(format!(
                    "the measurement takes {measured}, and no probe is left to stop: recording ended after {when}"
                ));
                Verdict::End
            }
        })
    }

    /// What the intervals so far have shown.
    pub fn figures(&self) -> Overhead {
        self.figures.clone()
    }

    fn open(&mut self, session: &mut Session) -> anyhow::Result<Window> {
        let statistics = (!self.always_on)
            .then(|| aya::sys::enable_stats(aya::sys::Stats::RunTime))
            .transpose()
            .map_err(|e| anyhow::anyhow!("--max-overhead: the kernel does not keep run times: {e}"))?;
        if self.account.is_none() {
            self.account = Some(session.account()?);
        }
        Ok(Window { _statistics: statistics, began: Instant::now(), programs: session.program_costs()? })
    }

    /// What was measured since the window was opened, and the agent since the interval began; begins the next one.
    fn close(&mut self, window: &Window, session: &Session) -> anyhow::Result<Spent> {
        let programs = session.program_costs()?;
        let (now, agent_cpu) = (Instant::now(), host::cpu());
        let cpus = aya::util::online_cpus().map_or(1, |cpus| cpus.len().max(1)) as f64;
        let share = |spent: Duration, of: Duration| spent.as_secs_f64() / (of.as_secs_f64().max(1e-9) * cpus);
        let account = self.account.unwrap_or_default();
        let (in_window, mut runs) = (now - window.began, 0);
        let mut shares = Vec::new();
        for program in &programs {
            let Some(before) = window.programs.iter().find(|before| before.name == program.name) else { continue };
            let timed = u32::try_from(program.runs.saturating_sub(before.runs)).unwrap_or(u32::MAX);
            let time = program.run_time.saturating_sub(before.run_time).saturating_sub(account.in_run_time * timed);
            shares.push((session.probe_of(&program.name), share(time, in_window)));
            runs += timed;
        }
        let agent = share(agent_cpu.saturating_sub(self.agent_cpu), now - self.began);
        // Paid in the window, spread over the interval.
        let account = share(account.per_run * runs, now - self.began);
        self.began = now;
        self.agent_cpu = agent_cpu;
        Ok(Spent { programs: shares, agent, account })
    }
}
