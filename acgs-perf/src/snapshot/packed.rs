//! Values as bytes: a zlib stream of MessagePack with the names of the fields, so that one which is absent shifts nothing.

use std::io::{Cursor, Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize as _, Serialize};

/// What unpacks to more than this is nothing of ours.
const MAX_UNPACKED: u64 = 256 << 20;

/// Packs a value.
///
/// # Errors
/// When there is no memory for it.
pub fn pack(value: &impl Serialize) -> Result<Vec<u8>, String> {
    pack_at(value, Compression::default())
}

/// The same in less time, and in some more bytes.
///
/// # Errors
/// When there is no memory for it.
pub fn pack_fast(value: &impl Serialize) -> Result<Vec<u8>, String> {
    pack_at(value, Compression::fast())
}

fn pack_at(value: &impl Serialize, level: Compression) -> Result<Vec<u8>, String> {
    let packed = rmp_serde::to_vec_named(value).map_err(|error| error.to_string())?;
    let mut encoder = ZlibEncoder::new(Vec::new(), level);
    encoder.write_all(&packed).map_err(|error| error.to_string())?;
    encoder.finish().map_err(|error| error.to_string())
}

/// The value that was packed; `None` if the bytes are damaged.
#[must_use]
pub fn unpack<T: DeserializeOwned>(payload: &[u8]) -> Option<T> {
    rmp_serde::from_slice(&inflate(payload)?).ok()
}

/// The elements of an array that was packed, each as the bytes that it is serialized as; `None` if the bytes are damaged.
#[must_use]
pub fn unpack_elements(payload: &[u8]) -> Option<Vec<Box<[u8]>>> {
    let array = inflate(payload)?;
    let mut rest = array.as_slice();
    let count = rmp::decode::read_array_len(&mut rest).ok()?;
    let mut elements = Vec::new();
    for _ in 0..count {
        let mut deserializer = rmp_serde::Deserializer::new(Cursor::new(rest));
        IgnoredAny::deserialize(&mut deserializer).ok()?;
        let (element, behind) = rest.split_at_checked(usize::try_from(deserializer.position()).ok()?)?;
        elements.push(element.into());
        rest = behind;
    }
    Some(elements)
}

fn inflate(payload: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::new();
    ZlibDecoder::new(payload).take(MAX_UNPACKED).read_to_end(&mut packed).ok()?;
    Some(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_what_they_are_serialized_as() {
        let values =
            vec![("a".to_owned(), vec![1_u64, 300]), (String::new(), Vec::new()), ("ü".repeat(300), vec![7; 70_000])];
        let elements = unpack_elements(&pack(&values).unwrap()).unwrap();
        let read: Vec<(String, Vec<u64>)> =
            elements.iter().map(|element| rmp_serde::from_slice(element).unwrap()).collect();
        assert_eq!(read, values);
        let whole: Vec<u8> = values.iter().flat_map(|value| rmp_serde::to_vec_named(value).unwrap()).collect();
        assert_eq!(elements.concat(), whole);
        assert_eq!(unpack_elements(&pack(&Vec::<u64>::new()).unwrap()), Some(Vec::new()));
        assert_eq!(unpack_elements(&pack(&7).unwrap()), None);
        assert_eq!(unpack_elements(b"x"), None);
    }
}
