//! What the page holds, and that nothing from outside becomes a part of it.

use super::*;
use crate::analysis::sample::{self, assessed};
use crate::output::words::said;
use crate::report::seal;

fn page(mut report: Report) -> String {
    report = said(assessed(report));
    seal(&mut report).unwrap();
    render(&report).unwrap().as_str().to_owned()
}

#[test]
fn the_page_has_every_section_and_loads_nothing() {
    let text = page(sample::whole());
    for wanted in
        ["Findings", "Latency by percentile", "by quantile", "Downstream", "slowest single requests", "Loss ledger"]
    {
        assert!(text.contains(wanted), "{wanted}");
    }
    let hash = acgs_perf_common::CONSTITUTIONAL_HASH;
    assert!(text.contains(hash) && text.contains("sha256:"));
    for foreign in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    assert!(!text.contains(" style="), "a style that the policy forbids");
}
