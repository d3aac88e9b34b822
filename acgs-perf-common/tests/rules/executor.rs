//! An asyncio server whose handlers run in a pool of threads, as those of FastAPI do that are plain functions: the loop reads whatever has
//! arrived, works its queue off in order, and gives a job to the thread that has been idle for the shortest time. One thread at a time
//! runs, whoever has the interpreter's lock.
//!
//! In: how many clients and threads there are, and what a job does. Out: the truth of every request, which is nearly what the rules say.

use std::collections::{BTreeMap, VecDeque};

use acgs_perf_common::attribution::Component;
use acgs_perf_common::state::State;

use crate::invariants;
use crate::truth::{Phase, Truth};
use crate::world::{Block, By, FUTEX, SENDTO, WRITE};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const LOOP: usize = 0;
/// The only worker, where there is one.
const WORKER: usize = 1;
/// How long who waits for the interpreter's lock does so at a time.
const SWITCH: Block = Block::LockFor(5 * MS);

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Job {
    Sleeps,
    /// Calls a peer, and reads the answer.
    Calls,
}

/// How a worker tells the loop that it is done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tells {
    /// Each time, by a pair of sockets, as asyncio's do.
    Always,
    /// If nobody has since the loop was last told, by an eventfd, as uvloop's do.
    First,
}

/// What the loop has in its queue.
enum Step {
    /// A handler begins, or goes on: it wants a thread.
    Wants(usize),
    /// The result for this socket has come back.
    Result(usize),
}

/// How far a worker is with its job.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Given,
    Away,
    Answered,
    Told,
}

struct Shape {
    clients: usize,
    /// Threads that may be at a job at a time.
    limit: usize,
    job: Job,
    tells: Tells,
}

struct Executor {
    shape: Shape,
    truth: Truth,
    queue: VecDeque<Step>,
    waiters: VecDeque<usize>,
    idle: Vec<usize>,
    /// The socket for whom each worker is, and how far.
    busy: BTreeMap<usize, (usize, Stage)>,
    /// Jobs that each worker has done.
    jobs: BTreeMap<usize, u64>,
    /// Who had the interpreter's lock last.
    holder: usize,
    is_told: bool,
    random: u64,
}

impl Executor {
    fn new(shape: Shape) -> Self {
        let truth = Truth::new(1, shape.clients, shape.limit + 1);
        let (queue, waiters, idle) = <_>::default();
        let busy = BTreeMap::new();
        let jobs = BTreeMap::new();
        Self { shape, truth, queue, waiters, idle, busy, jobs, holder: LOOP, is_told: false, random: 1 }
    }

    /// A number below `bound`.
    fn random(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % bound
    }

    fn sockets(&self) -> std::ops::Range<usize> {
        0..self.shape.clients
    }

    fn has_arrived(&self) -> bool {
        self.truth.phases.contains(&Phase::Queued)
    }

    /// Whether the loop waits for events.
    fn sleeps(&self) -> bool {
        self.truth.world.thread(LOOP).state == State::Poll as u32
    }

    /// Threads that could run if they had the interpreter's lock.
    fn ready(&self) -> Vec<usize> {
        let workers = self.busy.iter().filter(|(_, (_, stage))| *stage != Stage::Away).map(|(worker, _)| *worker);
        let has_work = !self.queue.is_empty() || self.has_arrived() || self.is_told;
        has_work.then_some(LOOP).into_iter().chain(workers).collect()
    }

    /// The thread gets the interpreter's lock.
    fn locks(&mut self, thread: usize) {
        if !self.truth.world.is_on_cpu(thread) {
            if self.truth.world.is_blocked(thread) {
                self.truth.world.wake(thread, By::Thread(self.holder, FUTEX, 1));
            }
            self.truth.after(3 * US).world.run(thread);
        }
        self.holder = thread;
    }

    /// Whoever is on its CPU waits for the interpreter's lock.
    fn waits(&mut self, thread: usize) {
        self.truth.after(US).world.block(thread, SWITCH);
    }

    /// Somebody runs, until it lets go of the interpreter's lock.
    fn slice(&mut self) {
        let ready = self.ready();
        let thread = ready[self.random(ready.len())];
        self.locks(thread);
        if thread == LOOP { self.loop_runs() } else { self.worker_runs(thread) }
    }

    /// The loop looks what there is, or does what is next in its queue; it lets go of the lock where it makes a system call.
    fn loop_runs(&mut self) {
        self.is_told = false;
        for socket in self.sockets() {
            if self.truth.phases[socket] == Phase::Queued {
                self.truth.after(20 * US).read(LOOP, socket);
                self.truth.phases[socket] = Phase::Ready(LOOP);
                self.queue.push_back(Step::Wants(socket));
            }
        }
        for _ in 0..self.queue.len() {
            match self.queue.pop_front() {
                Some(Step::Wants(socket)) if self.busy.len() < self.shape.limit => self.gives(socket),
                Some(Step::Wants(socket)) => {
                    self.truth.phases[socket] = Phase::Pool;
                    self.waiters.push_back(socket);
                }
                Some(Step::Result(socket)) => {
                    self.truth.phases[socket] = Phase::Worked(LOOP);
                    self.truth.after(30 * US).reply(LOOP, socket);
                    if self.random(2) == 0 {
                        return self.waits(LOOP);
                    }
                }
                None => break,
            }
        }
        match self.queue.is_empty() && !self.has_arrived() {
            true => self.truth.after(US).world.block(LOOP, Block::Poll),
            false => self.waits(LOOP),
        }
    }

    /// The loop wakes a thread for the job of `socket`, or starts one.
    fn gives(&mut self, socket: usize) {
        self.truth.phases[socket] = Phase::Worked(LOOP);
        self.truth.after(30 * US);
        let worker = self.idle.pop().unwrap_or_else(|| {
            self.truth.waits_for.push(Component::Idle);
            let worker = self.truth.world.start_thread(LOOP);
            self.truth.world.run(worker);
            self.truth.world.block(worker, Block::Job);
            worker
        });
        self.truth.world.wake(worker, By::Thread(LOOP, FUTEX, 1));
        self.truth.phases[socket] = Phase::Worked(worker);
        self.truth.world.run(worker);
        self.waits(worker);
        self.busy.insert(worker, (socket, Stage::Given));
    }

    fn worker_runs(&mut self, worker: usize) {
        let Some(&(socket, stage)) = self.busy.get(&worker) else { return };
        let calls = self.shape.job == Job::Calls;
        let next = match stage {
            Stage::Given | Stage::Answered if self.random(4) == 0 => {
                // It needs one of Python's locks, which another worker has.
                if let Some(other) = self.ready().into_iter().find(|other| ![LOOP, worker].contains(other)) {
                    self.locks(other);
                    self.truth.after(5 * US).world.block(worker, Block::Semaphore);
                    self.truth.after(20 * US).world.wake(worker, By::Thread(other, FUTEX, 1));
                    self.waits(other);
                    self.truth.world.run(worker);
                    self.waits(worker);
                }
                return;
            }
            Stage::Given => {
                self.truth.after(30 * US);
                if calls {
                    self.truth.world.call(worker, worker);
                    self.truth.waits_for[worker] = Component::Downstream;
                }
                self.truth.world.block(worker, if calls { Block::Socket } else { Block::Sleep });
                Stage::Away
            }
            Stage::Answered => {
                self.truth.after(40 * US);
                self.queue.push_back(Step::Result(socket));
                if self.shape.tells == Tells::Always || !self.is_told {
                    self.is_told = true;
                    self.tells(worker);
                }
                self.truth.phases[socket] = Phase::Ready(LOOP);
                // It loses the lock once in a while before it waits for the next job.
                match self.random(16) {
                    0 => self.waits(worker),
                    _ => return self.is_free(worker),
                }
                Stage::Told
            }
            Stage::Told => return self.is_free(worker),
            Stage::Away => return,
        };
        self.busy.insert(worker, (socket, next));
    }

    /// The worker wakes the loop, if that sleeps. The kernel is seen to send to a socket pair once that has been done.
    fn tells(&mut self, worker: usize) {
        let by_socket = self.shape.tells == Tells::Always;
        if !by_socket {
            self.truth.world.signal(worker);
        }
        if self.sleeps() {
            let by = if by_socket { By::Thread(worker, SENDTO, 1) } else { By::Thread(worker, WRITE, 8) };
            self.truth.world.wake(LOOP, by);
            self.truth.after(60 * US).world.run(LOOP);
            self.waits(LOOP);
        }
        if by_socket {
            self.truth.world.signalled(worker);
        }
    }

    /// The worker waits for its next job; its place in the limit goes to who waits first, in a pass of its own.
    fn is_free(&mut self, worker: usize) {
        self.busy.remove(&worker);
        // A new lock each time; after some jobs the memory is the same.
        let jobs = self.jobs.entry(worker).or_default();
        *jobs += 1;
        let word = 0x30 * (*jobs).min(6);
        self.truth.after(10 * US).world.block(worker, Block::JobAt(word));
        self.idle.push(worker);
        if let Some(next) = self.waiters.pop_front() {
            self.queue.push_back(Step::Wants(next));
        }
    }

    /// What a worker waits for is over.
    fn answers(&mut self, worker: usize) {
        if self.shape.job == Job::Calls {
            self.truth.world.answer_arrives(worker);
        }
        self.truth.world.wake(worker, By::Interrupt);
        self.truth.after(2 * US).world.run(worker);
        if self.shape.job == Job::Calls {
            self.truth.world.read_answer(worker, worker);
            self.truth.waits_for[worker] = Component::Idle;
        }
        self.waits(worker);
        if let Some((_, stage)) = self.busy.get_mut(&worker) {
            *stage = Stage::Answered;
        }
    }

    /// The client sends its next request; the loop is woken if it sleeps.
    fn arrives(&mut self, socket: usize) {
        self.truth.arrive(socket);
        if self.sleeps() {
            self.truth.world.wake(LOOP, By::Interrupt);
            self.truth.after(US).world.run(LOOP);
            self.waits(LOOP);
        }
    }

    /// Clients that send the next request as soon as they have the reply; what the jobs wait for ends for all of them at once, every
    /// `period`. After some rounds the loop is known.
    fn together(&mut self, rounds: usize, period: u64) {
        for round in 0..rounds {
            if round == rounds / 4 {
                self.truth.world.replies.clear();
                self.truth.told.clear();
            }
            let mut away: Vec<usize> =
                self.busy.iter().filter(|(_, (_, stage))| *stage == Stage::Away).map(|(worker, _)| *worker).collect();
            while !away.is_empty() || !self.ready().is_empty() || self.truth.phases.contains(&Phase::None) {
                for socket in self.sockets() {
                    if self.truth.phases[socket] == Phase::None && self.random(2) == 0 {
                        self.arrives(socket);
                    }
                }
                if !away.is_empty() && self.random(2) == 0 {
                    let next = self.random(away.len());
                    self.answers(away.swap_remove(next));
                }
                if !self.ready().is_empty() {
                    self.slice();
                }
            }
            self.truth.after(period);
        }
    }
}

#[test]
fn jobs_that_end_together_are_their_requests() {
    for (clients, limit) in [(1, 40), (2, 40), (12, 40), (12, 8), (64, 40)] {
        for job in [Job::Sleeps, Job::Calls] {
            for tells in [Tells::Always, Tells::First] {
                let mut server = Executor::new(Shape { clients, limit, job, tells });
                server.together(40, 100 * MS);
                invariants::check(&server.truth.world);
                let wrong = server.truth.wrong_percent();
                // Who loses the interpreter's lock after it has put its result away, and tells nobody, is seen too late.
                assert!(wrong < 5.0, "{clients} clients, {limit} threads, {job:?}, {tells:?}: {wrong} %");
            }
        }
    }
}

/// A loop with one thread in its pool, which is idle.
fn loop_and_worker() -> Truth {
    let mut truth = Truth::new(2, 1, 2);
    truth.world.block(WORKER, Block::Job);
    truth.world.block(LOOP, Block::Poll);
    truth.arrive(0);
    truth.world.wake(LOOP, By::Interrupt);
    truth.after(US).world.run(LOOP);
    truth
}

/// The worker does its job, and tells the loop, which waits for events.
fn works_and_tells(truth: &mut Truth, job: Job) {
    truth.after(30 * US);
    if job == Job::Calls {
        truth.world.call(WORKER, WORKER);
        truth.waits_for[WORKER] = Component::Downstream;
        truth.world.block(WORKER, Block::Socket);
        truth.after(50 * MS).world.answer_arrives(WORKER);
    } else {
        truth.world.block(WORKER, Block::Sleep);
        truth.after(50 * MS);
    }
    truth.world.wake(WORKER, By::Interrupt);
    truth.after(2 * US).world.run(WORKER);
    if job == Job::Calls {
        truth.world.read_answer(WORKER, WORKER);
        truth.waits_for[WORKER] = Component::Idle;
    }
    truth.after(40 * US).world.wake(LOOP, By::Thread(WORKER, SENDTO, 1));
    truth.world.signalled(WORKER);
    truth.phases[0] = Phase::Ready(LOOP);
}

/// What keeps a worker that is done from the next job.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    /// The loop has the interpreter's lock; it looks whether it can have that, once in a while.
    FromLock,
    /// The loop has its CPU.
    FromCpu,
}

/// The loop runs for `ns`, and the worker cannot.
fn keeps_waiting(truth: &mut Truth, how: Kept, ns: u64) {
    truth.after(5 * US);
    match how {
        Kept::FromLock => truth.world.block(WORKER, SWITCH),
        Kept::FromCpu => truth.world.preempt(WORKER),
    }
    truth.world.run(LOOP);
    truth.phases[0] = Phase::Worked(LOOP);
    let mut left = ns;
    while how == Kept::FromLock && left > 5 * MS {
        left -= 5 * MS;
        truth.after(5 * MS).world.wake(WORKER, By::Interrupt);
        truth.world.run(WORKER);
        truth.after(US).world.block(WORKER, SWITCH);
    }
    truth.after(left);
}

/// The loop gives its jobs to the worker that has told it last, which has waited since, for `ns` and more, and looks into its queue only then:
/// nobody wakes it for a job.
fn found_in_the_queue(job: Job, how: Kept, ns: u64) -> Truth {
    let mut truth = loop_and_worker();
    for round in 0..40 {
        truth.after(100 * US).read(LOOP, 0);
        truth.after(30 * US);
        if round == 0 || how == Kept::FromLock {
            truth.world.wake(WORKER, By::Thread(LOOP, FUTEX, 1));
        }
        truth.phases[0] = Phase::Pool;
        truth.after(US).world.block(LOOP, Block::Poll);
        truth.after(2 * US).world.run(WORKER);
        truth.phases[0] = Phase::Worked(WORKER);
        works_and_tells(&mut truth, job);
        keeps_waiting(&mut truth, how, ns);
        truth.reply(LOOP, 0);
        truth.after(200 * US).arrive(0);
    }
    truth
}

#[test]
fn who_has_not_slept_since_its_last_job_finds_the_next_one() {
    for job in [Job::Sleeps, Job::Calls] {
        for how in [Kept::FromLock, Kept::FromCpu] {
            for ns in [200 * US, 2 * MS, 12 * MS] {
                let truth = found_in_the_queue(job, how, ns);
                invariants::check(&truth.world);
                let wrong = truth.wrong_percent();
                assert!(wrong < 2.0, "{job:?}, kept {how:?} for {ns} ns: {wrong} %");
            }
        }
    }
}
