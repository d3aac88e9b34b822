//! Builds the kernel programs and leaves the object where `probe::session` includes it.
//!
//! In: `ACGS_PERF_BPF_TOOLCHAIN` (default `nightly`). Without bpf-linker the object is empty, so that check, clippy, doc and
//! the host tests work anywhere; an agent built that way says so when it is asked to record. `ACGS_PERF_SETUP_LOCK` names a file
//! that is locked until the linker is there. `ACGS_PERF_BPF_LINES` keeps the source lines, which the verifier prints when it refuses
//! a program.
use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context as _, Result};
use object::build::elf::SectionData;

const TOOLCHAIN: &str = "ACGS_PERF_BPF_TOOLCHAIN";
const SETUP_LOCK: &str = "ACGS_PERF_SETUP_LOCK";
const LINES: &str = "ACGS_PERF_BPF_LINES";
const PACKAGE: &str = "acgs-perf-ebpf";

fn main() -> Result<()> {
    println!("cargo:rerun-if-env-changed={TOOLCHAIN}");
    println!("cargo:rerun-if-env-changed={LINES}");
    if let Some(lock) = env::var_os(SETUP_LOCK) {
        // Set-up runs beside this build, and puts the linker in place before it lets the lock go.
        fs::File::open(lock).and_then(|file| file.lock_shared()).context(SETUP_LOCK)?;
    }
    let object = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?).join(PACKAGE);
    match which::which("bpf-linker") {
        Ok(linker) => {
            println!("cargo:rerun-if-changed={}", linker.display());
            println!("cargo:rerun-if-changed=../acgs-perf-common/src");
            println!("cargo:rerun-if-changed=../acgs-perf-protocol/src");
            let toolchain = env::var(TOOLCHAIN).unwrap_or_else(|_| "nightly".into());
            // An incremental build cuts the crate into pieces, between which closures are calls: 21 instructions more in each hook.
            // The third version of the kernel's machine, which each kernel from 5.1 on has, computes with 32 bits too: 6 % fewer
            // instructions a request. Only for it, and not for the build's own programs.
            let settings = [
                ("CARGO_INCREMENTAL", "0"),
                ("CARGO_UNSTABLE_PROFILE_RUSTFLAGS", "true"),
                ("CARGO_PROFILE_RELEASE_RUSTFLAGS", "-Ctarget-cpu=v3"),
                ("CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_RUSTFLAGS", ""),
            ];
            for (name, value) in settings {
                // SAFETY: nothing else runs in this program.
                unsafe { env::set_var(name, value) };
            }
            let package = aya_build::Package { name: PACKAGE, root_dir: "../acgs-perf-ebpf", ..Default::default() };
            aya_build::build_ebpf([package], aya_build::Toolchain::Custom(&toolchain))?;
            let built = fs::read(&object).with_context(|| format!("read {}", object.display()))?;
            fs::write(&object, without_dwarf(&built)?)?;
        }
        Err(_) => {
            // A path that does not exist makes cargo run this again next time, when the linker may be there.
            println!("cargo:rerun-if-changed=bpf-linker-is-missing");
            println!("cargo:warning=bpf-linker not found: building without kernel programs; run `cargo xtask setup`");
            fs::write(&object, [])?;
        }
    }
    if !object.exists() {
        fs::write(&object, [])?;
    }
    Ok(())
}

/// The object without debugging information: BTF is made of it, and nobody reads it again. It is three quarters of the file,
/// which the agent holds in memory while it loads the programs.
fn without_dwarf(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = object::build::elf::Builder::read(object).context("the object of the kernel programs")?;
    for section in &mut builder.sections {
        section.delete = section.name.starts_with(b".debug_") || section.name.starts_with(b".rel.debug_");
        if section.name.as_slice() == b".BTF.ext"
            && env::var_os(LINES).is_none()
            && let SectionData::Data(data) = &section.data
        {
            section.data = SectionData::Data(without_lines(data)?.into());
        }
    }
    builder.delete_orphans();
    // LLVM keeps the names of sections and symbols in one table, the writer in two.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut object::write::StreamingBuffer::new(&mut stripped))?;
    Ok(stripped)
}

/// `.BTF.ext` without its source lines. The loader keeps a copy of those of all functions for each of them, 20 MB.
/// Format: the kernel's Documentation/bpf/btf.rst.
fn without_lines(data: &[u8]) -> Result<Vec<u8>> {
    const HEADER_LEN: usize = 4;
    const OFFSET: usize = 16;
    const LEN: usize = 20;
    /// Of what lies behind the lines; absent in a short header.
    const RELOCATIONS_OFFSET: usize = 24;
    let word = |at: usize| -> Result<usize> {
        let bytes = data.get(at..at + 4).context(".BTF.ext is cut off")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    let (header, len) = (word(HEADER_LEN)?, word(LEN)?);
    let begin = header + word(OFFSET)?;
    let mut without = data.get(..begin).context(".BTF.ext is cut off")?.to_vec();
    without.extend_from_slice(data.get(begin + len..).context(".BTF.ext is cut off")?);
    without[LEN..LEN + 4].fill(0);
    if header > RELOCATIONS_OFFSET && word(RELOCATIONS_OFFSET)? > word(OFFSET)? {
        let offset = (word(RELOCATIONS_OFFSET)? - len) as u32;
        without[RELOCATIONS_OFFSET..RELOCATIONS_OFFSET + 4].copy_from_slice(&offset.to_le_bytes());
    }
    Ok(without)
}
