//! A reader of BTF, the kernel's own type information: where a field lies in a struct, how many arguments a hook has.
//!
//! In: the bytes of `/sys/kernel/btf/vmlinux`. Out: offsets. Format: the kernel's Documentation/bpf/btf.rst.
//!
//! There are 100,000 types, of which some hundred are asked for. So little is kept of the others: where each sixteenth of them is, and
//! hashes of the names that are looked for, but for those of functions, of which most types are and few are asked for.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Deref;

use memmap2::{Mmap, MmapOptions};

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
/// Anonymous members nest at most this deep in the kernel's types.
const MAX_DEPTH: u32 = 16;
/// The position of one type in so many is kept.
const STEP: usize = 16;
/// What the names of tracepoints begin with, as types.
const TRACEPOINT: &str = "btf_trace_";

/// Where a field lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Offset in bits.
    pub bit_offset: u32,
    /// Width in bits if it is a bit field, else 0.
    pub bit_width: u32,
}

/// The bytes of a BTF file.
pub enum Bytes {
    /// Read.
    Read(Vec<u8>),
    /// The kernel's own pages, which are no memory of this process. Since Linux 6.16.
    Mapped(Mmap),
}

impl Bytes {
    /// Maps a file, or reads it where it cannot be mapped.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_file(path: &str) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        // SAFETY: the kernel's types do not change while it runs, and the mapping is private.
        if let Ok(mapped) = unsafe { MmapOptions::new().len(len).map_copy_read_only(&file) } {
            return Ok(Self::Mapped(mapped));
        }
        let mut read = Vec::with_capacity(len);
        file.read_to_end(&mut read)?;
        Ok(Self::Read(read))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Read(bytes)
    }
}

/// Parsed BTF.
pub struct Btf {
    data: Bytes,
    strings: usize,
    /// How many types there are.
    types: usize,
    /// Positions of the types with the ids 1, 1 + [`STEP`] and so on.
    positions: Vec<u32>,
    /// Structs, enums, variables and tracepoints.
    named: Vec<Named>,
}

/// A type that is looked for by its name.
struct Named {
    hash: u32,
    id: u32,
    at: u32,
}

impl Btf {
    /// Parses the bytes of a BTF file.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn parse(data: impl Into<Bytes>) -> Result<Self, String> {
        let data = data.into();
        let word = |at: usize| u32_at(&data, at).ok_or_else(|| "truncated".to_owned());
        let magic = word(0)? & 0xffff;
        if magic != u32::from(MAGIC) {
            return Err(format!("magic {magic:#x} instead of {MAGIC:#x}"));
        }
        let header = word(4)? as usize;
        let (type_start, type_len) = (header + word(8)? as usize, word(12)? as usize);
        let (strings, string_len) = (header + word(16)? as usize, word(20)? as usize);
        if data.len() < type_start + type_len || data.len() < strings + string_len {
            return Err("truncated".to_owned());
        }
        let (mut types, mut positions, mut named) = (0, Vec::new(), Vec::new());
        let mut at = type_start;
        while at < type_start + type_len {
            if types % STEP == 0 {
                positions.push(at as u32);
            }
            types += 1;
            let info = word(at + 4)?;
            if matches!(kind(info), KIND_STRUCT | KIND_ENUM | KIND_TYPEDEF | KIND_VAR)
                && let Some(name) = string(&data, strings, word(at)?)
                && (kind(info) != KIND_TYPEDEF || name.starts_with(TRACEPOINT.as_bytes()))
            {
                named.push(Named { hash: hash(name), id: types as u32, at: at as u32 });
            }
            at += 12 + trailing(info)?;
        }
        Ok(Self { data, strings, types, positions, named })
    }

    /// Where field `path` (`a` or `a.b`) lies in struct `name`, through anonymous members.
    #[must_use]
    pub fn field(&self, name: &str, path: &str) -> Option<Field> {
        let mut id = self.struct_id(name)?;
        let mut found = Field { bit_offset: 0, bit_width: 0 };
        for part in path.split('.') {
            let (field, type_id) = self.member(id, part, 0)?;
            found = Field { bit_offset: found.bit_offset + field.bit_offset, bit_width: field.bit_width };
            id = self.resolve(type_id);
        }
        Some(found)
    }

    /// The value of an enumerator of enum `name`.
    #[must_use]
    pub fn enumerator(&self, name: &str, wanted: &str) -> Option<u32> {
        let id = self.find(name, KIND_ENUM)?;
        let (at, info) = (self.position(id)?, self.info(id)?);
        let places = (0..vlen(info) as usize).map(|i| at + 12 + 8 * i);
        let mut found = places.filter(|place| {
            let named = u32_at(&self.data, *place).and_then(|offset| self.string(offset));
            named == Some(wanted.as_bytes())
        });
        u32_at(&self.data, found.next()? + 4)
    }

    /// Whether tracepoint `name` exists, and with how many arguments (the hidden first one not counted).
    #[must_use]
    pub fn tracepoint_arguments(&self, name: &str) -> Option<u32> {
        let proto = self.target(self.target(self.tracepoint_id(name)?)?)?;
        let info = self.info(proto)?;
        (kind(info) == KIND_FUNC_PROTO).then(|| vlen(info).saturating_sub(1))
    }

    /// The id of a tracepoint.
    #[must_use]
    pub fn tracepoint_id(&self, name: &str) -> Option<u32> {
        self.find(&format!("{TRACEPOINT}{name}"), KIND_TYPEDEF)
    }

    /// Whether the kernel has a function of this name to which programs can be attached.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.find(name, KIND_FUNC).is_some()
    }

    /// The id of a kernel function.
    #[must_use]
    pub fn function_id(&self, name: &str) -> Option<u32> {
        self.find(name, KIND_FUNC)
    }

    /// Whether the kernel has a variable of this name; BTF lists those that each CPU has a copy of.
    #[must_use]
    pub fn has_variable(&self, name: &str) -> bool {
        self.find(name, KIND_VAR).is_some()
    }

    fn struct_id(&self, name: &str) -> Option<u32> {
        self.find(name, KIND_STRUCT)
    }

    fn find(&self, name: &str, wanted: u32) -> Option<u32> {
        let is_it = |at: usize| {
            u32_at(&self.data, at + 4).map(kind) == Some(wanted)
                && u32_at(&self.data, at).is_some_and(|offset| self.is_string(offset, name.as_bytes()))
        };
        if wanted == KIND_FUNC {
            return (1..).zip(self.places()).find(|(_, at)| is_it(*at)).map(|(id, _)| id);
        }
        let hash = hash(name.as_bytes());
        self.named.iter().find(|named| named.hash == hash && is_it(named.at as usize)).map(|named| named.id)
    }

    /// Positions of all types, in the order of their ids.
    fn places(&self) -> impl Iterator<Item = usize> {
        let first = self.positions.first().map(|at| *at as usize);
        std::iter::successors(first, |at| self.next(*at)).take(self.types)
    }

    /// The position of the type behind that at `at`.
    fn next(&self, at: usize) -> Option<usize> {
        Some(at + 12 + trailing(u32_at(&self.data, at + 4)?).ok()?)
    }

    fn position(&self, id: u32) -> Option<usize> {
        let index = id.checked_sub(1)? as usize;
        let known = *self.positions.get(index / STEP)? as usize;
        if index >= self.types {
            return None;
        }
        (0..index % STEP).try_fold(known, |at, _| self.next(at))
    }

    fn info(&self, id: u32) -> Option<u32> {
        u32_at(&self.data, self.position(id)? + 4)
    }

    /// The type that a typedef, qualifier or pointer refers to.
    fn target(&self, id: u32) -> Option<u32> {
        u32_at(&self.data, self.position(id)? + 8)
    }

    fn string(&self, offset: u32) -> Option<&[u8]> {
        string(&self.data, self.strings, offset)
    }

    /// Whether the string at `offset` is this one: quicker than to look for its end.
    fn is_string(&self, offset: u32, wanted: &[u8]) -> bool {
        let rest = self.data.get(self.strings + offset as usize..);
        rest.is_some_and(|rest| rest.starts_with(wanted) && rest.get(wanted.len()) == Some(&0))
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> u32 {
        while let Some(info) = self.info(id) {
            match kind(info) {
                8..=11 | 18 => match self.target(id) {
                    Some(next) => id = next,
                    None => break,
                },
                _ => break,
            }
        }
        id
    }

    /// A member of a struct or union, looked for in anonymous members too, and its type.
    fn member(&self, id: u32, name: &str, depth: u32) -> Option<(Field, u32)> {
        let (at, info) = (self.position(id)?, self.info(id)?);
        if depth > MAX_DEPTH || !matches!(kind(info), KIND_STRUCT | KIND_UNION) {
            return None;
        }
        let bit_fields = info >> 31 == 1;
        for i in 0..vlen(info) as usize {
            let member = at + 12 + 12 * i;
            let member_name = self.string(u32_at(&self.data, member)?)?;
            let type_id = u32_at(&self.data, member + 4)?;
            let raw = u32_at(&self.data, member + 8)?;
            let (bit_offset, bit_width) = if bit_fields { (raw & 0xff_ffff, raw >> 24) } else { (raw, 0) };
            if member_name == name.as_bytes() {
                return Some((Field { bit_offset, bit_width }, type_id));
            }
            if member_name.is_empty()
                && let Some((inner, inner_type)) = self.member(self.resolve(type_id), name, depth + 1)
            {
                let field = Field { bit_offset: bit_offset + inner.bit_offset, bit_width: inner.bit_width };
                return Some((field, inner_type));
            }
        }
        None
    }
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

fn string(data: &[u8], strings: usize, offset: u32) -> Option<&[u8]> {
    data.get(strings + offset as usize..)?.split(|byte| *byte == 0).next()
}

/// FNV-1a.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn kind(info: u32) -> u32 {
    (info >> 24) & 0x1f
}

fn vlen(info: u32) -> u32 {
    info & 0xffff
}

/// Bytes that follow a type's twelve-byte header.
fn trailing(info: u32) -> Result<usize, String> {
    let n = vlen(info) as usize;
    Ok(match kind(info) {
        1 | KIND_VAR | 17 => 4,
        2 | 7..=12 | 16 | 18 => 0,
        3 => 12,
        KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * n,
        KIND_ENUM | KIND_FUNC_PROTO => 8 * n,
        other => return Err(format!("unknown kind {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small BTF written by hand: struct outer { int a; struct { int b; unsigned c:3, d:1; }; struct inner i; };
    /// enum e { p = 4, q = 9 }.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0outer\0a\0b\0c\0d\0inner\0x\0i\0btf_trace_t\0e\0p\0q\0";
        let at = |name: &str| {
            let wanted = [name.as_bytes(), b"\0"].concat();
            strings.windows(wanted.len()).position(|w| w == wanted).expect("in table") as u32
        };
        let head =
            |name: u32, kind: u32, vlen: u32, kflag: u32, size: u32| vec![name, kflag << 31 | kind << 24 | vlen, size];
        let mut types: Vec<u32> = Vec::new();
        types.extend([head(at("int"), 1, 0, 0, 4), vec![32]].concat()); // 1
        types.extend(
            [head(0, 4, 3, 1, 8), vec![at("b"), 1, 0, at("c"), 1, 3 << 24 | 32, at("d"), 1, 1 << 24 | 35]].concat(),
        ); // 2
        types.extend([head(at("inner"), 4, 1, 0, 8), vec![at("x"), 1, 32]].concat()); // 3
        types.extend(head(0, 10, 0, 0, 3)); // 4: const inner
        types.extend([head(at("outer"), 4, 3, 0, 24), vec![at("a"), 1, 0, 0, 2, 64, at("i"), 4, 128]].concat()); // 5
        types.extend([head(0, 13, 3, 0, 0), vec![0, 1, 0, 1, 0, 1]].concat()); // 6
        types.extend(head(0, 2, 0, 0, 6)); // 7
        types.extend(head(at("btf_trace_t"), 8, 0, 0, 7)); // 8
        types.extend([head(at("e"), 6, 2, 0, 4), vec![at("p"), 4, at("q"), 9]].concat()); // 9
        let mut out = Vec::new();
        let len = types.len() as u32 * 4;
        for word in [u32::from(MAGIC) | 1 << 16, 24, 0, len, len, strings.len() as u32] {
            out.extend(word.to_le_bytes());
        }
        for word in types {
            out.extend(word.to_le_bytes());
        }
        out.extend(strings);
        out
    }

    #[test]
    fn fields_are_found_through_anonymous_members_and_paths() {
        let btf = Btf::parse(sample()).expect("valid");
        assert_eq!(btf.field("outer", "a"), Some(Field { bit_offset: 0, bit_width: 0 }));
        assert_eq!(btf.field("outer", "b"), Some(Field { bit_offset: 64, bit_width: 0 }));
        assert_eq!(btf.field("outer", "d"), Some(Field { bit_offset: 99, bit_width: 1 }));
        assert_eq!(btf.field("outer", "i.x"), Some(Field { bit_offset: 160, bit_width: 0 }));
        assert_eq!(btf.field("outer", "nope"), None);
        assert_eq!(btf.field("nope", "a"), None);
        assert_eq!(btf.tracepoint_arguments("t"), Some(2));
        assert_eq!(btf.tracepoint_arguments("u"), None);
        assert_eq!(
            (btf.enumerator("e", "q"), btf.enumerator("e", "r"), btf.enumerator("f", "q")),
            (Some(9), None, None)
        );
    }

    #[test]
    fn a_type_has_the_id_that_the_kernel_gives_it() {
        // More than one step of types before those that are looked for.
        let (strings, before) = (b"\0f\0btf_trace_t\0v\0", 3 * STEP as u32 + 5);
        let mut types: Vec<u32> = (0..before).flat_map(|_| [0, 2 << 24, 0]).collect();
        types.extend([1, 12 << 24, 0]); // a function
        types.extend([3, 8 << 24, before + 4]); // a tracepoint
        types.extend([15, 14 << 24, 0, 1]); // a variable
        types.extend([0, 2 << 24, before + 5]);
        types.extend([0, 13 << 24 | 2, 0, 0, 0, 0, 0]);
        let len = types.len() as u32 * 4;
        let header = [u32::from(MAGIC) | 1 << 16, 24, 0, len, len, strings.len() as u32];
        let mut bytes: Vec<u8> = header.iter().chain(&types).flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(strings);
        let btf = Btf::parse(bytes).expect("valid");
        assert_eq!((btf.function_id("f"), btf.tracepoint_id("t")), (Some(before + 1), Some(before + 2)));
        assert_eq!((btf.find("v", KIND_VAR), btf.tracepoint_arguments("t")), (Some(before + 3), Some(1)));
        assert_eq!((btf.function_id("t"), btf.function_id("btf_trace"), btf.tracepoint_id("f")), (None, None, None));
        assert_eq!((btf.position(before + 5).is_some(), btf.position(before + 6)), (true, None));
    }

    #[test]
    fn a_file_is_read_where_it_cannot_be_mapped() {
        let whole = std::fs::read("/proc/self/limits").expect("there");
        let read = Bytes::of_file("/proc/self/limits").expect("readable");
        assert!(matches!(&read, Bytes::Read(bytes) if *bytes == whole));
        let own = std::env::current_exe().expect("known");
        let mapped = Bytes::of_file(own.to_str().expect("text")).expect("readable");
        assert!(matches!(&mapped, Bytes::Mapped(bytes) if bytes.starts_with(b"\x7fELF")));
        assert!(Bytes::of_file("/nonesuch").is_err());
    }

    #[test]
    fn damaged_input_is_an_error_and_no_panic() {
        let whole = sample();
        for cut in 0..whole.len() - 1 {
            assert!(Btf::parse(whole[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            if let Ok(btf) = Btf::parse(damaged) {
                let _ = btf.field("outer", "i.x");
                let _ = btf.tracepoint_arguments("t");
            }
        }
    }
}
