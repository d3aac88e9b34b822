//! The place of the first table of `docs/cost.md`, which another bench writes.
//!
//! In: the page's text. Out: what stands there; the page with something else there.

use anyhow::{Context, Result};

/// The page, from the workspace's root.
pub const PAGE: &str = "docs/cost.md";
const BEGIN: &str = "<!-- written by `cargo xtask bench instructions --accept` -->\n";
const END: &str = "<!-- end -->\n";

/// Before, in and after the place.
fn parts(page: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (inside, after) = rest.split_once(END)?;
    Some((before, inside, after))
}

/// What stands there; nothing on a page that has no such place.
pub fn of(page: &str) -> &str {
    parts(page).map_or("", |(_, inside, _)| inside)
}

/// With its marks, for a page that is written anew.
pub fn marked(text: &str) -> String {
    format!("{BEGIN}{text}{END}")
}

/// The page with this text there.
pub fn replaced(page: &str, text: &str) -> Result<String> {
    let (before, _, after) = parts(page).with_context(|| format!("{PAGE} has no {BEGIN:?} … {END:?}"))?;
    Ok(format!("{before}{}{after}", marked(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_there_is_found_there_and_the_rest_stays() {
        let page = format!("a\n{}b\n", marked("one\n"));
        assert_eq!(of(&page), "one\n");
        let page = replaced(&page, "two\nlines\n").unwrap();
        assert_eq!(of(&page), "two\nlines\n");
        assert!(page.starts_with("a\n") && page.ends_with("b\n"));
        assert!(replaced("nothing", "x").is_err() && of("nothing").is_empty());
    }
}
