//! Which service a port or a socket belongs to.
//!
//! In: what the agent has found, and who listens since. Out: the service of the listener of a socket.

use acgs_perf_common::maps::{LISTENERS, PORTS, UNIX_LISTENERS, WANTED_PORTS, WantedPort, port_key};
use aya_ebpf::btf_maps::{HashMap, LruHashMap};
use aya_ebpf::macros::btf_map;

use super::member::service_of_tgid;
use crate::flags::NO_PREALLOC;
use crate::kernel::sock::Sock;
use crate::kernel::task::Task;

/// Local port → service + 1 of the ports on which services listen, 0 for others. A variable: all that arrives at the host asks it, and a
/// look into an array is ten steps.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.ports")] // `PORTS_SECTION`
static mut SERVICE_OF_PORT: [u8; PORTS] = [0; PORTS];
/// The ports that selectors name, by network namespace: who listens there later joins the service. A hash map: asked once
/// per call of listen.
#[btf_map]
static WANTED_PORT: HashMap<u64, WantedPort, { WANTED_PORTS as usize }, NO_PREALLOC> = HashMap::new();
/// Ports on which services listen, by network namespace → service. A hash map: asked once per connection, retransmission or
/// reset, after `SERVICE_OF_PORT`. The least recently used gives way, so that listeners may come and go for ever.
#[btf_map]
static LISTENER: LruHashMap<u64, u32, { LISTENERS as usize }> = LruHashMap::new();

/// Address objects of UNIX listeners whose process belongs to no service, because it has exited or had listened for others → service
/// of who reads what comes there, and the address's entry in its directory: the object may be another one's later. A hash map: asked
/// once per arrival from a stranger's listener, and only once there is an entry.
#[btf_map]
static UNIX_LISTENER: LruHashMap<u64, [u64; 2], { UNIX_LISTENERS as usize }> = LruHashMap::new();
/// 0 once `UNIX_LISTENER` has an entry.
#[unsafe(no_mangle)]
static mut ALL_LISTENERS_KNOWN: u64 = 1;

/// Service that listens on a port, from 0.
#[inline(always)]
pub fn service_of_port(port: u16) -> Option<u32> {
    // SAFETY: the place is in the table, which others may change meanwhile.
    let service = unsafe { byte_of(port).read_volatile() };
    (service != 0).then(|| u32::from(service) - 1)
}

/// Where the service of a port is.
#[inline(always)]
fn byte_of(port: u16) -> *mut u8 {
    // SAFETY: the table has a byte for each port.
    unsafe { (&raw mut SERVICE_OF_PORT).cast::<u8>().add(usize::from(port)) }
}

/// The service that `task` joins when it listens on `sk`: one whose selector names this port of this network namespace, and
/// that takes processes of the task's user namespace.
#[inline(always)]
pub fn wanted_by(task: Task, sk: Sock) -> Option<u32> {
    let entry = WANTED_PORT.get_ptr(port_key(sk.network(), u32::from(sk.local_port())))?;
    // SAFETY: the pointer is into the map's value.
    let wanted = unsafe { entry.read() };
    let user = task.user_namespace();
    (user != 0 && wanted.users.contains(&user)).then_some(wanted.service)
}

/// Says that `service` listens on `sk`.
#[inline(always)]
pub fn listens(sk: Sock, service: u32) {
    let port = sk.local_port();
    let _least_recent_makes_room = LISTENER.insert(port_key(sk.network(), u32::from(port)), service, 0);
    // SAFETY: as in `service_of_port`; a byte is stored whole, so neighbours need no lock.
    unsafe { byte_of(port).write_volatile(service as u8 + 1) };
}

/// The service to whose listener `sk` belongs, in its own network namespace.
#[inline(always)]
pub fn service_of_listener(sk: Sock) -> Option<u32> {
    let port = sk.local_port();
    // One load for everybody else's sockets.
    service_of_port(port)?;
    let service = LISTENER.get_ptr(port_key(sk.network(), u32::from(port)))?;
    // SAFETY: the pointer is into the map's value.
    Some(unsafe { service.read() })
}

/// The service of the process that listened for a UNIX socket, to which that is the server's end of a connection.
#[inline(always)]
pub fn service_of_unix_listener(sk: Sock) -> Option<u32> {
    service_of_tgid(sk.unix_listener()?)
}

/// The service to which a UNIX socket is the server's end of a connection: that of the process that listened, or of those who read there.
#[inline(always)]
pub fn service_of_unix(sk: Sock) -> Option<u32> {
    let service = service_of_tgid(sk.unix_listener()?);
    // SAFETY: the variable is valid, and only ever becomes 0.
    if service.is_some() || unsafe { (&raw const ALL_LISTENERS_KNOWN).read_volatile() } != 0 {
        return service;
    }
    let (address, entry) = sk.unix_place()?;
    let known = UNIX_LISTENER.get_ptr(address)?;
    // SAFETY: the pointer is into the map's value.
    let [service, same] = unsafe { known.read() };
    (same == entry).then_some(service as u32)
}

/// A process of `service` has read from a UNIX socket. If that is the server's end of a connection, what comes to its listener is
/// the service's from now on; says whether it is.
#[inline(always)]
pub fn reads_from(sk: Sock, service: u32) -> bool {
    if sk.unix_listener().is_none() {
        return false;
    }
    let Some((address, entry)) = sk.unix_place() else { return false };
    let _least_recent_makes_room = UNIX_LISTENER.insert(address, [u64::from(service), entry], 0);
    // SAFETY: as above; all who write it write the same.
    unsafe { (&raw mut ALL_LISTENERS_KNOWN).write_volatile(0) };
    true
}
