//! Memory that only loading takes: not taken, or given back.
//!
//! In: nothing. Out: fewer resident pages. What cannot be given back stays, and nobody is told: all works as well.

use std::ffi::CStr;

/// Gives the pages back that are as they are in the program's file and in its libraries, code and constants: most of them are needed
/// once, and with each that is touched come fifteen neighbours. What is needed again comes from where the system still has it.
pub fn give_files_back() {
    // SAFETY: the callback is called with what it takes, and calls nothing that loads or unloads a library.
    unsafe { libc::dl_iterate_phdr(Some(give_file_back), std::ptr::null_mut()) };
}

/// Gives the pages of one file back.
unsafe extern "C" fn give_file_back(file: *mut libc::dl_phdr_info, _: usize, _: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the linker gives a description that is there as long as the call.
    let (file, name) = unsafe { (&*file, (*file).dlpi_name) };
    // SAFETY: as above; a name is a string that ends with a zero.
    let name = if name.is_null() { b"" } else { unsafe { CStr::from_ptr(name) }.to_bytes() };
    // The program itself has no name; what has one that is no path is no file, but the kernel's.
    if (!name.is_empty() && !name.starts_with(b"/")) || file.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: as above.
    let segments = unsafe { std::slice::from_raw_parts(file.dlpi_phdr, file.dlpi_phnum.into()) };
    for segment in segments {
        if let Some((begin, end)) = pages_of_file(segment, file.dlpi_addr) {
            // SAFETY: whole pages of a mapping that nobody can write: none of them differs from the file, so that what is read or
            // executed there again is what was there before.
            unsafe { libc::madvise(begin as *mut libc::c_void, (end - begin) as usize, libc::MADV_DONTNEED) };
        }
    }
    0
}

/// The pages of a segment that is loaded from a file and never written, not even by the linker.
fn pages_of_file(segment: &libc::Elf64_Phdr, base: u64) -> Option<(u64, u64)> {
    const PAGE: u64 = 4096;
    if segment.p_type != libc::PT_LOAD || segment.p_flags & libc::PF_W != 0 {
        return None;
    }
    let begin = base + segment.p_vaddr;
    let (begin, end) = (begin / PAGE * PAGE, (begin + segment.p_filesz) / PAGE * PAGE);
    (begin < end).then_some((begin, end))
}

/// Gives free memory between what is in use back, by whole pages.
pub fn give_heap_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(kind: u32, flags: u32) -> libc::Elf64_Phdr {
        // SAFETY: the structure consists of integers, for which zero is a value.
        let empty: libc::Elf64_Phdr = unsafe { std::mem::zeroed() };
        libc::Elf64_Phdr { p_type: kind, p_flags: flags, p_vaddr: 0x2880, p_filesz: 0x2000, p_memsz: 0x9000, ..empty }
    }

    #[test]
    fn only_what_is_never_written_is_given_back() {
        let code = segment(libc::PT_LOAD, libc::PF_R | libc::PF_X);
        assert_eq!(pages_of_file(&code, 0x10000), Some((0x12000, 0x14000)));
        assert_eq!(pages_of_file(&segment(libc::PT_LOAD, libc::PF_R | libc::PF_W), 0), None);
        assert_eq!(pages_of_file(&segment(libc::PT_GNU_RELRO, libc::PF_R), 0), None);
        assert_eq!(pages_of_file(&libc::Elf64_Phdr { p_filesz: 0x100, ..code }, 0), None);
    }

    /// Resident pages of files that nobody can write, in KiB.
    fn resident() -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_of_file = false;
        let mut sum = 0;
        for line in maps.lines() {
            if let Some(size) = line.strip_prefix("Rss:").filter(|_| is_of_file) {
                sum += size.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
            if line.split(' ').next().is_some_and(|first| first.contains('-')) {
                is_of_file = line.contains(" r-xp ") && line.contains('/');
            }
        }
        sum
    }

    #[test]
    fn code_that_was_given_back_can_be_run_again() {
        let before = resident();
        give_files_back();
        let after = resident();
        assert!(after < before, "{before} to {after} KiB");
    }
}
