//! Captures of older agents: the same figures, in the layout of today.
//!
//! In: intervals and exemplars as an older agent numbered them. Out: numbered as this one does. Layout 1 had fewer components of a
//! request, so that the numbers of the others, and the words of the attribution histogram, were different.

use acgs_perf_common::attribution::{
    CALLS_WORD, COMPONENTS, COUNT_WORD, Component, LATENCY_WORD, MANY_CALLS_WORD, ONE_CALL_WORD, PEER_SLOTS, PEER_WORD,
    SHARED_WORD, component_word,
};

use super::exemplar::{Exemplar, Exemplars};
use super::interval::Interval;
use crate::live::probes::attribution::ROWS;
use crate::sums::Sums;

/// The components of layout 1, in its order.
const COMPONENTS_1: [Component; 23] = [
    Component::QueueAccept,
    Component::QueueOnCpu,
    Component::QueueRunQueue,
    Component::QueueLock,
    Component::QueueDisk,
    Component::QueueDownstream,
    Component::QueueIdle,
    Component::QueueSleep,
    Component::QueueFault,
    Component::QueueOther,
    Component::OnCpu,
    Component::RunQueue,
    Component::Lock,
    Component::Disk,
    Component::Downstream,
    Component::Idle,
    Component::Sleep,
    Component::Fault,
    Component::Other,
    Component::LoopWait,
    Component::PoolWait,
    Component::Unknown,
    Component::Reply,
];

/// First word of a row of layout 1 that only some requests had.
const WIDE_WORDS_1: usize = 15;
/// What followed the components in a row of layout 1; the peers' words come after these.
const OTHERS_1: [usize; 4] = [SHARED_WORD, CALLS_WORD, ONE_CALL_WORD, MANY_CALLS_WORD];

/// Words of a row of layout 1, by index: the word that means the same today.
fn words_1() -> Vec<usize> {
    let (on_cpu, loop_wait, reply) = (Component::OnCpu, Component::LoopWait, Component::Reply);
    let first = [COUNT_WORD, LATENCY_WORD, component_word(on_cpu), component_word(loop_wait), component_word(reply)];
    let others = COMPONENTS_1.iter().filter(|part| ![on_cpu, loop_wait, reply].contains(part));
    let mut words: Vec<usize> = first.into_iter().chain(others.map(|part| component_word(*part))).collect();
    debug_assert_eq!(words.len(), WIDE_WORDS_1 + 10);
    words.extend(OTHERS_1);
    words.extend((0..PEER_SLOTS).map(|slot| PEER_WORD + slot));
    words
}

/// Brings what a capture of this `layout` holds up to the layout of today.
pub fn bring_up(layout: u32, intervals: &mut [Interval], exemplars: &mut Exemplars) {
    let words = (layout < 2).then(words_1);
    let renumber = |exemplar: &mut Exemplar| {
        if layout < 2 {
            renumber_1(exemplar);
        }
        // A file that was made by nobody of us may have any number of them.
        exemplar.component_ns.resize(COMPONENTS, 0);
    };
    for interval in intervals {
        if let Some(words) = &words {
            let rows = interval.subjects.values_mut().filter_map(|sections| sections.get_mut(ROWS));
            rows.flat_map(|section| section.values_mut()).for_each(|row| row.sums = moved(&row.sums, words));
        }
        interval.slowest.0.values_mut().flatten().for_each(&renumber);
    }
    exemplars.values_mut().flat_map(|kept| kept.slowest.iter_mut().chain(&mut kept.sample)).for_each(&renumber);
}

/// The same figures in other words.
fn moved(sums: &Sums, words: &[usize]) -> Sums {
    let known = sums.iter().filter_map(|(word, value)| Some((*words.get(word as usize)? as u32, value)));
    let mut known: Vec<_> = known.collect();
    known.sort_unstable_by_key(|(word, _)| *word);
    Sums::sparse(known)
}

fn renumber_1(exemplar: &mut Exemplar) {
    let mut all = vec![0; COMPONENTS];
    for (part, ns) in COMPONENTS_1.iter().zip(&exemplar.component_ns) {
        all[*part as usize] = *ns;
    }
    exemplar.component_ns = all;
    for segment in &mut exemplar.segments {
        let part = COMPONENTS_1.get(segment.component as usize).copied().unwrap_or(Component::Unknown);
        segment.component = part as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::exemplar::{Kept, Segment};
    use crate::snapshot::model::Subject;

    #[test]
    fn each_word_of_layout_1_has_one_of_today() {
        let words = words_1();
        assert_eq!(words.len(), 45);
        let mut sorted = words.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 45, "two words in one");
        // As the documentation of layout 1 had them.
        assert_eq!(words[15], component_word(Component::RunQueue));
        assert_eq!((words[14], words[24]), (component_word(Component::QueueOther), component_word(Component::Unknown)));
        assert_eq!(
            (words[25], words[28], words[29], words[44]),
            (SHARED_WORD, MANY_CALLS_WORD, PEER_WORD, PEER_WORD + 15)
        );
        let moved = moved(&Sums::sparse([(0, 2), (13, 7), (15, 9), (44, 1), (99, 5)]), &words);
        assert_eq!(moved.count(component_word(Component::QueueFault) as u32), 7);
        assert_eq!(moved.count(component_word(Component::RunQueue) as u32), 9);
        assert_eq!((moved.count(0), moved.count(PEER_WORD as u32 + 15), moved.iter().count()), (2, 1, 4));
    }

    #[test]
    fn an_exemplar_of_layout_1_keeps_its_components() {
        let mut old = Exemplar { component_ns: (0..23).collect(), ..Exemplar::default() };
        old.segments = [10, 22, 77].map(|component| Segment { component, ..Segment::default() }).into();
        let kept = Kept { sample: vec![old], ..Kept::default() };
        let mut exemplars = Exemplars::from([(Subject::service(0), kept)]);
        bring_up(1, &mut [], &mut exemplars);
        let new = &exemplars[&Subject::service(0)].sample[0];
        assert_eq!(new.component_ns.len(), COMPONENTS);
        assert_eq!(
            (new.component_ns[Component::OnCpu as usize], new.component_ns[Component::Reply as usize]),
            (10, 22)
        );
        assert_eq!(new.component_ns[Component::RequestBody as usize], 0);
        let parts: Vec<u32> = new.segments.iter().map(|segment| segment.component).collect();
        assert_eq!(parts, [Component::OnCpu, Component::Reply, Component::Unknown].map(|part| part as u32));
    }
}
