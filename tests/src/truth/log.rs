//! The truth log: when each request was read and when its reply was sent.
//!
//! In: stamps from the server's threads. Out: a file of little-endian u64 pairs, and quantiles of it.

use std::fs;
use std::io;
use std::path::Path;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// After `recv` returned the last byte of the request.
    pub read_ns: u64,
    /// After `send` returned.
    pub sent_ns: u64,
}

/// All requests of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log(pub Vec<Stamp>);

impl Log {
    /// Writes the log; it appears in one piece.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let bytes: Vec<u8> =
            self.0.iter().flat_map(|stamp| [stamp.read_ns, stamp.sent_ns]).flat_map(u64::to_le_bytes).collect();
        let partial = path.with_extension("partial");
        fs::write(&partial, bytes)?;
        fs::rename(&partial, path)
    }

    /// Reads a log.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        if bytes.len() % 16 != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a truth log is a multiple of 16 bytes"));
        }
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let stamps = bytes.chunks_exact(16).map(|pair| Stamp { read_ns: word(&pair[..8]), sent_ns: word(&pair[8..]) });
        Ok(Self(stamps.collect()))
    }

    /// Service times in ascending order.
    pub fn service_times(&self) -> Vec<u64> {
        let mut times: Vec<u64> = self.0.iter().map(|stamp| stamp.sent_ns.saturating_sub(stamp.read_ns)).collect();
        times.sort_unstable();
        times
    }
}

/// The `quantile` of values in ascending order, by the rank that HdrHistogram uses too: the smallest value that at least
/// this share of all values does not exceed.
pub fn quantile(sorted: &[u64], quantile: f64) -> u64 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_survives_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = Log(vec![Stamp { read_ns: 1, sent_ns: 3 }, Stamp { read_ns: u64::MAX - 1, sent_ns: u64::MAX }]);
        log.write(&path).unwrap();
        assert_eq!(Log::read(&path).unwrap(), log);
        assert_eq!(log.service_times(), [1, 2]);
    }

    #[test]
    fn a_truncated_log_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, [0; 17]).unwrap();
        assert!(Log::read(&path).is_err());
    }

    #[test]
    fn quantiles_by_rank() {
        let values: Vec<u64> = (1..=1000).collect();
        assert_eq!(quantile(&values, 0.5), 500);
        assert_eq!(quantile(&values, 0.99), 990);
        assert_eq!(quantile(&values, 0.999), 999);
        assert_eq!(quantile(&values, 1.0), 1000);
        assert_eq!(quantile(&values, 0.0), 1);
        assert_eq!(quantile(&[], 0.5), 0);
    }
}
