//! Tests of the protocols: known conversations, generated ones, each also cut at every byte.

mod detect;
mod drive;
mod exchange;
mod http1;
mod postgres;
mod resp;
