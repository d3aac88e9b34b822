//! What a plant measures of itself, and what is the right answer by that measure.
//!
//! In: lines `NAME WALL CPU DELAY` that the servers write around each fault that they plant, times in ns of the thread that
//! does it, and what the table of causes expects. Out: the components that are right. A plant does not always do what its name
//! says: reads from a fast disk are mostly CPU time. Then the measure decides, and it is said that the expectation is wrong here.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use acgs_perf_common::attribution::Component;

use super::verdict::name;
use crate::truth::meter::{Meter, delayed, on_cpu};

/// The file that servers append to, in their directory.
const FILE: &str = "measured";
/// Parts of the time that are this near to the greatest are right answers as well: a share of all time.
const NEAR: f64 = 0.1;

/// Where a thread's time went, as it can know itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    OnCpu,
    RunQueue,
    Blocked,
}

impl Part {
    fn of(component: Component) -> Self {
        match component {
            Component::OnCpu | Component::QueueOnCpu => Self::OnCpu,
            Component::RunQueue | Component::QueueRunQueue => Self::RunQueue,
            _ => Self::Blocked,
        }
    }

    /// Its component, where the part alone tells: in what a thread was blocked it does not know.
    fn component(self, is_queue: bool) -> Option<Component> {
        match (self, is_queue) {
            (Self::OnCpu, false) => Some(Component::OnCpu),
            (Self::OnCpu, true) => Some(Component::QueueOnCpu),
            (Self::RunQueue, false) => Some(Component::RunQueue),
            (Self::RunQueue, true) => Some(Component::QueueRunQueue),
            (Self::Blocked, _) => None,
        }
    }
}

/// Sums over the faults of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// How many.
    pub faults: u64,
    /// How long they took.
    pub wall_ns: u64,
    /// CPU time.
    pub cpu_ns: u64,
    /// Time on the run queue.
    pub delay_ns: u64,
}

/// Which answer is right.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Any of these components.
    pub components: Vec<Component>,
    /// Why these are not the expected ones alone.
    pub contradiction: Option<String>,
}

impl Measure {
    /// Does what is planted, and appends its measure to the file in `directory`.
    pub fn around<T>(directory: Option<&Path>, name: &str, fault: impl FnOnce() -> T) -> io::Result<T> {
        let Some(directory) = directory else { return Ok(fault()) };
        let meter = Meter::new()?;
        let before = meter.sample();
        let result = fault();
        let after = meter.sample();
        let wall = after.wall.saturating_sub(before.wall);
        let line = format!("{name} {wall} {} {}\n", on_cpu(before, after), delayed(before, after));
        // One write per line: threads and processes append side by side.
        OpenOptions::new().append(true).create(true).open(directory.join(FILE))?.write_all(line.as_bytes())?;
        Ok(result)
    }

    /// Sums up what was written about the faults of this name.
    pub fn read(directory: &Path, name: &str) -> io::Result<Self> {
        match fs::read_to_string(directory.join(FILE)) {
            Ok(text) => Ok(Self::sum(&text, name)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn sum(text: &str, name: &str) -> Self {
        let mut sum = Self::default();
        for line in text.lines() {
            let Some(numbers) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')) else { continue };
            let numbers: Vec<u64> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
            if let [wall, cpu, delay] = numbers[..] {
                sum.faults += 1;
                sum.wall_ns += wall;
                sum.cpu_ns += cpu;
                sum.delay_ns += delay;
            }
        }
        sum
    }

    fn shares(&self) -> [(Part, f64); 3] {
        let share = |ns: u64| ns as f64 / self.wall_ns.max(1) as f64;
        let blocked = self.wall_ns.saturating_sub(self.cpu_ns + self.delay_ns);
        [(Part::OnCpu, share(self.cpu_ns)), (Part::RunQueue, share(self.delay_ns)), (Part::Blocked, share(blocked))]
    }

    /// Which of the expected components are right, or which others; an error when nothing was measured, or when what was
    /// measured is no answer.
    pub fn decide(&self, expected: &[Component]) -> Result<Decision, String> {
        if self.faults == 0 || self.wall_ns == 0 {
            return Err("the plant measured nothing".into());
        }
        let shares = self.shares();
        let greatest = shares.iter().map(|(_, share)| *share).fold(0.0, f64::max);
        let is_queue = expected.iter().all(|component| name(*component).starts_with("queue_"));
        let mut components = Vec::new();
        let mut contradicted = false;
        for (part, _) in shares.into_iter().filter(|(_, share)| *share >= greatest - NEAR) {
            let of_part = expected.iter().copied().filter(|component| Part::of(*component) == part);
            let before = components.len();
            components.extend(of_part);
            if components.len() == before {
                components.extend(part.component(is_queue));
                contradicted = true;
            }
        }
        let [on_cpu, run_queue, blocked] = shares.map(|(_, share)| share * 100.0);
        let measured = format!("on a CPU {on_cpu:.0} %, on the run queue {run_queue:.0} %, blocked {blocked:.0} %");
        if components.is_empty() {
            return Err(format!("the plant was blocked and should not have been: {measured}"));
        }
        let names = |components: &[Component]| components.iter().map(|c| name(*c)).collect::<Vec<_>>().join(" or ");
        let contradiction = contradicted.then(|| {
            let (wrong, right) = (names(expected), names(&components));
            format!("{wrong} is expected, and the plant itself measured: {measured}; {right} is right here")
        });
        Ok(Decision { components, contradiction })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn measure(wall_ns: u64, cpu_ns: u64, delay_ns: u64) -> Measure {
        Measure { faults: 20, wall_ns, cpu_ns, delay_ns }
    }

    #[test]
    fn a_measure_that_agrees_changes_nothing() {
        for (expected, measure) in [
            (&[Component::Disk][..], measure(100, 20, 5)),
            (&[Component::OnCpu], measure(100, 95, 5)),
            (&[Component::QueueSleep], measure(100, 1, 0)),
            (&[Component::QueueOnCpu], measure(100, 70, 30)),
        ] {
            let decision = measure.decide(expected).unwrap();
            assert_eq!((decision.components.as_slice(), decision.contradiction), (expected, None));
        }
    }

    #[test]
    fn reads_that_are_mostly_cpu_time_are_on_cpu() {
        // As measured on a fast disk: 47 µs a read, 31 of them CPU time.
        let decision = measure(47_000, 31_000, 0).decide(&[Component::Disk]).unwrap();
        assert_eq!(decision.components, [Component::OnCpu]);
        let said = decision.contradiction.unwrap();
        assert!(said.contains("disk is expected") && said.contains("on a CPU 66 %"), "{said}");
        assert!(said.ends_with("on_cpu is right here"), "{said}");
    }

    #[test]
    fn who_waits_in_the_queue_waits_for_what_the_plant_does() {
        let decision = measure(100, 10, 80).decide(&[Component::QueueSleep]).unwrap();
        assert_eq!(decision.components, [Component::QueueRunQueue]);
        assert!(decision.contradiction.is_some());
    }

    #[test]
    fn two_parts_that_are_nearly_equal_are_both_right() {
        let decision = measure(100, 46, 2).decide(&[Component::Disk]).unwrap();
        assert_eq!(decision.components, [Component::OnCpu, Component::Disk]);
        assert!(decision.contradiction.is_some());
        let decision = measure(100, 52, 2).decide(&[Component::Disk]).unwrap();
        assert_eq!(decision.components, [Component::OnCpu, Component::Disk]);
        assert!(decision.contradiction.is_some());
        assert_eq!(measure(100, 57, 0).decide(&[Component::Disk]).unwrap().components, [Component::OnCpu]);
    }

    #[test]
    fn no_measure_is_no_answer_and_neither_is_a_spin_that_was_blocked() {
        assert!(Measure::default().decide(&[Component::Disk]).unwrap_err().contains("nothing"));
        assert!(measure(100, 5, 0).decide(&[Component::OnCpu]).unwrap_err().contains("blocked 95 %"));
    }

    #[test]
    fn what_a_plant_writes_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Measure::read(directory.path(), "spin").unwrap(), Measure::default());
        for _ in 0..3 {
            Measure::around(Some(directory.path()), "spin", || clock::spin(5_000_000)).unwrap();
        }
        Measure::around(Some(directory.path()), "sleep", || clock::sleep(20_000_000)).unwrap();
        let (spin, sleep) =
            (Measure::read(directory.path(), "spin").unwrap(), Measure::read(directory.path(), "sleep").unwrap());
        assert_eq!((spin.faults, sleep.faults), (3, 1));
        assert!(spin.wall_ns >= 15_000_000 && spin.cpu_ns > 1_000_000, "{spin:?}");
        assert!(sleep.wall_ns >= 20_000_000 && sleep.cpu_ns < 10_000_000, "{sleep:?}");
        assert_eq!(
            Measure::sum("spin 1 2\nspinning 9 9 9\nspin 5 3 1\n", "spin"),
            Measure { faults: 1, wall_ns: 5, cpu_ns: 3, delay_ns: 1 }
        );
        assert_eq!(Measure::around(None, "spin", || 7).unwrap(), 7);
    }
}
