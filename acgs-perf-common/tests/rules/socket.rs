//! The state of a server-side socket, as far as the rules look at it.

use acgs_perf_common::rules::{Row, Served};

/// The server's end of a connection.
pub struct Socket {
    pub id: u64,
    pub next_arrived: u64,
    pub arrived: u64,
    pub read: u64,
    pub replied: u64,
    pub in_service: bool,
    pub last_sent: u64,
    pub is_narrow: u8,
    pub row: Row,
}

impl Served for Socket {
    fn id(&self) -> u64 {
        self.id
    }

    fn arrived(&self) -> u64 {
        self.arrived
    }

    fn read(&self) -> u64 {
        self.read
    }

    fn replied(&self) -> u64 {
        self.replied
    }

    fn row(&mut self) -> &mut Row {
        &mut self.row
    }

    fn is_narrow(&mut self) -> &mut u8 {
        &mut self.is_narrow
    }
}
