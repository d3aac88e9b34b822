//! The words of OTLP: what metrics and spans have in common.
//!
//! In: names and values. Out: messages of `opentelemetry.proto.common.v1` and `resource.v1`.

use acgs_perf_common::CONSTITUTIONAL_HASH;

use super::super::protobuf::Message;
use crate::snapshot::Context;

/// A value of an attribute.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(u64),
}

/// `KeyValue`.
pub fn attribute(key: &str, value: Value<'_>) -> Message {
    let mut any = Message::default();
    match value {
        Value::Text(text) => any.bytes(1, text.as_bytes()),
        Value::Number(number) => any.unsigned(3, number),
    }
    let mut pair = Message::default();
    pair.bytes(1, key.as_bytes());
    pair.message(2, &any);
    pair
}

/// `Resource`: a service of this host.
pub fn resource(service: &str, context: &Context) -> Message {
    let mut resource = Message::default();
    for (key, value) in
        [("service.name", service), ("host.name", &context.host.name), ("host.arch", &context.host.arch)]
    {
        if !value.is_empty() {
            resource.message(1, &attribute(key, Value::Text(value)));
        }
    }
    resource
}

/// `InstrumentationScope`: us.
pub fn scope(context: &Context) -> Message {
    let mut scope = Message::default();
    scope.bytes(1, b"acgs-perf");
    scope.bytes(2, context.agent.as_bytes());
    scope.message(3, &attribute("acgs_perf.constitutional_hash", Value::Text(CONSTITUTIONAL_HASH)));
    scope
}
