//! Circles among the modules of a crate.
//!
//! In: a crate and its imports. Out: the imports between two files that lie on one circle, as pairs of files.
//!
//! The rule, at each level of the tree: the rooms that lie side by side in one module (a file, or a directory with all that is
//! in it) must not need one another in a circle. The module around them, their `mod.rs`, is the door of the house: it may use
//! its rooms, and they may use the words that it defines (types, constants, traits, macros), for that is how a stage shares
//! its error. They may not call its functions as long as it uses them: such a function has a room of its own to go to.
//! `mod x;` and `pub use x::…` of what lies below are no use at all.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Import;
use super::modules::Crate;

/// One room uses another, in these files.
type Uses<'a> = BTreeMap<(Vec<&'a str>, &'a str, &'a str), BTreeSet<(&'a str, &'a str)>>;

/// Stands for the module around the rooms.
const DOOR: &str = "";

/// Pairs of files, the one that imports first, that lie on a circle.
pub fn of(krate: &Crate, imports: &BTreeSet<Import>) -> BTreeSet<(String, String)> {
    let mut uses: Uses = BTreeMap::new();
    for import in imports {
        let (from, to) = (krate.place(import.from), krate.place(import.to));
        let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        let from_room = from.get(common).map_or(DOOR, String::as_str);
        let to_room = to.get(common).map_or(DOOR, String::as_str);
        if to_room == DOOR && !import.is_function {
            continue;
        }
        let level: Vec<&str> = from[..common].iter().map(String::as_str).collect();
        let files = (krate.modules[import.from].file.as_str(), krate.modules[import.to].file.as_str());
        uses.entry((level, from_room, to_room)).or_default().insert(files);
    }
    let mut found = BTreeSet::new();
    for ((level, from, to), files) in &uses {
        if reaches(&uses, level, to, from) {
            found.extend(files.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())));
        }
    }
    found
}

/// Whether a chain of uses leads from one room of a level to another.
fn reaches(uses: &Uses, level: &[&str], from: &str, to: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(room) = next.pop() {
        if room == to {
            return true;
        }
        if seen.insert(room) {
            let below = uses.keys().filter(|(at, user, _)| at == level && *user == room);
            next.extend(below.map(|(_, _, used)| *used));
        }
    }
    false
}
