//! What the text says of figures that are not there, or not of the whole window, because of their probe.
//!
//! In: the probes' states. Out: a line.

use super::layout::{ABSENT, Lines};
use crate::report::ProbeStatus;
use crate::units::duration;

/// Says that figures end where their probe was stopped.
pub fn until(name: &str, probes: &[ProbeStatus], lines: &mut Lines) {
    for probe in probes.iter().filter(|probe| probe.name == name) {
        if let Some(after) = probe.stopped_after_ns {
            lines.labelled("", &format!("of the first {} only: probe {} was stopped", duration(after), probe.name));
        }
    }
}

/// Says why there are no figures.
pub fn absent(label: &str, probe: &str, probes: &[ProbeStatus], lines: &mut Lines) {
    let why = match probes.iter().find(|p| p.name == probe) {
        Some(p) if p.is_active() => format!("probe {probe} was active, but has no figures"),
        Some(p) => format!("probe {probe} is {}", p.state.name()),
        None => format!("probe {probe} did not run"),
    };
    lines.labelled(label, &format!("{ABSENT} not measured: {why}"));
}
