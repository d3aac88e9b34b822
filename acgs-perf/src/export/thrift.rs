//! Thrift's compact protocol, as far as Parquet's metadata need it.
//!
//! In: fields by rising number. Out: bytes. The format: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

const TRUE: u8 = 1;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A struct that is written field by field.
#[derive(Debug, Default)]
pub struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    /// A field of 32 bits.
    #[must_use]
    pub fn int(mut self, field: u8, value: i32) -> Self {
        self.field(field, I32);
        zigzag(&mut self.bytes, value.into());
        self
    }

    /// A field of 64 bits.
    #[must_use]
    pub fn long(mut self, field: u8, value: i64) -> Self {
        self.field(field, I64);
        zigzag(&mut self.bytes, value);
        self
    }

    /// A field that says yes.
    #[must_use]
    pub fn yes(mut self, field: u8) -> Self {
        self.field(field, TRUE);
        self
    }

    /// A text.
    #[must_use]
    pub fn text(mut self, field: u8, value: &str) -> Self {
        self.field(field, BINARY);
        binary(&mut self.bytes, value);
        self
    }

    /// A struct in the struct.
    #[must_use]
    pub fn nested(mut self, field: u8, value: Self) -> Self {
        self.field(field, STRUCT);
        self.bytes.extend(value.finish());
        self
    }

    /// A list of structs.
    #[must_use]
    pub fn structs(mut self, field: u8, values: Vec<Self>) -> Self {
        self.list(field, STRUCT, values.len());
        values.into_iter().for_each(|value| self.bytes.extend(value.finish()));
        self
    }

    /// A list of texts.
    #[must_use]
    pub fn texts(mut self, field: u8, values: &[String]) -> Self {
        self.list(field, BINARY, values.len());
        values.iter().for_each(|value| binary(&mut self.bytes, value));
        self
    }

    /// A list of numbers of 32 bits.
    #[must_use]
    pub fn ints(mut self, field: u8, values: &[i32]) -> Self {
        self.list(field, I32, values.len());
        values.iter().for_each(|value| zigzag(&mut self.bytes, (*value).into()));
        self
    }

    /// The bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }

    fn field(&mut self, field: u8, kind: u8) {
        debug_assert!(field > self.last && field - self.last <= 15, "{field} after {}", self.last);
        self.bytes.push((field - self.last) << 4 | kind);
        self.last = field;
    }

    fn list(&mut self, field: u8, kind: u8, len: usize) {
        self.field(field, LIST);
        match u8::try_from(len) {
            Ok(len @ 0..15) => self.bytes.push(len << 4 | kind),
            _ => {
                self.bytes.push(0xf0 | kind);
                varint(&mut self.bytes, len as u64);
            }
        }
    }
}

fn binary(bytes: &mut Vec<u8>, value: &str) {
    varint(bytes, value.len() as u64);
    bytes.extend_from_slice(value.as_bytes());
}

fn zigzag(bytes: &mut Vec<u8>, value: i64) {
    varint(bytes, ((value << 1) ^ (value >> 63)) as u64);
}

/// Seven bits a byte, lowest first.
pub fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_lists_are_those_of_the_protocol() {
        let inner = Struct::default().yes(1).int(2, -1);
        let bytes = Struct::default().int(1, 300).text(4, "ab").nested(5, inner).ints(6, &[0, 1]).finish();
        assert_eq!(bytes, [0x15, 0xd8, 0x04, 0x38, 2, b'a', b'b', 0x1c, 0x11, 0x15, 1, 0, 0x19, 0x25, 0, 2, 0]);
        let long = Struct::default().long(1, i64::MIN).texts(2, &vec![String::new(); 15]).finish();
        assert_eq!(long[..12], [0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x19]);
        assert_eq!(long[12..15], [0xf8, 15, 0]);
    }
}
