//! The machine on which the bench ran, in words.
//!
//! In: /proc. Out: a Markdown list; the time of day.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use acgs_perf_setup::process::output;

/// UTC, to the minute.
pub fn now() -> String {
    output(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])).unwrap_or_else(|| "unknown".into())
}

/// Processor, cores, memory, kernel.
pub fn describe() -> Vec<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mut lines = vec![format!("Processor: {}", processor(&cpus))];
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    if let Some(kib) = total.and_then(|text| text.trim().parse::<f64>().ok()) {
        lines.push(format!("Memory: {:.1} GiB", kib / 1024.0 / 1024.0));
    }
    lines.push(format!("Kernel: Linux {} {}", kernel.trim(), std::env::consts::ARCH));
    let clock = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if let Ok(clock) = clock {
        lines.push(format!("Clock source: {}", clock.trim()));
    }
    lines
}

fn processor(cpuinfo: &str) -> String {
    let values = |name: &str| {
        let lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).collect::<Vec<_>>()
    };
    let models: BTreeSet<String> = values("model name").into_iter().collect();
    let model = models.into_iter().collect::<Vec<_>>().join(", ");
    let count = values("processor").len();
    let is_virtual = values("flags").first().is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    format!("{model}, {count} {}", if is_virtual { "virtual CPUs" } else { "CPUs" })
}

#[cfg(test)]
mod tests {
    use super::processor;

    #[test]
    fn a_processor_is_described() {
        let one = |n: u32| format!("processor\t: {n}\nmodel name\t: Any 9\nflags\t\t: fpu hypervisor sse\n\n");
        assert_eq!(processor(&(one(0) + &one(1))), "Any 9, 2 virtual CPUs");
    }
}
