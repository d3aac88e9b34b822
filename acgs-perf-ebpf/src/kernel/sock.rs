//! `struct sock`: addresses, ports, state and queues of a socket, with offsets from BTF.

use core::ffi::c_void;

use acgs_perf_common::fields::NO_FIELD;
use acgs_perf_common::sockets::SocketFields;
use aya_ebpf::helpers::bpf_probe_read_kernel_buf;
use aya_ebpf::programs::BtfTracePointContext;

use super::memory::{load, probe};
use crate::globals::{field, offset};

/// Offsets of the fields that tell kinds of connections apart.
#[unsafe(no_mangle)]
pub static SOCKET_FIELDS: SocketFields = SocketFields::ZERO;

pub const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
/// `IPPROTO_TCP`.
const TCP: u16 = 6;
/// In `sock.sk_shutdown`.
const RCV_SHUTDOWN: u8 = 1;
const SEND_SHUTDOWN: u8 = 2;
/// Offset of the path in `struct sockaddr_un`, part of the user interface.
const UNIX_PATH: usize = 2;

/// `struct sock *`, never null.
#[derive(Clone, Copy)]
pub struct Sock(*const u8);

impl Sock {
    #[inline(always)]
    pub fn arg(ctx: &BtfTracePointContext, n: usize) -> Option<Self> {
        Self::from_raw(ctx.arg::<*const u8>(n))
    }

    /// The socket behind a `struct socket *`.
    #[inline(always)]
    pub fn behind(socket: *const u8) -> Option<Self> {
        let sk: *const u8 = load(socket, offset!(socket_sk));
        (!sk.is_null()).then_some(Self(sk))
    }

    /// A `struct sock *`.
    #[inline(always)]
    pub fn from_raw(sk: *const u8) -> Option<Self> {
        (!sk.is_null()).then_some(Self(sk))
    }

    #[inline(always)]
    pub fn as_ptr(self) -> *mut c_void {
        self.0.cast_mut().cast()
    }

    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub fn family(self) -> u16 {
        load(self.0, offset!(sock_family))
    }

    #[inline(always)]
    pub fn state(self) -> u8 {
        load(self.0, offset!(sock_state))
    }

    #[inline(always)]
    pub fn is_stream(self) -> bool {
        load::<u16>(self.0, offset!(sock_type)) == SOCK_STREAM
    }

    /// Whether it is a `struct tcp_sock`. That of a connection of MPTCP is not; its paths are.
    #[inline(always)]
    pub fn is_tcp_sock(self) -> bool {
        load::<u16>(self.0, field!(SOCKET_FIELDS.protocol)) == TCP
    }

    /// Whether a listener takes bytes with the first segment of a connection.
    #[inline(always)]
    pub fn takes_fast_opens(self) -> bool {
        let most = field!(SOCKET_FIELDS.fast_opens);
        most != NO_FIELD as usize && probe::<u32>(self.0, most).is_some_and(|most| most != 0)
    }

    /// Whether a listener makes a connection only once the client has sent something.
    #[inline(always)]
    pub fn defers_accept(self) -> bool {
        let tries = field!(SOCKET_FIELDS.defers_accept);
        tries != NO_FIELD as usize && probe::<u8>(self.0, tries).is_some_and(|tries| tries != 0)
    }

    /// Whether a TCP socket is a further path of a connection of MPTCP that is there already.
    #[inline(always)]
    pub fn is_further_path(self) -> bool {
        let (is_mptcp, joins) = (field!(SOCKET_FIELDS.is_mptcp), field!(SOCKET_FIELDS.joins));
        if is_mptcp == NO_FIELD as usize || joins == NO_FIELD as usize || probe::<u8>(self.0, is_mptcp) != Some(1) {
            return false;
        }
        let context: *const u8 = probe(self.0, field!(SOCKET_FIELDS.subflow)).unwrap_or(core::ptr::null());
        probe::<u8>(context, joins / 8).is_some_and(|flags| flags & (1 << (joins % 8)) != 0)
    }

    #[inline(always)]
    pub fn local_port(self) -> u16 {
        load(self.0, offset!(sock_num))
    }

    #[inline(always)]
    pub fn peer_port(self) -> u16 {
        u16::from_be(load(self.0, offset!(sock_dport)))
    }

    /// Address of the peer, IPv4 as an IPv6-mapped one, network byte order.
    #[inline(always)]
    pub fn peer_address(self) -> [u32; 4] {
        if self.family() == AF_INET6 {
            let at = |word: usize| probe::<u32>(self.0, offset!(sock_v6_daddr) + 4 * word).unwrap_or(0);
            return [at(0), at(1), at(2), at(3)];
        }
        [0, 0, 0xffff_u32.to_be(), load(self.0, offset!(sock_daddr))]
    }

    /// Inode of the network namespace; 0 if it cannot be read.
    #[inline(always)]
    pub fn network(self) -> u32 {
        let network: *const u8 = probe(self.0, offset!(sock_net)).unwrap_or(core::ptr::null());
        probe(network, offset!(net_inum)).unwrap_or(0)
    }

    /// Whether something waits in the receive queue.
    #[inline(always)]
    pub fn has_unread(self) -> bool {
        load::<u32>(self.0, offset!(sock_unread)) != 0
    }

    /// Whether a BPF program has put something into the socket's storage. Those of strangers have nothing there, and this is one
    /// load, where a lookup is a call.
    #[inline(always)]
    pub fn has_storage(self) -> bool {
        load::<u64>(self.0, offset!(sock_storage)) != 0
    }

    /// Whether no more will come: the peer has closed, or this end reads no longer.
    #[inline(always)]
    pub fn has_ended(self) -> bool {
        load::<u8>(self.0, offset!(sock_shutdown)) & RCV_SHUTDOWN != 0
    }

    /// Whether this end has said that it sends no more: it only drains what still comes. A UNIX socket whose peer is gone is not that.
    #[inline(always)]
    pub fn only_drains(self) -> bool {
        load::<u8>(self.0, offset!(sock_shutdown)) == SEND_SHUTDOWN
    }

    /// Whether the connection has been accepted by the application, or is the client's end.
    #[inline(always)]
    pub fn is_accepted(self) -> bool {
        probe::<u64>(self.0, offset!(sock_socket)).is_none_or(|socket| socket != 0)
    }

    /// The address object of the listener to which a UNIX socket is connected, if this is the client's end.
    #[inline(always)]
    pub fn unix_peer_address(self) -> Option<u64> {
        let peer: *const u8 = probe(self.0, offset!(unix_peer))?;
        if peer.is_null() {
            return None;
        }
        let address: u64 = probe(peer, offset!(unix_addr))?;
        (address != 0).then_some(address)
    }

    /// The object with the address to which a UNIX socket is bound, or its listener was, and the entry of that address in its
    /// directory, or 0.
    #[inline(always)]
    pub fn unix_place(self) -> Option<(u64, u64)> {
        let address: u64 = probe(self.0, offset!(unix_addr))?;
        let entry = field!(SOCKET_FIELDS.unix_entry);
        let entry = if entry == NO_FIELD as usize { 0 } else { probe(self.0, entry)? };
        (address != 0).then_some((address, entry))
    }

    /// Smoothed round-trip time in µs, 0 before the first sample and of what is no `tcp_sock`. The kernel keeps it times eight.
    #[inline(always)]
    pub fn srtt_us(self) -> u32 {
        if !self.is_tcp_sock() {
            return 0;
        }
        probe::<u32>(self.0, offset!(tcp_srtt_us)).unwrap_or(0) >> 3
    }

    /// For a UNIX stream socket: the process that listened, if this is the end that was accepted. That end carries the
    /// listener's address, and its peer remembers the listener's process.
    #[inline(always)]
    pub fn unix_listener(self) -> Option<u32> {
        let address: u64 = probe(self.0, offset!(unix_addr))?;
        if address == 0 {
            return None;
        }
        let peer: *const u8 = probe(self.0, offset!(unix_peer))?;
        if peer.is_null() {
            return None;
        }
        let pid: *const u8 = probe(peer, offset!(sock_peer_pid))?;
        if pid.is_null() {
            return None;
        }
        probe(pid, offset!(pid_numbers) + offset!(upid_nr))
    }
}

/// The path of a UNIX address object, without its family; an abstract one begins with 0.
#[inline(always)]
pub fn read_unix_path(address: u64, path: &mut [u8; 112]) {
    let name = (address as usize + offset!(unix_address_name) + UNIX_PATH) as *const u8;
    // SAFETY: the helper checks the address and fails on a fault.
    let _unreadable = unsafe { bpf_probe_read_kernel_buf(name, &mut path[..108]) };
}
