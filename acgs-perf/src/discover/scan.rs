//! One look at the host: processes, listening sockets, and who holds which.
//!
//! In: processes read by `processes`. Out: [`Scan`], which answers questions about them and reads the costly part, the sockets and
//! descriptors, only when first asked.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use super::namespaces;
use super::processes::Process;
use super::proof;
use super::sockets::{self, Endpoint, Listening, Open};
use super::udp_sockets::{self, UdpSocket};

/// With more sockets than this, a look at what listens costs less than to ask each of them.
const MAX_ASKED: usize = 256;

/// The processes of one moment.
pub(super) struct Scan<'a> {
    root: &'a Path,
    processes: Vec<Process>,
    by_pid: HashMap<u32, usize>,
    listening: OnceCell<Vec<Listening>>,
    /// Several at one inode where the table of UNIX sockets was made to lie about it.
    by_inode: OnceCell<HashMap<u64, Vec<usize>>>,
    /// The sockets that each process has open.
    open: Vec<OnceCell<Vec<Open>>>,
    may_listen: Vec<OnceCell<bool>>,
    held: Vec<OnceCell<Vec<usize>>>,
    /// UDP sockets by network namespace.
    udp: RefCell<HashMap<u64, Rc<[UdpSocket]>>>,
    /// Sockets of which somebody holds the inode, and which say themselves that they listen nowhere or elsewhere.
    disproved: RefCell<HashSet<usize>>,
    few: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(root: &'a Path, processes: Vec<Process>) -> Self {
        let by_pid = processes.iter().enumerate().map(|(index, process)| (process.pid, index)).collect();
        let open = processes.iter().map(|_| OnceCell::new()).collect();
        let may_listen = processes.iter().map(|_| OnceCell::new()).collect();
        let held = processes.iter().map(|_| OnceCell::new()).collect();
        let (listening, by_inode, disproved) = (OnceCell::new(), OnceCell::new(), RefCell::default());
        let udp = RefCell::default();
        Self { root, processes, by_pid, listening, by_inode, open, may_listen, held, udp, disproved, few: false }
    }

    /// The same for a few processes, of which most hold no socket.
    pub(super) fn of_few(root: &'a Path, processes: Vec<Process>) -> Self {
        Self { few: true, ..Self::new(root, processes) }
    }

    /// The proc file system.
    pub(super) fn root(&self) -> &Path {
        self.root
    }

    /// All processes; an index into this list names a process in the other functions.
    pub(super) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Index of a process.
    pub(super) fn index(&self, pid: u32) -> Option<usize> {
        self.by_pid.get(&pid).copied()
    }

    /// Index of the parent of a process.
    pub(super) fn parent(&self, index: usize) -> Option<usize> {
        self.index(self.processes[index].ppid).filter(|parent| *parent != index)
    }

    /// The ancestors of a process, nearest first. Bounded, since reading is no atomic act and might show a cycle.
    pub(super) fn ancestors(&self, index: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.parent(index), |next| self.parent(*next)).take(self.processes.len())
    }

    /// The listening sockets of all network namespaces in which a process lives.
    pub(super) fn listening(&self) -> &[Listening] {
        self.listening.get_or_init(|| {
            let mut networks = HashSet::new();
            let mut all = Vec::new();
            for process in &self.processes {
                let Some(network) = process.network().filter(|network| !networks.contains(network)) else { continue };
                // A process that has just exited is no reason to miss its namespace: the next one tries again.
                if let Ok(sockets) = sockets::listening(process.directory()) {
                    networks.insert(network);
                    all.extend(sockets);
                }
            }
            // Without root the namespaces of others cannot be told apart; our own still shows what listens.
            let own = self.root.join("self");
            if namespaces::inode(&own, "net").is_some_and(|network| !networks.contains(&network)) {
                all.extend(sockets::listening(&own).unwrap_or_default());
            }
            all
        })
    }

    /// The sockets that a process has open.
    pub(super) fn open(&self, index: usize) -> &[Open] {
        let read = || sockets::open_sockets(self.processes[index].directory()).unwrap_or_default();
        self.open[index].get_or_init(read)
    }

    /// Whether a process may hold a listening socket at all. To find out what listens took the kernel 10 ms (walks through
    /// its table of connections, which may be 512,000 slots long), to ask the few sockets of few processes some µs.
    pub(super) fn may_listen(&self, index: usize) -> bool {
        !self.few || *self.may_listen[index].get_or_init(|| self.says_it_listens(index))
    }

    /// Whether a socket of a process says that it listens, or cannot be asked.
    fn says_it_listens(&self, index: usize) -> bool {
        let open = self.open(index);
        if open.is_empty() || open.len() > MAX_ASKED || self.root != Path::new("/proc") {
            return !open.is_empty();
        }
        proof::listens(self.processes[index].pid, open.iter().map(|open| open.fd))
    }

    /// The listening sockets that a process holds.
    pub(super) fn held(&self, index: usize) -> impl Iterator<Item = &Endpoint> {
        self.held_indices(index).iter().map(|socket| &self.listening()[*socket].endpoint)
    }

    /// The same with the network namespace of each.
    pub(super) fn held_with_network(&self, index: usize) -> impl Iterator<Item = (u64, &Endpoint)> {
        let sockets = self.held_indices(index).iter().map(|socket| &self.listening()[*socket]);
        sockets.map(|socket| (socket.network, &socket.endpoint))
    }

    /// The network namespaces in which a process holds a socket that listens on this port.
    pub(super) fn networks_of_port(&self, index: usize, port: u16) -> impl Iterator<Item = u64> {
        let sockets = self.held_indices(index).iter().map(|socket| &self.listening()[*socket]);
        let here = move |endpoint: &Endpoint| matches!(endpoint, Endpoint::Tcp(address) if address.port() == port);
        sockets.filter(move |socket| here(&socket.endpoint)).map(|socket| socket.network)
    }

    /// The same as indices into [`Self::listening`].
    pub(super) fn held_indices(&self, index: usize) -> &[usize] {
        self.held[index].get_or_init(|| {
            let by_inode = self.by_inode.get_or_init(|| {
                let mut by_inode: HashMap<u64, Vec<usize>> = HashMap::new();
                for (index, socket) in self.listening().iter().enumerate() {
                    by_inode.entry(socket.inode).or_default().push(index);
                }
                by_inode
            });
            let listed = self
                .open(index)
                .iter()
                .flat_map(|open| by_inode.get(&open.inode).into_iter().flatten().map(move |at| (open, *at)));
            let proved = listed.filter(|(open, socket)| self.is_proved(index, open, *socket));
            let mut held: Vec<usize> = proved.map(|(_, socket)| socket).collect();
            held.sort_unstable();
            held.dedup();
            held
        })
    }

    /// Whether the table of UNIX sockets told the truth about one that a process holds; that of TCP sockets cannot be forged. A tree
    /// of files that is not /proc has no sockets to ask.
    fn is_proved(&self, process: usize, open: &Open, socket: usize) -> bool {
        let (pid, path) = match &self.listening()[socket].endpoint {
            Endpoint::Unix(path) if self.root == Path::new("/proc") => (self.processes[process].pid, path),
            _ => return true,
        };
        let proof = proof::listens_at(pid, open.fd, open.inode, path);
        if proof == Some(false) {
            self.disproved.borrow_mut().insert(socket);
        }
        proof == Some(true)
    }

    /// Whether the table of UNIX sockets lied about this one, as far as its holders have been looked at.
    pub(super) fn is_disproved(&self, socket: usize) -> bool {
        self.disproved.borrow().contains(&socket)
    }

    /// The UDP sockets in the network namespace of a process.
    pub(super) fn udp(&self, process: &Process) -> Rc<[UdpSocket]> {
        let Some(network) = process.network() else { return Rc::default() };
        let mut all = self.udp.borrow_mut();
        Rc::clone(all.entry(network).or_insert_with(|| udp_sockets::bound(process.directory()).into()))
    }

    /// Whether a process is systemd, which holds the sockets of services that it starts on demand without serving them.
    pub(super) fn is_activator(&self, index: usize) -> bool {
        self.processes[index].comm == "systemd"
    }
}
