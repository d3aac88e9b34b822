//! A runtime as that of Go: some threads, tasks that go from one to the other, and timers and locks that the kernel knows nothing of.
//!
//! In: a listening socket. Out: replies. A thread that finds nothing that can go on waits for events, with the next timer as its limit,
//! if no other one does; or else without a limit, until one is woken because there is more than one can do.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{SIZE, time_of};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Sleeps.
    Sleeps,
    /// Sleeps with a lock of the runtime held, which all of them want.
    Locks,
}

/// A request that is not answered yet.
struct Task {
    client: Arc<TcpStream>,
    time: Duration,
}

#[derive(Default)]
struct State {
    clients: BTreeMap<i32, Arc<TcpStream>>,
    /// By the moment at which they go on, and a number.
    timers: BTreeMap<(Instant, u64), Task>,
    can_go_on: VecDeque<Task>,
    wants_lock: VecDeque<Task>,
    is_locked: bool,
    count: u64,
    polls: bool,
    idle: usize,
}

/// The runtime.
pub struct Runtime {
    state: Mutex<State>,
    idle: Condvar,
    epoll: i32,
    handler: Handler,
}

impl Runtime {
    /// Serves with so many threads, for ever.
    pub fn serve(listener: TcpListener, threads: usize, handler: Handler) -> io::Result<()> {
        // SAFETY: it takes one flag.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let runtime = Arc::new(Self { state: Mutex::default(), idle: Condvar::new(), epoll, handler });
        let workers = (0..threads).map(|_| {
            let runtime = Arc::clone(&runtime);
            thread::spawn(move || runtime.work())
        });
        let workers: Vec<_> = workers.collect();
        for client in listener.incoming() {
            let client = client?;
            client.set_nonblocking(true)?;
            client.set_nodelay(true)?;
            let fd = client.as_raw_fd();
            runtime.lock().clients.insert(fd, Arc::new(client));
            let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
            let mut event = libc::epoll_event { events, u64: fd as u64 };
            // SAFETY: both descriptors are open, and the event outlives the call.
            unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        }
        workers.into_iter().for_each(|worker| drop(worker.join()));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            self.expire(&mut state);
            if let Some(task) = state.can_go_on.pop_front() {
                if !state.can_go_on.is_empty() && state.idle > 0 {
                    self.idle.notify_one();
                }
                self.end(&mut state, &task);
            } else if state.polls {
                state.idle += 1;
                state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            } else {
                state.polls = true;
                let next = state.timers.keys().next().map(|(moment, _)| *moment);
                drop(state);
                let ready = self.poll(next);
                state = self.lock();
                state.polls = false;
                for fd in ready {
                    self.read(&mut state, fd);
                }
                // Somebody else waits for events while this one works.
                if state.idle > 0 && !state.can_go_on.is_empty() {
                    self.idle.notify_one();
                }
            }
        }
    }

    /// Timers that are due.
    fn expire(&self, state: &mut State) {
        let now = Instant::now();
        while let Some(entry) = state.timers.first_entry()
            && entry.key().0 <= now
        {
            let task = entry.remove();
            state.can_go_on.push_back(task);
        }
    }

    /// Waits for events, until the next timer rounded down to whole milliseconds, and one at least.
    fn poll(&self, next: Option<Instant>) -> Vec<i32> {
        let limit = next.map_or(-1, |next| {
            (next.saturating_duration_since(Instant::now()).as_micros() / 1000).clamp(1, 60_000) as i32
        });
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 16];
        // SAFETY: there is room for that many events.
        let count = unsafe { libc::epoll_wait(self.epoll, events.as_mut_ptr(), 16, limit) };
        events.iter().take(count.max(0) as usize).map(|event| event.u64 as i32).collect()
    }

    /// Reads a request, and begins it.
    fn read(&self, state: &mut State, fd: i32) {
        let Some(client) = state.clients.get(&fd).cloned() else { return };
        let mut request = [0; SIZE];
        match (&*client).read(&mut request) {
            Ok(SIZE) => {
                let task = Task { client, time: time_of(&request) };
                if self.handler == Handler::Sleeps {
                    sleep(state, task);
                } else if state.is_locked {
                    state.wants_lock.push_back(task);
                } else {
                    state.is_locked = true;
                    sleep(state, task);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => drop(state.clients.remove(&fd)),
        }
    }

    /// A request has slept: it gives the lock back, if it had one, and is answered.
    fn end(&self, state: &mut State, task: &Task) {
        if self.handler == Handler::Locks {
            match state.wants_lock.pop_front() {
                Some(next) => sleep(state, next),
                None => state.is_locked = false,
            }
        }
        let _gone = (&*task.client).write_all(b"r");
    }
}

fn sleep(state: &mut State, task: Task) {
    state.count += 1;
    let key = (Instant::now() + task.time, state.count);
    state.timers.insert(key, task);
}
