//! Which service a process or a port belongs to: byte tables, two loads a lookup.

use acgs_perf_common::maps::port_key;
use aya_ebpf::btf_maps::Array;

use crate::kernel::sock::Sock;
use crate::kernel::task::Task;
use crate::maps::{CALLED_PORT, LISTENER, SERVICE_OF_PORT, SERVICE_OF_TGID, WANTED_PORT};
use acgs_perf_common::ledger::Loss;

/// Service + 1 of a process, 0 for a stranger: for callers that keep two at once. (LLVM spills the undefined half of an
/// `Option` there, which the verifier refuses.)
#[inline(always)]
pub fn service_byte_of_tgid(tgid: u32) -> u32 {
    match byte(&SERVICE_OF_TGID, tgid) {
        // SAFETY: the pointer is into the map's value.
        Some(byte) => u32::from(unsafe { byte.read_volatile() }),
        None => 0,
    }
}

/// A table of bytes kept in an array of eight-byte entries, which is the smallest entry an array map has.
macro_rules! byte_table {
    ($get:ident, $set:ident, $map:ident, $doc:literal) => {
        #[doc = $doc]
        #[inline(always)]
        pub fn $get(index: u32) -> Option<u32> {
            let byte = byte(&$map, index)?;
            // SAFETY: `byte` points into the map's value.
            let service = unsafe { byte.read_volatile() };
            (service != 0).then(|| u32::from(service) - 1)
        }

        /// Sets the entry; `None` clears it.
        #[inline(always)]
        pub fn $set(index: u32, service: Option<u32>) -> Result<(), Loss> {
            let byte = byte(&$map, index).ok_or(Loss::ServiceTable)?;
            // SAFETY: `byte` points into the map's value; a byte is stored whole, so neighbours need no lock.
            unsafe { byte.write_volatile(service.map_or(0, |s| s as u8 + 1)) };
            Ok(())
        }
    };
}

#[inline(always)]
fn byte<const N: usize, const F: usize>(map: &Array<[u8; 8], N, F>, index: u32) -> Option<*mut u8> {
    let entry = map.get_ptr_mut(index >> 3)?.cast::<u8>();
    // SAFETY: an entry has eight bytes and the offset is at most seven.
    Some(unsafe { entry.add((index & 7) as usize) })
}

byte_table!(service_of_tgid, set_service_of_tgid, SERVICE_OF_TGID, "Service of a process, from 0.");
byte_table!(called_port, set_called_port, CALLED_PORT, "Whether a service called somebody at a port: 0 for yes.");
byte_table!(service_of_port, set_service_of_port, SERVICE_OF_PORT, "Service that listens on a port, from 0.");

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
pub fn listens(sk: Sock, service: u32) -> Result<(), Loss> {
    let port = u32::from(sk.local_port());
    let _least_recent_makes_room = LISTENER.insert(port_key(sk.network(), port), service, 0);
    set_service_of_port(port, Some(service))
}

/// The service to whose listener `sk` belongs, in its own network namespace.
#[inline(always)]
pub fn service_of_listener(sk: Sock) -> Option<u32> {
    let port = u32::from(sk.local_port());
    // Two loads for everybody else's sockets.
    service_of_port(port)?;
    let service = LISTENER.get_ptr(port_key(sk.network(), port))?;
    // SAFETY: the pointer is into the map's value.
    Some(unsafe { service.read() })
}

/// Service of the running process.
#[inline(always)]
pub fn current_service() -> Option<u32> {
    service_of_tgid(Task::current().tgid())
}
