//! How long files and functions may be, and what a file begins with.
//!
//! In: the sources. Out: a line for each file over 500 lines and each without `//!` at its head; the functions over 100 lines.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};

use super::source::{Source, Sources};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 100;
/// The head of a file that a program wrote.
const GENERATED: &str = "// @generated";

/// Files that are too long or have no head.
pub fn check(sources: &Sources) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, Source { text, .. }) in written(sources) {
        if !text.starts_with("//! ") {
            wrong.push(format!("{path}: begins without `//!`; say what the file does, what comes in, what goes out"));
        }
        let lines = text.lines().count();
        if lines > FILE_LINES {
            wrong.push(format!("{path}: {lines} lines, more than {FILE_LINES}; it holds more than one idea"));
        }
    }
    wrong
}

/// File and name of each function that is too long.
pub fn long_functions(sources: &Sources) -> BTreeSet<(String, String)> {
    let mut long = BTreeSet::new();
    for (path, source) in written(sources) {
        let mut functions = Functions(Vec::new());
        functions.visit_file(&source.syntax);
        let too_long = functions.0.into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES);
        long.extend(too_long.map(|(name, _)| (path.clone(), name)));
    }
    long
}

/// The files that people write.
fn written(sources: &Sources) -> impl Iterator<Item = (&String, &Source)> {
    sources.iter().filter(|(_, source)| !source.text.starts_with(GENERATED))
}

/// Name and length of each, from `fn` to its last brace.
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let last = block.brace_token.span.close().end().line;
        self.0.push((signature.ident.to_string(), last + 1 - first));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}
