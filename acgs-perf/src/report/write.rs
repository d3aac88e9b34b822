//! Writing a report so that a reader sees the old file or the whole new one, never a part.
//!
//! In: a path and bytes. Out: the file, or an error that says what to do. [`check_writable`] answers the question before
//! a recording begins, so that no measurement is lost to a typing error; [`write_aside`] is for a place that has become
//! unwritable since. [`write_numbered`] replaces nothing.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use thiserror::Error;

/// Name of a report for which no other is given.
pub const DEFAULT_NAME: &str = "report.json";

/// More reports than this are not numbered.
const MOST_NUMBERED: u32 = 9_999;

/// Why a report cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The path names a directory.
    #[error("{}: is a directory; name a file in it", .0.display())]
    IsDirectory(PathBuf),
    /// The path exists and is no regular file.
    #[error("{}: not a regular file; name a file, or `-` for standard output", .0.display())]
    NotAFile(PathBuf),
    /// The directory does not exist.
    #[error("{}: the directory {} does not exist; create it or name another", path.display(), directory.display())]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// Its directory.
        directory: PathBuf,
    },
    /// The system refused.
    #[error("{}: cannot write to {}: {why}; check its permissions and free space", path.display(), directory.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Its directory.
        directory: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// All numbers are taken.
    #[error("{DEFAULT_NAME} to report-{MOST_NUMBERED}.json are all there; remove some, or name a file with --output")]
    AllNumbersTaken,
    /// Not even in a directory for temporary files.
    #[error("nor in a temporary directory: {0}")]
    NotAside(io::Error),
}

/// Checks that [`write_atomically`] can write to `path`, and leaves nothing behind.
///
/// # Errors
/// See [`WriteError`].
pub fn check_writable(path: &Path) -> Result<(), WriteError> {
    temporary(path).map(drop)
}

/// Replaces `path` by a file with `bytes`, mode 0644, once they are on the disk.
///
/// # Errors
/// See [`WriteError`]; the previous file, if any, is untouched then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut file = temporary(path)?;
    fill(&mut file, bytes).map_err(|why| refused(path, why))?;
    file.persist(path).map_err(|error| refused(path, error.error))?;
    settle(directory(path));
    Ok(())
}

/// Checks that [`write_numbered`] can write into the current directory, and leaves nothing behind.
///
/// # Errors
/// See [`WriteError`].
pub fn check_numbered() -> Result<(), WriteError> {
    temporary_beside(Path::new(DEFAULT_NAME)).map(drop)
}

/// Writes `report.json` into the current directory, or the first of `report-2.json`, `report-3.json` … that is not there yet, and
/// gives its name. Nothing is replaced, also when another does the same at this moment.
///
/// # Errors
/// See [`WriteError`].
pub fn write_numbered(bytes: &[u8]) -> Result<PathBuf, WriteError> {
    write_numbered_in(Path::new(""), bytes)
}

fn write_numbered_in(place: &Path, bytes: &[u8]) -> Result<PathBuf, WriteError> {
    let first = place.join(DEFAULT_NAME);
    let mut file = temporary_beside(&first)?;
    fill(&mut file, bytes).map_err(|why| refused(&first, why))?;
    for number in 1..=MOST_NUMBERED {
        let path = if number == 1 { first.clone() } else { place.join(format!("report-{number}.json")) };
        match file.persist_noclobber(&path) {
            Ok(_) => {
                settle(directory(&path));
                return Ok(path);
            }
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => file = error.file,
            Err(error) => return Err(refused(&path, error.error)),
        }
    }
    Err(WriteError::AllNumbersTaken)
}

/// Writes `bytes` into a new file in a directory for temporary files, and gives its name, which nobody can foretell: others can
/// write there too.
///
/// # Errors
/// [`WriteError::NotAside`], of the last directory that was tried.
pub fn write_aside(bytes: &[u8], extension: &str) -> Result<PathBuf, WriteError> {
    // The first may be on the disk that is full; the second stays over a reboot.
    write_aside_in(&[&std::env::temp_dir(), Path::new("/var/tmp")], bytes, extension)
}

fn write_aside_in(directories: &[&Path], bytes: &[u8], extension: &str) -> Result<PathBuf, WriteError> {
    let write = |directory: &Path| {
        let mut builder = Builder::new();
        builder.prefix("acgs-perf-report-").rand_bytes(12).suffix(extension);
        let mut file = builder.tempfile_in(directory)?;
        fill(&mut file, bytes)?;
        Ok(file.keep().map_err(|error| error.error)?.1)
    };
    let mut last = io::ErrorKind::NotFound.into();
    for directory in directories {
        match write(directory) {
            Ok(path) => return Ok(path),
            Err(error) => last = error,
        }
    }
    Err(WriteError::NotAside(last))
}

/// Brings all bytes to the disk, in a file that others may read.
fn fill(file: &mut NamedTempFile, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()
}

/// A rename is durable once the directory is; a file system that cannot do it has still renamed.
fn settle(directory: &Path) {
    let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn refused(path: &Path, why: io::Error) -> WriteError {
    WriteError::Refused { path: path.into(), directory: directory(path).into(), why }
}

/// A temporary file beside `path`, removed when dropped.
fn temporary(path: &Path) -> Result<NamedTempFile, WriteError> {
    let ends_in_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => return Err(WriteError::IsDirectory(path.into())),
        Ok(meta) if !meta.is_file() => return Err(WriteError::NotAFile(path.into())),
        _ if ends_in_slash || path.file_name().is_none() => return Err(WriteError::IsDirectory(path.into())),
        _ => {}
    }
    temporary_beside(path)
}

fn temporary_beside(path: &Path) -> Result<NamedTempFile, WriteError> {
    let directory = directory(path);
    if !directory.is_dir() {
        return Err(WriteError::NoDirectory { path: path.into(), directory: directory.into() });
    }
    Builder::new().prefix(".acgs-perf-").suffix(".tmp").tempfile_in(directory).map_err(|why| refused(path, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_file_with_mode_0644_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        check_writable(&path).unwrap();
        assert!(!path.exists(), "the check must not create the file");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn numbered_reports_replace_nothing_also_when_two_write_at_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("report.json"), "mine").unwrap();
        // What is no file, or leads nowhere, is there too.
        std::os::unix::fs::symlink("/nonexistent", dir.path().join("report-2.json")).unwrap();
        fs::create_dir(dir.path().join("report-3.json")).unwrap();
        let write = || (0..20).map(|_| write_numbered_in(dir.path(), b"new").unwrap()).collect::<Vec<_>>();
        let mut paths = std::thread::scope(|scope| {
            let other = scope.spawn(write);
            [write(), other.join().unwrap()].concat()
        });
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 40);
        assert!(
            paths.contains(&dir.path().join("report-4.json")) && paths.contains(&dir.path().join("report-43.json"))
        );
        assert!(paths.iter().all(|path| fs::read(path).unwrap() == b"new"));
        assert_eq!(fs::read(dir.path().join("report.json")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 43);
    }

    #[test]
    fn aside_is_the_first_directory_that_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let directories = [Path::new("/nonexistent"), Path::new("/proc"), dir.path()];
        let (one, two) = (
            write_aside_in(&directories, b"one", ".json").unwrap(),
            write_aside_in(&directories, b"two", ".json").unwrap(),
        );
        assert_eq!((fs::read(&one).unwrap(), fs::read(&two).unwrap()), (b"one".to_vec(), b"two".to_vec()));
        let name = one.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("acgs-perf-report-") && name.ends_with(".json") && name.len() == 34, "{name}");
        assert!(matches!(write_aside_in(&directories[..2], b"", ".json"), Err(WriteError::NotAside(_))));
    }

    #[test]
    fn a_name_without_directory_means_the_current_one() {
        assert_eq!(directory(Path::new("r.json")), Path::new("."));
        assert_eq!(directory(Path::new("/r.json")), Path::new("/"));
    }

    #[test]
    fn says_what_is_wrong_before_anything_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(check_writable(dir.path()), Err(WriteError::IsDirectory(_))));
        assert!(matches!(check_writable(Path::new("/dev/null")), Err(WriteError::NotAFile(_))));
        let path = dir.path().join("missing/r.json");
        let error = check_writable(&path).unwrap_err();
        assert!(matches!(error, WriteError::NoDirectory { .. }));
        let line = error.to_string();
        assert!(line.contains("missing does not exist; create it") && !line.contains('\n'), "{line}");
        let slash = dir.path().join("new/");
        assert!(matches!(check_writable(&slash), Err(WriteError::IsDirectory(_))));
        // procfs refuses new files, also to root.
        assert!(matches!(check_writable(Path::new("/proc/r.json")), Err(WriteError::Refused { .. })));
    }
}
