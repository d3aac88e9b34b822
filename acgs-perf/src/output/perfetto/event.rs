//! Events of a trace, as the UI reads them.
//!
//! In: names and times in ns. Out: JSON values.

use serde_json::{Value, json};

/// A name or an order of a process or, with `track`, of a track. Track 0 would be the kernel's idle thread.
pub fn label(kind: &str, process: u64, track: Option<u64>, args: Value) -> Value {
    let mut event = json!({ "ph": "M", "name": kind, "pid": process, "args": args });
    if let (Some(track), Value::Object(map)) = (track, &mut event) {
        map.insert("tid".into(), track.into());
    }
    event
}

pub fn slice((process, track): (u64, u64), name: &str, category: &str, start: u64, length: u64, args: Value) -> Value {
    json!({
        "ph": "X", "name": name, "cat": category, "pid": process, "tid": track,
        "ts": micros(start), "dur": micros(length), "args": args,
    })
}

/// Nanoseconds as microseconds. A double holds this exactly enough for 104 days.
pub fn micros(ns: u64) -> f64 {
    ns as f64 / 1000.0
}
