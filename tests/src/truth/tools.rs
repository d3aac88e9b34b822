//! What one thread of a truth server works with, and the steps that it does in one go.
//!
//! In: a step. Out: the time spent as it says, and what of it was waiting, by component, in the record.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError, TryLockError};

use acgs_perf_common::attribution::Component;

use super::disk::Disk;
use super::fault::{Faults, allocate};
use super::log::{Buffer, Record};
use super::meter::Meter;
use super::script::Pieces;
use super::work::Source;
use super::world::{Step, Steps, World};
use crate::clock;

/// A spinning thread looks this often whether the world is stopped.
const SLICE_NS: u64 = 100_000;

/// One thread's tools.
pub struct Tools {
    pub world: Arc<World>,
    pub meter: Meter,
    pub log: Buffer,
    /// How the reply of the script that ran last is to be sent, if not in one piece.
    pub reply: Option<Pieces>,
    source: Source,
    disk: Disk,
    faults: Option<Faults>,
    scripts: HashMap<Vec<u8>, Steps>,
}

impl Tools {
    /// `seed` is of the service times that the server draws.
    pub fn new(world: &Arc<World>, seed: u64) -> io::Result<Self> {
        clock::no_timer_slack();
        Ok(Self {
            world: Arc::clone(world),
            meter: Meter::new()?,
            log: world.log.buffer(),
            reply: None,
            source: Source::new(world.options.distribution, seed),
            disk: Disk::new(&world.options.directory),
            faults: None,
            scripts: HashMap::new(),
        })
    }

    /// The script, from this thread's store of those it has seen.
    pub fn steps(&mut self, text: &[u8]) -> io::Result<Steps> {
        if let Some(steps) = self.scripts.get(text) {
            return Ok(Arc::clone(steps));
        }
        let steps = self.world.compile(text)?;
        self.scripts.insert(text.to_owned(), Arc::clone(&steps));
        Ok(steps)
    }

    /// The next service time of the server's own distribution.
    pub fn draw(&mut self) -> u64 {
        self.source.draw()
    }

    /// Waits while the world is stopped.
    pub fn safepoint(&self, record: &mut Record) {
        let stopped = &self.world.stopped;
        if matches!(stopped.try_read(), Err(TryLockError::WouldBlock)) {
            self.meter.blocked(record, Component::Lock, || drop(stopped.read()));
        }
    }

    /// Spins; a stop of the world makes it longer.
    fn spin(&self, mut ns: u64, record: &mut Record) {
        while ns > 0 {
            clock::spin(ns.min(SLICE_NS));
            ns = ns.saturating_sub(SLICE_NS);
            self.safepoint(record);
        }
    }

    /// Sleeps, and blocks the thread.
    pub fn sleep(&self, ns: u64, record: &mut Record) {
        if ns > 0 {
            self.meter.blocked(record, Component::Sleep, || clock::sleep(ns));
        }
    }

    /// Does a step in one go. Calls and branches are not done here.
    pub fn perform(&mut self, step: &Step, record: &mut Record) -> io::Result<()> {
        match step {
            Step::Spin(ns) => self.spin(*ns, record),
            Step::Sleep(ns) | Step::Block(ns) => self.sleep(*ns, record),
            Step::Work => {
                let ns = self.draw();
                match self.world.options.work {
                    super::Work::Spin => self.spin(ns, record),
                    super::Work::Sleep => self.sleep(ns, record),
                }
            }
            Step::Lock(lock, steps) => {
                let guard = match lock.try_lock() {
                    Ok(guard) => guard,
                    Err(TryLockError::Poisoned(error)) => error.into_inner(),
                    Err(TryLockError::WouldBlock) => {
                        let wait = || lock.lock().unwrap_or_else(PoisonError::into_inner);
                        self.meter.blocked(record, Component::Lock, wait)
                    }
                };
                for step in steps.iter() {
                    self.perform(step, record)?;
                }
                drop(guard);
            }
            Step::Stop(ns) => {
                let world = Arc::clone(&self.world);
                let wait = || world.stopped.write().unwrap_or_else(PoisonError::into_inner);
                let guard = self.meter.blocked(record, Component::Lock, wait);
                clock::spin(*ns);
                drop(guard);
            }
            Step::Fsync(times) => self.disk(*times, record, Disk::fsync)?,
            Step::Odirect(times) => self.disk(*times, record, Disk::odirect)?,
            Step::Allocate(kib) => allocate(*kib)?,
            Step::Fault(times) => {
                if self.faults.is_none() {
                    self.faults = Some(Faults::new(self.world.options.fault_ns)?);
                }
                if let Some(faults) = &self.faults {
                    self.meter.blocked(record, Component::Fault, || faults.fault(*times))?;
                }
            }
            Step::Reply(pieces) => self.reply = Some(*pieces),
            Step::Call(..) | Step::Parallel(_) => {}
        }
        Ok(())
    }

    fn disk(&mut self, times: u64, record: &mut Record, one: fn(&mut Disk) -> io::Result<()>) -> io::Result<()> {
        let disk = &mut self.disk;
        self.meter.blocked(record, Component::Disk, || (0..times).try_for_each(|_| one(disk)))
    }
}
