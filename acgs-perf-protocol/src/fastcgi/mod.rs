//! FastCGI (<https://fastcgi-archives.github.io/FastCGI_Specification.html>), one request at a time on a connection, as servers use it.
//!
//! A request is named as one of HTTP is, by `REQUEST_METHOD` and the path of `REQUEST_URI`. It is known once its parameters have ended,
//! because an application may answer before the body has come.

pub mod reply;
pub mod request;

/// Types of records.
const BEGIN: u8 = 1;
const ABORT: u8 = 2;
const END: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
const DATA: u8 = 8;
const GET_VALUES: u8 = 9;
const GET_VALUES_RESULT: u8 = 10;

/// The head of a record, which has eight bytes.
struct Head {
    kind: u8,
    /// Bytes of its content, and of what comes behind that.
    content: u32,
    padding: u32,
}

impl Head {
    /// Bytes of a head.
    const BYTES: u32 = 8;

    /// The head in these bytes.
    #[inline(always)]
    fn of(word: u64) -> Option<Self> {
        let content = (((word >> 32) as u16).swap_bytes()).into();
        let padding = ((word >> 48) as u8).into();
        (word as u8 == 1).then_some(Self { kind: (word >> 8) as u8, content, padding })
    }
}
