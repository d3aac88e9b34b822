//! A host without a kernel: threads, sockets and a clock, which call the rules as the hooks of the kernel side do.
//!
//! In: events (bytes arrive, a thread reads, sends, blocks, is woken, gets a CPU), each at the time the clock shows. Out: a `Reply`
//! for each request that was answered, with its row; what was lost; and the states themselves.

use std::cell::{Cell, RefCell};

use acgs_perf_common::attribution::{ALL, ATTRIBUTION_WORDS, Component, component_word};
use acgs_perf_common::rules::call::{DownstreamCall, QUIET};
use acgs_perf_common::rules::caller::Caller;
use acgs_perf_common::rules::limit::{self, Clock};
use acgs_perf_common::rules::thread::ThreadState;
use acgs_perf_common::rules::{Row, Table as _, downstream, handoff, helper, request, row, sleep, table, worker};
use acgs_perf_common::state::{CallClass, State};

use crate::socket::Socket;
use crate::tables::{Tables, zeroed};

pub const SERVICE: u32 = 0;
pub const FUTEX: i64 = 202;
pub const WRITE: i64 = 1;
pub const SENDTO: i64 = 44;
pub const KILL: i64 = 62;
const EPOLL_WAIT: i64 = 232;
/// How long a thread waits for a lock at most, where the script does not say.
const LOCK_NS: u64 = 999_000_000;

/// How a thread blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// In a futex, for as long as it takes.
    Job,
    /// The same, in one that lies so far from where it has waited before.
    JobAt(u64),
    /// In a futex that is a mutex, for as long as it takes.
    Mutex,
    /// In a futex that is a semaphore, and not that of its jobs, for as long as it takes.
    Semaphore,
    /// In a futex, for less than a second.
    Lock,
    /// In a futex, for so long at most.
    LockFor(u64),
    Disk,
    Socket,
    /// In a send, because the send buffer is full.
    Send,
    Poll,
    /// Waiting for events, for so long at most.
    PollFor(u64),
    Sleep,
    Fault,
    Other,
}

impl Block {
    pub const EVERY: [Self; 14] = [
        Self::Job,
        Self::JobAt(0x30),
        Self::Mutex,
        Self::Semaphore,
        Self::Lock,
        Self::LockFor(40_000),
        Self::Disk,
        Self::Socket,
        Self::Send,
        Self::Poll,
        Self::PollFor(1_000_000),
        Self::Sleep,
        Self::Fault,
        Self::Other,
    ];

    fn state(self) -> State {
        match self {
            Self::Job | Self::JobAt(_) | Self::Mutex | Self::Semaphore | Self::Lock | Self::LockFor(_) => State::Lock,
            Self::Disk => State::Disk,
            Self::Socket | Self::Send => State::Socket,
            Self::Poll | Self::PollFor(_) => State::Poll,
            Self::Sleep => State::Sleep,
            Self::Fault => State::Fault,
            Self::Other => State::Other,
        }
    }

    fn syscall(self) -> i64 {
        match self {
            Self::Job | Self::JobAt(_) | Self::Mutex | Self::Semaphore | Self::Lock | Self::LockFor(_) => FUTEX,
            Self::Poll | Self::PollFor(_) => EPOLL_WAIT,
            Self::Send => SENDTO,
            Self::Fault => -1,
            _ => 0,
        }
    }
}

/// A thread as the kernel knows it.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub pid: u32,
    pub tgid: u32,
    pub syscall: i64,
    pub third_argument: u64,
    awaits_mutex: bool,
}

impl Caller for Task {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn tgid(&self) -> u32 {
        self.tgid
    }

    fn service_byte(&self) -> u32 {
        SERVICE + 1
    }

    fn syscall(&self) -> i64 {
        self.syscall
    }

    fn third_argument(&self) -> u64 {
        self.third_argument
    }

    fn awaits_mutex(&self) -> bool {
        self.awaits_mutex
    }

    fn class_of(&self, syscall: i64) -> u64 {
        match syscall {
            WRITE => CallClass::ByDescriptor as u64,
            SENDTO => CallClass::Socket as u64,
            _ => 0,
        }
    }
}

/// Who wakes a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A timer, a disk or a packet: an interrupt upon a CPU that is idle.
    Interrupt,
    /// This thread, in this system call with this third argument.
    Thread(usize, i64, u64),
}

/// The client's end of a connection that the service opened.
pub struct Connection {
    pub id: u64,
    pub call: DownstreamCall,
    pub next_arrived: u64,
}

/// A request that was answered.
pub struct Reply {
    pub socket: usize,
    pub id: u64,
    pub arrived: u64,
    pub read: u64,
    pub sent: u64,
    pub row: Row,
}

impl Reply {
    pub fn of(&self, component: Component) -> u64 {
        self.row[component_word(component)]
    }

    pub fn latency(&self) -> u64 {
        self.sent - self.arrived
    }

    /// The components that are not 0, by name.
    pub fn parts(&self) -> Vec<(Component, u64)> {
        ALL.iter().map(|component| (*component, self.of(*component))).filter(|(_, ns)| *ns != 0).collect()
    }
}

/// Threads, sockets, connections and a clock.
pub struct World {
    pub now: u64,
    pub tasks: Vec<Task>,
    pub sockets: Vec<Socket>,
    pub connections: Vec<Connection>,
    pub replies: Vec<Reply>,
    pub tables: Tables,
    /// Segments are wanted of each request, so that no short cut is taken.
    pub every_request_is_an_exemplar: bool,
    next_place: Cell<u64>,
    pub sharing: u64,
}

impl World {
    /// So many threads of one process, all of them on a CPU. So many sockets share a place of the table; where it is more than one, the
    /// map behind the places is in use.
    pub fn new(threads: usize, sockets: usize, connections: usize, sharing: u64) -> Self {
        let mut world = Self {
            now: 1_000_000_000,
            tasks: Vec::new(),
            sockets: Vec::new(),
            connections: Vec::new(),
            replies: Vec::new(),
            tables: Tables::default(),
            every_request_is_an_exemplar: false,
            next_place: Cell::new(0),
            sharing,
        };
        for _ in 0..threads {
            world.add_thread(State::OnCpu);
        }
        for _ in 0..sockets {
            let id = world.name();
            world.sockets.push(Socket {
                id,
                next_arrived: 0,
                arrived: 0,
                read: 0,
                replied: 0,
                in_service: false,
                last_sent: 0,
                is_narrow: 0,
                row: [0; ATTRIBUTION_WORDS],
            });
        }
        for _ in 0..connections {
            let id = world.name();
            let call = DownstreamCall { request: 0, began: 0, since: 0, phase: QUIET, peer: 1, by: 0, padding: 0 };
            world.connections.push(Connection { id, call, next_arrived: 0 });
        }
        world
    }

    /// The next socket's name.
    fn name(&self) -> u64 {
        let count = self.next_place.get();
        self.next_place.set(count + 1);
        table::name(0xffff_8880_0000_1000 + count * 0x1000, count / self.sharing)
    }

    fn add_thread(&mut self, state: State) -> usize {
        let index = self.tasks.len();
        let pid = 100 + index as u32;
        self.tasks.push(Task { pid, tgid: 100, syscall: 0, third_argument: 0, awaits_mutex: false });
        let mut thread = zeroed::<ThreadState>();
        thread.enter(state as u32, self.now);
        self.tables.threads.push(RefCell::new(thread));
        index
    }

    pub fn after(&mut self, ns: u64) -> &mut Self {
        self.now += ns;
        self
    }

    pub fn thread(&self, thread: usize) -> std::cell::RefMut<'_, Box<ThreadState>> {
        self.tables.threads[thread].borrow_mut()
    }

    pub fn is_on_cpu(&self, thread: usize) -> bool {
        self.thread(thread).is_on_cpu()
    }

    pub fn is_runnable(&self, thread: usize) -> bool {
        self.thread(thread).state == State::RunQueue as u32
    }

    pub fn is_blocked(&self, thread: usize) -> bool {
        self.thread(thread).state > State::RunQueue as u32
    }

    fn runs(&self, thread: usize) {
        self.tables.running.set(thread);
        self.tables.running_pid.set(self.tasks[thread].pid);
    }

    // Sockets of the server.

    /// Bytes arrive: `hooks::socket::data_ready`.
    pub fn arrive(&mut self, socket: usize) {
        let socket = &mut self.sockets[socket];
        if socket.next_arrived == 0 {
            socket.next_arrived = self.now;
        }
    }

    /// The thread reads what has arrived: `clock::request::received`.
    pub fn read(&mut self, thread: usize, socket: usize) {
        self.runs(thread);
        // A connection has one request at a time: the next one is read later, be it by a nanosecond.
        if !self.sockets[socket].in_service && self.sockets[socket].read == self.now {
            self.now += 1;
        }
        let now = self.now;
        let socket = &mut self.sockets[socket];
        let arrived = std::mem::take(&mut socket.next_arrived);
        let mut state = self.tables.threads[thread].borrow_mut();
        if socket.in_service {
            request::continued(&self.tables, &mut state, socket.id, socket.read, arrived, || now);
            return;
        }
        socket.arrived = if arrived == 0 { now } else { arrived };
        socket.read = now;
        socket.in_service = true;
        request::queue_unknown(socket, now);
        let id = socket.id;
        request::began(&self.tables, &mut state, socket, id, self.tasks[thread].pid, 0, now);
    }

    /// The thread sends the reply, or more of it: `clock::request::sent`.
    pub fn reply(&mut self, thread: usize, at: usize) {
        self.runs(thread);
        let now = self.now;
        let socket = &mut self.sockets[at];
        let mut state = self.tables.threads[thread].borrow_mut();
        if !socket.in_service {
            if socket.last_sent != 0 {
                row::replied_more(socket, now - socket.replied);
                if let Some(last) = self.replies.iter_mut().rfind(|reply| reply.socket == at) {
                    (last.row, last.sent) = (socket.row, now);
                }
            }
            return;
        }
        socket.in_service = false;
        socket.replied = now;
        socket.last_sent = now;
        request::replies(&self.tables, &mut state, socket.id, now);
        let pid = self.tasks[thread].pid;
        if self.every_request_is_an_exemplar
            || !request::fill_quickly(&self.tables, &mut state, socket, socket.id, pid, now)
        {
            self.tables.answer(&mut state, socket, SERVICE, now);
        }
        let Socket { id, arrived, read, row, .. } = *socket;
        let waits = table::find(&self.tables, id, read).is_some();
        assert!(!waits || self.sharing > 1, "a request that was answered waits in the table");
        self.replies.push(Reply { socket: at, id, arrived, read, sent: now, row });
    }

    /// The connection is closed: `hooks::tcp::closed`.
    pub fn close(&mut self, socket: usize) {
        table::forget(&self.tables, self.sockets[socket].id);
        let id = self.name();
        let socket = &mut self.sockets[socket];
        (socket.id, socket.in_service, socket.next_arrived, socket.last_sent) = (id, false, 0, 0);
    }

    // Connections that the service opens.

    pub fn connect(&mut self, thread: usize, connection: usize) {
        self.runs(thread);
        let mut state = self.tables.threads[thread].borrow_mut();
        let Connection { id, call, .. } = &mut self.connections[connection];
        downstream::connecting(&self.tables, &mut state, call, *id, self.tasks[thread].pid, self.now);
    }

    pub fn connected(&mut self, connection: usize) {
        self.connections[connection].call.since = self.now;
    }

    pub fn call(&mut self, thread: usize, connection: usize) {
        self.runs(thread);
        let mut state = self.tables.threads[thread].borrow_mut();
        let Connection { id, call, .. } = &mut self.connections[connection];
        let pid = self.tasks[thread].pid;
        let sent = downstream::sent(&self.tables, &mut state, call, *id, pid, self.now, |_, _| {});
        if let Err(loss) = sent {
            self.tables.count(loss);
        }
    }

    pub fn answer_arrives(&mut self, connection: usize) {
        let connection = &mut self.connections[connection];
        if connection.next_arrived == 0 {
            connection.next_arrived = self.now;
        }
    }

    pub fn read_answer(&mut self, thread: usize, connection: usize) {
        self.runs(thread);
        let Connection { id, call, next_arrived } = &mut self.connections[connection];
        let arrived = match std::mem::take(next_arrived) {
            0 => self.now,
            arrived => arrived,
        };
        if let Some(called) = downstream::ends(&self.tables, call, 1, arrived, |_, _| {}) {
            let mut state = self.tables.threads[thread].borrow_mut();
            downstream::received(&self.tables, &mut state, call, *id, called, arrived, self.now);
        }
    }

    // Threads.

    /// `clock::thread::switched_out`, by its own will.
    pub fn block(&mut self, thread: usize, how: Block) {
        let task = &mut self.tasks[thread];
        task.syscall = how.syscall();
        task.awaits_mutex = how == Block::Mutex;
        let mut state = self.tables.threads[thread].borrow_mut();
        handoff::leaves(&mut state, self.now, 0);
        // As `clock::limit`; each thread has futexes of its own.
        state.limit = 0;
        let has_word = how.state() == State::Lock;
        if has_word || matches!(how, Block::PollFor(_)) {
            let of_thread = 0x1000 * (1 + thread as u64);
            let word = match how {
                Block::Semaphore => of_thread + 0x800,
                Block::JobAt(offset) => of_thread + offset,
                _ => of_thread,
            };
            limit::waits_for(&mut state, if has_word { word } else { 0 }, self.now);
        } else {
            state.lapsed = 0;
        }
        let limit = match how {
            Block::LockFor(ns) | Block::PollFor(ns) => Some(ns),
            Block::Lock => Some(LOCK_NS),
            _ => None,
        };
        if let Some(ns) = limit {
            state.limit = limit::of_time(Clock::FromNow, 0, ns, 0, self.now);
        }
        if how.state() == State::Poll {
            sleep::waits_for_timer(&self.tables, &mut state, self.now);
        }
        handoff::blocks(&self.tables, &mut state, task, how.state() as u32, self.now);
        state.enter(how.state() as u32, self.now);
    }

    /// `clock::thread::switched_out`, against its will.
    pub fn preempt(&mut self, thread: usize) {
        let mut state = self.tables.threads[thread].borrow_mut();
        handoff::leaves(&mut state, self.now, 0);
        state.history.push(Component::QueueRunQueue, self.now);
        state.enter(State::RunQueue as u32, self.now);
    }

    /// `clock::thread::waking`
    pub fn wake(&mut self, thread: usize, by: By) {
        let waker = match by {
            By::Interrupt => Task { pid: 0, tgid: 0, syscall: -1, third_argument: 0, awaits_mutex: false },
            By::Thread(waker, syscall, third_argument) => {
                self.runs(waker);
                Task { syscall, third_argument, ..self.tasks[waker] }
            }
        };
        let task = self.tasks[thread];
        let mut state = self.tables.threads[thread].borrow_mut();
        limit::wakes(&mut state, self.now);
        let blocked = state.state;
        let waker_tgid = if blocked == State::Sleep as u32 { 0 } else { waker.tgid };
        handoff::is_unlocked(&mut state, &task, SERVICE, &waker, self.now);
        helper::lets_go_on(&self.tables, &mut state, &task, &waker, self.now);
        handoff::leaves(&mut state, self.now, waker_tgid);
        handoff::woken(&self.tables, &mut state, &task, SERVICE, &waker, blocked, self.now);
        state.history.push(Component::QueueRunQueue, self.now);
        state.enter(State::RunQueue as u32, self.now);
    }

    /// `clock::thread::switched_in`
    pub fn run(&mut self, thread: usize) {
        let mut state = self.tables.threads[thread].borrow_mut();
        let known = state.state != State::OnCpu as u32;
        handoff::gets_cpu(&mut state, known, self.now);
        state.state = State::RunQueue as u32;
        handoff::leaves(&mut state, self.now, 0);
        state.enter(State::OnCpu as u32, self.now);
    }

    /// A worker writes to the eventfd of its loop: `hooks::syscall::enter`.
    pub fn signal(&mut self, thread: usize) {
        self.runs(thread);
        let mut state = self.tables.threads[thread].borrow_mut();
        worker::finishes_job(&self.tables, &mut state, self.tasks[thread].pid, self.now);
    }

    /// A worker has sent to the socket pair of its loop: `hooks::socket::sent`.
    pub fn signalled(&mut self, thread: usize) {
        self.runs(thread);
        let mut state = self.tables.threads[thread].borrow_mut();
        worker::has_told(&self.tables, &mut state, self.tasks[thread].pid, self.now);
    }

    /// The thread starts another one: `clock::thread::born`.
    pub fn start_thread(&mut self, by: usize) -> usize {
        self.runs(by);
        let index = self.add_thread(State::RunQueue);
        let mut state = self.tables.threads[index].borrow_mut();
        handoff::born(&self.tables, &mut state, self.tasks[index].pid, self.now);
        index
    }
}
