//! A capture as a file: packed, sealed, and readable as far as it is whole.
//!
//! In: a `Capture`. Out: bytes, and back. The first line names format, version and constitutional hash. Frames follow, each a kind, a
//! length and a zlib stream of MessagePack: the context, chunks of intervals, exemplars, and at the end the SHA-256 of all before.
//! A file that ends early or was changed gives what stands before the damage.

use acgs_perf_common::CONSTITUTIONAL_HASH;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::capture::{Capture, Context};
use super::exemplar::Exemplars;
use super::interval::Interval;
use super::model::LAYOUT_VERSION;
use super::older;
use super::packed::{pack, unpack, unpack_elements};
use super::timeline::Timeline;

/// Version of the frames; what is in them has a version of its own, `LAYOUT_VERSION`.
const VERSION: u32 = 1;
const MAGIC: &str = "acgs-perf capture";
/// Intervals in a chunk: neighbours are alike, and pack well together.
const CHUNK: usize = 64;

const CONTEXT: u8 = b'C';
const INTERVALS: u8 = b'I';
const EXEMPLARS: u8 = b'X';
const END: u8 = b'E';

/// Why a file is no capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It is something else.
    #[error("not a capture: it does not begin with \"{MAGIC}\"")]
    Other,
    /// It is of a version that this agent does not know.
    #[error("a capture of version {0}, and this acgs-perf knows version {VERSION}; use a newer one")]
    Version(String),
    /// What is in it has a layout that this agent does not know.
    #[error("a capture with layout {0}, and this acgs-perf knows up to {LAYOUT_VERSION}; use a newer one")]
    Layout(u32),
    /// It carries another constitutional hash.
    #[error("the capture carries the constitutional hash {0}, not {CONSTITUTIONAL_HASH}")]
    Hash(String),
    /// Nothing of it can be saved.
    #[error("the capture is damaged at its begin, and nothing of it can be saved")]
    Lost,
    /// It cannot be packed.
    #[error("the capture cannot be packed: {0}")]
    Pack(String),
}

/// Whether bytes begin as a capture does.
#[must_use]
pub fn is_capture(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC.as_bytes())
}

/// Packs and seals a capture.
///
/// # Errors
/// When there is no memory to pack it.
pub fn encode(capture: &Capture) -> Result<Vec<u8>, CaptureError> {
    let mut bytes = format!("{MAGIC} {VERSION} {CONSTITUTIONAL_HASH}\n").into_bytes();
    frame(&mut bytes, CONTEXT, &capture.context)?;
    let mut chunk: Vec<Interval> = Vec::with_capacity(CHUNK);
    for interval in capture.intervals.iter() {
        chunk.push(interval);
        if chunk.len() == CHUNK {
            frame(&mut bytes, INTERVALS, &chunk)?;
            chunk.clear();
        }
    }
    if !chunk.is_empty() {
        frame(&mut bytes, INTERVALS, &chunk)?;
    }
    frame(&mut bytes, EXEMPLARS, &capture.exemplars)?;
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    frame(&mut bytes, END, &digest)?;
    Ok(bytes)
}

/// A capture that was read.
#[derive(Debug)]
pub struct Decoded {
    /// What is whole of it.
    pub capture: Capture,
    /// What is wrong with the rest, in one line.
    pub damage: Option<String>,
}

/// A part of a capture, in the order in which they stand in the file.
#[derive(Debug)]
pub enum Part {
    /// What was recorded, where, and how; comes first.
    Context(Box<Context>),
    /// Some intervals, oldest first, in the layout of today.
    Intervals(Vec<Interval>),
    /// Single requests, in the layout of today.
    Exemplars(Exemplars),
}

/// Goes through a capture part by part, as far as it is whole, so that not all of it need be in memory. Gives back what is wrong with
/// the rest.
///
/// # Errors
/// When it is no capture, or of another version, or nothing of it can be saved.
pub fn walk(bytes: &[u8], mut each: impl FnMut(Part)) -> Result<Option<&'static str>, CaptureError> {
    let (mut layout, mut at) = (None, begin(bytes)?);
    let damage = loop {
        let Some((kind, payload, next)) = next_frame(bytes, at) else {
            break Some("it ends before its seal");
        };
        match (kind, layout) {
            (CONTEXT, _) => {
                let context: Context = unpack(payload).ok_or(CaptureError::Lost)?;
                if context.layout > LAYOUT_VERSION {
                    return Err(CaptureError::Layout(context.layout));
                }
                layout = Some(context.layout);
                each(Part::Context(Box::new(context)));
            }
            (INTERVALS, Some(layout)) => match unpack::<Vec<Interval>>(payload) {
                Some(mut chunk) => {
                    older::bring_up(layout, &mut chunk, &mut Exemplars::new());
                    each(Part::Intervals(chunk));
                }
                None => break Some("its intervals are damaged"),
            },
            (EXEMPLARS, Some(layout)) => match unpack(payload) {
                Some(mut all) => {
                    older::bring_up(layout, &mut [], &mut all);
                    each(Part::Exemplars(all));
                }
                None => break Some("its exemplars are damaged"),
            },
            (END, Some(_)) => {
                break (!is_seal(payload, &bytes[..at])).then_some("it was changed after it was sealed");
            }
            (INTERVALS | EXEMPLARS | END, None) => return Err(CaptureError::Lost),
            // A kind of later agents.
            _ => {}
        }
        at = next;
    };
    layout.map(|_| damage).ok_or(CaptureError::Lost)
}

/// The context alone, which stands at the begin.
///
/// # Errors
/// As [`walk`].
pub fn context(bytes: &[u8]) -> Result<Context, CaptureError> {
    let (kind, payload, _) = next_frame(bytes, begin(bytes)?).ok_or(CaptureError::Lost)?;
    let context: Context = unpack(payload).filter(|_| kind == CONTEXT).ok_or(CaptureError::Lost)?;
    if context.layout > LAYOUT_VERSION { Err(CaptureError::Layout(context.layout)) } else { Ok(context) }
}

/// Reads a capture, as far as it is whole.
///
/// # Errors
/// When it is none, or of another version, or nothing of it can be saved.
pub fn decode(bytes: &[u8]) -> Result<Decoded, CaptureError> {
    if let Some(capture) = as_sealed(bytes) {
        return Ok(Decoded { capture, damage: None });
    }
    let (mut context, mut intervals, mut exemplars) = (Context::default(), Vec::new(), Exemplars::new());
    let damage = walk(bytes, |part| match part {
        Part::Context(found) => context = *found,
        Part::Intervals(chunk) => intervals.extend(chunk),
        Part::Exemplars(all) => exemplars = all,
    })?;
    let mut capture = Capture { context, intervals: Timeline::of(intervals), exemplars };
    Ok(Decoded { damage: damage.map(|what| shorten(&mut capture, what)), capture })
}

/// A capture that nobody has changed since it was sealed, in the layout of today: its intervals are kept as they stand in it.
fn as_sealed(bytes: &[u8]) -> Option<Capture> {
    let (mut capture, mut at) = (None::<Capture>, begin(bytes).ok()?);
    loop {
        let (kind, payload, next) = next_frame(bytes, at)?;
        match (kind, &mut capture) {
            (CONTEXT, _) => {
                let context: Context = unpack(payload).filter(|context: &Context| context.layout == LAYOUT_VERSION)?;
                capture = Some(Capture { context, ..Capture::default() });
            }
            (INTERVALS, Some(capture)) => {
                unpack_elements(payload)?.into_iter().for_each(|interval| capture.intervals.append_encoded(interval));
            }
            (EXEMPLARS, Some(capture)) => capture.exemplars = unpack(payload)?,
            (END, _) => return capture.filter(|_| is_seal(payload, &bytes[..at])),
            (INTERVALS | EXEMPLARS, None) => return None,
            // A kind of later agents.
            _ => {}
        }
        at = next;
    }
}

/// Whether this is the seal of these bytes.
fn is_seal(payload: &[u8], of: &[u8]) -> bool {
    let digest: [u8; 32] = Sha256::digest(of).into();
    unpack::<[u8; 32]>(payload) == Some(digest)
}

/// Where the first frame is.
fn begin(bytes: &[u8]) -> Result<usize, CaptureError> {
    let end = bytes.iter().take(200).position(|byte| *byte == b'\n');
    let line = end.and_then(|end| std::str::from_utf8(&bytes[..end]).ok()).ok_or(CaptureError::Other)?;
    let mut words = line.strip_prefix(MAGIC).ok_or(CaptureError::Other)?.split_whitespace();
    let version = words.next().unwrap_or_default();
    if version != VERSION.to_string() {
        return Err(CaptureError::Version(version.to_owned()));
    }
    match words.next() {
        Some(CONSTITUTIONAL_HASH) => Ok(line.len() + 1),
        other => Err(CaptureError::Hash(other.unwrap_or("none").to_owned())),
    }
}

/// Makes the context fit the intervals that could be saved, and says what that means.
fn shorten(capture: &mut Capture, what: &str) -> String {
    let whole = capture.context.duration_ns;
    let saved = capture.intervals.whole().len_ns.min(whole);
    capture.context.duration_ns = saved;
    let seconds = |ns: u64| format!("{}.{} s", ns / 1_000_000_000, ns / 100_000_000 % 10);
    let text = format!("the capture is damaged: {what}; {} of {} are whole", seconds(saved), seconds(whole));
    capture.context.notes.push(text.clone());
    text
}

fn frame(bytes: &mut Vec<u8>, kind: u8, value: &impl Serialize) -> Result<(), CaptureError> {
    let payload = pack(value).map_err(CaptureError::Pack)?;
    let len = u32::try_from(payload.len()).map_err(|error| CaptureError::Pack(error.to_string()))?;
    bytes.push(kind);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&payload);
    Ok(())
}

/// The frame at `at`: its kind, its payload, and where the next one begins.
fn next_frame(bytes: &[u8], at: usize) -> Option<(u8, &[u8], usize)> {
    let header: [u8; 5] = bytes.get(at..at + 5)?.try_into().ok()?;
    let [kind, a, b, c, d] = header;
    let begin = at + 5;
    let end = begin.checked_add(u32::from_le_bytes([a, b, c, d]) as usize)?;
    Some((kind, bytes.get(begin..end)?, end))
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::attribution::COMPONENTS;

    use super::*;
    use crate::live::status::ProbeStatus;
    use crate::snapshot::capture::ServiceContext;
    use crate::snapshot::exemplar::{Exemplar, Kept, Segment};
    use crate::snapshot::model::Subject;
    use crate::sums::{Row, Section, Sections, Sums};

    fn capture() -> Capture {
        let mut intervals = Timeline::default();
        for at in 0..200u64 {
            let sums = Sums::sparse([(at as u32, 5), (300, -1)]);
            let row = Row { sums, latest: vec![at], label: "x".into() };
            let sections = Sections::from([("latency".into(), Section::from([(vec![0], row)]))]);
            intervals.push(Interval {
                start_ns: at * 1_000_000_000,
                len_ns: 1_000_000_000,
                subjects: [(Subject::service(0), sections)].into(),
                ..Interval::default()
            });
        }
        let segment = Segment { component: 3, duration_ns: 9, peer: Some(1), ..Segment::default() };
        let slowest = Exemplar { segments: vec![segment], component_ns: vec![7; COMPONENTS], ..Exemplar::default() };
        let kept = Kept { slowest: vec![slowest], ..Kept::default() };
        let service = ServiceContext { name: "api".into(), ..ServiceContext::default() };
        Capture {
            context: Context {
                services: vec![service],
                // Fields that are absent must not shift those behind them.
                probes: vec![ProbeStatus {
                    name: "request".into(),
                    hooks: vec!["tp".into()],
                    ..ProbeStatus::default()
                }],
                layout: LAYOUT_VERSION,
                duration_ns: 200_000_000_000,
                ..Context::default()
            },
            intervals,
            exemplars: [(Subject::service(0), kept)].into(),
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let capture = capture();
        let bytes = encode(&capture).unwrap();
        let decoded = decode(&bytes).unwrap();
        assert_eq!((decoded.capture, decoded.damage), (capture, None));
        assert!(is_capture(&bytes) && bytes.len() < 20_000, "{} bytes", bytes.len());
    }

    #[test]
    fn of_a_file_that_ends_early_the_whole_intervals_are_saved() {
        let bytes = encode(&capture()).unwrap();
        let mut saved = Vec::new();
        for len in (0..bytes.len()).step_by(97) {
            match decode(&bytes[..len]) {
                Ok(decoded) => {
                    let damage = decoded.damage.expect("it is cut off");
                    assert!(damage.contains("ends before its seal"), "{damage}");
                    assert_eq!(decoded.capture.context.notes, [damage]);
                    saved.push(decoded.capture.intervals.len());
                }
                Err(error) => assert!(matches!(error, CaptureError::Lost | CaptureError::Other), "{error}"),
            }
        }
        assert!(saved.is_sorted() && saved.contains(&64) && saved.contains(&200), "{saved:?}");
    }

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is() {
        let bytes = encode(&capture()).unwrap();
        for at in (0..bytes.len()).step_by(53) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            if let Ok(decoded) = decode(&changed) {
                assert!(decoded.damage.is_some(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_layout_of_later_agents_is_not_guessed_at() {
        let mut capture = capture();
        capture.context.layout = LAYOUT_VERSION + 1;
        let error = decode(&encode(&capture).unwrap()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("layout {}", LAYOUT_VERSION + 1)) && error.contains("use a newer one"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_capture_is_said_in_one_line() {
        for (bytes, part) in [
            (&b""[..], "not a capture"),
            (b"{\"schema_version\":1}\n", "not a capture"),
            (b"acgs-perf capture 9 cdd01ef066bc6cf2\n", "version 9"),
            (b"acgs-perf capture 1 0000000000000000\n", "0000000000000000"),
            (b"acgs-perf capture 1 cdd01ef066bc6cf2\n", "nothing of it can be saved"),
        ] {
            let error = decode(bytes).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }
}
