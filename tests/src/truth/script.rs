//! Scripts: what a truth server does for a request.
//!
//! In: text. Out: items, done one after another. Times are in µs:
//!
//! | item | what it does |
//! |---|---|
//! | `spin:US` | keeps a CPU busy |
//! | `sleep:US` | sleeps; in an event loop a timer, and other requests go on |
//! | `block:US` | sleeps, and blocks the whole event loop |
//! | `work` | spin or sleep for as long as the server draws (`--work`, `--service`) |
//! | `lock:NAME:US`, `lock:NAME[SCRIPT]` | takes a lock of that name, and spins or does the script while it has it |
//! | `stop:US` | stops all threads at their next item, and spins meanwhile |
//! | `fsync:N` | N times writes to a file and waits for the disk |
//! | `odirect:N` | N reads past the page cache |
//! | `allocate:KB` | touches fresh pages |
//! | `fault:N` | N page faults that another thread answers after a time |
//! | `call:PEER`, `call:PEER[SCRIPT]` | asks another truth server (`--peer`), whose request carries the script |
//! | `parallel[SCRIPT\|SCRIPT]` | all of these at once: their calls and sleeps overlap |
//! | `reply:N,BYTES,US`, `reply:N,BYTES,US,nagle` | the reply, where the script ends, is N sends of so many bytes with a pause before each but the first; with Nagle's algorithm. Only in a thread per connection |
//!
//! Items are separated by `;`. An empty script is `work`.

use std::fmt;

use super::frame;

/// The items, for a command line's help.
pub const HELP: &str = "\
Items of a script, separated by `;` (times in µs):
  spin:US  sleep:US  block:US        busy; asleep, or a timer of the event loop; asleep with the whole event loop
  work                               as the server's --work and --service say; an empty script is this
  lock:NAME:US  lock:NAME[SCRIPT]    spin, or do the script, with a lock held
  stop:US                            spin while all other threads are stopped
  fsync:N  odirect:N                 writes that are synced; reads past the page cache
  allocate:KB  fault:N               fresh pages; page faults that are answered after a time
  call:PEER  call:PEER[SCRIPT]       ask another truth server (--peer NAME=ADDRESS of this one)
  parallel[SCRIPT|SCRIPT]            all at once
  reply:N,BYTES,US[,nagle]           the reply in N sends with pauses between (--mode threads)";

/// One item; times in ns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Keeps a CPU busy.
    Spin(u64),
    /// Sleeps, or waits for a timer.
    Sleep(u64),
    /// Sleeps, also in an event loop.
    Block(u64),
    /// What the server draws.
    Work,
    /// Holds a lock.
    Lock(String, Vec<Item>),
    /// Stops the other threads.
    Stop(u64),
    /// Writes and syncs.
    Fsync(u64),
    /// Reads past the page cache.
    Odirect(u64),
    /// Touches this many KiB.
    Allocate(u64),
    /// Faults.
    Fault(u64),
    /// Calls a peer, with the script's text.
    Call(String, String),
    /// Branches.
    Parallel(Vec<Vec<Item>>),
    /// How the reply is sent.
    Reply(Pieces),
}

/// A reply in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// How many.
    pub count: usize,
    /// Bytes of each.
    pub bytes: usize,
    /// Before each but the first.
    pub pause_ns: u64,
    /// With Nagle's algorithm.
    pub nagle: bool,
}

/// Least bytes of a reply: those of the usual one.
const LEAST_REPLY: usize = 24;

/// Why a text is no script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// Longest nesting of brackets.
const MAX_DEPTH: usize = 8;

/// Reads a script.
pub fn parse(text: &str) -> Result<Vec<Item>, Wrong> {
    if text.trim().is_empty() {
        return Ok(vec![Item::Work]);
    }
    sequence(text, 0)
}

/// The peers that a script calls, in no particular order.
pub fn peers(items: &[Item]) -> Vec<&str> {
    items
        .iter()
        .flat_map(|item| match item {
            Item::Call(peer, _) => vec![peer.as_str()],
            Item::Lock(_, items) => peers(items),
            Item::Parallel(branches) => branches.iter().flat_map(|branch| peers(branch)).collect(),
            _ => Vec::new(),
        })
        .collect()
}

fn sequence(text: &str, depth: usize) -> Result<Vec<Item>, Wrong> {
    if depth > MAX_DEPTH {
        return Err(Wrong(format!("brackets are nested more than {MAX_DEPTH} deep")));
    }
    split(text, ';')?.into_iter().map(|part| item(part.trim(), depth)).collect()
}

/// Splits at a separator outside brackets.
fn split(text: &str, separator: char) -> Result<Vec<&str>, Wrong> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.checked_sub(1).ok_or_else(|| Wrong(format!("{text:?}: a ] too many")))?,
            _ if letter == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(Wrong(format!("{text:?}: a ] is missing")));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn item(text: &str, depth: usize) -> Result<Item, Wrong> {
    let wrong = || Wrong(format!("{text:?} is no item of a script"));
    let (head, inner) = match text.split_once('[') {
        Some((head, rest)) => (head, Some(rest.strip_suffix(']').ok_or_else(wrong)?)),
        None => (text, None),
    };
    let words: Vec<&str> = head.split(':').collect();
    let number = |text: &str| text.parse::<u64>().ok().filter(|n| *n <= 1_000_000_000).ok_or_else(wrong);
    let micros = |text: &str| number(text).map(|us| us * 1000);
    let name = |text: &str| if text.is_empty() { Err(wrong()) } else { Ok(text.to_owned()) };
    match (words.as_slice(), inner) {
        (["spin", us], None) => micros(us).map(Item::Spin),
        (["sleep", us], None) => micros(us).map(Item::Sleep),
        (["block", us], None) => micros(us).map(Item::Block),
        (["work"], None) => Ok(Item::Work),
        (["lock", lock, us], None) => Ok(Item::Lock(name(lock)?, vec![Item::Spin(micros(us)?)])),
        (["lock", lock], Some(inner)) => {
            let items = sequence(inner, depth + 1)?;
            let simple = |item: &Item| {
                !matches!(item, Item::Call(..) | Item::Parallel(_) | Item::Lock(..) | Item::Stop(_) | Item::Reply(_))
            };
            if items.iter().all(simple) {
                Ok(Item::Lock(name(lock)?, items))
            } else {
                Err(Wrong(format!("{text:?}: no calls, branches, locks or stops while a lock is held")))
            }
        }
        (["stop", us], None) => micros(us).map(Item::Stop),
        (["fsync", times], None) => number(times).map(Item::Fsync),
        (["odirect", times], None) => number(times).map(Item::Odirect),
        (["allocate", kib], None) => number(kib).map(Item::Allocate),
        (["fault", times], None) => number(times).map(Item::Fault),
        (["call", peer], None) => Ok(Item::Call(name(peer)?, String::new())),
        (["call", peer], Some(inner)) => {
            sequence_or_work(inner, depth + 1)?;
            Ok(Item::Call(name(peer)?, inner.to_owned()))
        }
        (["reply", pieces], None) => {
            let words: Vec<&str> = pieces.split(',').collect();
            let ([count, bytes, us] | [count, bytes, us, "nagle"]) = words[..] else { return Err(wrong()) };
            let (count, bytes) = (number(count)? as usize, number(bytes)? as usize);
            let whole = count.checked_mul(bytes).is_some_and(|all| (LEAST_REPLY..=frame::MAX_TEXT).contains(&all));
            let pieces = Pieces { count, bytes, pause_ns: micros(us)?, nagle: words.len() > 3 };
            if whole { Ok(Item::Reply(pieces)) } else { Err(wrong()) }
        }
        (["parallel"], Some(inner)) => {
            let branches = split(inner, '|')?;
            Ok(Item::Parallel(branches.into_iter().map(|text| sequence(text, depth + 1)).collect::<Result<_, _>>()?))
        }
        _ => Err(wrong()),
    }
}

fn sequence_or_work(text: &str, depth: usize) -> Result<Vec<Item>, Wrong> {
    if text.trim().is_empty() { Ok(vec![Item::Work]) } else { sequence(text, depth) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read() {
        let script = parse("spin:100; sleep:2;block:3;work;stop:4;fsync:5;odirect:6;allocate:7;fault:8").unwrap();
        let want = [
            Item::Spin(100_000),
            Item::Sleep(2_000),
            Item::Block(3_000),
            Item::Work,
            Item::Stop(4_000),
            Item::Fsync(5),
            Item::Odirect(6),
            Item::Allocate(7),
            Item::Fault(8),
        ];
        assert_eq!(script, want);
        assert_eq!(parse(""), Ok(vec![Item::Work]));
        let pieces = Pieces { count: 3, bytes: 100, pause_ns: 5_000, nagle: false };
        let want = vec![Item::Reply(pieces), Item::Reply(Pieces { nagle: true, ..pieces })];
        assert_eq!(parse("reply:3,100,5;reply:3,100,5,nagle"), Ok(want));
    }

    #[test]
    fn the_help_names_each_item() {
        let words = ["spin", "sleep", "block", "work", "lock", "stop", "fsync", "odirect", "allocate", "fault", "call"];
        assert!(words.iter().chain(&["parallel", "reply"]).all(|word| HELP.contains(&format!("  {word}"))), "{HELP}");
    }

    #[test]
    fn brackets_nest() {
        let script = parse("parallel[call:a[spin:1;call:b[sleep:2]]|call:c;spin:3];lock:x[sleep:4];lock:y:5").unwrap();
        let call = |peer: &str, text: &str| Item::Call(peer.into(), text.into());
        let want = [
            Item::Parallel(vec![vec![call("a", "spin:1;call:b[sleep:2]")], vec![call("c", ""), Item::Spin(3_000)]]),
            Item::Lock("x".into(), vec![Item::Sleep(4_000)]),
            Item::Lock("y".into(), vec![Item::Spin(5_000)]),
        ];
        assert_eq!(script, want);
        assert_eq!(peers(&script), ["a", "c"]);
    }

    #[test]
    fn what_is_no_script_is_refused() {
        let wrong = [
            "spin",
            "spin:",
            "spin:-1",
            "spin:1;;spin:1",
            "spin:99999999999",
            "jump:1",
            "call:",
            "call:a[spin]",
            "parallel[]",
            "parallel[spin:1",
            "spin:1]",
            "lock:a[call:b]",
            "lock::1",
            "reply:3,100",
            "reply:3,100,5,cork",
            "reply:0,100,5",
            "reply:1,9999999,5",
            "lock:a[reply:1,100,5]",
        ];
        for text in wrong {
            assert!(parse(text).is_err(), "{text}");
        }
        let deep = format!("{}spin:1{}", "parallel[".repeat(9), "]".repeat(9));
        assert!(parse(&deep).unwrap_err().to_string().contains("nested"));
    }
}
