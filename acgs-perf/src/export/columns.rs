//! The columns of the exported table: names, meanings, and where each value comes from.
//!
//! In: a [`Point`]. Out: its values. The schema of the file and `docs/export.md` are made from, and tested against, this list.

use acgs_perf_common::attribution::{ALL, COMPONENT_NAMES};

use super::points::{Bucket, Point};

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it means.
    pub meaning: String,
    /// What it holds.
    pub kind: Kind,
}

/// What a column holds. Numbers are 64 bits wide; where one is `None`, the value is null.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A time of day, in µs since 1970.
    Time(fn(&Point) -> i64),
    /// A text.
    Text(fn(&Point) -> &str),
    /// An integer that is always there.
    Integer(fn(&Point) -> i64),
    /// An integer that may be null.
    Optional(fn(&Point) -> Option<i64>),
    /// The sum of a component, by its index; null where components were not read.
    Component(usize),
    /// A number with a fraction.
    Real(fn(&Point) -> f64),
    /// Buckets, each with these fields.
    Buckets(fn(&Point) -> &[Bucket], Vec<Field>),
}

/// A field of a bucket.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it means.
    pub meaning: String,
    /// Whether it may be null.
    pub is_optional: bool,
}

macro_rules! columns {
    ($($name:literal $kind:ident $meaning:literal = $of:expr;)*) => {
        vec![$(Column { name: $name.into(), meaning: $meaning.into(), kind: Kind::$kind($of) },)*]
    };
}

/// All columns, in order.
#[must_use]
pub fn all() -> Vec<Column> {
    let mut all = columns! {
        "start" Time "Begin of the interval, UTC, to the microsecond" = |p| (p.start_unix_ns / 1000) as i64;
        "start_unix_ns" Integer "Begin of the interval, ns since 1970" = |p| p.start_unix_ns as i64;
        "duration_ns" Integer "Length of the interval" = |p| p.duration_ns as i64;
        "host" Text "Name of the host; of a merged capture the names of all" = |p| &p.host;
        "service" Text "Name of the service" = |p| &p.service;
        "protocol" Text "Protocol of the endpoint; empty in the row of a service, and of endpoints without figures of their own" = |p| &p.protocol;
        "endpoint" Text "Name of the endpoint; empty in the row of a service, which a file without `--endpoints` has alone" = |p| &p.endpoint;
        "kind" Text "What the endpoint's requests are: `request`, `wait_by_design` …; empty as the protocol" = |p| p.kind;
        "failed" Optional "Requests whose reply is an error; null in the row of a service" = |p| p.failed;
        "objective_p99_ns" Integer "What its P99 is to be below" = |p| p.objective_p99_ns as i64;
        "objective_min_rps" Real "What its rate is to be above, in requests per second" = |p| p.objective_min_rps;
        "requests" Integer "Requests answered" = |p| p.requests;
        "rate_per_s" Real "The same per second" = |p| p.requests as f64 * 1e9 / p.duration_ns.max(1) as f64;
        "bytes_in" Integer "Bytes of the requests" = |p| p.bytes_in;
        "bytes_out" Integer "Bytes of the replies" = |p| p.bytes_out;
        "latency_sum_ns" Optional "Sum of their latencies" = |p| p.latency_sum_ns;
        "p50_ns" Optional "Median of the latency; null without requests, or where it is over range" = |p| p.percentile(5_000);
        "p90_ns" Optional "90th percentile" = |p| p.percentile(9_000);
        "p99_ns" Optional "99th percentile" = |p| p.percentile(9_900);
        "p999_ns" Optional "99.9th percentile" = |p| p.percentile(9_990);
        "p9999_ns" Optional "99.99th percentile" = |p| p.percentile(9_999);
        "over_range" Integer "Latencies of 2^36 ns (68.7 s) and more, which no bucket has" = |p| p.over_range;
        "unread" Optional "Requests that nobody had read at the end of the interval; null where nobody looked" = |p| p.unread;
        "in_service" Optional "Requests that were read and not answered at its end" = |p| p.in_service;
        "undelivered" Optional "Requests whose reply had not left at its end; they are among those answered" = |p| p.undelivered;
        "oldest_ns" Optional "Age of the oldest request without a reply at its end; null if there is none" = |p| p.oldest_ns;
        "abandoned" Optional "Requests whose client left" = |p| p.abandoned;
        "cut_off" Optional "Requests whose connection the service closed instead of answering" = |p| p.cut_off;
        "refused" Optional "What listeners dropped; null where none was looked at" = |p| p.refused;
        "components_start_unix_ns" Optional "Since when the components count, which are read less often: until the end of the interval; null where they were not read in it" = |p| p.components_start_unix_ns;
        "components_requests" Optional "Requests whose components are known" = |p| p.components_requests();
        "components_latency_ns" Optional "Sum of their latencies, which is the sum of all components" = |p| p.components_latency_ns();
    };
    all.extend(ALL.iter().enumerate().map(|(at, component)| {
        let (name, meaning) = COMPONENT_NAMES[*component as usize];
        Column { name: format!("{name}_ns"), meaning: meaning.into(), kind: Kind::Component(at) }
    }));
    let field = |name: &str, meaning: &str| Field { name: name.into(), meaning: meaning.into(), is_optional: false };
    let lower = || field("lower_ns", "Smallest latency of the bucket");
    let upper = || field("upper_ns", "Largest latency of the bucket");
    let count =
        || field("count", "Requests; of single intervals it may be below 0, where a reply that went on left a bucket");
    all.push(Column {
        name: "latency_buckets".into(),
        meaning: "The latencies by bucket; what is in no bucket is in `over_range`".into(),
        kind: Kind::Buckets(|p| &p.latency, vec![lower(), upper(), count()]),
    });
    let mut fields = vec![
        lower(),
        Field { is_optional: true, meaning: "Largest latency of the bucket; null over range".into(), ..upper() },
        count(),
    ];
    fields.push(field("latency_ns", "Sum of their latencies"));
    fields.extend(ALL.iter().map(|component| {
        let (name, meaning) = COMPONENT_NAMES[*component as usize];
        field(&format!("{name}_ns"), meaning)
    }));
    all.push(Column {
        name: "component_buckets".into(),
        meaning: "The components by bucket of the latency, in buckets of at most 6.25 %".into(),
        kind: Kind::Buckets(|p| &p.components, fields),
    });
    all
}
