//! What a command of Redis is, by its name (<https://redis.io/docs/latest/commands/>).

use crate::word::text;

/// What is to be known of a command before its reply.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing.
    Plain,
    /// It waits until an element comes, or until replicas and the disk have what was written.
    Waits,
    /// It waits if one of its words is `BLOCK`.
    MayWait,
    /// The second word is part of its name.
    Family,
    /// Its family, `CLIENT`, can stop the replies.
    Client,
    /// Its family, `REPLCONF`, has one without a reply.
    Replica,
    /// What the server sends from here on are no replies: the stream of a replica or a monitor.
    Leaves,
    /// It begins or ends a subscription. What the server says to that are pushes, as the messages are: one for each channel, and in version 3
    /// by their type.
    Subscribes,
}

/// The command of which the name, in upper case, begins with `word` and has `length` bytes.
#[inline(always)]
pub fn command(word: u64, length: u32) -> Command {
    let (command, its_length) = match word {
        BLPOP | BRPOP => (Command::Waits, 5),
        BLMOVE | BLMPOP | BZMPOP => (Command::Waits, 6),
        BZPOPMIN | BZPOPMAX => (Command::Waits, 8),
        BRPOPLPUSH => (Command::Waits, 10),
        WAIT => (Command::Waits, 4),
        WAITAOF => (Command::Waits, 7),
        XREAD => (Command::MayWait, 5),
        XREADGROUP => (Command::MayWait, 10),
        CLIENT => (Command::Client, 6),
        REPLCONF => (Command::Replica, 8),
        ACL => (Command::Family, 3),
        XINFO | DEBUG => (Command::Family, 5),
        CONFIG | OBJECT | MEMORY | SCRIPT | PUBSUB | XGROUP | MODULE => (Command::Family, 6),
        CLUSTER | COMMAND | LATENCY | SLOWLOG => (Command::Family, 7),
        FUNCTION | SENTINEL => (Command::Family, 8),
        SUBSCRIBE => (Command::Subscribes, 9),
        PSUBSCRIBE | SSUBSCRIBE => (Command::Subscribes, 10),
        UNSUBSCRIBE => (Command::Subscribes, 11),
        PUNSUBSCRIBE | SUNSUBSCRIBE => (Command::Subscribes, 12),
        MONITOR => (Command::Leaves, 7),
        PSYNC => (Command::Leaves, 5),
        SYNC => (Command::Leaves, 4),
        _ => return Command::Plain,
    };
    if length == its_length { command } else { Command::Plain }
}

/// `BLOCK`, a word of `XREAD`.
pub const BLOCK: u64 = text("BLOCK");
/// `REPLY`, a command of `CLIENT`.
pub const REPLY: u64 = text("REPLY");
/// `ON`, a word of `CLIENT REPLY`.
pub const ON: u64 = text("ON");
/// `OFF`, a word of `CLIENT REPLY`.
pub const OFF: u64 = text("OFF");
/// `SKIP`, a word of `CLIENT REPLY`.
pub const SKIP: u64 = text("SKIP");
/// `ACK`, a command of `REPLCONF`.
pub const ACK: u64 = text("ACK");

const BLPOP: u64 = text("BLPOP");
const BRPOP: u64 = text("BRPOP");
const BLMOVE: u64 = text("BLMOVE");
const BLMPOP: u64 = text("BLMPOP");
const BZMPOP: u64 = text("BZMPOP");
const BZPOPMIN: u64 = text("BZPOPMIN");
const BZPOPMAX: u64 = text("BZPOPMAX");
const BRPOPLPUSH: u64 = text("BRPOPLPU");
const WAIT: u64 = text("WAIT");
const WAITAOF: u64 = text("WAITAOF");
const XREAD: u64 = text("XREAD");
const XREADGROUP: u64 = text("XREADGRO");
const CLIENT: u64 = text("CLIENT");
const REPLCONF: u64 = text("REPLCONF");
const ACL: u64 = text("ACL");
const XINFO: u64 = text("XINFO");
const DEBUG: u64 = text("DEBUG");
const CONFIG: u64 = text("CONFIG");
const OBJECT: u64 = text("OBJECT");
const MEMORY: u64 = text("MEMORY");
const SCRIPT: u64 = text("SCRIPT");
const PUBSUB: u64 = text("PUBSUB");
const XGROUP: u64 = text("XGROUP");
const MODULE: u64 = text("MODULE");
const CLUSTER: u64 = text("CLUSTER");
const COMMAND: u64 = text("COMMAND");
const LATENCY: u64 = text("LATENCY");
const SLOWLOG: u64 = text("SLOWLOG");
const FUNCTION: u64 = text("FUNCTION");
const SENTINEL: u64 = text("SENTINEL");
const SUBSCRIBE: u64 = text("SUBSCRIB");
const PSUBSCRIBE: u64 = text("PSUBSCRI");
const SSUBSCRIBE: u64 = text("SSUBSCRI");
const UNSUBSCRIBE: u64 = text("UNSUBSCR");
const PUNSUBSCRIBE: u64 = text("PUNSUBSC");
const SUNSUBSCRIBE: u64 = text("SUNSUBSC");
const MONITOR: u64 = text("MONITOR");
const PSYNC: u64 = text("PSYNC");
const SYNC: u64 = text("SYNC");
