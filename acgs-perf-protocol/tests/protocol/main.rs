//! Tests of the protocols: known conversations, generated ones, each also cut at every byte.

mod drive;
mod resp;
