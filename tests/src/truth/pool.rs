//! Threads that do the scripts of requests which an event loop has read.
//!
//! In: jobs, by a queue with a condition variable. Out: replies, sent by the worker itself or handed back to the event loop.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use acgs_perf_common::attribution::Component;

use super::blocking::Worker;
use super::inbox::Request;
use super::log::Record;
use super::meter::{Sample, add_running, delayed};
use super::world::World;
use crate::clock;

/// A request for a worker.
pub struct Job {
    /// Of the event loop.
    pub client: (usize, u64),
    pub stream: Arc<TcpStream>,
    pub request: Request,
    pub arrived_ns: u64,
    pub read_ns: u64,
    pub enqueued_ns: u64,
}

/// A request whose reply the event loop is to send.
pub struct Finished {
    pub client: (usize, u64),
    pub request: Request,
    pub record: Record,
    pub pushed_ns: u64,
}

/// The threads and their queues.
pub struct Pool {
    jobs: Mutex<VecDeque<Job>>,
    ready: Condvar,
    finished: Mutex<Vec<Finished>>,
    /// Told when something is finished.
    wake: OwnedFd,
    back: bool,
}

impl Pool {
    /// Starts the threads; with `back`, the event loop sends the replies.
    pub fn start(world: &Arc<World>, threads: usize, back: bool) -> io::Result<Arc<Self>> {
        // SAFETY: eventfd takes two integers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and nobody else owns it.
        let wake = unsafe { OwnedFd::from_raw_fd(fd) };
        let (jobs, ready, finished) = Default::default();
        let pool = Arc::new(Self { jobs, ready, finished, wake, back });
        for number in 0..threads {
            let (pool, world) = (Arc::clone(&pool), Arc::clone(world));
            let work = move || {
                let result = Worker::new(&world, number as u64 + 1).and_then(|worker| pool.work(worker));
                if let Err(error) = result {
                    eprintln!("truth-server: a worker ended: {error}");
                }
            };
            thread::Builder::new().name("worker".into()).spawn(work)?;
        }
        Ok(pool)
    }

    /// Hands a request to the workers.
    pub fn push(&self, job: Job) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
        self.ready.notify_one();
    }

    /// What is finished until now.
    pub fn take(&self) -> Vec<Finished> {
        let mut count = [0u8; 8];
        // SAFETY: `count` is valid for eight bytes. It fails when the count is 0, which is as good.
        unsafe { libc::read(self.wake.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        std::mem::take(&mut *self.finished.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Becomes readable when something is finished.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The next job, and when this thread began to wait for it, if it had to.
    fn next(&self, worker: &Worker) -> (Job, Option<Sample>) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = None;
        loop {
            if let Some(job) = jobs.pop_front() {
                return (job, idle);
            }
            idle.get_or_insert_with(|| worker.tools.meter.sample());
            jobs = self.ready.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, mut worker: Worker) -> io::Result<()> {
        let message = worker.tools.world.options.message;
        loop {
            let (Job { client, stream, request, arrived_ns, read_ns, enqueued_ns }, idle) = self.next(&worker);
            let start = worker.tools.meter.sample();
            let (thread, id) = (worker.tools.meter.thread, request.id.unwrap_or(0));
            let mut record = Record { id, arrived_ns, read_ns, thread, ..Record::default() };
            let waited = start.wall.saturating_sub(enqueued_ns);
            // A thread that was idle is woken for this job: what it then waits for is a CPU.
            let run_queue = idle.map_or(0, |idle| delayed(idle, start)).min(waited);
            record.add(Component::OnCpu, enqueued_ns.saturating_sub(read_ns));
            record.add(Component::RunQueue, run_queue);
            record.add(Component::PoolWait, waited - run_queue);
            let result = worker.tools.steps(&request.text).and_then(|steps| worker.run(steps, &mut record));
            if let Err(error) = result {
                eprintln!("truth-server: request {id}: {error}");
                // The client sees that, the workers go on.
                let _ = stream.shutdown(std::net::Shutdown::Both);
                continue;
            }
            if self.back {
                add_running(&mut record, start, worker.tools.meter.sample());
                let finished = Finished { client, request, record, pushed_ns: clock::now() };
                self.finished.lock().unwrap_or_else(PoisonError::into_inner).push(finished);
                let one = 1u64.to_ne_bytes();
                // SAFETY: `one` is valid for its length.
                unsafe { libc::write(self.wake.as_raw_fd(), one.as_ptr().cast(), one.len()) };
                continue;
            }
            if (&*stream).write_all(&request.reply(message, 0)).is_ok() {
                record.sent_ns = clock::now();
                record.first_sent_ns = record.sent_ns;
                let end = worker.tools.meter.sample_from(record.sent_ns);
                add_running(&mut record, start, end);
                record.close();
                worker.tools.log.push(record);
            }
        }
    }
}
