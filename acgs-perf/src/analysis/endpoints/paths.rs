//! Paths whose segments are made-up words, as one route.
//!
//! In: paths as the kernel side has named them, in which what looks like a value is `{}`. Out: the same, with `{name}` for a level on which
//! too many words have been seen. The rule: of one protocol and method, the words that follow the same beginning are one level. Where a
//! level has more of them than its limit (the first one of a path four times as many: an application has many routes there), all of its words, and
//! `{}`, become `{name}`, and so they do where one is that already, and what follows them is put together, where the rule holds anew. That depends on the set of paths alone, and not on their order.
//!
//! Memory is bounded: with more than [`MAX_NODES`] levels and words, the limit is halved until they are fewer. Then, and only then, the
//! order counts; so whoever wants the same twice adds in the same order.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Stands for a word.
pub const NAME: &str = "{name}";
/// What the kernel side writes for a value.
const VALUE: &str = "{}";
/// The first level of a path has so many times as many words.
const FIRST_LEVEL: usize = 4;
/// So many levels and words are kept.
pub const MAX_NODES: usize = 4096;

/// The paths of a service.
#[derive(Clone, Debug)]
pub struct Paths {
    /// By protocol and method.
    roots: BTreeMap<(u32, String), Node>,
    limit: usize,
    nodes: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    children: BTreeMap<String, Node>,
    is_one: bool,
}

impl Paths {
    /// No paths, for levels with at most so many words.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { roots: BTreeMap::new(), limit, nodes: 0 }
    }

    /// Adds a path that begins with a slash.
    pub fn add(&mut self, protocol: u32, method: &str, path: &str) {
        let root = self.roots.entry((protocol, method.to_owned())).or_default();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        self.nodes += root.add(&segments, self.limit, FIRST_LEVEL);
        if self.nodes > MAX_NODES {
            // What was put together counts still.
            self.nodes = self.roots.values().map(Node::count).sum();
        }
        while self.nodes > MAX_NODES && self.limit > 0 {
            self.limit = self.limit.min(MAX_NODES) / 2;
            self.roots.values_mut().for_each(|root| root.settle(self.limit, FIRST_LEVEL));
            self.nodes = self.roots.values().map(Node::count).sum();
        }
    }

    /// The name of a path.
    #[must_use]
    pub fn name<'a>(&self, protocol: u32, method: &str, path: &'a str) -> Cow<'a, str> {
        let mut node = self.roots.get(&(protocol, method.to_owned()));
        let is_changed = |node: Option<&Node>, segment: &str| node.is_some_and(|node| node.is_one && is_taken(segment));
        let mut name = String::with_capacity(path.len());
        let mut changes = false;
        for segment in path.split('/').skip(1) {
            let is_one = is_changed(node, segment);
            let segment = if is_one { NAME } else { segment };
            changes |= is_one;
            name.push('/');
            name.push_str(segment);
            node = node.and_then(|node| node.children.get(segment));
        }
        if changes { name.into() } else { path.into() }
    }

    /// Levels and words that are kept.
    #[cfg(test)]
    pub fn nodes(&self) -> usize {
        self.roots.values().map(Node::count).sum()
    }
}

/// Whether it becomes `{name}` where its level is one: a word, or a value that nobody has named.
fn is_taken(segment: &str) -> bool {
    is_word(segment) || segment == VALUE
}

/// Empty behind a last slash, `…` for segments that were not kept.
fn is_word(segment: &str) -> bool {
    !segment.is_empty() && !segment.starts_with('{') && segment != "…"
}

impl Node {
    /// Adds a path; how many nodes are new.
    fn add(&mut self, segments: &[&str], limit: usize, times: usize) -> usize {
        let Some((first, rest)) = segments.split_first() else { return 0 };
        if *first == NAME && !self.is_one {
            // Somebody has put it together before.
            self.join(limit);
        }
        let name = if self.is_one && is_taken(first) { NAME } else { first };
        let mut new = 0;
        let child = match self.children.contains_key(name) {
            true => self.children.get_mut(name),
            false => {
                new = 1;
                Some(self.children.entry(name.to_owned()).or_default())
            }
        };
        let below = child.map_or(0, |child| child.add(rest, limit, 1));
        if new == 1 && !self.is_one && self.words() > limit.saturating_mul(times) {
            self.join(limit);
        }
        new + below
    }

    fn words(&self) -> usize {
        self.children.keys().filter(|name| is_word(name)).count()
    }

    /// Makes one of the level below.
    fn join(&mut self, limit: usize) {
        self.is_one = true;
        let (words, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.children).into_iter().partition(|(name, _)| is_taken(name));
        self.children = others.into_iter().collect();
        let mut one = self.children.remove(NAME).unwrap_or_default();
        words.into_iter().for_each(|(_, node)| one.merge(node, limit));
        self.children.insert(NAME.to_owned(), one);
    }

    /// Puts another one's paths to its own.
    fn merge(&mut self, other: Self, limit: usize) {
        if other.is_one && !self.is_one {
            self.join(limit);
        }
        for (name, node) in other.children {
            let name = if self.is_one && is_taken(&name) { NAME.to_owned() } else { name };
            self.children.entry(name).or_default().merge(node, limit);
        }
        if !self.is_one && self.words() > limit {
            self.join(limit);
        }
    }

    /// Holds it to a lower limit.
    fn settle(&mut self, limit: usize, times: usize) {
        if !self.is_one && self.words() > limit.saturating_mul(times) {
            self.join(limit);
        }
        self.children.values_mut().for_each(|child| child.settle(limit, 1));
    }

    fn count(&self) -> usize {
        1 + self.children.values().map(Self::count).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: u32 = 3;

    fn of<'a>(paths: impl IntoIterator<Item = &'a String>, limit: usize) -> Paths {
        let mut all = Paths::new(limit);
        paths.into_iter().for_each(|path| all.add(HTTP, "GET", path));
        all
    }

    fn word(mut number: u64) -> String {
        let mut word = String::new();
        loop {
            word.push(char::from(b'a' + (number % 26) as u8));
            number /= 26;
            if number == 0 {
                return word;
            }
        }
    }

    #[test]
    fn a_level_with_too_many_words_is_one_whatever_their_order() {
        let mut paths: Vec<String> = (0..11).map(|at| format!("/users/{}/orders", word(at))).collect();
        paths.extend(["/users/{}".into(), "/users/{id}".into(), "/users/bob/keys".into(), "/users".into()]);
        paths.extend((0..10).map(|at| format!("/posts/{}", word(at))));
        let mut names = Vec::new();
        for turn in 0..paths.len() {
            paths.rotate_left(turn);
            let all = of(&paths, 10);
            let name = |path| all.name(HTTP, "GET", path).into_owned();
            names.push(["/users/c/orders", "/users/{}", "/users/{id}", "/users/zed/x", "/users", "/posts/c"].map(name));
        }
        let wanted = ["/users/{name}/orders", "/users/{name}", "/users/{id}", "/users/{name}/x", "/users", "/posts/c"];
        assert!(names.iter().all(|of| of == &wanted), "{:?}", names[0]);
    }

    #[test]
    fn what_follows_the_words_is_put_together_and_held_to_the_same() {
        // Three words each behind eleven: 33 together.
        let paths: Vec<String> = (0..33).map(|at| format!("/shop/{}/item/{}", word(at / 3), word(100 + at))).collect();
        let all = of(&paths, 10);
        assert_eq!(all.name(HTTP, "GET", "/shop/a/item/zz"), "/shop/{name}/item/{name}");
        assert_eq!(all.name(HTTP, "GET", "/shop"), "/shop");
        // Whoever names the names again gets the same.
        let again: Vec<String> = paths.iter().map(|path| all.name(HTTP, "GET", path).into_owned()).collect();
        assert_eq!(of(&again, 10).name(HTTP, "GET", &again[0]), again[0]);
    }

    #[test]
    fn methods_and_protocols_are_apart_and_the_first_level_has_room() {
        let mut all = Paths::new(10);
        (0..40).for_each(|at| all.add(HTTP, "GET", &format!("/{}", word(at))));
        (0..11).for_each(|at| all.add(HTTP, "GET", &format!("/a/{}", word(at))));
        assert_eq!(all.name(HTTP, "GET", "/c"), "/c");
        assert_eq!(all.name(HTTP, "GET", "/a/c"), "/a/{name}");
        assert_eq!(all.name(HTTP, "POST", "/a/c"), "/a/c");
        assert_eq!(all.name(7, "GET", "/a/c"), "/a/c");
        all.add(HTTP, "GET", "/another");
        assert_eq!(all.name(HTTP, "GET", "/a/c"), "/{name}/{name}");
        assert_eq!(of(&[], usize::MAX).name(HTTP, "GET", "/a/"), "/a/");
    }

    #[test]
    fn nothing_is_joined_without_a_limit_but_for_memory() {
        let paths: Vec<String> = (0..3_000).map(|at| format!("/{}", word(at))).collect();
        assert_eq!(of(&paths, usize::MAX).name(HTTP, "GET", "/ab"), "/ab");
        let paths: Vec<String> = (0..5_000).map(|at| format!("/x/{}", word(at))).collect();
        let all = of(&paths, usize::MAX);
        assert_eq!((all.name(HTTP, "GET", "/x/ab").as_ref(), all.nodes() < 10), ("/x/{name}", true));
    }
}
