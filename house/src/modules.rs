//! The modules of a crate: which file holds each, what it imports, which functions it defines.
//!
//! In: the sources, and the root file of a crate. Out: its modules, the root first. What is compiled for tests only is there
//! too, and marked.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, UseTree};

use super::source::Sources;
use super::syntax::is_test;

/// One module: a file, or a block inside one.
pub struct Module<'a> {
    /// The file that holds it.
    pub file: String,
    /// Its names from the root of the crate; empty for the root.
    pub path: Vec<String>,
    /// The module around it; the root is its own.
    pub parent: usize,
    /// Modules inside it.
    pub children: BTreeMap<String, usize>,
    /// What each name that it imports stands for, as written.
    pub imports: BTreeMap<String, Vec<String>>,
    /// The functions that it defines.
    pub functions: BTreeSet<String>,
    /// Compiled for tests only.
    pub is_test: bool,
    /// Its items.
    pub items: &'a [Item],
}

/// A crate.
pub struct Crate<'a> {
    /// Its modules.
    pub modules: Vec<Module<'a>>,
    /// Modules whose file was not found.
    pub lost: Vec<String>,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The module that owns it.
    pub module: usize,
    /// What it is there.
    pub what: What,
}

/// Kinds of things that paths name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The module itself.
    Module,
    /// A function.
    Function,
    /// A type, a trait, a constant, a macro.
    Other,
}

/// One name that an import brings, and the path that it stands for; `*` for all.
pub fn leaves(tree: &UseTree) -> Vec<(String, Vec<String>)> {
    fn walk(tree: &UseTree, path: &[String], out: &mut Vec<(String, Vec<String>)>) {
        let with = |name: &syn::Ident| path.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(inner) => walk(&inner.tree, &with(&inner.ident), out),
            UseTree::Name(inner) if inner.ident == "self" => {
                out.push((path.last().cloned().unwrap_or_default(), path.to_vec()));
            }
            UseTree::Name(inner) => out.push((inner.ident.to_string(), with(&inner.ident))),
            UseTree::Rename(inner) if inner.ident == "self" => out.push((inner.rename.to_string(), path.to_vec())),
            UseTree::Rename(inner) => out.push((inner.rename.to_string(), with(&inner.ident))),
            UseTree::Glob(_) => out.push(("*".into(), path.to_vec())),
            UseTree::Group(group) => group.items.iter().for_each(|inner| walk(inner, path, out)),
        }
    }
    let mut out = Vec::new();
    walk(tree, &[], &mut out);
    out
}

impl<'a> Crate<'a> {
    /// Follows the modules from the root file.
    pub fn of(sources: &'a Sources, root: &str) -> Self {
        let mut found = Self { modules: Vec::new(), lost: Vec::new() };
        if let Some(source) = sources.get(root) {
            let directory = root.rsplit_once('/').map_or("", |(directory, _)| directory);
            found.add(sources, root, directory, Vec::new(), 0, false, &source.syntax.items);
        }
        found
    }

    #[expect(clippy::too_many_arguments, reason = "what a module is, once")]
    fn add(
        &mut self,
        sources: &'a Sources,
        file: &str,
        directory: &str,
        path: Vec<String>,
        parent: usize,
        is_test: bool,
        items: &'a [Item],
    ) -> usize {
        let at = self.modules.len();
        let (children, imports, functions) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let module = Module { file: file.into(), path, parent, children, imports, functions, is_test, items };
        self.modules.push(module);
        for item in items {
            match item {
                Item::Use(import) => {
                    for (name, path) in leaves(&import.tree).into_iter().filter(|(name, _)| name != "*" && name != "_")
                    {
                        self.modules[at].imports.entry(name).or_insert(path);
                    }
                }
                Item::Fn(function) => {
                    self.modules[at].functions.insert(function.sig.ident.to_string());
                }
                Item::Mod(inner) => self.inner(sources, at, directory, inner),
                _ => {}
            }
        }
        at
    }

    fn inner(&mut self, sources: &'a Sources, parent: usize, directory: &str, inner: &'a syn::ItemMod) {
        // A file that the module names itself is another crate's, which is looked at there.
        if inner.content.is_none() && inner.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
            return;
        }
        let name = inner.ident.to_string();
        let mut path = self.modules[parent].path.clone();
        path.push(name.clone());
        let is_test = self.modules[parent].is_test || is_test(&inner.attrs);
        let below = format!("{directory}/{name}");
        let child = if let Some((_, items)) = &inner.content {
            let file = self.modules[parent].file.clone();
            self.add(sources, &file, &below, path, parent, is_test, items)
        } else {
            let places = [format!("{below}.rs"), format!("{below}/mod.rs")];
            let Some((file, source)) = places.iter().find_map(|file| Some((file, sources.get(file)?))) else {
                self.lost.push(format!("{}: no file for `mod {name}`", self.modules[parent].file));
                return;
            };
            self.add(sources, file, &below, path, parent, is_test, &source.syntax.items)
        };
        self.modules[parent].children.insert(name, child);
    }

    /// The names from the root to the file that holds a module: a block inside a file belongs to its file.
    pub fn place(&self, mut at: usize) -> &[String] {
        while at != 0 && self.modules[self.modules[at].parent].file == self.modules[at].file {
            at = self.modules[at].parent;
        }
        &self.modules[at].path
    }

    /// What a path names, seen from a module; `None` when it is of another crate, or a local name.
    pub fn resolve(&self, from: usize, path: &[String]) -> Option<Target> {
        self.resolve_within(from, path, 16)
    }

    /// `fuel` bounds imports of imports.
    fn resolve_within(&self, from: usize, path: &[String], fuel: u32) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(0, rest, fuel),
            "self" => self.walk(from, rest, fuel),
            "super" => {
                let mut at = self.modules[from].parent;
                let ups = rest.iter().take_while(|name| *name == "super").count();
                (0..ups).for_each(|_| at = self.modules[at].parent);
                self.walk(at, &rest[ups..], fuel)
            }
            name => {
                let module = &self.modules[from];
                let known = module.children.contains_key(name)
                    || module.imports.contains_key(name)
                    || module.functions.contains(name);
                known.then(|| self.walk(from, path, fuel)).flatten()
            }
        }
    }

    fn walk(&self, mut at: usize, path: &[String], fuel: u32) -> Option<Target> {
        let fuel = fuel.checked_sub(1)?;
        for (index, name) in path.iter().enumerate() {
            let module = &self.modules[at];
            if let Some(child) = module.children.get(name) {
                at = *child;
            } else if let Some(import) = module.imports.get(name) {
                let whole: Vec<String> = import.iter().chain(&path[index + 1..]).cloned().collect();
                // `use clap;` stands for itself.
                return (whole != path).then(|| self.resolve_within(at, &whole, fuel)).flatten();
            } else {
                let what = if module.functions.contains(name) { What::Function } else { What::Other };
                return Some(Target { module: at, what });
            }
        }
        Some(Target { module: at, what: What::Module })
    }
}
