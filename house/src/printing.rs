//! No printing in the crates that have no output: what both sides share, the kernel side, and the load generator.
//!
//! In: the sources. Out: a line for each macro that prints. The agent is looked after by clippy's `print_stdout`,
//! `print_stderr` and `exit`, which see through re-exports and know its one place that may.

use syn::visit::{self, Visit};
use syn::{ImplItemFn, Item, Macro};

use super::source::Sources;
use super::syntax::{attributes, is_test};

const SILENT: [&str; 3] = ["acgs-perf-common/src/", "acgs-perf-ebpf/src/", "acgs-perf-load/src/"];
const MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// What prints and must not.
pub fn check(sources: &Sources) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, source) in sources.iter().filter(|(path, _)| SILENT.iter().any(|start| path.starts_with(start))) {
        let mut printing = Printing(Vec::new());
        printing.visit_file(&source.syntax);
        let line = |(name, line)| format!("{path}:{line}: `{name}!` prints; only `output/` of the agent does that");
        wrong.extend(printing.0.into_iter().map(line));
    }
    wrong
}

struct Printing(Vec<(String, usize)>);

impl<'ast> Visit<'ast> for Printing {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_macro(&mut self, invocation: &'ast Macro) {
        let Some(name) = invocation.path.segments.last().map(|segment| &segment.ident) else { return };
        if MACROS.iter().any(|printing| name == printing) {
            self.0.push((name.to_string(), name.span().start().line));
        }
    }
}
