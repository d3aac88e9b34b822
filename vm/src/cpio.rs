//! An initial file system: a cpio archive of the format `newc`, which the kernel unpacks into memory.
//!
//! In: directories and files. Out: the archive's bytes. Format: Documentation/driver-api/early-userspace/buffer-format.rst in
//! the kernel's source.

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;
const TRAILER: &str = "TRAILER!!!";

/// An archive that is being written. Every entry belongs to root, and files may be executed.
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// One with `/dev/console`, which the first process needs before it can mount anything.
    pub fn new() -> Self {
        let mut archive = Self { bytes: Vec::new(), entries: 0 };
        archive.directory("dev");
        archive.entry("dev/console", DEVICE, (5, 1), &[]);
        archive
    }

    /// A directory; its parents come first.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, (0, 0), &[]);
    }

    /// A file.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE, (0, 0), content);
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        // Inode, mode, uid, gid, links, time, size, device of the file (2), device it is (2), length of the name with its 0,
        // check sum, which this format does not have.
        let (size, name_size) = (content.len() as u32, name.len() as u32 + 1);
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (name, mode, content) of each entry, read independently of how they are written.
    fn entries(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut all = Vec::new();
        let mut rest = bytes;
        loop {
            assert_eq!(&rest[..6], b"070701");
            let field = |number: usize| {
                let text = std::str::from_utf8(&rest[6 + 8 * number..14 + 8 * number]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (size, length) = (field(6) as usize, field(11) as usize);
            let name = String::from_utf8(rest[110..110 + length - 1].to_vec()).unwrap();
            let start = (110 + length).next_multiple_of(4);
            let content = rest[start..start + size].to_vec();
            let last = name == TRAILER;
            all.push((name, field(1), content));
            rest = &rest[(start + size).next_multiple_of(4)..];
            if last {
                assert!(rest.is_empty());
                return all;
            }
        }
    }

    #[test]
    fn names_and_contents_of_every_length_are_found_again() {
        let mut archive = Archive::new();
        for length in 0..9 {
            archive.file(&"n".repeat(length + 1), &vec![b'x'; length]);
        }
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let all = entries(&bytes);
        assert_eq!(all[0], ("dev".into(), DIRECTORY, Vec::new()));
        assert_eq!(all[1], ("dev/console".into(), DEVICE, Vec::new()));
        for length in 0..9 {
            assert_eq!(all[length + 2], ("n".repeat(length + 1), FILE, vec![b'x'; length]));
        }
        assert_eq!(all[11].0, TRAILER);
    }
}
