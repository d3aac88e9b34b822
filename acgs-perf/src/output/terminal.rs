//! The only place that prints, also to standard error.
//!
//! In: pages, JSON, single lines. Out: bytes on standard output or standard error. A reader that has gone away, as `head` does or
//! a closed terminal, is no reason to end a recording: what goes to standard error is lost then, and nothing here panics.

use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use super::colour;
use super::page::{Page, WithList, clean, escaped};

/// What is to be said once the screen is given back; `None` while nobody has it.
static HELD: Mutex<Option<String>> = Mutex::new(None);
/// At most so many bytes wait.
const MAX_HELD: usize = 64 << 10;

/// What our lines on standard error begin with.
const NAME: &str = "acgs-perf: ";

/// Prints a page. A reader that has gone away is no error.
///
/// # Errors
/// Any other failure to write.
pub fn print(page: &Page) -> io::Result<()> {
    end_progress();
    let out = io::stdout().lock();
    match colour::is_wanted(out.is_terminal()) {
        true => write(out, &colour::painted(page.as_str())),
        false => write(out, page.as_str()),
    }
}

/// Prints JSON: byte for byte, and to a terminal with escapes for what would act on it, which is the same value.
///
/// # Errors
/// As [`print`].
pub fn print_json(text: &str) -> io::Result<()> {
    let out = io::stdout().lock();
    if out.is_terminal() { write(out, &escaped(text)) } else { write(out, text) }
}

/// Fails if standard output is a terminal: bytes that are no text are not for it.
///
/// # Errors
/// If it is one.
pub fn check_binary() -> io::Result<()> {
    match io::stdout().is_terminal() {
        true => Err(io::Error::other("standard output is a terminal, which cannot show a capture; name a file")),
        false => Ok(()),
    }
}

fn end_progress() {
    let _ = io::stderr().lock().write_all(without_progress().as_bytes());
}

/// Says one line on standard error.
pub fn say(line: &str) {
    to_stderr(&Page::of(&format!("{NAME}{line}")));
}

/// Whether somebody watches standard error: it is a terminal.
#[must_use]
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Whether a line of [`progress`] stands on the terminal.
static HAS_PROGRESS: AtomicBool = AtomicBool::new(false);

/// Shows a line on standard error in the place of the last one. What is said next takes its place.
pub fn progress(line: &str) {
    let line: String = line.chars().take(super::width().saturating_sub(1)).collect();
    HAS_PROGRESS.store(true, Ordering::Relaxed);
    let _ = io::stderr().lock().write_all(format!("\r\x1b[K{}", clean(&line)).as_bytes());
}

/// What takes the line of [`progress`] away, if there is one.
fn without_progress() -> &'static str {
    if HAS_PROGRESS.swap(false, Ordering::Relaxed) { "\r\x1b[K" } else { "" }
}

/// Says one line on standard error that matters so much, as syslog counts: 2 is critical, 4 a warning, 5 worth a notice. Where standard
/// error is the journal, it is told.
pub fn say_as(priority: u8, line: &str) {
    to_stderr(&Page::of(&tagged(is_journal().then_some(priority), line)));
}

fn tagged(priority: Option<u8>, line: &str) -> String {
    let tag = priority.map(|priority| format!("<{priority}>")).unwrap_or_default();
    format!("{tag}{NAME}{line}")
}

/// Whether standard error leads to systemd's journal: it says in the environment which file that is.
fn is_journal() -> bool {
    let Ok(told) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(about) = std::fs::metadata("/proc/self/fd/2") else { return false };
    told == format!("{}:{}", about.dev(), about.ino())
}

/// Says one line on standard error that a user should know.
pub fn note(line: &str) {
    say(&format!("note: {line}"));
}

/// Says on standard error why a verb failed: one line, and the list if it comes with one.
pub fn complain(error: &anyhow::Error) {
    let mut page = Page::of(&format!("{NAME}{error:#}"));
    page.lines(error.downcast_ref::<WithList>().map(|with| &with.list).into_iter().flatten());
    to_stderr(&page);
}

/// Standard error for logs: cleans each event, and never fails. The subscriber of `tracing` would report a failure to standard
/// error by a macro that panics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        to_stderr(&Page::of(text.trim_end_matches('\n')));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From now on lines for standard error wait until [`release`]: the terminal shows a picture, across which they would be written.
pub(super) fn hold() {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
}

/// Says what has waited.
pub(super) fn release() {
    // Whoever panicked may be in the middle of saying something, which is lost then.
    let held = match HELD.try_lock() {
        Ok(mut held) => held.take(),
        Err(TryLockError::Poisoned(held)) => held.into_inner().take(),
        Err(TryLockError::WouldBlock) => None,
    };
    if let Some(text) = held {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

fn to_stderr(page: &Page) {
    if let Some(held) = HELD.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        if held.len() + page.as_str().len() <= MAX_HELD {
            held.push_str(page.as_str());
        }
        return;
    }
    // In one write, so that lines of others do not get between; if nobody reads it, there is nobody to tell.
    let _ = io::stderr().lock().write_all(format!("{}{}", without_progress(), page.as_str()).as_bytes());
}

fn write(mut out: impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn the_journal_is_told_how_much_it_matters() {
        assert_eq!((tagged(Some(2), "x"), tagged(None, "x")), ("<2>acgs-perf: x".into(), "acgs-perf: x".into()));
        assert!(!is_journal());
    }

    #[test]
    fn a_reader_that_is_gone_is_no_error_and_a_full_disk_is() {
        assert!(write(Broken(ErrorKind::BrokenPipe), "x").is_ok());
        assert_eq!(write(Broken(ErrorKind::StorageFull), "x").unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
