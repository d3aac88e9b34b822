//! What outlives the agent: counts of three days, what is due, what is still to be told.
//!
//! In: the state directory. Out: a file there, replaced as a whole, with a CRC-32. One that cannot be read is as none.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use flate2::Crc;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::outbox::Outbox;
use super::pages::Pages;

/// The file.
const NAME: &str = "alerts.state";
/// Version of its shape.
const VERSION: u32 = 1;
/// It is at most so large: 64 services have 2 MB.
const MAX_BYTES: u64 = 16 << 20;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The clock of the alerts, in seconds; it never goes back.
    pub clock_s: u64,
    /// Counts, and what is due.
    pub machine: Machine,
    /// What was told.
    pub pages: Pages,
    /// What is still to be told.
    pub outbox: Outbox,
}

impl State {
    /// What was kept, or nothing; and why nothing, if there is something.
    #[must_use]
    pub fn load(directory: &Path) -> (Self, Option<String>) {
        let path = directory.join(NAME);
        let read = || -> io::Result<Self> {
            if fs::metadata(&path)?.len() > MAX_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let bytes = fs::read(&path)?;
            let (crc, packed) = bytes.split_first_chunk::<4>().ok_or(io::ErrorKind::UnexpectedEof)?;
            if *crc != checked(packed) {
                return Err(io::Error::other("it is damaged"));
            }
            let state: Self = rmp_serde::from_slice(packed).map_err(io::Error::other)?;
            if state.version == VERSION { Ok(state) } else { Err(io::Error::other("another version wrote it")) }
        };
        match read() {
            Ok(state) => (state, None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Self::default(), None),
            Err(error) => (Self::default(), Some(format!("{}: {error}", path.display()))),
        }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When it cannot be written; what was kept before is still there.
    pub fn save(&mut self, directory: &Path) -> io::Result<()> {
        self.version = VERSION;
        let packed = rmp_serde::to_vec(self).map_err(io::Error::other)?;
        let path = directory.join(format!("{NAME}.new"));
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&path)?;
            file.write_all(&checked(&packed))?;
            file.write_all(&packed)?;
            fs::rename(&path, directory.join(NAME))
        };
        written().inspect_err(|_| drop(fs::remove_file(&path)))
    }
}

fn checked(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::alerts::history::Counts;

    #[test]
    fn what_is_kept_is_there_again_and_what_is_damaged_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        assert_eq!(State::load(directory), (State::default(), None));
        let mut state = State { clock_s: 7, ..State::default() };
        state.machine.set_services(&["a"]);
        (0..5000).for_each(|minute| state.machine.add("a", minute, Counts { requests: 60_000, slow: 60 }));
        state.save(directory).unwrap();
        assert_eq!(State::load(directory), (state.clone(), None));
        let path = directory.join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        // Three days of a service.
        assert!(bytes.len() < 24_000, "{}", bytes.len());
        bytes[100] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let (found, why) = State::load(directory);
        assert!(found == State::default() && why.unwrap().ends_with("it is damaged"));
        fs::write(&path, [1]).unwrap();
        assert!(State::load(directory).1.is_some());
        assert!(state.save(Path::new("/proc")).is_err());
    }
}
