//! The verifier's budget: how many instructions each program costs it on each kernel, kept in `docs/verifier.tsv`.
//!
//! In: the committed file, what a kernel's verifier did just now. Out: the programs that grew, and the file brought up to date:
//! a new program is added, a smaller value is kept, a greater one only when it is accepted.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::doctor::Program;

/// The header of the file.
const HEADER: &str = "kernel\tprogram\tverified_instructions";
/// How much a program may grow unnoticed, in percent of the committed value.
const ROOM: u64 = 10;

/// The committed values, by kernel and program. Kernels keep the order in which they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    kernels: Vec<(String, BTreeMap<String, u64>)>,
}

/// A program that grew by more than there is room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    kernel: String,
    program: String,
    committed: u64,
    measured: u64,
}

impl std::fmt::Display for Growth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kernel, program, committed, measured } = self;
        let percent = (measured - committed) * 100 / (*committed).max(1);
        write!(
            f,
            "{kernel}: the verifier goes through {measured} instructions of {program}, {percent} % more than {committed}"
        )
    }
}

impl Budget {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self> {
        let mut budget = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && *line != HEADER) {
            let words: Vec<&str> = line.split('\t').collect();
            let [kernel, program, count] = words.as_slice() else { anyhow::bail!("no three columns in {line:?}") };
            let count = count.parse().with_context(|| format!("no number in {line:?}"))?;
            budget.kernel(kernel).insert((*program).to_owned(), count);
        }
        Ok(budget)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for (kernel, programs) in &self.kernels {
            for (program, count) in programs {
                text += &format!("{kernel}\t{program}\t{count}\n");
            }
        }
        text
    }

    /// Whether there are values for this kernel.
    pub fn has(&self, kernel: &str) -> bool {
        self.kernels.iter().any(|(name, _)| name == kernel)
    }

    /// The programs that grew beyond what there is room for.
    pub fn grown(&self, kernel: &str, measured: &[Program]) -> Vec<Growth> {
        let Some((_, committed)) = self.kernels.iter().find(|(name, _)| name == kernel) else { return Vec::new() };
        let growth = |program: &Program| {
            let (committed, measured) = (*committed.get(&program.name)?, program.verified_instructions);
            let growth = Growth { kernel: kernel.to_owned(), program: program.name.clone(), committed, measured };
            (measured * 100 > committed * (100 + ROOM)).then_some(growth)
        };
        measured.iter().filter_map(growth).collect()
    }

    /// Takes what was measured: what shrank and what is new, and what grew only with `accept`. Programs that are gone go.
    pub fn take(&mut self, kernel: &str, measured: &[Program], accept: bool) {
        let committed = self.kernel(kernel);
        let values = measured.iter().map(|program| {
            let now = program.verified_instructions;
            let kept = committed.get(&program.name).map_or(now, |before| if accept { now } else { now.min(*before) });
            (program.name.clone(), kept)
        });
        *committed = values.collect();
    }

    fn kernel(&mut self, name: &str) -> &mut BTreeMap<String, u64> {
        let place = self.kernels.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            let order = |name: &str| -> Vec<u32> {
                name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
            };
            let place = self.kernels.partition_point(|(known, _)| order(known) <= order(name));
            self.kernels.insert(place, (name.to_owned(), BTreeMap::new()));
            place
        });
        &mut self.kernels[place].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(list: &[(&str, u64)]) -> Vec<Program> {
        list.iter().map(|(name, count)| Program { name: (*name).to_owned(), verified_instructions: *count }).collect()
    }

    const TEXT: &str = "kernel\tprogram\tverified_instructions\n6.1\tfork\t100\n6.1\tswitch\t1000\n6.18\tfork\t90\n";

    #[test]
    fn what_is_read_is_written() {
        assert_eq!(Budget::parse(TEXT).unwrap().text(), TEXT);
        assert!(Budget::parse("6.1\tfork").is_err());
        assert!(Budget::parse("6.1\tfork\tmany").is_err());
    }

    #[test]
    fn ten_percent_is_the_limit_and_other_kernels_do_not_count() {
        let budget = Budget::parse(TEXT).unwrap();
        assert!(budget.grown("6.1", &programs(&[("fork", 110), ("switch", 1100), ("new", 9999)])).is_empty());
        let grown = budget.grown("6.1", &programs(&[("fork", 111), ("switch", 1000)]));
        assert_eq!(grown.len(), 1);
        assert!(grown[0].to_string().contains("111 instructions of fork, 11 % more than 100"), "{}", grown[0]);
        assert!(budget.grown("7.3", &programs(&[("fork", 9999)])).is_empty());
    }

    #[test]
    fn small_steps_do_not_add_up_unnoticed() {
        let mut budget = Budget::parse(TEXT).unwrap();
        budget.take("6.1", &programs(&[("fork", 109), ("switch", 900)]), false);
        assert_eq!(budget.text(), TEXT.replace("1000", "900"));
        assert_eq!(budget.grown("6.1", &programs(&[("fork", 118)])).len(), 1);
    }

    #[test]
    fn new_kernels_stand_in_order_and_what_is_gone_goes() {
        let mut budget = Budget::parse(TEXT).unwrap();
        budget.take("6.12", &programs(&[("fork", 95)]), false);
        budget.take("6.1", &programs(&[("fork", 200)]), true);
        assert_eq!(budget.text(), format!("{HEADER}\n6.1\tfork\t200\n6.12\tfork\t95\n6.18\tfork\t90\n"));
        assert!(budget.has("6.12") && !budget.has("5.10"));
    }
}
