//! Files that only some may read or write: keys, tokens, certificates.
//!
//! In: a path that was given with a flag. Out: its bytes, or one line that says what is wrong with it. The agent reads them before it
//! forks, and again on SIGHUP; the network-facing processes get bytes and never a path.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

/// A larger file is neither certificate nor token: the certificates of a whole distribution have 250 KB.
const MAX_BYTES: u64 = 4 << 20;
/// A token that is shorter could be guessed.
const MIN_TOKEN: usize = 16;
const MAX_TOKEN: usize = 4096;
/// Written by others than its owner, or read by all.
const TOO_OPEN_FOR_A_SECRET: u32 = 0o037;
/// Written by others than its owner.
const TOO_OPEN: u32 = 0o022;

/// Reads what nobody but its owner, and perhaps a group, may read.
///
/// # Errors
/// When it cannot be read, or others could read or write it too.
pub fn secret(flag: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    read(path, TOO_OPEN_FOR_A_SECRET).with_context(|| format!("{flag} {}", path.display()))
}

/// Reads what anybody may know, and nobody but its owner may change.
///
/// # Errors
/// When it cannot be read, or others could write it.
pub fn public(flag: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    read(path, TOO_OPEN).with_context(|| format!("{flag} {}", path.display()))
}

/// Reads a token: one line of visible characters.
///
/// # Errors
/// As [`secret`], and when it is none.
pub fn token(flag: &str, path: &Path) -> anyhow::Result<String> {
    let bytes = secret(flag, path)?;
    let text = std::str::from_utf8(&bytes).ok().map(str::trim_ascii_end);
    match text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic())) {
        Some(text) if text.len() < MIN_TOKEN => {
            bail!(
                "{flag} {}: shorter than {MIN_TOKEN} characters; make one with `openssl rand -hex 32`",
                path.display()
            )
        }
        Some(text) if text.len() <= MAX_TOKEN => Ok(text.to_owned()),
        _ => bail!("{flag} {}: want one line of letters, digits and signs, without spaces", path.display()),
    }
}

fn read(path: &Path, too_open: u32) -> anyhow::Result<Vec<u8>> {
    // A pipe that nobody writes would hold us for ever.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        bail!("is no regular file");
    }
    // SAFETY: geteuid has no preconditions.
    let user = unsafe { libc::geteuid() };
    if about.uid() != 0 && about.uid() != user {
        bail!("belongs to user {}, who could change it; give it to root", about.uid());
    }
    let mode = about.mode() & 0o777;
    if mode & too_open != 0 {
        bail!("its mode is {mode:04o}, so that others could read or write it; `chmod {:04o}` it", mode & !too_open);
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("is larger than {} MB", MAX_BYTES >> 20);
    }
    Ok(bytes)
}

/// What is known of a token where it is compared.
pub type TokenDigest = [u8; 32];

/// Its SHA-256.
#[must_use]
pub fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether a client has given the token. How long it takes says nothing of where the two differ: digests are compared, all of them.
#[must_use]
pub fn is_token(given: &str, known: &TokenDigest) -> bool {
    digest(given).iter().zip(known).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_others_could_read_or_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "0123456789abcdef\n").unwrap();
        for (mode, as_secret, as_public) in [
            (0o400, true, true),
            (0o600, true, true),
            (0o640, true, true),
            (0o644, false, true),
            (0o660, false, false),
            (0o604, false, true),
            (0o666, false, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(secret("--key", &path).is_ok(), as_secret, "{mode:o}");
            assert_eq!(public("--cert", &path).is_ok(), as_public, "{mode:o}");
        }
        let said = format!("{:#}", secret("--key", &path).unwrap_err());
        assert!(said.starts_with("--key ") && said.contains("0666") && said.contains("chmod 0640"), "{said}");
        for path in [directory.path(), &directory.path().join("nothing"), Path::new("/dev/null")] {
            assert!(secret("--key", path).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn a_token_is_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            token("--token-file", &path)
        };
        assert_eq!(read("0123456789abcdef\n").unwrap(), "0123456789abcdef");
        for text in [
            "",
            "short",
            "0123456789abcdef 0123456789abcdef",
            "0123456789abcdef\n0123456789abcdef",
            "0123456789abcd\u{e9}ef",
        ] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.starts_with("--token-file ") && !said.contains('\n'), "{said}");
        }
        let known = digest("0123456789abcdef");
        assert!(is_token("0123456789abcdef", &known));
        assert!(!is_token("0123456789abcdee", &known) && !is_token("", &known));
    }
}
