//! Where requests wait on the host: a vector of places, and a map behind them.
//!
//! In: what the rules ask a table for. Out: entries, losses counted by kind, and the work of each request that was offered.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::HashMap;

use acgs_perf_common::exemplar::segment_duration;
use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::PARKING_PLACES;
use acgs_perf_common::rules::activity::Activity;
use acgs_perf_common::rules::standing::{Mark, Standing};
use acgs_perf_common::rules::thread::ThreadState;
use acgs_perf_common::rules::timer::Timers;
use acgs_perf_common::rules::{Table, handoff, helper};

use crate::socket::Socket;

/// A state as the kernel makes it: all zero.
pub fn zeroed<T>() -> Box<T> {
    // SAFETY: the states are made of integers, for which zero is a value.
    Box::new(unsafe { std::mem::zeroed() })
}

/// The tables of a `World`.
pub struct Tables {
    places: UnsafeCell<Vec<Option<Box<Activity>>>>,
    spilled: UnsafeCell<HashMap<u64, Box<Activity>>>,
    /// How many entries the map takes.
    pub room: Cell<usize>,
    pub threads: Vec<RefCell<Box<ThreadState>>>,
    /// The thread that runs now.
    pub running: Cell<usize>,
    pub running_pid: Cell<u32>,
    /// Who takes an entry next finds that a thread on another CPU has it.
    pub others_are_faster: Cell<bool>,
    timers: UnsafeCell<Timers>,
    losses: RefCell<HashMap<u32, u32>>,
    /// Sum of the segments of each request that was offered.
    pub offered: RefCell<Vec<u64>>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            places: UnsafeCell::new((0..PARKING_PLACES).map(|_| None).collect()),
            spilled: UnsafeCell::default(),
            room: Cell::new(usize::MAX),
            threads: Vec::new(),
            running: Cell::new(0),
            running_pid: Cell::new(0),
            others_are_faster: Cell::new(false),
            timers: UnsafeCell::default(),
            losses: RefCell::default(),
            offered: RefCell::default(),
        }
    }
}

impl Tables {
    pub fn count(&self, loss: Loss) {
        *self.losses.borrow_mut().entry(loss as u32).or_default() += 1;
    }

    pub fn lost(&self, loss: Loss) -> u32 {
        self.losses.borrow().get(&(loss as u32)).copied().unwrap_or(0)
    }

    /// How each entry stands.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        // SAFETY: nobody holds an entry between two events.
        let (places, spilled) = unsafe { (&*self.places.get(), &*self.spilled.get()) };
        places.iter().flatten().chain(spilled.values()).map(|entry| entry.standing)
    }

    /// Entries of the map.
    pub fn spilled_len(&self) -> usize {
        // SAFETY: nobody holds an entry between two events.
        unsafe { (*self.spilled.get()).len() }
    }
}

impl Table for Tables {
    type Socket = Socket;

    fn place(&self, index: u32) -> Option<&mut Activity> {
        // SAFETY: one thread of the host runs the rules, which look at one entry of a request at a time; boxes stay where they are.
        let places = unsafe { &mut *self.places.get() };
        Some(places.get_mut(index as usize)?.get_or_insert_with(zeroed))
    }

    fn spilled(&self, address: u64) -> Option<&mut Activity> {
        // SAFETY: as in `place`.
        unsafe { (*self.spilled.get()).get_mut(&address).map(|entry| &mut **entry) }
    }

    fn spill(&self, address: u64, first: &Activity) -> bool {
        // SAFETY: as in `place`.
        let spilled = unsafe { &mut *self.spilled.get() };
        let has_room = spilled.len() < self.room.get();
        if has_room {
            spilled.insert(address, Box::new(*first));
        }
        has_room
    }

    fn unspill(&self, address: u64) {
        // SAFETY: as in `place`.
        unsafe { (*self.spilled.get()).remove(&address) };
    }

    fn exchange(&self, standing: &mut Standing, old: Standing, new: Standing) -> bool {
        if new.has(Mark::Taken) && self.others_are_faster.take() {
            return false;
        }
        let same = *standing == old;
        if same {
            *standing = new;
        }
        same
    }

    fn running(&self) -> u32 {
        self.running_pid.get()
    }

    fn process(&self) -> u32 {
        100
    }

    fn timers(&self, _process: u32) -> Option<&mut Timers> {
        // SAFETY: as in `place`; there is one process.
        Some(unsafe { &mut *self.timers.get() })
    }

    fn lose(&self, loss: Loss) {
        self.count(loss);
    }

    fn offer(&self, _socket: &mut Socket, work: &mut Activity, _service: u32) {
        let segments = &work.segments[..work.segments_len as usize];
        self.offered.borrow_mut().push(segments.iter().map(|segment| segment_duration(*segment)).sum());
    }

    fn take_over(&self, thread: &mut ThreadState, pid: u32, state: u32, now: u64) {
        let giver = &mut self.threads[self.running.get()].borrow_mut();
        handoff::take_over(self, giver, self.running(), thread, pid, state, now);
    }

    fn helped(&self, thread: &mut ThreadState, now: u64) {
        helper::helped(&mut self.threads[self.running.get()].borrow_mut(), thread, now);
    }
}
