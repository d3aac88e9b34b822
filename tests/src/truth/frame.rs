//! Framed messages: what a load generator sends to a truth server when each request carries a script and a number.
//!
//! In: a number and a text. Out: bytes, and back. A frame is `ACGT`, the length of the text (u32), the number (u64), the
//! text; integers are little-endian. A reply has the number of its request.

use std::io::{self, ErrorKind};

/// First bytes of each frame; a connection that begins with others speaks fixed-size messages.
pub const MAGIC: [u8; 4] = *b"ACGT";
/// Bytes before the text.
pub const HEADER: usize = 16;
/// Longest text.
pub const MAX_TEXT: usize = 1 << 20;

/// A frame.
pub fn encode(id: u64, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + text.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(text);
    bytes
}

/// Puts another number into a frame.
pub fn renumber(frame: &mut [u8], id: u64) {
    if let Some(place) = frame.get_mut(8..HEADER) {
        place.copy_from_slice(&id.to_le_bytes());
    }
}

/// The first frame of these bytes as (number, text, bytes it takes); `None` when it is not whole yet.
pub fn decode(bytes: &[u8]) -> io::Result<Option<(u64, &[u8], usize)>> {
    let wrong = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
    let (Some(magic), Some(length), Some(id)) =
        (bytes.first_chunk::<4>(), word::<4>(bytes, 4), word::<8>(bytes, 8).map(u64::from_le_bytes))
    else {
        return Ok(None);
    };
    if *magic != MAGIC {
        return Err(wrong("a frame does not begin as it must"));
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_TEXT {
        return Err(wrong("a frame is too long"));
    }
    let end = HEADER + length;
    Ok(bytes.get(HEADER..end).map(|text| (id, text, end)))
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives() {
        let mut bytes = encode(7, b"spin:1");
        renumber(&mut bytes, 1 << 40);
        bytes.extend_from_slice(b"ACG");
        assert_eq!(decode(&bytes).unwrap(), Some((1 << 40, &b"spin:1"[..], 22)));
        for end in 0..22 {
            assert_eq!(decode(&bytes[..end]).unwrap(), None, "{end}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert!(decode(&[b'x'; 16]).is_err());
        let mut bytes = encode(1, b"");
        bytes[6] = 0xff;
        assert!(decode(&bytes).is_err());
    }
}
