//! The protocols that are told apart.

/// What is spoken on a connection.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Not known yet.
    Unknown = 0,
    /// None of the others, or no longer to be followed: the guards by behaviour hold.
    Unparsed = 1,
    /// The protocol of Redis, versions 2 and 3.
    Resp = 2,
    /// HTTP/1.0 and 1.1.
    Http1 = 3,
    /// Version 3 of the protocol of PostgreSQL.
    Postgres = 4,
    /// HTTP/2: known as such, not followed.
    Http2 = 5,
    /// The text protocol of memcached.
    Memcached = 6,
    /// FastCGI.
    FastCgi = 7,
    /// TLS: what is no request is told from what may be one.
    Tls = 8,
    /// That of MySQL and MariaDB.
    MySql = 9,
}

impl Protocol {
    /// How many there are.
    pub const COUNT: usize = 10;
    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Unknown,
        Self::Unparsed,
        Self::Resp,
        Self::Http1,
        Self::Postgres,
        Self::Http2,
        Self::Memcached,
        Self::FastCgi,
        Self::Tls,
        Self::MySql,
    ];

    /// The one with this number.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Unknown,
            2 => Self::Resp,
            3 => Self::Http1,
            4 => Self::Postgres,
            5 => Self::Http2,
            6 => Self::Memcached,
            7 => Self::FastCgi,
            8 => Self::Tls,
            9 => Self::MySql,
            _ => Self::Unparsed,
        }
    }

    /// What users call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unparsed => "unparsed",
            Self::Resp => "redis",
            Self::Http1 => "http",
            Self::Postgres => "postgres",
            Self::Http2 => "http2",
            Self::Memcached => "memcached",
            Self::FastCgi => "fastcgi",
            Self::Tls => "tls",
            Self::MySql => "mysql",
        }
    }

    /// Whether its messages are followed.
    #[inline(always)]
    #[must_use]
    pub const fn is_followed(self) -> bool {
        !matches!(self, Self::Unknown | Self::Unparsed | Self::Http2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_list() {
        for (number, protocol) in Protocol::ALL.into_iter().enumerate() {
            assert_eq!((Protocol::from_number(number as u8), protocol as usize), (protocol, number));
        }
        assert_eq!(Protocol::from_number(Protocol::COUNT as u8), Protocol::Unparsed);
    }
}
