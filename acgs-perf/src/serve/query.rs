//! What a client asks a report for, as it stands in the address.
//!
//! In: the part of the address behind `?`. Out: a [`Query`], or what of it is not understood.

use super::wire::Query;

/// A part of a query is at most so long.
const MAX_PART: usize = 128;

/// The query that stands behind `?`.
///
/// # Errors
/// What is not understood, in words that can be said to the client.
pub fn parse_query(text: &str) -> Result<Query, String> {
    let mut query = Query::default();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = decode(value)
            .filter(|value| value.len() <= MAX_PART)
            .ok_or_else(|| format!("{}: not understood", short(name)))?;
        match name {
            "from" => query.from = value,
            "to" => query.to = Some(value).filter(|to| !to.is_empty()),
            "service" => query.service = Some(value).filter(|service| !service.is_empty()),
            _ => return Err(format!("{}: not known", short(name))),
        }
    }
    if query.from.is_empty() { Err("from: missing".to_owned()) } else { Ok(query) }
}

/// What a client wrote, short enough to be said back.
fn short(text: &str) -> String {
    text.chars().take(32).filter(|c| c.is_ascii_graphic()).collect()
}

/// What stands for itself, `%XX` and `+` in a query; `None` if it is no text.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits =
                    std::str::from_utf8(&digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok().filter(|text| !text.contains(char::is_control))
}
