//! The JSON Schema of the report, generated from its types and from the tables that probes have declared.
//!
//! In: nothing. Out: the text of `docs/report-schema.json`. After a change of the types, write it anew with
//! `UPDATE=1 cargo test -p acgs-perf report::schema`.

use schemars::schema_for;
use serde_json::{Map, Value, json};

use super::seal::render;
use crate::analysis::model::{Report, SCHEMA_VERSION};
use crate::live::probes;
use crate::live::table::{Column, Kind, Scope, TableSpec};

/// The schema as the repository publishes it.
///
/// # Errors
/// Never in practice: a schema is JSON.
pub fn schema() -> serde_json::Result<String> {
    let mut schema = schema_for!(Report);
    schema.insert("title".into(), format!("acgs-perf report, schema_version {SCHEMA_VERSION}").into());
    let mut schema = schema.to_value();
    for (_, table) in probes::tables() {
        let place = match table.scope {
            Scope::Service => "/$defs/ServiceReport",
            Scope::Recording => "/properties/recording",
        };
        if let Some(Value::Object(of)) = schema.pointer_mut(place) {
            of.entry("properties").or_insert_with(|| json!({}))[table.section] = of_table(table);
        }
    }
    render(&schema)
}

/// The schema of a table's rows.
fn of_table(table: &TableSpec) -> Value {
    let names = table.names.iter().map(|name| (name.name, json!({"description": name.meaning, "type": "string"})));
    let columns = table.columns.iter().map(|column| (column.name, of_column(column)));
    let properties: Map<String, Value> = names.chain(columns).map(|(name, schema)| (name.to_owned(), schema)).collect();
    let always = table.columns.iter().filter(|column| !matches!(column.kind, Kind::Latest(_)));
    let required: Vec<&str> =
        table.names.iter().map(|name| name.name).chain(always.map(|column| column.name)).collect();
    let rows = json!({"type": "object", "properties": properties, "required": required});
    json!({"description": table.meaning, "type": "array", "items": rows})
}

fn of_column(column: &Column) -> Value {
    match column.kind {
        Kind::Distribution(histogram) => json!({
            "description": format!(
                "{}; percentiles are at most 1/{} above the true value", column.meaning, 1u64 << histogram.power.min(63)
            ),
            "$ref": "#/$defs/Distribution",
        }),
        _ => json!({"description": column.meaning, "type": "integer", "format": "uint64", "minimum": 0}),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::analysis::model::{ClientReport, ClientSliceReport, ServerSideReport};
    use crate::analysis::sample::{self, assessed};

    #[test]
    fn the_published_schema_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report-schema.json");
        let current = schema().unwrap();
        assert!(current.contains(&format!("schema_version {SCHEMA_VERSION}")));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &current).unwrap();
        }
        let published = fs::read_to_string(&path).unwrap();
        assert!(published == current, "run: UPDATE=1 cargo test -p acgs-perf report::schema");
    }

    /// Follows `$ref`s and checks that `value` has what the schema requires, and nothing that it does not name.
    fn check(root: &Value, schema: &Value, value: &Value, path: &str) -> usize {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = root.pointer(reference.trim_start_matches('#'));
            return check(root, target.unwrap_or_else(|| panic!("{path}: {reference}")), value, path);
        }
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            let option = options.iter().find(|o| o.get("$ref").is_some());
            return option.map_or(0, |option| check(root, option, value, path));
        }
        match value {
            Value::Object(map) => {
                for key in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                    assert!(map.contains_key(key.as_str().unwrap()), "{path}: {key} is missing");
                }
                let each = |(key, item): (&String, &Value)| {
                    let known = schema.get("properties").and_then(|p| p.get(key));
                    let sub = known.or_else(|| schema.get("additionalProperties"));
                    let sub = sub.unwrap_or_else(|| panic!("{path}: {key} is not in the schema"));
                    check(root, sub, item, &format!("{path}.{key}"))
                };
                map.iter().map(each).sum::<usize>() + 1
            }
            Value::Array(items) if schema.get("items").is_some() => {
                items.iter().map(|item| check(root, &schema["items"], item, &format!("{path}[]"))).sum()
            }
            Value::Null => panic!("{path}: null; what is not measured is absent"),
            _ => 0,
        }
    }

    #[test]
    fn a_sample_report_has_the_shape_of_the_schema() {
        let root: Value = serde_json::from_str(&schema().unwrap()).unwrap();
        let value = serde_json::to_value(assessed(sample::whole())).unwrap();
        assert!(check(&root, &root, &value, "report") > 30);
    }

    #[test]
    fn a_clients_side_has_the_shape_of_the_schema() {
        let root: Value = serde_json::from_str(&schema().unwrap()).unwrap();
        let mut report = assessed(sample::small());
        let slice = ClientSliceReport::default();
        let server =
            Some(ServerSideReport { mean_ns: Some(1), outside_mean_ns: Some(2), ..ServerSideReport::default() });
        let errors = [("timeout".to_owned(), 1)].into();
        report.client.push(ClientReport { errors, slices: vec![slice], server, ..ClientReport::default() });
        let value = serde_json::to_value(report).unwrap();
        assert!(check(&root, &root, &value, "report") > 30);
    }

    #[test]
    fn the_shape_has_the_names_that_are_promised() {
        let value = serde_json::to_value(assessed(sample::whole())).unwrap();
        for pointer in [
            "/schema_version",
            "/constitutional_hash",
            "/tool/name",
            "/tool/version",
            "/host",
            "/window/start_unix_ns",
            "/window/duration_ns",
            "/window/ended_by",
            "/probes/0/name",
            "/probes/0/state",
            "/probes/0/hooks",
            "/ledger",
            "/cost",
            "/services/0/name",
            "/services/0/selector",
            "/services/0/processes",
            "/services/0/objective/p99_ns",
            "/services/0/objective/min_rps",
            "/services/0/objective/verdict",
            "/services/0/objective/reason",
            "/services/0/requests/count",
            "/services/0/requests/rate_per_s",
            "/services/0/requests/latency/count",
            "/services/0/requests/latency/min_ns",
            "/services/0/requests/latency/max_ns",
            "/services/0/requests/latency/mean_ns",
            "/services/0/requests/latency/p50_ns",
            "/services/0/requests/latency/p90_ns",
            "/services/0/requests/latency/p99_ns",
            "/services/0/requests/latency/p99_ci95_ns",
            "/services/0/requests/latency/p999_ns",
            "/services/0/requests/latency/p9999_ns",
            "/services/0/requests/latency/over_range",
            "/services/0/requests/latency/histogram",
            "/services/0/requests/queue_time",
            "/services/0/requests/service_time",
            "/services/0/requests/unanswered",
            "/services/0/requests/unsolicited_sends",
            "/services/0/requests/bytes_in",
            "/services/0/requests/bytes_out",
            "/services/0/scheduler/run_queue",
            "/services/0/scheduler/on_cpu_ns",
            "/services/0/scheduler/blocked/lock/time_ns",
            "/services/0/scheduler/blocked/lock/p99_ns",
            "/services/0/scheduler/switches",
            "/services/0/scheduler/ran_instead",
            "/services/0/syscalls/0/name",
            "/services/0/syscalls/0/count",
            "/services/0/syscalls/0/errors",
            "/services/0/syscalls/0/errnos",
            "/services/0/syscalls/0/latency",
            "/services/0/tcp",
            "/services/0/series/0/offset_ns",
            "/findings",
            "/digest",
        ] {
            assert!(value.pointer(pointer).is_some(), "{pointer} is missing");
        }
    }
}
