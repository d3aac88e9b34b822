//! What a check has found, for pipelines: JUnit's XML, and Markdown.
//!
//! In: outcomes. Out: text. JUnit has no specification; this is what Jenkins, GitLab and GitHub's actions read: `testsuites`, `testsuite`,
//! `testcase` with `failure`.

use super::page::{Page, clean};
use super::text::compare::cell;

/// What a pipeline does about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Nothing.
    Ok,
    /// It shows it.
    Warning,
    /// It fails.
    Failed,
}

/// The answer to one question about one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of what.
    pub service: String,
    /// What was asked: `objective`, `regression`, `losses`.
    pub question: &'static str,
    /// The answer.
    pub said: String,
    /// What it means for the check.
    pub grade: Grade,
}

impl Outcome {
    /// A line, if it is of this grade.
    #[must_use]
    pub fn line(&self, grade: Grade) -> Option<String> {
        (self.grade == grade).then(|| format!("{}: {}", self.service, self.said))
    }

    fn has_failed(&self) -> bool {
        self.grade == Grade::Failed
    }
}

/// JUnit's XML.
#[must_use]
pub fn junit(outcomes: &[Outcome]) -> String {
    let failures = outcomes.iter().filter(|of| of.has_failed()).count();
    let counts = format!("name=\"acgs-perf\" tests=\"{}\" failures=\"{failures}\" errors=\"0\"", outcomes.len());
    let mut xml =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite {counts}>\n");
    for of in outcomes {
        let (class, said) = (escaped(&of.service), escaped(&of.said));
        xml += &format!("    <testcase classname=\"{class}\" name=\"{}\" time=\"0\">\n", of.question);
        xml += &match of.grade {
            Grade::Failed => format!("      <failure message=\"{said}\">{said}</failure>\n"),
            // There is no element for it.
            Grade::Warning => format!("      <system-out>warning: {said}</system-out>\n"),
            Grade::Ok => format!("      <system-out>{said}</system-out>\n"),
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
    let has_failed = outcomes.iter().any(Outcome::has_failed);
    let mut page = Page::of(&format!("## acgs-perf: {}", if has_failed { "failed" } else { "passed" }));
    page.lines(["", "| service | question | answer | |", "|---|---|---|---|"]);
    for of in outcomes {
        let mark = match of.grade {
            Grade::Ok => "ok",
            Grade::Warning => "warning",
            Grade::Failed => "failed",
        };
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
        let of = |service: &str, said: &str, grade| Outcome {
            service: service.into(),
            question: "objective",
            said: said.into(),
            grade,
        };
        let bad = of("a<b>&\"c\u{1b}", "p99 > 5 ms | bad", Grade::Failed);
        vec![bad, of("db", "fine", Grade::Ok), of("recording", "3 lost", Grade::Warning)]
    }

    #[test]
    fn junit_is_whole_and_holds_what_others_chose() {
        let xml = junit(&outcomes());
        assert!(
            xml.contains("tests=\"3\" failures=\"1\"") && xml.contains("classname=\"a&lt;b&gt;&amp;&quot;c?\""),
            "{xml}"
        );
        assert!(xml.contains("<system-out>warning: 3 lost</system-out>"), "{xml}");
        assert!(xml.contains("<failure message=\"p99 &gt; 5 ms | bad\">") && xml.ends_with("</testsuites>\n"), "{xml}");
    }

    #[test]
    fn markdown_says_what_failed() {
        let page = markdown(&outcomes(), Some("### x"));
        assert!(page.as_str().starts_with("## acgs-perf: failed\n"), "{}", page.as_str());
        assert!(page.as_str().contains("| recording | objective | 3 lost | warning |"), "{}", page.as_str());
        assert!(page.as_str().contains("p99 \\> 5 ms \\| bad | failed |") && page.as_str().ends_with("### x\n"));
    }
}
