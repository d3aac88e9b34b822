//! One direction of a connection: where in its messages it is.

use crate::found::Kind;

/// State between two steps. What each protocol keeps in `state`, `flags`, `count` and `value` is its own affair.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Bytes of the message still to come at which nobody looks.
    pub skip: u64,
    /// Hash of the name so far.
    pub hash: u64,
    /// The hash up to the part of the name that may yet be replaced. Where no name is made, a number of the protocol's own.
    pub kept_hash: u64,
    /// The bytes of a token that the last piece of the stream ended in.
    pub carry: [u64; 2],
    /// Parts of the message still to come.
    pub count: u32,
    /// A number of the protocol's own.
    pub value: u32,
    /// Bytes of the name so far.
    pub length: u16,
    /// Its bytes up to the part that may yet be replaced. Where no part is, a number of the protocol's own.
    pub kept_length: u16,
    /// How many bytes of `carry` are of use.
    pub carried: u8,
    /// Where in a message it is; 0 between two.
    pub state: u8,
    /// The protocol's own.
    pub flags: u8,
    /// [`Kind`] of the request that was found last.
    pub kind: u8,
    /// How the reply to that request is read: the protocol's own. On the side of the replies, that of the request which waits longest, a
    /// mark among them; 0 if none waits. Whoever drives the steps puts it here before each of them.
    pub reply_rule: u8,
    /// 1 if some of the name was in an earlier piece of the stream, so that only its hash is whole.
    pub is_cut: u8,
    /// What the other direction [`Self::tells`] when this piece of the stream came. Whoever drives the steps puts it here before them.
    pub other: u8,
    /// None.
    pub _reserved: [u8; 5],
}

impl Stream {
    /// Between two messages.
    pub const START: u8 = 0;
    /// Bit of `flags` that the other direction is told, too.
    pub const TOLD: u8 = 1 << 7;

    /// Whether nothing of a message has come yet that has not ended.
    #[inline(always)]
    #[must_use]
    pub const fn is_between(&self) -> bool {
        self.state == Self::START && self.skip == 0 && self.carried == 0
    }

    /// What the other direction may know of this one: `state`, and a bit of `flags`.
    #[inline(always)]
    #[must_use]
    pub const fn tells(&self) -> u8 {
        self.state | (self.flags & Self::TOLD)
    }

    /// The kind of the request that was found last.
    #[inline(always)]
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.kind {
            0 => Kind::Request,
            1 => Kind::OneWay,
            2 => Kind::WaitByDesign,
            3 => Kind::Handshake,
            4 => Kind::Farewell,
            _ => Kind::Mark,
        }
    }
}

const _: () = assert!(size_of::<Stream>() == 64);
