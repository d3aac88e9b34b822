//! Which file of a crate uses which other.
//!
//! In: a crate. Out: one entry per pair of modules, with whether a function of the other is meant. Counted is what a path
//! names, in an import, in code and in the arguments of a macro; it is followed through re-exports to the file that owns it.
//! Not seen are calls of methods, whose type no path names. Tests may use everything, and count as nothing.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, ItemUse, Visibility};

use super::modules::{Crate, Target, What, leaves};
use super::syntax::{attributes, is_test};

/// One module uses another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The module that uses.
    pub from: usize,
    /// The module that is used.
    pub to: usize,
    /// It uses a function.
    pub is_function: bool,
}

/// All of them, each once.
pub fn of(krate: &Crate) -> BTreeSet<Import> {
    let mut found = BTreeSet::new();
    for (from, module) in krate.modules.iter().enumerate().filter(|(_, module)| !module.is_test) {
        let mut paths = Paths::default();
        module.items.iter().for_each(|item| paths.visit_item(item));
        for path in &paths.named {
            found.extend(krate.resolve(from, path).and_then(|target| import(krate, from, target, false)));
        }
        for path in &paths.everything_of {
            found.extend(krate.resolve(from, path).and_then(|target| import(krate, from, target, true)));
        }
        for path in &paths.handed_on {
            let target = krate.resolve(from, path);
            // A module that hands on what lies below it is the door of a room, and depends on nothing by that.
            let is_below = |target: &Target| krate.modules[target.module].path.starts_with(&module.path);
            found.extend(target.filter(|t| !is_below(t)).and_then(|target| import(krate, from, target, false)));
        }
    }
    found
}

fn import(krate: &Crate, from: usize, target: Target, everything: bool) -> Option<Import> {
    let (user, used) = (&krate.modules[from], &krate.modules[target.module]);
    // A module alone is a name on the way to something; what is used of it is a path of its own.
    let counts = target.what != What::Module || everything;
    let is_function = target.what == What::Function;
    (counts && !used.is_test && user.file != used.file).then_some(Import { from, to: target.module, is_function })
}

#[derive(Default)]
struct Paths {
    named: BTreeSet<Vec<String>>,
    /// `use path::*`.
    everything_of: BTreeSet<Vec<String>>,
    /// `pub use path`.
    handed_on: BTreeSet<Vec<String>>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        // Modules inside are modules of their own.
        if !is_test(attributes(item)) && !matches!(item, Item::Mod(_)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        let is_private = matches!(import.vis, Visibility::Inherited);
        for (name, path) in leaves(&import.tree) {
            match name.as_str() {
                "*" => self.everything_of.insert(path),
                _ if is_private => self.named.insert(path),
                _ => self.handed_on.insert(path),
            };
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.named.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.visit_path(&invocation.path);
        self.tokens(invocation.tokens.clone());
    }
}

impl Paths {
    /// Paths in what a macro is given: names with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.named.insert(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.named.insert(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.named.insert(path);
    }
}
