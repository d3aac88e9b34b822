//! What the kernel side has counted, as values: a [`Snapshot`] of one moment, an [`Interval`] between two, a [`Capture`] of a whole
//! recording.
//!
//! In: a live session. Out: values without descriptors, which can be saved, and analysed without root. `Σ intervals = last − first`.

pub mod capture;
pub mod client;
pub mod ending;
pub mod exemplar;
pub mod fates;
pub mod file;
pub mod interval;
pub mod model;
mod older;
pub mod open;
pub mod packed;
pub mod read;
pub mod timeline;

pub use capture::{Capture, Context, Cost, Host, HostPart, Overhead, Process, ServiceContext};
pub use ending::Ending;
pub use fates::Fates;
pub use interval::Interval;
pub use model::{LAYOUT_VERSION, Look, Snapshot, Subject, Subjects};
pub use older::bring_up;
pub use timeline::Timeline;
