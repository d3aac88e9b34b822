//! The text protocol of memcached, with its meta commands (<https://github.com/memcached/memcached/blob/master/doc/protocol.txt>).
//!
//! A request is a line, behind which a block of data may come; its name is its first word. What is told to be quiet, or `noreply`, is
//! one-way. To a quiet meta command the server answers only sometimes, so that these are followed up to `mn`, which ends such a batch.

pub mod reply;
pub mod request;

/// [`crate::Stream::reply_rule`]: one line.
pub const LINE: u8 = 1;
/// Values, and `END`.
pub const VALUES: u8 = 2;
/// Lines, and `END`.
pub const LINES: u8 = 3;
/// One line, with a value behind it if it begins with `VA`.
pub const META: u8 = 4;
/// `MN`. What comes in front of it answers quiet commands.
pub const NOOP: u8 = 5;
