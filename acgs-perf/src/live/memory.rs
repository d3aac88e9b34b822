//! Memory that only loading takes: not taken, or given back.
//!
//! In: nothing. Out: fewer resident pages. What cannot be given back stays, and nobody is told: all works as well.

use std::fs;

use aya::EbpfLoader;

/// A loader without the kernel's types. Ours is given what it needs of them; aya's reads and parses all of them as soon as it is made,
/// 18 MB that are thrown away at the next call, and the largest part of the agent's peak. So nothing can be opened while it is made.
/// For the microseconds that this takes no other thread can open anything either: those that there are wait for this one, or answer a
/// query about the past, which fails then and can be asked again.
pub fn loader() -> EbpfLoader<'static> {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `before` is valid for writing.
    let is_known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut before) } == 0;
    let none = libc::rlimit { rlim_cur: 0, ..before };
    // SAFETY: the limit is read. What is open stays open.
    if !is_known || unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) } != 0 {
        return EbpfLoader::new();
    }
    let loader = EbpfLoader::new();
    // SAFETY: as above; the soft limit may go up to the hard one, which has not changed.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const before) };
    loader
}

/// Gives the code back that has run until now, most of which runs once: what is needed again comes from the file, or from where the
/// system still has it. 5 MB.
pub fn give_code_back() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (begin, end) in maps.lines().filter_map(code_of_file) {
        // SAFETY: code that was mapped from a file, privately and not to be written: it has no page that differs from the file, so that
        // what is read or executed there again is what was there before.
        unsafe {
            libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_DONTNEED);
        }
    }
}

/// The addresses of a mapping, if it is code of a file: `55d0-55e0 r-xp 00001000 fe:01 77 /usr/bin/x`.
fn code_of_file(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (begin, end) = fields.next()?.split_once('-')?;
    let is_code = fields.next()? == "r-xp" && fields.nth(3)?.starts_with('/');
    let number = |text: &str| usize::from_str_radix(text, 16).ok();
    is_code.then_some((number(begin)?, number(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_given_back() {
        assert_eq!(code_of_file("1000-3000 r-xp 00001000 fe:01 77   /usr/bin/x y"), Some((0x1000, 0x3000)));
        for other in [
            "1000-3000 r--p 00001000 fe:01 77 /usr/bin/x",
            "1000-3000 rwxp 00001000 fe:01 77 /usr/bin/x",
            "1000-3000 r-xs 00001000 fe:01 77 /usr/bin/x",
            "1000-3000 r-xp 00000000 00:00 0 [vdso]",
            "1000-3000 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(code_of_file(other), None, "{other}");
        }
        give_code_back();
        assert!(fs::read_to_string("/proc/self/maps").unwrap().lines().filter_map(code_of_file).count() > 0);
    }

    #[test]
    fn what_could_be_opened_before_a_loader_can_be_opened_after_it() {
        let _loader = loader();
        assert!(fs::File::open("/proc/self/maps").is_ok());
    }
}
