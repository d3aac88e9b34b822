//! What is said on a connection, as far as its protocol is followed: a part of the state of its socket.
//!
//! In: nothing. Out: the type, and the room in which the bytes are looked at.

use acgs_perf_common::opaque;
use acgs_perf_protocol::pending::{Pending, Reading};
use acgs_perf_protocol::{Name, Protocol, Stream, Window};
use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;

use crate::kernel::user::Source;

/// Room for a look at what is said. Whoever uses it keeps its CPU.
#[btf_map]
static ROOM: PerCpuArray<Room, 1> = PerCpuArray::new();

/// What is needed for one look, too large for the stack.
#[repr(C)]
pub struct Room {
    pub window: Window,
    pub name: Name,
    pub source: Source,
    pub news: News,
}

impl Room {
    /// That of this CPU.
    #[inline(always)]
    pub fn get() -> Option<*mut Self> {
        ROOM.get_ptr_mut(0)
    }
}

/// It has not said, or not yet, that the request failed.
pub const WELL: u8 = 0;
/// The request failed.
pub const FAILED: u8 = 1;
/// It failed by the client's doing.
pub const REFUSED: u8 = 2;

/// A conversation.
#[repr(C)]
pub struct Talk {
    /// What the client sends.
    pub requests: Stream,
    /// What the server sends.
    pub replies: Stream,
    /// Requests that wait for their replies.
    pub pending: Pending,
    /// Which reading brought the beginning of the request under way.
    pub reading: Reading,
    /// When bytes last arrived.
    pub arrived: u64,
    /// Endpoint of the statement that was bound last.
    pub bound: u16,
    /// Endpoint of the request under way, once its name is whole.
    pub named: u16,
    /// Number of the [`Protocol`].
    pub protocol: u8,
    /// How often it looked like none.
    pub tries: u8,
    /// 1 from where on the server sends what nobody asks for.
    pub has_left: u8,
    /// 1 while a reply is being sent that the clock has recorded.
    pub is_replying: u8,
    /// Not 0 while those are taken away that the server answers nothing, up to the next mark.
    pub is_skipping: u8,
    /// 1 once the end of the reply that is being sent is known.
    pub has_ended: u8,
    /// 1 while a reply goes on that the clock has left.
    pub is_streaming: u8,
    /// Of a connection that the service opened: replies whose requests nobody has seen yet.
    pub early: u8,
    /// What the reply says that the clock has recorded last: `WELL`, `FAILED` or `REFUSED`.
    pub outcome: u8,
    pub _reserved: [u8; 2],
    /// Of such a connection: 1 while a CPU follows it, 3 once another one would have as well.
    pub followers: u64,
}

impl Talk {
    #[inline(always)]
    pub fn protocol(&self) -> Protocol {
        Protocol::from_number(self.protocol)
    }

    /// Whether its messages are followed.
    #[inline(always)]
    pub fn is_followed(&self) -> bool {
        self.protocol().is_followed()
    }

    /// It is not understood any more.
    #[inline(always)]
    pub fn lost(&mut self) {
        self.protocol = Protocol::Unparsed as u8;
        self.tries = self.tries.saturating_add(1);
        self.pending.clear();
        (self.requests.state, self.replies.state) = (0, 0);
        (self.requests.flags, self.replies.flags) = (0, 0);
        (self.requests.skip, self.replies.skip) = (0, 0);
        (self.requests.carried, self.replies.carried) = (0, 0);
        (self.is_replying, self.has_ended, self.is_streaming, self.is_skipping, self.named) = (0, 0, 0, 0, 0);
        self.early = 0;
    }

    /// From here on it is encrypted.
    #[inline(always)]
    pub fn turns(&mut self) {
        self.protocol = Protocol::Tls as u8;
        (self.requests.state, self.replies.state) = (0, 0);
        (self.requests.flags, self.replies.flags) = (0, 0);
        (self.requests.count, self.requests.value, self.replies.value) = (0, 0, 0);
    }
}

/// Whose requests, and therefore endpoints, they are.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Owner {
    /// The service.
    pub service: u32,
    /// 0 for what it is asked for; the slot of the peer, counted from 1, for what it asks others for.
    pub called: u32,
}

/// What a read or a send has brought.
#[repr(C)]
pub struct News {
    /// In: when it is.
    pub now: u64,
    /// In: when the bytes that were read had arrived.
    pub arrived: u64,
    /// In: how many there are.
    pub bytes: u64,
    /// In: whose requests they are about.
    pub owner: Owner,
    /// In: whether they are of replies.
    pub is_reply: u32,
    /// Out, of requests: what expects no answer.
    pub one_way: u32,
    /// Out, of requests: what announces the end.
    pub farewells: u32,
    /// Of a send: requests of which the reply has begun, that under way before included.
    pub began: u32,
    /// Out, of a send: messages that nobody asked for.
    pub pushes: u32,
    /// Out, of a send: the reading of the first request of which the reply begins here.
    pub first: Reading,
    /// That of the last.
    pub last: Reading,
    /// Out: its endpoint, or that of the last request.
    pub last_endpoint: u32,
    /// Out: 1 if there are data among it, of a protocol that does not say where a request begins.
    pub has_data: u32,
    /// What the last step has found.
    pub found: u32,
    /// What is done with the bytes; see `clock::walk`.
    pub way: u32,
    pub _reserved: u32,
}

impl News {
    /// Nothing yet, of `bytes` that were read or sent. Word by word in its place: as a value, it would be copied byte by byte. Not on the
    /// stack, of which Linux 6.12 has 512 bytes for all functions that call each other.
    #[inline(always)]
    pub fn begin(owner: Owner, bytes: u64, arrived: u64, now: u64, is_reply: bool) -> Option<&'static mut Self> {
        const WORDS: usize = size_of::<News>() / 8;
        let room = Room::get()?;
        // SAFETY: the pointer is into the map's value of this CPU, which the program keeps. What is there is as long as its words, which
        // are aligned as it is, and zero is a value of each of its fields.
        let news = unsafe {
            opaque::clear(&mut *(&raw mut (*room).news).cast::<[u64; WORDS]>());
            &mut (*room).news
        };
        (news.now, news.arrived, news.bytes) = (now, arrived, bytes);
        (news.owner, news.is_reply) = (owner, u32::from(is_reply));
        Some(news)
    }
}

const _: () = assert!(size_of::<News>().is_multiple_of(8));
