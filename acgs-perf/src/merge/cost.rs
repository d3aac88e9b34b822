//! What measuring cost, over several captures.
//!
//! In: the cost of each. Out: that of all.

use crate::snapshot::{Cost, Overhead};

/// CPU time and what programs took add up; the largest of what one agent holds counts.
pub fn add(known: &mut Cost, other: Cost, is_first: bool) {
    known.agent_cpu_ns = known.agent_cpu_ns.saturating_add(other.agent_cpu_ns);
    known.agent_max_rss_bytes = known.agent_max_rss_bytes.max(other.agent_max_rss_bytes);
    known.map_bytes = known.map_bytes.max(other.map_bytes);
    known.attach_ns = known.attach_ns.max(other.attach_ns);
    match (&mut known.programs, other.programs) {
        (programs @ None, new) if is_first => *programs = new,
        (Some(programs), Some(new)) => {
            for program in new {
                match programs.iter_mut().find(|known| known.name == program.name) {
                    None => programs.push(program),
                    Some(known) => {
                        known.runs = known.runs.saturating_add(program.runs);
                        known.run_time = known.run_time.saturating_add(program.run_time);
                    }
                }
            }
        }
        (None, None) => {}
        (programs, _) => {
            *programs = None;
            known.programs_unmeasured = Some("not measured in all of the captures".to_owned());
        }
    }
    known.programs_unmeasured = known.programs_unmeasured.take().or(other.programs_unmeasured);
    known.overhead = match (known.overhead.take(), other.overhead) {
        (Some(a), Some(b)) => Some(Overhead {
            limit: a.limit.max(b.limit),
            intervals: a.intervals.saturating_add(b.intervals),
            last: None,
            highest: [a.highest, b.highest].into_iter().flatten().max_by(f64::total_cmp),
            account: None,
        }),
        (one, other) => one.or(other),
    };
}
