//! Values as bytes: a zlib stream of MessagePack with the names of the fields, so that one which is absent shifts nothing.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

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
    let mut packed = Vec::new();
    ZlibDecoder::new(payload).take(MAX_UNPACKED).read_to_end(&mut packed).ok()?;
    rmp_serde::from_slice(&packed).ok()
}
