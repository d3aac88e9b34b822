//! Messages of protobuf: what is written of them here, and what is read.
//!
//! In: fields by number. Out: bytes, and back. The few messages that leave the agent are written field by field; those that come back
//! are a stranger's, and are read without trust.

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(pub Vec<u8>);

/// How a value is written.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const BYTES: u64 = 2;
const FOUR_BYTES: u64 = 5;

impl Message {
    fn key(&mut self, field: u64, kind: u64) {
        varint(&mut self.0, field << 3 | kind);
    }

    /// `uint64`, `uint32`, `bool`, an enum.
    pub fn unsigned(&mut self, field: u64, value: u64) {
        self.key(field, VARINT);
        varint(&mut self.0, value);
    }

    /// `sint64`, `sint32`.
    pub fn signed(&mut self, field: u64, value: i64) {
        self.unsigned(field, (value << 1 ^ value >> 63) as u64);
    }

    /// `double`.
    pub fn double(&mut self, field: u64, value: f64) {
        self.fixed(field, value.to_bits());
    }

    /// `fixed64`, `sfixed64`.
    pub fn fixed(&mut self, field: u64, value: u64) {
        self.key(field, EIGHT_BYTES);
        self.0.extend(value.to_le_bytes());
    }

    /// `bytes`, `string`.
    pub fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, BYTES);
        varint(&mut self.0, bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// Another message.
    pub fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    /// `repeated uint64`, packed.
    pub fn packed(&mut self, field: u64, values: impl IntoIterator<Item = u64>) {
        let mut packed = Vec::new();
        values.into_iter().for_each(|value| varint(&mut packed, value));
        self.bytes(field, &packed);
    }
}

/// Appends a number in as few bytes as it takes.
pub fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A number.
    Number(u64),
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message by number, up to the first that is none.
pub fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let key = take_varint(&mut bytes)?;
        let field = match key & 7 {
            VARINT => Field::Number(take_varint(&mut bytes)?),
            EIGHT_BYTES => Field::Number(u64::from_le_bytes(take(&mut bytes, 8)?.try_into().ok()?)),
            FOUR_BYTES => Field::Number(u32::from_le_bytes(take(&mut bytes, 4)?.try_into().ok()?).into()),
            BYTES => {
                let len = usize::try_from(take_varint(&mut bytes)?).ok()?;
                Field::Bytes(take(&mut bytes, len)?)
            }
            _ => return None,
        };
        Some((key >> 3, field))
    })
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for at in 0..10 {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut inner = Message::default();
        inner.unsigned(1, u64::MAX);
        let mut message = Message::default();
        message.message(1, &inner);
        message.fixed(2, 7);
        message.packed(300, [1, 300]);
        let read: Vec<_> = fields(&message.0).collect();
        assert_eq!(read, [(1, Field::Bytes(&inner.0)), (2, Field::Number(7)), (300, Field::Bytes(&[1, 0xac, 2]))]);
        assert_eq!(fields(&inner.0).next(), Some((1, Field::Number(u64::MAX))));
    }

    #[test]
    fn what_is_no_message_ends() {
        for bytes in [
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..],
            &[0xff; 30],
            &[0x0b],
            &[8],
            &[0x0d, 1],
        ] {
            assert_eq!(fields(bytes).count(), 0, "{bytes:?}");
        }
    }
}
