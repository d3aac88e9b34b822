//! What the kernel side counts, by key, in a form that can be subtracted, added and saved.
//!
//! In: words of the kernel's maps. Out: [`Sections`], one per kind of figure, each a table of [`Row`]s. Nobody here knows what a
//! word means: a probe fills its sections, and its figures are read from them. Words are signed, because a reply that grows
//! across the border of two intervals leaves one bucket for another: where it leaves, the difference is negative.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What two states of the same thing differ by, and how two such differences follow one another.
pub trait Difference {
    /// Takes away what was there earlier.
    fn subtract(&mut self, earlier: &Self);
    /// Adds what came later.
    fn add(&mut self, later: &Self);
    /// Whether there is nothing to tell.
    fn is_nothing(&self) -> bool;
}

/// Words by index: sorted, without zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(Vec<(u32, i64)>);

/// What is counted for one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What adds up.
    pub sums: Sums,
    /// What does not: maxima, gauges, ages. The later state's is the one that counts; empty in a difference if it has not changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latest: Vec<u64>,
    /// What the key stands for, where that is a text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
}

/// Numbers that tell the rows of a section apart: a bucket, a system call, an address.
pub type Key = Vec<u32>;
/// Rows by key.
pub type Section = BTreeMap<Key, Row>;
/// Sections by name.
pub type Sections = BTreeMap<Cow<'static, str>, Section>;

impl Row {
    /// A row in which nothing was counted.
    pub const NOTHING: Self = Self { sums: Sums(Vec::new()), latest: Vec::new(), label: String::new() };
}

/// The rows in which something was counted, of a table that nothing is evicted from. A row that was there `before` stays when all of it was taken
/// back: if it were gone, what it had counted would stay counted.
pub fn counted(rows: impl IntoIterator<Item = (Key, Row)>, before: Option<&Section>) -> Section {
    let was_there = |key: &Key| before.is_some_and(|before| before.contains_key(key));
    rows.into_iter().filter(|(key, row)| !row.sums.is_nothing() || was_there(key)).collect()
}

impl Sums {
    /// From all words, by index.
    pub fn dense(words: impl IntoIterator<Item = i64>) -> Self {
        Self((0..).zip(words).filter(|(_, word)| *word != 0).collect())
    }

    /// From some words; the indexes rise.
    pub fn sparse(words: impl IntoIterator<Item = (u32, i64)>) -> Self {
        let sums: Vec<_> = words.into_iter().filter(|(_, word)| *word != 0).collect();
        debug_assert!(sums.is_sorted_by(|a, b| a.0 < b.0));
        Self(sums)
    }

    /// The word with this index.
    #[must_use]
    pub fn get(&self, index: u32) -> i64 {
        self.0.binary_search_by_key(&index, |(at, _)| *at).map_or(0, |at| self.0[at].1)
    }

    /// A word that cannot be negative; 0 where it is.
    #[must_use]
    pub fn count(&self, index: u32) -> u64 {
        u64::try_from(self.get(index)).unwrap_or(0)
    }

    /// All words that are not 0, by rising index.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, i64)> {
        self.0.iter().copied()
    }

    /// Adds in place, if all words of the other are here and none becomes 0; tells whether it did. A sum of many has most words already.
    fn add_in_place(&mut self, other: &Self) -> bool {
        let mut at = 0;
        for (index, word) in &other.0 {
            while self.0.get(at).is_some_and(|(own, _)| own < index) {
                at += 1;
            }
            match self.0.get(at) {
                Some((own, value)) if own == index && value.wrapping_add(*word) != 0 => {}
                _ => return false,
            }
        }
        at = 0;
        for (index, word) in &other.0 {
            while self.0[at].0 < *index {
                at += 1;
            }
            self.0[at].1 = self.0[at].1.wrapping_add(*word);
        }
        true
    }

    fn combine(&mut self, other: &Self, of: impl Fn(i64, i64) -> i64) {
        let mut merged = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut own, mut others) = (self.0.iter().copied().peekable(), other.0.iter().copied().peekable());
        loop {
            let (index, word) = match (own.peek().copied(), others.peek().copied()) {
                (None, None) => break,
                (Some((a, x)), Some((b, y))) if a == b => {
                    others.next();
                    own.next();
                    (a, of(x, y))
                }
                (Some((a, x)), b) if b.is_none_or(|(b, _)| a < b) => {
                    own.next();
                    (a, of(x, 0))
                }
                (_, Some((b, y))) => {
                    others.next();
                    (b, of(0, y))
                }
                (Some(_), None) => break,
            };
            if word != 0 {
                merged.push((index, word));
            }
        }
        merged.shrink_to_fit();
        self.0 = merged;
    }
}

impl Difference for Sums {
    fn subtract(&mut self, earlier: &Self) {
        self.combine(earlier, i64::wrapping_sub);
    }

    fn add(&mut self, later: &Self) {
        if !self.add_in_place(later) {
            self.combine(later, i64::wrapping_add);
        }
    }

    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }
}

impl Difference for Row {
    fn subtract(&mut self, earlier: &Self) {
        self.sums.subtract(&earlier.sums);
        if self.latest == earlier.latest {
            self.latest.clear();
        }
    }

    fn add(&mut self, later: &Self) {
        self.sums.add(&later.sums);
        if !later.latest.is_empty() {
            self.latest.clone_from(&later.latest);
        }
        if !later.label.is_empty() {
            self.label.clone_from(&later.label);
        }
    }

    fn is_nothing(&self) -> bool {
        self.sums.is_nothing() && self.latest.is_empty()
    }
}

impl<K: Ord + Clone, V: Difference + Default> Difference for BTreeMap<K, V> {
    fn subtract(&mut self, earlier: &Self) {
        for (key, value) in earlier {
            // What is gone since has been evicted by the kernel side; what it had counted stays counted.
            if let Some(own) = self.get_mut(key) {
                own.subtract(value);
            }
        }
        self.retain(|_, value| !value.is_nothing());
    }

    fn add(&mut self, later: &Self) {
        for (key, value) in later {
            self.entry(key.clone()).or_default().add(value);
        }
        self.retain(|_, value| !value.is_nothing());
    }

    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

/// Saved as bytes: for each word the distance from the index before and the value, as LEB128, which is two bytes for most.
impl Serialize for Sums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * 3);
        let mut next = 0;
        for (index, word) in &self.0 {
            put(&mut bytes, u64::from(index - next));
            put(&mut bytes, ((word << 1) ^ (word >> 63)) as u64);
            next = index + 1;
        }
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Sums {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> serde::de::Visitor<'de> for Bytes {
            type Value = Sums;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes that hold sums")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Sums, E> {
                unpack(bytes).ok_or_else(|| E::custom("damaged sums"))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Sums, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                self.visit_bytes(&bytes)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

fn unpack(mut bytes: &[u8]) -> Option<Sums> {
    // Each number ends with a byte whose first bit is 0, and there are two of them for each word.
    let count = bytes.iter().filter(|byte| **byte < 0x80).count() / 2;
    let (mut sums, mut next) = (Vec::with_capacity(count), 0u32);
    while !bytes.is_empty() {
        let index = next.checked_add(u32::try_from(take(&mut bytes)?).ok()?)?;
        let word = take(&mut bytes)?;
        sums.push((index, (word >> 1) as i64 ^ -((word & 1) as i64)));
        next = index.checked_add(1)?;
    }
    Some(Sums(sums))
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(words: &[(u32, i64)]) -> Sums {
        Sums::sparse(words.iter().copied())
    }

    #[test]
    fn a_difference_is_taken_word_by_word_and_may_be_negative() {
        let mut later = sums(&[(0, 5), (3, 7), (9, 1)]);
        let earlier = sums(&[(0, 5), (2, 4), (3, 2)]);
        later.subtract(&earlier);
        assert_eq!(later, sums(&[(2, -4), (3, 5), (9, 1)]));
        later.add(&earlier);
        assert_eq!(later, sums(&[(0, 5), (3, 7), (9, 1)]));
        assert_eq!((later.get(3), later.get(4), later.count(9)), (7, 0, 1));
    }

    #[test]
    fn what_is_added_in_place_is_what_is_added() {
        let all =
            [sums(&[]), sums(&[(2, 1)]), sums(&[(2, -1), (5, 3)]), sums(&[(0, 1), (2, 2), (5, 9)]), sums(&[(7, 1)])];
        for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))) {
            let (mut added, mut combined) = (a.clone(), a.clone());
            added.add(b);
            combined.combine(b, i64::wrapping_add);
            assert_eq!(added, combined, "{a:?} + {b:?}");
        }
    }

    #[test]
    fn what_the_kernel_has_evicted_is_no_negative_row() {
        let row = |word| Row { sums: sums(&[(0, word)]), ..Row::default() };
        let earlier = Section::from([(vec![1], row(5)), (vec![2], row(7))]);
        let mut later = Section::from([(vec![2], row(9)), (vec![3], row(1))]);
        later.subtract(&earlier);
        assert_eq!(later, Section::from([(vec![2], row(2)), (vec![3], row(1))]));
    }

    #[test]
    fn gauges_are_those_of_the_later_state() {
        let row = |word, gauge| Row { sums: sums(&[(0, word)]), latest: vec![gauge], label: String::new() };
        let mut later = row(5, 70);
        later.subtract(&row(3, 90));
        assert_eq!(later, row(2, 70));
        let mut same = row(5, 90);
        same.subtract(&row(5, 90));
        assert!(same.is_nothing());
        let mut moved = row(5, 91);
        moved.subtract(&row(5, 90));
        assert!(!moved.is_nothing(), "a gauge that changed is news");
        let mut earlier = row(1, 90);
        earlier.add(&later);
        assert_eq!(earlier, row(3, 70));
    }

    #[test]
    fn what_is_saved_is_what_is_read() {
        let all = sums(&[(0, 1), (1, -1), (300, i64::MAX), (301, i64::MIN), (u32::MAX - 1, 200)]);
        let json = serde_json::to_vec(&all).unwrap();
        assert_eq!(serde_json::from_slice::<Sums>(&json).unwrap(), all);
        for damaged in ["[128]", "[0]", "[255,255,255,255,255,0,1]"] {
            assert!(serde_json::from_str::<Sums>(damaged).is_err(), "{damaged}");
        }
    }
}
