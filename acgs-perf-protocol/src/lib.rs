//! Protocols: where a request and its reply begin and end on a connection, and what the request is called.
//!
//! In: the bytes of both directions, in pieces of any size, in order. Out: events (`Found`), the name of each request without its
//! values, and its hash. `no_std`, without memory of its own, and written so that the kernel's verifier accepts it: the programs of the
//! kernel side run the same code that the tests run.
//!
//! A direction is a [`Stream`]: a few words of state. The bytes come through a [`Window`], and each [`step`] takes one token of at most
//! some words from it: so the work is bounded step by step, and a token that a piece of the stream cuts in two is carried over.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(test)]
extern crate std;

pub mod detect;
pub mod fastcgi;
pub mod found;
pub mod http1;
pub mod memcached;
pub mod mysql;
pub mod name;
mod path;
pub mod pending;
mod place;
pub mod postgres;
pub mod protocol;
pub mod resp;
mod sql;
pub mod stream;
pub mod tls;
pub mod walk;
pub mod window;
pub mod word;

pub use found::{Found, Kind};
pub use name::Name;
pub use protocol::Protocol;
pub use stream::Stream;
pub use window::Window;
