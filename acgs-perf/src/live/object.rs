//! The object of the kernel programs: its maps, created, and the code of those programs that are wanted.
//!
//! In: the bytes of the object, values of its globals, sizes of its maps. Out: maps by name; programs, loaded by [`Object::load`].
//! What `aya::Ebpf` does too; but it keeps the code of all programs for as long as there is one of them, and needs the kernel's
//! types in its own form to load one, 10 MB of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::slice;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aya::EbpfError;
use aya::maps::{Map, MapData, MapError};
use aya::programs::ProgramError;
use aya::sys::SyscallError;
use aya_obj::btf::BtfError;
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;
use aya_obj::generated::{BPF_F_MMAPABLE, bpf_prog_info};
use aya_obj::{EbpfSectionKind, Function, VerifierLog};

use super::program::Wanted;
use super::{LiveError, bpf, program};

/// Threads that load programs, at most: the verifier goes through one for tens of milliseconds, and through several at a time.
const LOADERS: usize = 4;
/// The smallest ring buffer; a larger one is this times a power of two.
const PAGE: u32 = 4096;

/// What is set in the object before it is loaded.
#[derive(Default)]
pub struct Settings<'a> {
    globals: HashMap<&'a str, (&'a [u8], bool)>,
    entries: HashMap<&'a str, u32>,
}

impl<'a> Settings<'a> {
    /// A global variable, which must be there.
    pub fn global<T: aya::Pod>(&mut self, name: &'a str, value: &'a T) {
        self.globals_of(name, slice::from_ref(value));
    }

    /// A global array, which must be there.
    pub fn globals_of<T: aya::Pod>(&mut self, name: &'a str, values: &'a [T]) {
        // SAFETY: the bytes of values that are plain data, for as long as these live.
        let bytes = unsafe { slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
        self.globals.insert(name, (bytes, true));
    }

    /// The size of a map.
    pub fn entries(&mut self, name: &'a str, entries: u32) {
        self.entries.insert(name, entries);
    }
}

/// The object.
pub struct Object {
    maps: BTreeMap<String, Map>,
    license: CString,
    types: Option<OwnedFd>,
    /// Of programs that are not loaded yet.
    code: BTreeMap<String, Function>,
    programs: BTreeMap<&'static str, OwnedFd>,
}

/// A program that the kernel has taken, or why not.
pub type Loaded = Result<Duration, LiveError>;

impl Object {
    /// Creates the maps, and makes the code of the programs `wanted` ready.
    ///
    /// # Errors
    /// When the object is not as it should be, or the kernel refuses a map.
    pub fn open(object: &[u8], settings: &Settings<'_>, wanted: &BTreeSet<&str>) -> Result<Self, EbpfError> {
        let mut object = aya_obj::Object::parse(object)?;
        object.programs.retain(|name, _| wanted.contains(name.as_str()));
        object.patch_map_data(settings.globals.clone())?;
        let types = match aya::features().btf() {
            Some(features) => object.fixup_and_sanitize_btf(features)?.map(aya_obj::btf::Btf::to_bytes),
            None => None,
        };
        (object.btf, object.btf_ext) = (None, None);
        let types = types.map(|types| bpf::load_types(&types)).transpose();
        let types =
            types.map_err(|(io_error, log)| BtfError::LoadError { io_error, verifier_log: VerifierLog::new(log) })?;
        let mut maps = Vec::new();
        for (name, mut map) in object.maps.drain() {
            if let Some(entries) = settings.entries.get(name.as_str()) {
                map.set_max_entries(*entries);
            }
            if map.map_type() == BPF_MAP_TYPE_RINGBUF as u32 {
                map.set_max_entries(map.max_entries().div_ceil(PAGE).next_power_of_two() * PAGE);
                map.set_value_size(0);
            }
            if let (EbpfSectionKind::Data, aya_obj::Map::Legacy(variables)) = (map.section_kind(), &mut map) {
                variables.def.map_flags |= BPF_F_MMAPABLE;
            }
            let data = MapData::create(map.clone(), &name, types.as_ref().map(OwnedFd::as_fd))?;
            fill(&map, data.fd().as_fd())?;
            maps.push((name, map, data));
        }
        let text = object.functions.keys().map(|(section, _)| *section).collect();
        let of_maps = maps.iter().map(|(name, map, data)| (name.as_str(), data.fd().as_fd().as_raw_fd(), map));
        object.relocate_maps(of_maps, &text)?;
        object.relocate_calls(&text)?;
        object.sanitize_functions(aya::features());
        let mut code = BTreeMap::new();
        for (name, program) in object.programs.drain() {
            code.extend(object.functions.remove(&program.function_key()).map(|function| (name, function)));
        }
        let maps = maps.into_iter().map(|(name, _, data)| Ok((name, Map::from_map_data(data)?)));
        let maps = maps.collect::<Result<_, MapError>>()?;
        Ok(Self { maps, license: object.license, types, code, programs: BTreeMap::new() })
    }

    /// A map.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.maps.get(name)
    }

    /// A map, for whoever keeps it.
    pub fn take_map(&mut self, name: &str) -> Option<Map> {
        self.maps.remove(name)
    }

    /// A loaded program.
    ///
    /// # Errors
    /// When it is not loaded.
    pub fn program(&self, name: &'static str) -> Result<BorrowedFd<'_>, LiveError> {
        self.programs.get(name).map(OwnedFd::as_fd).ok_or_else(|| program::refused(name, ProgramError::NotLoaded))
    }

    /// What the kernel tells of a loaded program.
    ///
    /// # Errors
    /// What it said instead.
    pub fn info(&self, name: &'static str) -> Result<bpf_prog_info, LiveError> {
        bpf::info(self.program(name)?).map_err(|error| program::refused(name, ProgramError::IOError(error)))
    }

    /// Attaches a loaded program; it is detached when the descriptor is closed.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn attach(&self, name: &'static str) -> Result<OwnedFd, LiveError> {
        bpf::attach(self.program(name)?).map_err(|error| program::refused(name, ProgramError::IOError(error)))
    }

    /// All loaded programs.
    pub fn programs(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.programs.values().map(OwnedFd::as_fd)
    }

    /// Loads programs, several at a time where there are CPUs for it. What came of each, by its name.
    pub fn load(&mut self, wanted: &[&Wanted]) -> BTreeMap<&'static str, Loaded> {
        let mut to_do: Vec<(&Wanted, Option<Function>)> =
            wanted.iter().map(|program| (*program, self.code.remove(program.name))).collect();
        // The longest first, so that none is left for the end.
        to_do.sort_by_key(|(_, code)| std::cmp::Reverse(code.as_ref().map_or(0, |code| code.instructions.len())));
        let loaders = thread::available_parallelism().map_or(1, usize::from).min(LOADERS).min(to_do.len());
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let load = || {
            while let Some((wanted, code)) = to_do.get(next.fetch_add(1, Ordering::Relaxed)) {
                let began = Instant::now();
                let loaded = self.load_one(wanted, code.as_ref());
                let result = (wanted.name, loaded.map(|program| (program, began.elapsed())));
                done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(result);
            }
        };
        thread::scope(|scope| {
            for _ in 1..loaders {
                // Where there can be no other thread, this one does it all.
                let _thread =
                    thread::Builder::new().name("acgs-load".into()).stack_size(256 << 10).spawn_scoped(scope, load);
            }
            load();
        });
        let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut results = BTreeMap::new();
        for (name, result) in done {
            let result = result.map(|(program, time)| {
                self.programs.insert(name, program);
                time
            });
            results.insert(name, result);
        }
        results
    }

    /// Lets go of the code of programs that are not needed.
    pub fn forget(&mut self, programs: &[&Wanted]) {
        self.code.retain(|name, _| programs.iter().all(|program| program.name != *name));
    }

    fn load_one(&self, wanted: &Wanted, code: Option<&Function>) -> Result<OwnedFd, LiveError> {
        let name = wanted.name;
        let function =
            code.ok_or_else(|| LiveError::Map { name, reason: "no such program in the object".to_owned() })?;
        let target = wanted.target.clone().map_err(|type_name| {
            program::refused(name, ProgramError::Btf(BtfError::UnknownBtfTypeName { type_name }))
        })?;
        let (kind, attach_type) = wanted.kind;
        let (license, types) = (self.license.as_c_str(), self.types.as_ref().map(OwnedFd::as_fd));
        bpf::load(&bpf::Load { name, function, license, kind, attach_type, target, types }).map_err(
            |(io_error, log)| {
                program::refused(name, ProgramError::LoadError { io_error, verifier_log: VerifierLog::new(log) })
            },
        )
    }
}

/// Writes what a map begins with, if it is one of variables; constants cannot be changed afterwards.
fn fill(map: &aya_obj::Map, of: BorrowedFd<'_>) -> Result<(), MapError> {
    let failed = |call| move |io_error| MapError::SyscallError(SyscallError { call, io_error });
    if !map.data().is_empty() {
        bpf::fill(of, map.data()).map_err(failed("bpf_map_update_elem"))?;
    }
    if map.section_kind() == EbpfSectionKind::Rodata {
        bpf::freeze(of).map_err(failed("bpf_map_freeze"))?;
    }
    Ok(())
}
