//! Whether each finding has its page, and whether the examples are what the code says.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::{PAGES, summary};
use crate::analysis::findings::ids;
use crate::analysis::sample::assessed;
use crate::analysis::sample::examples::example;
use crate::output::text::{findings, summary as summary_of};
use crate::output::words::said;

/// What each page has, in this order.
const HEADINGS: [&str; 4] = ["## What it means", "## When it is found", "## What to do", "## Example"];
/// Width of the examples.
const WIDTH: usize = 100;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/findings")
}

/// Fails unless a file says this; with `UPDATE` in the environment it is written.
fn compare(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, text).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == text, "{}: run UPDATE=1 cargo test -p acgs-perf output::pages", path.display());
}

#[test]
fn each_finding_has_a_page_and_no_page_is_left_over() {
    let known: Vec<_> = ids().collect();
    let unique: BTreeSet<_> = known.iter().copied().collect();
    assert_eq!(known.len(), unique.len(), "an id of two rules");
    let pages: BTreeSet<_> = PAGES.iter().map(|(id, _)| *id).collect();
    assert_eq!(unique, pages);
    let files = fs::read_dir(directory()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<_> = files.filter(|name| name != "README.md").collect();
    assert_eq!(files, pages.iter().map(|id| format!("{id}.md")).collect());
}

#[test]
fn each_page_has_its_parts() {
    for (id, page) in PAGES {
        assert!(page.starts_with(&format!("# `{id}`\n\n")) && summary(page).ends_with('.'), "{id}");
        let at: Vec<_> =
            HEADINGS.iter().map(|heading| page.find(heading).unwrap_or_else(|| panic!("{id}: {heading}"))).collect();
        assert!(at.is_sorted(), "{id}");
    }
}

#[test]
fn each_example_is_what_the_code_says() {
    for id in ids() {
        let report = said(assessed(example(id)));
        let found = report.findings.iter().find(|finding| finding.id == id);
        let found = found.unwrap_or_else(|| panic!("{id} is not found in its example: {:?}", report.findings));
        assert!(!found.recommendation.is_empty() && !found.title.is_empty(), "{found:?}");
        let text = findings(std::slice::from_ref(found), WIDTH);
        let path = directory().join(format!("{id}.md"));
        let page = fs::read_to_string(&path).unwrap();
        let head = &page[..page.find(HEADINGS[3]).unwrap()];
        compare(&path, &format!("{head}{}\n\n```text\n{}```\n", HEADINGS[3], text.as_str()));
    }
}

#[test]
fn the_list_has_all_of_them() {
    let mut list =
        "# Findings\n\nWhat a report can find, and what each means. `acgs-perf explain ID` prints the page.\n\n"
            .to_owned();
    for (id, page) in PAGES {
        let _ = writeln!(list, "- [`{id}`]({id}.md): {}", summary(page));
    }
    compare(&directory().join("README.md"), &list);
}

#[test]
fn the_screens_to_read_are_those_of_the_code() {
    let path = directory().join("../reading.md");
    let page = fs::read_to_string(&path).unwrap();
    let mut parts = page.split("<!-- screen: ");
    let mut text = parts.next().unwrap().to_owned();
    let mut screens = 0;
    for part in parts {
        let (id, rest) = part.split_once(" -->\n").unwrap();
        // What stands there now ends with its fence.
        let rest = match rest.strip_prefix("\n```text\n") {
            Some(old) => old.split_once("\n```\n").unwrap().1,
            None => rest,
        };
        let screen = summary_of(&said(assessed(example(id))), 80);
        assert!(screen.as_str().lines().count() <= 24, "{id}");
        let _ = write!(text, "<!-- screen: {id} -->\n\n```text\n{}```\n{rest}", screen.as_str());
        screens += 1;
    }
    assert_eq!(screens, 6);
    compare(&path, &text);
}
