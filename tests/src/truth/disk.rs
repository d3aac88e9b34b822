//! Disk waits: writes that are synced, reads past the page cache.
//!
//! In: a directory. Out: time spent waiting for its device. The files have no name and are gone with the thread.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::slice;

use acgs_perf_load::random::Random;

const PAGE: usize = 4096;
const PAGES: usize = 256;

/// Memory that O_DIRECT can read into and write from.
#[derive(Clone)]
#[repr(align(4096))]
struct Page([u8; PAGE]);

/// One thread's files, made when they are first needed.
pub struct Disk {
    directory: PathBuf,
    written: Option<File>,
    read: Option<File>,
    page: Box<Page>,
    random: Random,
}

impl Disk {
    /// In this directory.
    pub fn new(directory: &Path) -> Self {
        let page = Box::new(Page([7; PAGE]));
        Self { directory: directory.to_owned(), written: None, read: None, page, random: Random::new(1) }
    }

    fn unnamed(&self, flags: i32) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE | flags).open(&self.directory)
    }

    /// Writes a page and waits until it is on the device.
    pub fn fsync(&mut self) -> io::Result<()> {
        let mut file = match self.written.take() {
            Some(file) => file,
            None => self.unnamed(0)?,
        };
        let result = file.write_all(&self.page.0).and_then(|()| file.sync_all());
        self.written = Some(file);
        result
    }

    /// Reads a page from the device.
    pub fn odirect(&mut self) -> io::Result<()> {
        let file = match self.read.take() {
            Some(file) => file,
            None => self.filled()?,
        };
        let index = self.random.integer() % PAGES as u64;
        let result = file.read_exact_at(&mut self.page.0, index * PAGE as u64);
        self.read = Some(file);
        result
    }

    fn filled(&self) -> io::Result<File> {
        let file = self.unnamed(libc::O_DIRECT)?;
        let pages = vec![Page([7; PAGE]); PAGES];
        // SAFETY: `Page` is as long as its array, so the pages are one stretch of initialised bytes.
        let bytes = unsafe { slice::from_raw_parts(pages.as_ptr().cast::<u8>(), PAGES * PAGE) };
        // In one piece: the thread's first request waits for it.
        file.write_all_at(bytes, 0)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_work_again_and_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(directory.path());
        for _ in 0..2 {
            disk.fsync().unwrap();
            disk.odirect().unwrap();
        }
        assert_eq!(disk.page.0, [7; PAGE]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(Disk::new(Path::new("/nonexistent")).fsync().is_err());
    }
}
