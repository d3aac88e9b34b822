//! One request's script while it runs: as many strands as branches are open, each done step by step until it has to wait.
//!
//! In: a script, and the strand whose wait is over. Out: what is waited for next. Who waits, and how, is the host's affair:
//! a thread that blocks, or an event loop that goes on with other requests.

use std::io;
use std::sync::Arc;

use super::Work;
use super::log::Record;
use super::tools::Tools;
use super::world::{Step, Steps};

/// What a strand waits for.
pub enum Wait {
    /// So many ns.
    Timer(u64),
    /// The answer of a peer to a script.
    Call(usize, Arc<[u8]>),
}

/// A wait and the strand that waits.
pub type Want = (usize, Wait);

struct Strand {
    steps: Steps,
    at: usize,
    parent: Option<usize>,
    children: usize,
}

/// A script that runs.
pub struct Run {
    strands: Vec<Strand>,
    done: bool,
}

impl Run {
    /// Nothing is done yet; `advance(0)` begins.
    pub fn new(steps: Steps) -> Self {
        Self { strands: vec![Strand { steps, at: 0, parent: None, children: 0 }], done: false }
    }

    /// Whether the reply can be sent.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Goes on with a strand until it, and those that it opens, have to wait.
    pub fn advance(
        &mut self,
        mut index: usize,
        tools: &mut Tools,
        record: &mut Record,
        wants: &mut Vec<Want>,
    ) -> io::Result<()> {
        loop {
            let strand = &mut self.strands[index];
            let steps = Arc::clone(&strand.steps);
            let Some(step) = steps.get(strand.at) else {
                let Some(parent) = strand.parent else {
                    self.done = true;
                    return Ok(());
                };
                self.strands[parent].children -= 1;
                if self.strands[parent].children > 0 {
                    return Ok(());
                }
                index = parent;
                continue;
            };
            strand.at += 1;
            tools.safepoint(record);
            match step {
                Step::Sleep(ns) => {
                    wants.push((index, Wait::Timer(*ns)));
                    return Ok(());
                }
                Step::Work if tools.world.options.work == Work::Sleep => match tools.draw() {
                    0 => {}
                    ns => {
                        wants.push((index, Wait::Timer(ns)));
                        return Ok(());
                    }
                },
                Step::Call(peer, text) => {
                    wants.push((index, Wait::Call(*peer, Arc::clone(text))));
                    return Ok(());
                }
                Step::Parallel(branches) => {
                    // One more, so that branches which end at once do not end the parent before the last has begun.
                    self.strands[index].children = branches.len() + 1;
                    for steps in branches {
                        let child = Strand { steps: Arc::clone(steps), at: 0, parent: Some(index), children: 0 };
                        self.strands.push(child);
                        self.advance(self.strands.len() - 1, tools, record, wants)?;
                    }
                    self.strands[index].children -= 1;
                    if self.strands[index].children > 0 {
                        return Ok(());
                    }
                }
                step => tools.perform(step, record)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::log::Shared;
    use crate::truth::world::{Options, World};

    /// The strands of a script in the order in which they wait, answered first to last.
    fn waits(text: &str) -> Vec<String> {
        let peers = ["a", "b"].map(|name| (name.to_owned(), ([127, 0, 0, 1], 1).into()));
        let options = Options { peers: peers.to_vec(), ..Options::default() };
        let world = World::new(options, Shared::default()).unwrap();
        let mut tools = Tools::new(&world, 1).unwrap();
        let mut run = Run::new(tools.steps(text.as_bytes()).unwrap());
        let (mut record, mut wants, mut said) = (Record::default(), Vec::new(), Vec::new());
        run.advance(0, &mut tools, &mut record, &mut wants).unwrap();
        while !wants.is_empty() {
            let (strand, wait) = wants.remove(0);
            said.push(match wait {
                Wait::Timer(ns) => format!("{strand} sleep {ns}"),
                Wait::Call(peer, text) => format!("{strand} call {peer} {}", String::from_utf8_lossy(&text)),
            });
            assert!(!run.is_done(), "{text}");
            run.advance(strand, &mut tools, &mut record, &mut wants).unwrap();
        }
        assert!(run.is_done(), "{text}");
        said
    }

    #[test]
    fn a_sequence_waits_in_order() {
        assert_eq!(waits("spin:1;sleep:2;call:b[spin:3]"), ["0 sleep 2000", "0 call 1 spin:3"]);
        assert_eq!(waits("spin:1"), [""; 0]);
        assert_eq!(waits(""), [""; 0]);
    }

    #[test]
    fn branches_wait_together_and_the_rest_after_them() {
        assert_eq!(
            waits("parallel[call:a;sleep:1|spin:1|call:b];sleep:5"),
            ["1 call 0 ", "3 call 1 ", "1 sleep 1000", "0 sleep 5000"]
        );
        assert_eq!(waits("parallel[parallel[sleep:1|sleep:2]|spin:1];sleep:3").len(), 3);
        assert_eq!(waits("parallel[spin:1|spin:1];sleep:3"), ["0 sleep 3000"]);
    }
}
