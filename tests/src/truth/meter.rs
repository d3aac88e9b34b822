//! What a thread itself knows of its time: wall time, CPU time, and time on the run queue, as the kernel accounts them.
//!
//! In: the thread that asks. Out: samples, and the time between two of them by component.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use acgs_perf_common::attribution::Component;

use super::log::Record;
use crate::clock;

/// One moment of a thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// CLOCK_MONOTONIC.
    pub wall: u64,
    cpu: u64,
    delay: u64,
}

/// Takes samples of the thread that made it. One costs 1 to 2 µs of CPU, which is part of the truth.
pub struct Meter {
    schedstat: File,
    /// The thread's id.
    pub thread: u64,
}

impl Meter {
    /// For this thread.
    pub fn new() -> io::Result<Self> {
        // SAFETY: gettid takes no argument.
        let thread = unsafe { libc::gettid() } as u64;
        Ok(Self { schedstat: File::open("/proc/thread-self/schedstat")?, thread })
    }

    /// Now.
    pub fn sample(&self) -> Sample {
        self.sample_from(clock::now())
    }

    /// A sample whose wall time was taken just before.
    pub fn sample_from(&self, wall: u64) -> Sample {
        let cpu = clock::thread_cpu();
        let mut buffer = [0; 64];
        let count = self.schedstat.read_at(&mut buffer, 0).unwrap_or(0);
        Sample { wall, cpu, delay: delay(&buffer[..count]).unwrap_or(0) }
    }

    /// Does something that blocks: what of its time was neither on a CPU nor on the run queue is of this component.
    pub fn blocked<T>(&self, record: &mut Record, component: Component, work: impl FnOnce() -> T) -> T {
        let before = self.sample();
        let result = work();
        record.add(component, waited(before, self.sample()));
        result
    }
}

/// Adds the time on a CPU and on the run queue.
pub fn add_running(record: &mut Record, from: Sample, to: Sample) {
    record.add(Component::OnCpu, to.cpu.saturating_sub(from.cpu));
    record.add(Component::RunQueue, to.delay.saturating_sub(from.delay));
}

/// Time that was neither on a CPU nor on the run queue.
pub fn waited(from: Sample, to: Sample) -> u64 {
    let running = to.cpu.saturating_sub(from.cpu) + to.delay.saturating_sub(from.delay);
    to.wall.saturating_sub(from.wall).saturating_sub(running)
}

/// Time on a CPU.
pub fn on_cpu(from: Sample, to: Sample) -> u64 {
    to.cpu.saturating_sub(from.cpu)
}

/// Time on the run queue.
pub fn delayed(from: Sample, to: Sample) -> u64 {
    to.delay.saturating_sub(from.delay)
}

/// The second number of `schedstat`: ns on the run queue.
fn delay(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_is_read() {
        assert_eq!(delay(b"123 456 7\n"), Some(456));
        assert_eq!(delay(b"123"), None);
    }

    #[test]
    fn a_sleep_is_waiting_and_a_spin_is_not() {
        let (meter, mut record) = (Meter::new().unwrap(), Record::default());
        let start = meter.sample();
        meter.blocked(&mut record, Component::Sleep, || clock::sleep(20_000_000));
        meter.blocked(&mut record, Component::Lock, || clock::spin(20_000_000));
        add_running(&mut record, start, meter.sample());
        let [sleep, lock, busy] = [Component::Sleep, Component::Lock, Component::OnCpu]
            .map(|component| record.component_ns[component as usize]);
        assert!((19_000_000..40_000_000).contains(&sleep), "{sleep}");
        assert!(lock < 5_000_000, "{lock}");
        let busy = busy + record.component_ns[Component::RunQueue as usize];
        assert!((15_000_000..40_000_000).contains(&busy), "{busy}");
    }
}
