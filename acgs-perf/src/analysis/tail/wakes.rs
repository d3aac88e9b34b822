//! The wait for a CPU that follows another part of a request's time, and would go with it.
//!
//! In: exemplars, components. Out: how long a request waits for a CPU after these, per ns of them. A thread that has waited for a lock or for a
//! peer waits for a CPU before it goes on, and one that computes makes way for others now and then: without the first, the second
//! would not be there either. On a busy host twenty calls are twenty such waits.

use acgs_perf_common::attribution::{COMPONENT_NAMES, Component};

use crate::analysis::model::ExemplarReport;

/// With fewer exemplars they do not tell.
const MIN_EXEMPLARS: usize = 5;

/// Time waiting for a CPU right after these components, per ns of them; 0 where that is not known, or they are such waits themselves.
#[must_use]
pub fn cpu_wait_after(exemplars: &[ExemplarReport], components: &[Component]) -> f64 {
    let name = |component: Component| COMPONENT_NAMES[component as usize].0;
    let waits = name(Component::RunQueue);
    let names: Vec<&str> = components.iter().map(|component| name(*component)).collect();
    let (mut of_them, mut after, mut known) = (0.0, 0.0, 0);
    for exemplar in exemplars {
        let in_order = exemplar.segments.iter().zip(exemplar.segments.iter().skip(1));
        let before = after;
        after += in_order
            .filter(|(one, next)| names.contains(&one.component.as_str()) && next.component == waits)
            .map(|(_, next)| next.duration_ns as f64)
            .sum::<f64>();
        let own = exemplar.segments.iter().filter(|segment| names.contains(&segment.component.as_str()));
        let own = own.map(|segment| segment.duration_ns as f64).sum::<f64>();
        (of_them, known) = (of_them + own, known + usize::from(own > 0.0 || after > before));
    }
    if known < MIN_EXEMPLARS || of_them <= 0.0 || names.contains(&waits) { 0.0 } else { after / of_them }
}

#[cfg(test)]
mod tests {
    use Component::{Lock, OnCpu, RunQueue};

    use super::*;
    use crate::analysis::model::SegmentReport;

    fn exemplar(segments: &[(Component, u64)]) -> ExemplarReport {
        let segment = |(component, duration_ns): &(Component, u64)| SegmentReport {
            component: COMPONENT_NAMES[*component as usize].0.into(),
            duration_ns: *duration_ns,
            ..SegmentReport::default()
        };
        ExemplarReport { segments: segments.iter().map(segment).collect(), ..ExemplarReport::default() }
    }

    #[test]
    fn only_what_follows_goes_with_it() {
        let one =
            exemplar(&[(OnCpu, 5), (RunQueue, 7), (Lock, 40), (RunQueue, 4), (Lock, 60), (RunQueue, 6), (OnCpu, 5)]);
        let of = |components: &[Component]| cpu_wait_after(&vec![one.clone(); 5], components);
        assert_eq!((of(&[Lock]), of(&[OnCpu]), of(&[RunQueue])), (0.1, 0.7, 0.0));
        assert_eq!(cpu_wait_after(&vec![one.clone(); 4], &[Lock]), 0.0, "too few");
    }
}
