//! The kernel's maps in the agent: arrays as memory, tables by name, sums over shards.
//!
//! In: the loaded object. Out: what probes make their sections of; the switches, the ledger and the exemplars' gate. What cannot be
//! read of a table is noted, and no reason to lose the rest.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::ptr;
use std::rc::Rc;

use acgs_perf_common::exemplar::{GATE_WORDS, Gate};
use acgs_perf_common::histogram::BUCKETS;
use acgs_perf_common::ledger::{LOSS_COUNT, Loss};
use acgs_perf_common::maps::{
    COUNTING, PORTS_SECTION, Preemptor, SWITCHES_SECTION, Switches, counter_index, histogram_base,
};
use acgs_perf_common::members::MEMBERS_SECTION;
use acgs_perf_common::state::SYSCALLS;
use aya::maps::{HashMap, Map, MapData, RingBuf};

use super::array::Array;
use super::object::Object;
use super::{LiveError, entries};
use crate::sums::{Key, Row, Section, Sections, Sums};

/// Words of `SWITCHES`.
const BITS: usize = offset_of!(Switches, bits) / 8;
const OPENED: usize = offset_of!(Switches, opened_ns) / 8;
const CLOSED: usize = offset_of!(Switches, closed_ns) / 8;
const WALL_AHEAD: usize = offset_of!(Switches, wall_ahead_ns) / 8;
/// Arrays of every recording whose size does not depend on it.
const ARRAYS: &[&str] =
    &["LEDGER", SWITCHES_SECTION, MEMBERS_SECTION, PORTS_SECTION, "CALL_CLASS", "EXECED", "EXECED_HEAD"];
/// Tables.
const TABLES: &[&str] =
    &["MORE_MEMBERS_OF", "WANTED_PORT", "LISTENER", "DOWNSTREAM_PEER", "ERRNO", "PEER", "PREEMPTOR", "WORKER"];

/// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`, of hash maps since Linux 5.14.
const TAKE_ELEMENT: libc::c_long = 21;

/// `BPF_MAP_UPDATE_ELEM`.
const PUT_ELEMENT: libc::c_long = 2;
/// `BPF_NOEXIST`.
pub(super) const NO_EXIST: u64 = 1;

/// What these calls take, the begin of `union bpf_attr`.
#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Element {
    fn new<K>(data: &MapData, key: &K, value: u64, flags: u64) -> Self {
        let map = data.fd().as_fd().as_raw_fd() as u32;
        Self { map, padding: 0, key: ptr::from_ref(key) as u64, value, flags }
    }
}

/// All maps.
pub struct Maps {
    services: usize,
    shards: u32,
    arrays: BTreeMap<&'static str, Array>,
    tables: BTreeMap<&'static str, Map>,
    /// For names that no array has; the layouts never ask for one.
    nothing: Array,
    /// What a table could not be read for, by the table.
    unread: RefCell<BTreeMap<&'static str, String>>,
    /// Tables that were read in the reading under way, by name.
    shared: RefCell<Option<BTreeMap<&'static str, Rc<dyn Any>>>>,
}

impl Maps {
    /// Maps the arrays into memory: those of every recording, and `sized`, those whose size follows from it.
    ///
    /// # Errors
    /// Names the map that could not be opened.
    pub fn open(
        object: &mut Object,
        services: usize,
        shards: u32,
        sized: impl Iterator<Item = &'static str>,
    ) -> Result<Self, LiveError> {
        let mut arrays = BTreeMap::new();
        for name in sized.chain(ARRAYS.iter().copied()) {
            if let Some(Map::Array(data)) = object.map(name) {
                arrays.insert(name, Array::open(data, name)?);
            }
        }
        let mut tables = BTreeMap::new();
        for &name in TABLES {
            let map = object.take_map(name).ok_or(LiveError::Map { name, reason: "not in the object".into() })?;
            tables.insert(name, map);
        }
        let maps = Self { arrays, tables, ..Self::none(services, shards)? };
        for name in ARRAYS {
            if !maps.arrays.contains_key(name) {
                return Err(LiveError::Map { name, reason: "not an array in the object".into() });
            }
        }
        Ok(maps)
    }

    /// None yet.
    ///
    /// # Errors
    /// When there is no memory for a page.
    pub fn none(services: usize, shards: u32) -> Result<Self, LiveError> {
        let (arrays, tables, nothing) = (BTreeMap::new(), BTreeMap::new(), Array::empty()?);
        Ok(Self { services, shards, arrays, tables, nothing, unread: RefCell::default(), shared: RefCell::default() })
    }

    /// Number of services.
    #[must_use]
    pub fn services(&self) -> usize {
        self.services
    }

    /// Copies of counters and histograms.
    #[must_use]
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// An array as memory.
    #[must_use]
    pub fn array(&self, name: &str) -> &Array {
        self.arrays.get(name).unwrap_or(&self.nothing)
    }

    /// A table that can be changed.
    ///
    /// # Errors
    /// When it is not there, or has other types.
    pub fn table<K: aya::Pod, V: aya::Pod>(
        &mut self,
        name: &'static str,
    ) -> Result<HashMap<&mut MapData, K, V>, aya::maps::MapError> {
        let map = self.tables.get_mut(name).ok_or(aya::maps::MapError::InvalidName { name: name.to_owned() })?;
        HashMap::try_from(map)
    }

    /// Entries of a table. What cannot be read is no reason to lose the rest: it is noted.
    #[must_use]
    pub fn entries<K: aya::Pod, V: aya::Pod>(&self, name: &'static str, what: &str) -> Rc<Vec<(K, V)>> {
        if let Some(read) = self.shared.borrow().as_ref().and_then(|shared| shared.get(name)?.clone().downcast().ok()) {
            return read;
        }
        let all = Rc::new(self.read_entries(name, what));
        if let Some(shared) = self.shared.borrow_mut().as_mut() {
            let _before = shared.insert(name, all.clone());
        }
        all
    }

    /// Runs `reading`, within which each table is read once, for all services.
    pub fn reading_once(&self, reading: impl FnOnce()) {
        *self.shared.borrow_mut() = Some(BTreeMap::new());
        reading();
        *self.shared.borrow_mut() = None;
    }

    fn read_entries<K: aya::Pod, V: aya::Pod>(&self, name: &'static str, what: &str) -> Vec<(K, V)> {
        let note = |why: anyhow::Error| {
            let text = format!("{what} could not be read whole: map {name}: {why:#}");
            self.unread.borrow_mut().insert(name, text);
        };
        let Some(map) = self.tables.get(name) else { return Vec::new() };
        let table = match HashMap::<&MapData, K, V>::try_from(map) {
            Ok(table) => table,
            Err(error) => {
                note(error.into());
                return Vec::new();
            }
        };
        if let Map::HashMap(data) | Map::LruHashMap(data) = map
            && let Ok(all) = entries::read(data.fd().as_fd())
        {
            return all;
        }
        // One by one, where the kernel gives them in no other way.
        table.iter().filter_map(|entry| entry.map_err(|error| note(error.into())).ok()).collect()
    }

    /// The rows of a table of which a service has some entries, and room for new ones: an entry in which nothing has happened since
    /// the last reading goes from the kernel's table if that holds more than `room` entries. What it has counted stays counted, in
    /// the interval that it was counted in.
    pub fn read_table<K: aya::Pod, V: aya::Pod + PartialEq>(
        &self,
        table: (&'static str, &str, usize),
        before: Option<&Section>,
        row: impl Fn(&K, &V) -> Option<(Key, Row)>,
    ) -> Section {
        let (name, what, room) = table;
        let all = self.entries::<K, V>(name, what);
        let is_crowded = all.len() > room;
        let mut section = Section::new();
        for &(entry, value) in all.iter() {
            let Some((key, current)) = row(&entry, &value) else { continue };
            let is_idle = is_crowded && before.is_some_and(|before| before.get(&key) == Some(&current));
            match is_idle.then(|| self.take_entry::<K, V>(name, &entry)).flatten() {
                // Something came in the last moment, so it goes back: an entry that began anew would seem to have counted down.
                Some(last) if last != value => {
                    if self.put_entry(name, &entry, &last, NO_EXIST) {
                        section.extend(row(&entry, &last));
                    } else {
                        let text = format!(
                            "{what}: events of one moment are missing in map {name}, whose entry was taken out then"
                        );
                        self.unread.borrow_mut().insert(name, text);
                    }
                }
                Some(_) => {}
                None => drop(section.insert(key, current)),
            }
        }
        section
    }

    /// Takes an entry out of a table in one step with its last value; `None` where the kernel cannot.
    pub(super) fn take_entry<K: aya::Pod, V: aya::Pod>(&self, name: &str, key: &K) -> Option<V> {
        let (Map::HashMap(data) | Map::LruHashMap(data)) = self.tables.get(name)? else { return None };
        let mut value = MaybeUninit::<V>::uninit();
        let element = Element::new(data, key, value.as_mut_ptr() as u64, 0);
        // SAFETY: `element` is laid out as the call wants it, and names a key and a place for a value of the map's types.
        unsafe {
            let result = libc::syscall(libc::SYS_bpf, TAKE_ELEMENT, ptr::from_ref(&element), size_of::<Element>());
            (result == 0).then(|| value.assume_init())
        }
    }

    /// Puts an entry into a table; whether it is there.
    pub(super) fn put_entry<K: aya::Pod, V: aya::Pod>(&self, name: &str, key: &K, value: &V, flags: u64) -> bool {
        let (Some(Map::HashMap(data)) | Some(Map::LruHashMap(data))) = self.tables.get(name) else { return false };
        let element = Element::new(data, key, ptr::from_ref(value) as u64, flags);
        // SAFETY: `element` is laid out as the call wants it, and names a key and a value of the map's types.
        unsafe { libc::syscall(libc::SYS_bpf, PUT_ELEMENT, ptr::from_ref(&element), size_of::<Element>()) == 0 }
    }

    /// The value of an entry, if there is one.
    pub(super) fn entry<K: aya::Pod, V: aya::Pod>(&self, name: &str, key: &K) -> Option<V> {
        let table = HashMap::<&MapData, K, V>::try_from(self.tables.get(name)?).ok()?;
        table.get(key, 0).ok()
    }

    /// Notes that something cannot be read, once for each name.
    pub fn note(&self, name: &'static str, text: String) {
        self.unread.borrow_mut().insert(name, text);
    }

    /// What could not be read so far, in one line per map.
    #[must_use]
    pub fn unread(&self) -> Vec<String> {
        let of_arrays = self.arrays.iter().filter_map(|(name, array)| Some((name, array.error()?)));
        let of_arrays = of_arrays.map(|(name, error)| format!("map {name} could not be read whole: {error}"));
        self.unread.borrow().values().cloned().chain(of_arrays).collect()
    }

    /// Stops what these bits stand for; see `acgs_perf_common::maps::STOPPED_SCHED`.
    pub fn stop(&self, bits: u64) {
        let switches = self.array(SWITCHES_SECTION);
        switches.set(BITS, switches.get(BITS) | bits);
    }

    /// Says by how much the wall clock is ahead of the programs' clock, on which others may set their time limits.
    pub fn set_wall_clock(&self, ahead_ns: u64) {
        self.array(SWITCHES_SECTION).set(WALL_AHEAD, ahead_ns);
    }

    /// Opens the window: from now on, which `clock` tells, what happens counts.
    pub fn open_window(&self, clock: impl Fn() -> u64) -> u64 {
        let switches = self.array(SWITCHES_SECTION);
        let opened = clock();
        switches.set(OPENED, opened);
        switches.set(BITS, switches.get(BITS) | COUNTING);
        opened
    }

    /// Closes the window: what happens after the time given back counts no more.
    pub fn close_window(&self, clock: impl Fn() -> u64) -> u64 {
        let switches = self.array(SWITCHES_SECTION);
        switches.set(BITS, switches.get(BITS) & !COUNTING);
        let closed = clock();
        switches.set(CLOSED, closed);
        closed
    }

    /// When the window was opened, and when it was closed.
    #[must_use]
    pub fn window(&self) -> (u64, u64) {
        let switches = self.array(SWITCHES_SECTION);
        (switches.get(OPENED), switches.get(CLOSED))
    }

    /// Writes the table from system call to class.
    pub fn set_call_classes(&self, classes: &[u64; SYSCALLS]) {
        for (nr, class) in classes.iter().enumerate() {
            self.array("CALL_CLASS").set(nr, *class);
        }
    }

    /// Some counters of a service, summed over the shards, as the only row of a section.
    pub fn read_counters(
        &self,
        section: &'static str,
        service: u32,
        counters: impl IntoIterator<Item = u32>,
        sections: &mut Sections,
    ) {
        let words = counters.into_iter().map(|counter| (counter, self.counter(service, counter) as i64));
        let row = Row { sums: Sums::sparse(words), ..Row::default() };
        sections.insert(section.into(), Section::from([(Vec::new(), row)]));
    }

    /// A counter by its index, summed over the shards.
    #[must_use]
    pub fn counter(&self, service: u32, counter: u32) -> u64 {
        let counters = self.array("COUNTERS");
        (0..self.shards)
            .map(|shard| counters.get(counter_index(self.shards, service, counter, shard) as usize))
            .fold(0, u64::wrapping_add)
    }

    /// Some histograms of a service, summed over the shards, as rows of a section; what was over range follows the buckets.
    pub fn read_histograms(
        &self,
        section: &'static str,
        service: u32,
        histograms: impl IntoIterator<Item = u32>,
        sections: &mut Sections,
    ) {
        let array = self.array("HISTOGRAMS");
        let rows = histograms.into_iter().map(|histogram| {
            // A reply's first send may be recorded in one shard and taken back in another.
            let copies = (0..self.shards).map(|shard| histogram_base(self.shards, service, histogram, shard) as usize);
            (vec![histogram], Row { sums: array.sums(copies, BUCKETS + 1), ..Row::default() })
        });
        sections.insert(section.into(), rows.collect());
    }

    /// The ledger by `Loss`, as far as the kernel side and this agent have counted.
    #[must_use]
    pub fn ledger(&self) -> Sums {
        let ledger = self.array("LEDGER");
        Sums::dense((0..LOSS_COUNT).map(|loss| ledger.get(loss) as i64))
    }

    /// Counts a loss that only the agent can see, in a word to which the kernel side may add at the same time.
    pub fn lose(&self, loss: Loss) {
        self.array("LEDGER").add(loss as usize, 1);
    }

    /// A word of what the kernel side is told about exemplars.
    #[must_use]
    pub fn gate(&self, service: usize, word: Gate) -> u64 {
        self.array("EXEMPLAR_GATE").get(service * GATE_WORDS as usize + word as usize)
    }

    /// Sets it.
    pub fn set_gate(&self, service: usize, word: Gate, value: u64) {
        self.array("EXEMPLAR_GATE").set(service * GATE_WORDS as usize + word as usize, value);
    }

    /// Name of a process: what /proc says, or what the kernel side saw when it stood in somebody's way; empty if unknown.
    #[must_use]
    pub fn comm(&self, pid: u32) -> String {
        if let Ok(comm) = std::fs::read_to_string(format!("/proc/{pid}/comm")) {
            return comm.trim_end().to_owned();
        }
        let table = self.tables.get("PREEMPTOR").map(HashMap::<&MapData, u64, Preemptor>::try_from);
        let Some(Ok(table)) = table else { return String::new() };
        let seen = (0..self.services as u64).find_map(|service| table.get(&(service << 32 | u64::from(pid)), 0).ok());
        seen.map(|who| text(&who.comm)).unwrap_or_default()
    }
}

/// A command name as the kernel keeps it: bytes up to the first zero.
#[must_use]
pub fn text(comm: &[u8]) -> String {
    String::from_utf8_lossy(comm.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// The ring buffer of exemplars.
///
/// # Errors
/// When the object has none.
pub fn exemplar_ring(object: &mut Object) -> Result<RingBuf<MapData>, LiveError> {
    let name = "EXEMPLARS";
    let map = object.take_map(name).ok_or(LiveError::Map { name, reason: "not in the object".into() })?;
    RingBuf::try_from(map).map_err(|e| LiveError::Map { name, reason: e.to_string() })
}
