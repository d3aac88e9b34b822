//! The seal of a report: canonical form, digest, and the one rendering that a sealed file has.
//!
//! In: a report. Out: its text with the digest in it. The canonical form is the JSON without `digest`, keys sorted at
//! every level, compact; the file is the same value with the digest, keys sorted, indented by two spaces, newline at the
//! end. Both depend on the value alone, so a file can be compared byte by byte with what sealing it again would write.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::analysis::model::Report;

/// Name of the field that holds the digest.
pub(super) const DIGEST: &str = "digest";

/// Computes the digest, stores it in the report, and returns the text of the file.
///
/// # Errors
/// Only if the report cannot be expressed as JSON, which its types rule out.
pub fn seal(report: &mut Report) -> serde_json::Result<String> {
    report.digest.clear();
    let value = serde_json::to_value(&*report)?;
    report.digest = digest(&value)?;
    let mut value = value;
    if let Value::Object(map) = &mut value {
        map.insert(DIGEST.into(), Value::String(report.digest.clone()));
    }
    render(&value)
}

/// The digest of a report's canonical form; a `digest` in it is left out.
pub(super) fn digest(value: &Value) -> serde_json::Result<String> {
    let mut canonical = sorted(value);
    if let Value::Object(map) = &mut canonical {
        map.remove(DIGEST);
    }
    let hash = Sha256::digest(serde_json::to_vec(&canonical)?);
    let mut text = String::from("sha256:");
    for byte in hash {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    Ok(text)
}

/// The text of a sealed file.
pub(super) fn render(value: &Value) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(&sorted(value))?;
    text.push('\n');
    Ok(text)
}

/// The same value with the keys of every object in byte order, whatever order the map type keeps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            Value::Object(entries.into_iter().map(|(key, item)| (key.clone(), sorted(item))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_ignores_order_and_white_space_and_the_digest_itself() {
        let a: Value =
            serde_json::from_str(r#"{"b":1,"a":{"y":[2,{"q":1,"p":2}],"x":3},"digest":"sha256:00"}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{ "a": {"x": 3, "y": [2, {"p": 2, "q": 1}]}, "b": 1 }"#).unwrap();
        assert_eq!(digest(&a).unwrap(), digest(&b).unwrap());
        // sha256 of {"a":{"x":3,"y":[2,{"p":2,"q":1}]},"b":1}, as `sha256sum` prints it.
        assert_eq!(digest(&a).unwrap(), "sha256:b3e5e2a49820f58d83cf5921f7f5796338b7d1462ba5a78ffd8363d2b1c58206");
    }

    #[test]
    fn the_rendering_is_sorted_and_ends_in_one_newline() {
        let value: Value = serde_json::from_str(r#"{"b":1,"a":2}"#).unwrap();
        assert_eq!(render(&value).unwrap(), "{\n  \"a\": 2,\n  \"b\": 1\n}\n");
    }
}
