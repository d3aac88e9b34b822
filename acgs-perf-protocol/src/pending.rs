//! Requests that wait for their replies on a connection, in order.
//!
//! In: requests as they are read, replies as they are sent. Out: which request a reply belongs to. Neighbours that are alike are one entry
//! with a count, and a mark behind a request is part of its entry: so a deep pipeline takes little room.

use crate::found::Kind;
use crate::place::masked;

/// Entries, a power of two.
pub const ENTRIES: usize = 256;
/// Readings of which requests wait, a power of two.
pub const READINGS: usize = 8;

/// Requests that are alike, one behind the other, as four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The number of their endpoint.
    pub endpoint: u8,
    /// [`Kind`].
    pub kind: u8,
    /// [`crate::Stream::reply_rule`].
    pub reply_rule: u8,
    /// How many.
    count: u8,
    /// Which reading brought them.
    reading: u8,
    /// Whether behind each of them there is a mark.
    is_marked: bool,
}

impl Waiting {
    #[inline(always)]
    const fn pack(self) -> u32 {
        let rest = (self.reading as u32) | (self.kind as u32) << 3 | (self.reply_rule as u32) << 6;
        self.endpoint as u32 | (self.count as u32) << 8 | rest << 16 | (self.is_marked as u32) << 31
    }

    #[inline(always)]
    const fn unpack(word: u32) -> Self {
        Self {
            endpoint: word as u8,
            count: (word >> 8) as u8,
            reading: (word >> 16 & 7) as u8,
            kind: (word >> 19 & 7) as u8,
            reply_rule: (word >> 22 & 7) as u8,
            is_marked: word >> 31 != 0,
        }
    }

    /// Whether `other` may stand in the same entry.
    #[inline(always)]
    const fn is_alike(self, other: Self) -> bool {
        const COUNT: u32 = 0xff << 8;
        (self.pack() | COUNT) == (other.pack() | COUNT)
    }
}

/// When bytes of a connection had arrived and were read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// When they had arrived.
    pub arrived: u64,
    /// When they were read.
    pub read: u64,
}

/// The requests of a connection that wait.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    entries: [u32; ENTRIES],
    readings: [Reading; READINGS],
    /// How many entries are in use.
    length: u32,
    /// Requests behind the last entry, like it but for their names, for which there is no entry.
    overflow: u32,
    /// Of all these, how many are of [`Kind::Request`].
    requests: u32,
    /// The first entry, counted on and on.
    first: u8,
    /// The last reading, counted on and on.
    reading: u8,
    /// 1 if of the first entry the mark comes next, behind its request.
    is_at_mark: u8,
    /// [`crate::Stream::reply_rule`] of marks.
    mark_rule: u8,
}

impl Pending {
    /// None.
    pub const EMPTY: Self = Self {
        entries: [0; ENTRIES],
        readings: [Reading { arrived: 0, read: 0 }; READINGS],
        length: 0,
        overflow: 0,
        requests: 0,
        first: 0,
        reading: 0,
        is_at_mark: 0,
        mark_rule: 0,
    };

    /// Nothing waits any more.
    #[inline(always)]
    pub fn clear(&mut self) {
        (self.length, self.overflow, self.requests) = (0, 0, 0);
        self.is_at_mark = 0;
    }

    /// How many requests wait.
    #[inline(always)]
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }

    /// Whether nothing waits.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether exactly one waits.
    #[inline(always)]
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.length == 1 && self.overflow == 0 && self.get(u32::from(self.first)).count == 1
    }

    #[inline(always)]
    fn get(&self, place: u32) -> Waiting {
        let at = masked::<{ ENTRIES - 1 }>(place as usize);
        // SAFETY: the place is below the length of the array.
        Waiting::unpack(unsafe { self.entries.as_ptr().add(at).read() })
    }

    #[inline(always)]
    fn set(&mut self, place: u32, entry: Waiting) {
        let at = masked::<{ ENTRIES - 1 }>(place as usize);
        // SAFETY: the place is below the length of the array.
        unsafe { self.entries.as_mut_ptr().add(at).write(entry.pack()) };
    }

    #[inline(always)]
    fn reading(&mut self, number: u8) -> &mut Reading {
        let at = masked::<{ READINGS - 1 }>(usize::from(number));
        // SAFETY: the place is below the length of the array.
        unsafe { &mut *self.readings.as_mut_ptr().add(at) }
    }

    /// Place of the last entry.
    #[inline(always)]
    fn last(&self) -> u32 {
        u32::from(self.first).wrapping_add(self.length).wrapping_sub(1)
    }

    /// Appends a request that `reading` brought, or a mark. Whether there was room.
    #[inline(always)]
    #[must_use]
    pub fn push(&mut self, endpoint: u8, kind: Kind, reply_rule: u8, reading: Reading) -> bool {
        let has_room = self.puts(endpoint, kind, reply_rule, reading);
        if has_room && kind as u8 == Kind::Request as u8 {
            self.requests = self.requests.wrapping_add(1);
        }
        has_room
    }

    #[inline(always)]
    fn puts(&mut self, endpoint: u8, kind: Kind, reply_rule: u8, reading: Reading) -> bool {
        if kind as u8 == Kind::Mark as u8 {
            self.mark_rule = reply_rule;
            if self.marks_last() {
                return true;
            }
        }
        if self.length == 0 || *self.reading(self.reading) != reading {
            let next = self.reading.wrapping_add(1);
            // Where all readings are of those that wait, the last one stands for this too.
            let behind = next.wrapping_sub(self.get(u32::from(self.first)).reading) as usize & (READINGS - 1);
            if self.length == 0 || behind != 0 {
                self.reading = next;
                *self.reading(next) = reading;
            }
        }
        let number = self.reading & (READINGS as u8 - 1);
        let mut entry = Waiting { endpoint, kind: kind as u8, reply_rule, count: 1, reading: number, is_marked: false };
        if self.length != 0 {
            let mut last = self.get(self.last());
            if last.is_alike(entry) && last.count != u8::MAX && self.overflow == 0 {
                last.count += 1;
                self.set(self.last(), last);
                return true;
            }
            if self.length as usize == ENTRIES || self.overflow != 0 {
                // Its name is lost, if there is another like it but for that.
                (entry.endpoint, entry.reading) = (last.endpoint, last.reading);
                if !last.is_alike(entry) {
                    return false;
                }
                self.overflow += 1;
                return true;
            }
        }
        self.length += 1;
        self.set(self.last(), entry);
        true
    }

    /// Puts a mark behind the last request. Whether it could.
    #[inline(always)]
    fn marks_last(&mut self) -> bool {
        if self.length == 0 || self.overflow != 0 {
            return false;
        }
        let mut last = self.get(self.last());
        if last.count != 1 || last.is_marked || last.kind != Kind::Request as u8 {
            return false;
        }
        last.is_marked = true;
        if self.length > 1 {
            let mut before = self.get(self.last().wrapping_sub(1));
            let is_first = self.length == 2 && self.is_at_mark != 0;
            if before.is_alike(last) && before.count != u8::MAX && !is_first {
                before.count += 1;
                self.length -= 1;
                self.set(self.last(), before);
                return true;
            }
        }
        self.set(self.last(), last);
        true
    }

    /// Which has waited longest, and its reading.
    #[inline(always)]
    pub fn front(&mut self) -> Option<(Waiting, Reading)> {
        if self.length == 0 {
            return None;
        }
        let mut entry = self.get(u32::from(self.first));
        let reading = *self.reading(entry.reading);
        if self.is_at_mark != 0 {
            (entry.kind, entry.reply_rule) = (Kind::Mark as u8, self.mark_rule);
        }
        Some((entry, reading))
    }

    /// How the reply to that one is read; 0 if nothing waits.
    #[inline(always)]
    #[must_use]
    pub fn reply_rule(&mut self) -> u8 {
        self.front().map_or(0, |(entry, _)| entry.reply_rule)
    }

    /// The one that has waited longest waits no more.
    #[inline(always)]
    pub fn pop(&mut self) {
        if self.length == 0 {
            return;
        }
        let mut entry = self.get(u32::from(self.first));
        if entry.kind == Kind::Request as u8 && self.is_at_mark == 0 {
            self.requests = self.requests.wrapping_sub(1);
        }
        if entry.is_marked && self.is_at_mark == 0 {
            self.is_at_mark = 1;
            return;
        }
        self.is_at_mark = 0;
        entry.count = entry.count.wrapping_sub(1);
        if entry.count == 0 && self.length == 1 && self.overflow != 0 {
            self.overflow -= 1;
            (entry.count, entry.endpoint) = (1, 0);
        }
        self.set(u32::from(self.first), entry);
        if entry.count == 0 {
            self.first = self.first.wrapping_add(1);
            self.length -= 1;
        }
    }
}

const _: () = assert!(Kind::ALL.len() <= 8 && READINGS == 8 && ENTRIES == 256);

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn reading(at: u64) -> Reading {
        Reading { arrived: at, read: at + 1 }
    }

    fn drain(pending: &mut Pending) -> Vec<(u8, u8)> {
        let mut all = Vec::new();
        while let Some((entry, _)) = pending.front() {
            all.push((entry.endpoint, entry.kind));
            pending.pop();
        }
        all
    }

    #[test]
    fn they_leave_in_the_order_in_which_they_came() {
        let mut pending = Pending::EMPTY;
        for n in 0..10_u8 {
            assert!(pending.push(n + 1, Kind::Request, 0, reading(u64::from(n / 3))));
        }
        for n in 0..10_u8 {
            let (entry, when) = pending.front().unwrap();
            assert_eq!((entry.endpoint, when), (n + 1, reading(u64::from(n / 3))));
            pending.pop();
        }
        assert!(pending.is_empty());
    }

    #[test]
    fn a_deep_pipeline_of_one_kind_takes_few_entries() {
        let mut pending = Pending::EMPTY;
        assert!((0..1000).all(|_| pending.push(7, Kind::Request, 0, reading(5))));
        assert_eq!(pending.length, 4);
        assert_eq!(drain(&mut pending), vec![(7, Kind::Request as u8); 1000]);
    }

    #[test]
    fn no_reading_is_taken_from_those_that_wait() {
        let mut pending = Pending::EMPTY;
        assert!((0..30_u8).all(|n| pending.push(n + 1, Kind::Request, 0, reading(u64::from(n) * 10))));
        for n in 0..30_u64 {
            let (_, when) = pending.front().unwrap();
            assert_eq!(when, reading(n.min(READINGS as u64 - 1) * 10));
            pending.pop();
        }
    }

    #[test]
    fn marks_stand_behind_their_requests() {
        let mut pending = Pending::EMPTY;
        let mut truth = Vec::new();
        let mut push = |pending: &mut Pending, endpoint: u8, kind: Kind| {
            assert!(pending.push(endpoint, kind, 2 + u8::from(kind == Kind::Mark), reading(1)));
            truth.push((endpoint, kind as u8));
        };
        for n in 0..300_u32 {
            push(&mut pending, (n / 7) as u8, Kind::Request);
            if n % 5 != 3 {
                push(&mut pending, (n / 7) as u8, Kind::Mark);
            }
            if n % 11 == 0 {
                push(&mut pending, (n / 7) as u8, Kind::Mark);
            }
        }
        let seen = drain(&mut pending);
        let marks = |all: &[(u8, u8)]| all.iter().map(|(_, kind)| *kind).collect::<Vec<_>>();
        assert_eq!(marks(&seen), marks(&truth));
        let named = |all: &[(u8, u8)]| all.iter().filter(|(_, kind)| *kind == 0).copied().collect::<Vec<_>>();
        assert_eq!(named(&seen), named(&truth));
    }

    #[test]
    fn a_mark_whose_request_is_being_answered() {
        let mut pending = Pending::EMPTY;
        let push = |pending: &mut Pending, kind| assert!(pending.push(1, kind, 2, reading(1)));
        push(&mut pending, Kind::Request);
        push(&mut pending, Kind::Mark);
        assert!(pending.is_single());
        pending.pop();
        push(&mut pending, Kind::Request);
        push(&mut pending, Kind::Mark);
        assert!(!pending.is_single());
        let kinds: Vec<u8> = drain(&mut pending).into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, [Kind::Mark as u8, Kind::Request as u8, Kind::Mark as u8]);
    }

    #[test]
    fn what_has_no_room_is_said() {
        let mut pending = Pending::EMPTY;
        let kept = (0..300_u32).filter(|n| pending.push(*n as u8, Kind::Request, (*n % 7) as u8, reading(1))).count();
        // What differs from the last one by its name alone joins it, without it.
        let joined = (256..300).filter(|n| n % 7 == 255 % 7).count();
        assert_eq!(kept, ENTRIES + joined);
        let all = drain(&mut pending);
        assert_eq!(all.iter().filter(|(endpoint, _)| *endpoint == 0).count(), 1 + joined);
        (0..2000_u32).for_each(|n| assert!(pending.push(n as u8, Kind::Request, 0, reading(u64::from(n)))));
        assert_eq!(drain(&mut pending).len(), 2000);
        (0..300_u32).for_each(|n| assert!(pending.push(n as u8, Kind::Request, 0, reading(1))));
        assert_eq!(drain(&mut pending).len(), 300);
    }

    #[test]
    fn requests_are_counted_and_nothing_else() {
        let mut pending = Pending::EMPTY;
        let (first, second) = (reading(1), reading(2));
        for _ in 0..300 {
            assert!(pending.push(7, Kind::Request, 0, first));
        }
        assert!(pending.push(7, Kind::Mark, 1, first) && pending.push(8, Kind::WaitByDesign, 0, second));
        assert!(pending.push(7, Kind::Request, 0, second) && pending.push(7, Kind::Mark, 1, second));
        assert_eq!(pending.requests(), 301);
        let mut left = 301;
        while let Some((entry, _)) = pending.front() {
            left -= u32::from(entry.kind == Kind::Request as u8);
            pending.pop();
            assert_eq!(pending.requests(), left);
        }
        assert!(pending.push(7, Kind::Request, 0, second));
        pending.clear();
        assert_eq!((left, pending.requests()), (0, 0));
    }
}
