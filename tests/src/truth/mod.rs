//! The truth server: a TCP server that does what each request's script says, and logs where the time really went.
//!
//! In: requests that carry a script, or fixed-size requests with service times drawn from a distribution. Out: replies,
//! and a log of stamps and components per request on CLOCK_MONOTONIC, which is the clock of the kernel side too. When a
//! request arrived, the kernel tells the server with its bytes; when it was sent is in the load generator's log, under the
//! same number.

pub mod arrival;
pub mod blocking;
pub mod clients;
pub mod control;
mod disk;
mod event_loop;
mod fault;
pub mod frame;
mod inbox;
pub mod load;
pub mod log;
pub mod meter;
mod pool;
pub mod protocol;
mod run;
pub mod script;
pub mod server;
pub mod stamps;
mod tools;
pub mod work;
mod world;

pub use log::{Log, Record};
pub use work::{Distribution, Work};
