//! How the engine works, beside what is recorded: what a user may choose, and what tests want to be other than usual.

use std::time::Duration;

use crate::live::Debug;

/// How the engine works.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Length of the intervals.
    pub interval: Duration,
    /// What is dear to read is read after so many intervals.
    pub rest_every: u32,
    /// Whether the kernel times its programs all the time.
    pub measure_cost: bool,
    /// At most this much of the host's CPU time, in percent.
    pub max_overhead: Option<f64>,
    /// How many times as often as usual intervals are taken, processes looked for, and exemplars read.
    pub speed: u32,
    /// How long nobody looks for exemplars.
    pub glance: Duration,
    /// New processes are looked for every so many glances.
    pub look_every: u32,
    /// Whether exemplars of the whole recording are kept, beside those of each interval.
    pub keeps_exemplars: bool,
    /// Sizes of maps, and standbys.
    pub debug: Debug,
}

impl Tuning {
    /// Whether the kernel times its programs, at least from time to time.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.measure_cost || self.max_overhead.is_some()
    }

    /// For a recording that never ends, of which nobody asks for more than the intervals: it wakes no more often than new processes
    /// have to be looked for.
    #[must_use]
    pub fn always_on() -> Self {
        let usual = Self::default();
        Self { glance: usual.glance * usual.look_every, look_every: 1, keeps_exemplars: false, ..usual }
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            rest_every: 10,
            measure_cost: false,
            max_overhead: None,
            speed: 1,
            glance: Duration::from_millis(64),
            look_every: 3,
            keeps_exemplars: true,
            debug: Debug::default(),
        }
    }
}
