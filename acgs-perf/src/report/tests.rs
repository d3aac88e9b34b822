//! A report survives the way to the disk and back, and no changed byte goes unseen.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::seal::{digest as seal_digest, render};
use super::*;
use crate::analysis::analyse;
use crate::analysis::sample::{self, assessed};

fn sealed() -> String {
    seal(&mut assessed(sample::small())).unwrap()
}

fn error(bytes: &[u8]) -> LoadError {
    verify_bytes(Path::new("r.json"), bytes).unwrap_err()
}

/// The text with its digest computed anew after `change`, as someone who knows the format would do.
fn resealed(change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(&sealed()).unwrap();
    change(&mut value);
    let digest = seal_digest(&value).unwrap();
    value["digest"] = Value::String(digest);
    render(&value).unwrap()
}

#[test]
fn comes_back_as_it_was_written() {
    for report in [sample::whole(), sample::small(), sample::empty()] {
        let mut report = assessed(report);
        let text = seal(&mut report).unwrap();
        assert!(text.ends_with("}\n") && report.digest.len() == 71);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        write_atomically(&path, text.as_bytes()).unwrap();
        assert_eq!(load(&path).unwrap(), report);
        assert_eq!(verify(&path).unwrap(), report);
        assert_eq!(load_document(&path).unwrap().to_json().unwrap(), text);
        assert_eq!(seal(&mut report).unwrap(), text, "sealing twice changes nothing");
    }
}

#[test]
fn a_flipped_bit_in_any_byte_is_found() {
    let text = sealed();
    assert!(text.len() > 2000, "the sample shrank");
    verify_bytes(Path::new("r.json"), text.as_bytes()).unwrap();
    let mut bytes = text.into_bytes();
    for at in 0..bytes.len() {
        // One bit of each byte, and every bit of some.
        let bits = if at % 16 == 0 { 0..8 } else { at as u32 % 8..at as u32 % 8 + 1 };
        for bit in bits {
            bytes[at] ^= 1 << bit;
            assert!(verify_bytes(Path::new("r.json"), &bytes).is_err(), "byte {at}, bit {bit}");
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn a_digit_replaced_by_any_other_is_found() {
    let text = sealed();
    let mut bytes = text.clone().into_bytes();
    for at in (0..bytes.len()).filter(|at| text.as_bytes()[*at].is_ascii_digit()).step_by(3) {
        let original = bytes[at];
        for digit in (b'0'..=b'9').filter(|digit| *digit != original) {
            bytes[at] = digit;
            assert!(verify_bytes(Path::new("r.json"), &bytes).is_err(), "byte {at}: {}", digit as char);
        }
        bytes[at] = original;
    }
}

#[test]
fn other_text_for_the_same_value_is_found() {
    let text = sealed();
    for other in [
        text.replacen(": ", ":  ", 1),
        text.replacen("\n  \"cost\"", "\n  \"schema_version\": 2,\n  \"cost\"", 1),
        text.replacen("sha256", "\\u0073ha256", 1),
        text.replacen("100.0", "100.00", 1),
        text.replacen("100.0", "1e2", 1),
        format!("{text}\n"),
        text.trim_end().to_owned(),
        text.replace('\n', "\r\n"),
    ] {
        assert_ne!(other, text);
        assert!(matches!(error(other.as_bytes()), LoadError::Rewritten { .. }), "{}", error(other.as_bytes()));
    }
}

#[test]
fn load_accepts_another_layout_but_no_other_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.json");
    let value: Value = serde_json::from_str(&sealed()).unwrap();
    fs::write(&path, serde_json::to_vec(&value).unwrap()).unwrap();
    load(&path).unwrap();
    fs::write(&path, sealed().replace("\"tiny\"", "\"tidy\"")).unwrap();
    assert!(matches!(load(&path), Err(LoadError::Tampered { .. })));
}

#[test]
fn fields_of_a_later_version_with_the_same_schema_version_are_kept() {
    let text = resealed(|value| value["services"][0]["endpoints"] = serde_json::json!([{"path": "/x"}]));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.json");
    fs::write(&path, &text).unwrap();
    verify(&path).unwrap();
    assert_eq!(load_document(&path).unwrap().to_json().unwrap(), text);
}

#[test]
fn a_report_from_before_there_were_notes_is_read() {
    let text = resealed(|value| drop(value.as_object_mut().unwrap().remove("notes").unwrap()));
    assert!(verify_bytes(Path::new("r.json"), text.as_bytes()).unwrap().notes.is_empty());
}

#[test]
fn each_kind_of_bad_file_gets_its_own_line() {
    let text = sealed();
    let half = &text.as_bytes()[..text.len() / 2];
    let cases: [(Vec<u8>, &str); 11] = [
        (Vec::new(), "the file is empty"),
        (b" \n".to_vec(), "the file is empty"),
        (half.to_vec(), "truncated: the JSON ends at line"),
        (b"hello".to_vec(), "not JSON"),
        (vec![0xff; 9], "not JSON"),
        (b"[1]".to_vec(), "not an acgs-perf report: the document is not an object"),
        (b"{}".to_vec(), "not an acgs-perf report: no schema_version"),
        (
            resealed(|v| v["schema_version"] = 3.into()).into(),
            "written by a newer acgs-perf: schema_version 3, this one reads up to 2; upgrade",
        ),
        (
            resealed(|v| v["constitutional_hash"] = "0123456789abcdef".into()).into(),
            "constitutional_hash is \"0123456789abcdef\", expected \"cdd01ef066bc6cf2\"",
        ),
        (text.replace("\"tiny\"", "\"tidy\"").into(), "tampered with or damaged"),
        (resealed(|v| v["services"] = 3.into()).into(), "not an acgs-perf report: invalid type"),
    ];
    for (bytes, expected) in cases {
        let line = error(&bytes).to_string();
        assert!(line.starts_with("r.json: ") && line.contains(expected), "{line}");
        assert!(!line.contains('\n') && line.contains(';'), "{line}");
        assert_eq!(error(&bytes).is_failed_check(), line.contains("do not rely on"), "{line}");
    }
    let missing = verify(Path::new("/nonexistent/r.json")).unwrap_err();
    assert!(!missing.is_failed_check() && missing.to_string().starts_with("/nonexistent/r.json: cannot read"));
    assert!(matches!(verify(Path::new("/")), Err(LoadError::Unreadable { .. })));
}

#[test]
fn a_file_larger_than_any_report_is_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.json");
    // It takes no space, and reading it whole would be noticed.
    fs::File::create(&path).unwrap().set_len(1 << 42).unwrap();
    for error in [verify(&path).unwrap_err(), load(&path).unwrap_err()] {
        let line = error.to_string();
        assert!(line.contains("r.json: larger than 32 MiB, not an acgs-perf report; name a file"), "{line}");
        assert!(!line.contains('\n') && !error.is_failed_check(), "{line}");
    }
    assert!(matches!(load(Path::new("/dev/zero")), Err(LoadError::TooLarge(_))));
}

#[test]
fn rates_that_a_user_may_write_survive() {
    for rps in [0.1, 1e15, 1e300, f64::MAX, 0.123_456_789, 98_123.456, f64::INFINITY, f64::NAN, -1.0] {
        let mut capture = sample::capture();
        capture.context.services[0].objective.min_rps = rps;
        let text = seal(&mut analyse(&capture)).unwrap();
        verify_bytes(Path::new("r.json"), text.as_bytes()).unwrap_or_else(|e| panic!("{rps}: {e}"));
    }
}
