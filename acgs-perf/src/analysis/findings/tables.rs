//! Reads the tables that probes have declared, of which the report knows no types.
//!
//! In: a service. Out: rows by the name of the table, and their fields; what is not there counts nothing.

use serde_json::Value;

use crate::analysis::model::{Distribution, ServiceReport};

/// The rows of a table; none if the probe was not active.
pub fn rows<'a>(service: &'a ServiceReport, table: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    service.tables.get(table).and_then(Value::as_array).into_iter().flatten()
}

/// A field that counts.
pub fn count(row: &Value, field: &str) -> u64 {
    row.get(field).and_then(Value::as_u64).unwrap_or(0)
}

/// A field that names.
pub fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A figure of a field that is a distribution.
pub fn of(row: &Value, field: &str, figure: &str) -> Option<u64> {
    row.get(field)?.get(figure)?.as_u64()
}

/// A field that is a distribution.
pub fn distribution(row: &Value, field: &str) -> Option<Distribution> {
    serde_json::from_value(row.get(field)?.clone()).ok()
}

/// The table of requests by name.
pub const ENDPOINTS: &str = "endpoints";

/// The endpoints that have a name and a latency.
pub fn endpoints(service: &ServiceReport) -> impl Iterator<Item = &Value> {
    rows(service, ENDPOINTS).filter(|row| text(row, "kind") == "request" && count(row, "requests") > 0)
}
