//! What a step finds.

/// What a step has found, as bits: one step may end a reply that it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found(pub u32);

impl Found {
    /// Nothing yet; the step took what it looked at.
    pub const NOTHING: Self = Self(0);
    /// The bytes do not suffice to take the next token.
    pub const SHORT: Self = Self(1);
    /// A request is known by name and kind; see [`crate::Stream::kind`] and [`crate::Stream::reply_rule`].
    pub const REQUEST: Self = Self(1 << 1);
    /// A reply begins.
    pub const BEGAN: Self = Self(1 << 2);
    /// The reply has ended.
    pub const ENDED: Self = Self(1 << 3);
    /// The reply says that the request failed.
    pub const FAILED: Self = Self(1 << 4);
    /// What the server sends is no reply: nobody asked for it.
    pub const PUSH: Self = Self(1 << 5);
    /// The server will answer none of the requests that wait up to the next mark ([`Kind::Mark`]).
    pub const SKIPPED: Self = Self(1 << 6);
    /// A mark is reached: an answer to what is no request.
    pub const MARK: Self = Self(1 << 7);
    /// From here on the connection leaves the clock: it was upgraded, or subscribed to something.
    pub const LEFT: Self = Self(1 << 8);
    /// It is not what it looked like.
    pub const LOST: Self = Self(1 << 9);
    /// The name is that of a prepared statement, which `value` stands for from now on: no request yet. Of a reply: from now on it stands for
    /// the statement that was prepared last.
    pub const DEFINED: Self = Self(1 << 10);
    /// The next request that is [`Self::BOUND`] runs the prepared statement that `value` stands for.
    pub const BINDS: Self = Self(1 << 11);
    /// With [`Self::REQUEST`]: its name is that of the statement that was bound.
    pub const BOUND: Self = Self(1 << 12);
    /// The reply goes on for as long as there is something to tell: only its beginning was waited for.
    pub const STREAM: Self = Self(1 << 13);
    /// The name of the request is whole. Where none says so before [`Self::REQUEST`], it is whole there.
    pub const NAMED: Self = Self(1 << 14);
    /// Behind this message the connection speaks TLS.
    pub const TURNS: Self = Self(1 << 15);

    /// Both.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` was found.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What a message is that reaches the service.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody waits for its answer, and that takes as long as it takes.
    Request = 0,
    /// No answer is expected.
    OneWay = 1,
    /// The answer comes when something happens: a blocking command, a subscription.
    WaitByDesign = 2,
    /// Part of how a connection is opened.
    Handshake = 3,
    /// Announces the end.
    Farewell = 4,
    /// No request, but answered, in its place among those that are.
    Mark = 5,
}

impl Kind {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Request, Self::OneWay, Self::WaitByDesign, Self::Handshake, Self::Farewell, Self::Mark];

    /// Whether the server answers it.
    #[inline(always)]
    #[must_use]
    pub const fn is_answered(self) -> bool {
        !matches!(self, Self::OneWay | Self::Farewell)
    }
}
