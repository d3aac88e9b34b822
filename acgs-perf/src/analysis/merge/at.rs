//! Whose a report is, and of when.

/// Whose report it is, and of when.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Its host.
    pub host: &'a str,
    /// After the begin of the first one.
    pub offset_ns: u64,
    /// When it began.
    pub start_unix_ns: u64,
    /// When it ended.
    pub end_unix_ns: u64,
}
