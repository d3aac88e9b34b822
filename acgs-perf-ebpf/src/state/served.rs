//! A socket's state as the rules look at it.
//!
//! In: the state. Out: the fields that `rules::request` and `rules::row` of the common crate ask for.

use acgs_perf_common::rules::{Row, Served};

use super::socket::SocketState;

impl Served for SocketState {
    #[inline(always)]
    fn id(&self) -> u64 {
        self.known_id()
    }

    #[inline(always)]
    fn arrived(&self) -> u64 {
        self.arrived
    }

    #[inline(always)]
    fn read(&self) -> u64 {
        self.read
    }

    #[inline(always)]
    fn replied(&self) -> u64 {
        self.replied
    }

    #[inline(always)]
    fn row(&mut self) -> &mut Row {
        &mut self.row
    }

    #[inline(always)]
    fn is_narrow(&mut self) -> &mut u8 {
        &mut self.is_narrow
    }
}
