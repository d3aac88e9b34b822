//! RESP, the protocol of Redis, versions 2 and 3 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).
//!
//! A request is an array of strings, or a line; its name is the first of them, in upper case, and the second where a command is a family
//! of commands. A reply is one value.

mod command;
mod number;
pub mod reply;
pub mod request;
