//! Requests that wait for their replies on a connection, in order.
//!
//! In: requests as they are read, replies as they are sent. Out: which request a reply belongs to. Neighbours that are alike are one entry
//! with a count, so that a deep pipeline of one command takes no room; what has no room joins the last entry, without its name.

use crate::found::Kind;
use crate::place::masked;

/// Entries, a power of two.
pub const ENTRIES: usize = 64;
/// Readings of which requests wait, a power of two.
pub const READINGS: usize = 8;
/// The endpoint of those whose name is not known, or was lost.
pub const NO_ENDPOINT: u16 = 0;

/// Requests that are alike, one behind the other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Where their endpoint is kept.
    pub endpoint: u16,
    /// How many.
    pub count: u16,
    /// Which reading brought them.
    pub reading: u8,
    /// [`Kind`].
    pub kind: u8,
    /// [`crate::Stream::reply_rule`].
    pub reply_rule: u8,
    /// None.
    pub _reserved: u8,
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
    entries: [Waiting; ENTRIES],
    readings: [Reading; READINGS],
    /// The first entry, counted on and on.
    first: u8,
    /// How many entries are in use.
    length: u8,
    /// The last reading, counted on and on.
    reading: u8,
    _reserved: u8,
    /// Requests that wait for an answer, marks not counted.
    pub requests: u32,
}

impl Pending {
    /// None.
    pub const EMPTY: Self = Self {
        entries: [Waiting { endpoint: 0, count: 0, reading: 0, kind: 0, reply_rule: 0, _reserved: 0 }; ENTRIES],
        readings: [Reading { arrived: 0, read: 0 }; READINGS],
        first: 0,
        length: 0,
        reading: 0,
        _reserved: 0,
        requests: 0,
    };

    /// Nothing waits any more.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.length = 0;
        self.requests = 0;
    }

    /// Whether nothing waits.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    #[inline(always)]
    fn entry(&mut self, place: u8) -> &mut Waiting {
        let at = masked::<{ ENTRIES - 1 }>(usize::from(place));
        // SAFETY: the place is below the length of the array.
        unsafe { &mut *self.entries.as_mut_ptr().add(at) }
    }

    #[inline(always)]
    fn reading(&mut self, number: u8) -> &mut Reading {
        let at = masked::<{ READINGS - 1 }>(usize::from(number));
        // SAFETY: the place is below the length of the array.
        unsafe { &mut *self.readings.as_mut_ptr().add(at) }
    }

    /// Appends a request that `reading` brought. Whether its name was kept.
    #[inline(always)]
    pub fn push(&mut self, endpoint: u16, kind: Kind, reply_rule: u8, reading: Reading) -> bool {
        if kind as u8 != Kind::Mark as u8 {
            self.requests = self.requests.wrapping_add(1);
        }
        if self.length == 0 || *self.reading(self.reading) != reading {
            let next = self.reading.wrapping_add(1);
            // Where all readings are of those that wait, the last one stands for this too.
            if self.length == 0 || (next.wrapping_sub(self.entry(self.first).reading) as usize) < READINGS {
                self.reading = next;
                *self.reading(next) = reading;
            }
        }
        let number = self.reading;
        if self.length != 0 {
            let last = self.entry(self.first.wrapping_add(self.length).wrapping_sub(1));
            let is_alike = last.endpoint == endpoint
                && last.kind == kind as u8
                && last.reply_rule == reply_rule
                && last.reading == number
                && kind as u8 != Kind::Mark as u8;
            if is_alike && last.count != u16::MAX {
                last.count += 1;
                return true;
            }
            if self.length as usize == ENTRIES {
                let last = self.entry(self.first.wrapping_add(self.length).wrapping_sub(1));
                last.endpoint = NO_ENDPOINT;
                last.count = last.count.wrapping_add(1);
                return false;
            }
        }
        let place = self.first.wrapping_add(self.length);
        *self.entry(place) =
            Waiting { endpoint, count: 1, reading: number, kind: kind as u8, reply_rule, _reserved: 0 };
        self.length += 1;
        true
    }

    /// Which has waited longest, and its reading.
    #[inline(always)]
    pub fn front(&mut self) -> Option<(Waiting, Reading)> {
        if self.length == 0 {
            return None;
        }
        let entry = *self.entry(self.first);
        let reading = *self.reading(entry.reading);
        Some((entry, reading))
    }

    /// How the reply to that one is read; 0 if nothing waits.
    #[inline(always)]
    #[must_use]
    pub fn reply_rule(&mut self) -> u8 {
        if self.length == 0 { 0 } else { self.entry(self.first).reply_rule }
    }

    /// The one that has waited longest waits no more.
    #[inline(always)]
    pub fn pop(&mut self) {
        if self.length == 0 {
            return;
        }
        let entry = self.entry(self.first);
        let is_mark = entry.kind == Kind::Mark as u8;
        entry.count = entry.count.wrapping_sub(1);
        if entry.count == 0 {
            self.first = self.first.wrapping_add(1);
            self.length -= 1;
        }
        if !is_mark {
            self.requests = self.requests.wrapping_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: u64) -> Reading {
        Reading { arrived: at, read: at + 1 }
    }

    #[test]
    fn they_leave_in_the_order_in_which_they_came() {
        let mut pending = Pending::EMPTY;
        for n in 0..10_u16 {
            assert!(pending.push(n + 1, Kind::Request, 0, reading(u64::from(n / 3))));
        }
        for n in 0..10_u16 {
            let (entry, when) = pending.front().unwrap();
            assert_eq!((entry.endpoint, when), (n + 1, reading(u64::from(n / 3))));
            pending.pop();
        }
        assert!(pending.is_empty() && pending.requests == 0);
    }

    #[test]
    fn a_deep_pipeline_of_one_kind_takes_one_entry() {
        let mut pending = Pending::EMPTY;
        for _ in 0..1000 {
            assert!(pending.push(7, Kind::Request, 0, reading(5)));
        }
        assert_eq!((pending.length, pending.requests), (1, 1000));
        (0..1000).for_each(|_| pending.pop());
        assert!(pending.is_empty());
    }

    #[test]
    fn what_has_no_room_loses_its_name_and_is_counted() {
        let mut pending = Pending::EMPTY;
        let kept = (0..100_u16).filter(|n| pending.push(n + 1, Kind::Request, 0, reading(1))).count();
        assert_eq!(kept, ENTRIES);
        let mut named = 0;
        for _ in 0..100 {
            named += usize::from(pending.front().unwrap().0.endpoint != NO_ENDPOINT);
            pending.pop();
        }
        assert_eq!((named, pending.is_empty(), pending.requests), (ENTRIES - 1, true, 0));
    }

    #[test]
    fn no_reading_is_taken_from_those_that_wait() {
        let mut pending = Pending::EMPTY;
        (0..30_u16).for_each(|n| drop(pending.push(n + 1, Kind::Request, 0, reading(u64::from(n) * 10))));
        for n in 0..30_u64 {
            let (_, when) = pending.front().unwrap();
            assert_eq!(when, reading(n.min(READINGS as u64 - 1) * 10));
            pending.pop();
        }
    }

    #[test]
    fn marks_are_no_requests() {
        let mut pending = Pending::EMPTY;
        pending.push(1, Kind::Request, 0, reading(1));
        pending.push(0, Kind::Mark, 0, reading(1));
        assert_eq!((pending.requests, pending.length), (1, 2));
    }
}
