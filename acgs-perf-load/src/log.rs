//! The client's log: when each request was to be sent, when it was sent, and when its reply was whole.
//!
//! In: one entry per reply. Out: a file of little-endian u64, six to an entry, to be joined with the server's log by the
//! request's number.

use std::fs;
use std::io;
use std::path::Path;

const WORDS: usize = 6;

/// One request; times on CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Number of the request.
    pub id: u64,
    /// When it was to be sent.
    pub intended_ns: u64,
    /// Just before it was sent.
    pub sent_ns: u64,
    /// After the send returned: the server's kernel had it at a moment between these two.
    pub delivered_ns: u64,
    /// After the last byte of the reply was received.
    pub done_ns: u64,
    /// One of the slow ones.
    pub slow: bool,
}

/// Writes the log; it appears in one piece.
pub fn write(path: &Path, entries: &[Entry]) -> io::Result<()> {
    let words = entries.iter().flat_map(|entry| {
        let Entry { id, intended_ns, sent_ns, delivered_ns, done_ns, slow } = *entry;
        [id, intended_ns, sent_ns, delivered_ns, done_ns, u64::from(slow)].map(u64::to_le_bytes)
    });
    let partial = path.with_extension("partial");
    fs::write(&partial, words.flatten().collect::<Vec<u8>>())?;
    fs::rename(&partial, path)
}

/// Reads a log.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let bytes = fs::read(path)?;
    let (words, rest) = bytes.as_chunks::<8>();
    let (entries, more) = words.as_chunks::<WORDS>();
    if !rest.is_empty() || !more.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a client's log is a multiple of 48 bytes"));
    }
    let entry = |words: &[[u8; 8]; WORDS]| {
        let [id, intended_ns, sent_ns, delivered_ns, done_ns, slow] = words.map(u64::from_le_bytes);
        Entry { id, intended_ns, sent_ns, delivered_ns, done_ns, slow: slow != 0 }
    };
    Ok(entries.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_survives_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let entries = [
            Entry { id: 1, intended_ns: 2, sent_ns: 3, delivered_ns: 5, done_ns: 4, slow: true },
            Entry { id: u64::MAX, ..Entry::default() },
        ];
        write(&path, &entries).unwrap();
        assert_eq!(read(&path).unwrap(), entries);
        fs::write(&path, [0; 40]).unwrap();
        assert!(read(&path).is_err());
    }
}
