//! What a check has found, for pipelines: JUnit's XML, and Markdown.
//!
//! In: outcomes. Out: text. JUnit has no specification; this is what Jenkins, GitLab and GitHub's actions read: `testsuites`, `testsuite`,
//! `testcase` with `failure`.

use super::page::{Page, clean};
use super::text::compare::cell;

/// The answer to one question about one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of what.
    pub service: String,
    /// What was asked: `objective`, `regression`, `losses`.
    pub question: &'static str,
    /// The answer.
    pub said: String,
    /// Whether that fails the check.
    pub has_failed: bool,
}

impl Outcome {
    /// A line, if it fails.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        self.has_failed.then(|| format!("{}: {}", self.service, self.said))
    }
}

/// JUnit's XML.
#[must_use]
pub fn junit(outcomes: &[Outcome]) -> String {
    let failures = outcomes.iter().filter(|of| of.has_failed).count();
    let counts = format!("name=\"acgs-perf\" tests=\"{}\" failures=\"{failures}\" errors=\"0\"", outcomes.len());
    let mut xml =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite {counts}>\n");
    for of in outcomes {
        let (class, said) = (escaped(&of.service), escaped(&of.said));
        xml += &format!("    <testcase classname=\"{class}\" name=\"{}\" time=\"0\">\n", of.question);
        xml += &match of.has_failed {
            true => format!("      <failure message=\"{said}\">{said}</failure>\n"),
            false => format!("      <system-out>{said}</system-out>\n"),
        };
        xml += "    </testcase>\n";
    }
    xml + "  </testsuite>\n</testsuites>\n"
}

/// Text of others in XML: also without the characters that XML cannot hold.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => safe.push('?'),
            c => safe.push(c),
        }
    }
    safe
}

/// For a pull request; `compared` is Markdown already.
#[must_use]
pub fn markdown(outcomes: &[Outcome], compared: Option<&str>) -> Page {
    let has_failed = outcomes.iter().any(|of| of.has_failed);
    let mut page = Page::of(&format!("## acgs-perf: {}", if has_failed { "failed" } else { "passed" }));
    page.lines(["", "| service | question | answer | |", "|---|---|---|---|"]);
    for of in outcomes {
        let mark = if of.has_failed { "failed" } else { "ok" };
        page.line(&format!("| {} | {} | {} | {mark} |", cell(&of.service), of.question, cell(&of.said)));
    }
    if let Some(compared) = compared {
        page.line("");
        page.lines(compared.lines());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> Vec<Outcome> {
        let of = |service: &str, said: &str, has_failed| Outcome {
            service: service.into(),
            question: "objective",
            said: said.into(),
            has_failed,
        };
        vec![of("a<b>&\"c\u{1b}", "p99 > 5 ms | bad", true), of("db", "fine", false)]
    }

    #[test]
    fn junit_is_whole_and_holds_what_others_chose() {
        let xml = junit(&outcomes());
        assert!(
            xml.contains("tests=\"2\" failures=\"1\"") && xml.contains("classname=\"a&lt;b&gt;&amp;&quot;c?\""),
            "{xml}"
        );
        assert!(xml.contains("<failure message=\"p99 &gt; 5 ms | bad\">") && xml.ends_with("</testsuites>\n"), "{xml}");
    }

    #[test]
    fn markdown_says_what_failed() {
        let page = markdown(&outcomes(), Some("### x"));
        assert!(page.as_str().starts_with("## acgs-perf: failed\n"), "{}", page.as_str());
        assert!(page.as_str().contains("p99 \\> 5 ms \\| bad | failed |") && page.as_str().ends_with("### x\n"));
    }
}
