//! Requests that had no end at one moment: how many, how old, and which the oldest are.
//!
//! In: requests with their ages. Out: [`Open`] of each stage. It is the state of a moment: those of two moments do not add up.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};

use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use serde::{Deserialize, Serialize};

use crate::sums::{Difference as _, Sums};

/// At most so many of the oldest requests are listed.
pub const LISTED: usize = 8;
/// Those that are younger are not: in a healthy service they are others at each look.
pub const LISTED_FROM_NS: u64 = 100_000_000;

/// The open requests of a subject, by how far they have come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRequests {
    /// Arrived, and read by nobody.
    pub unread: Open,
    /// Read, and not answered.
    pub in_service: Open,
    /// Answered, and not all of the reply has left. Their age is what is recorded as their latency.
    #[serde(default)]
    pub undelivered: Open,
}

impl OpenRequests {
    /// Those of each stage.
    pub fn stages(&self) -> [&Open; 3] {
        [&self.unread, &self.in_service, &self.undelivered]
    }

    /// Adds those of another host or worker at the same time.
    pub fn add_beside(&mut self, other: Self) {
        let Self { unread, in_service, undelivered } = other;
        for (own, other) in self.stages_mut().into_iter().zip([unread, in_service, undelivered]) {
            own.add_beside(other);
        }
    }

    /// As [`Self::stages`].
    pub fn stages_mut(&mut self) -> [&mut Open; 3] {
        [&mut self.unread, &mut self.in_service, &mut self.undelivered]
    }
}

/// Open requests, by age: the time since they arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// How many.
    pub count: u64,
    /// Those of them that had arrived before the recording began.
    #[serde(default)]
    pub older: u64,
    /// Sum of the ages.
    pub age_sum_ns: u64,
    /// The greatest age.
    pub oldest_ns: u64,
    /// How many by age, in the buckets of the latency; the word behind the buckets has those over range.
    pub ages: Sums,
    /// The oldest of them, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<OpenRequest>,
}

/// One open request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRequest {
    /// The time since it arrived.
    pub age_ns: u64,
    /// How well that is known.
    pub since: Since,
    /// The client's address.
    pub client: String,
    /// Inode of the socket; 0 where nobody has accepted it. Of use only while it lives.
    #[serde(skip)]
    pub inode: u64,
    /// Process that has the socket; 0 where nobody has accepted it, or nobody looked.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
}

/// How well it is known when a request arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// A hook saw it.
    #[default]
    Arrival,
    /// Before the recording began; the kernel knows when its last bytes came, to a tick of its coarse clock.
    LastBytes,
    /// Before the recording began: it is at least that old.
    AtLeast,
}

impl Open {
    /// Adds so many of one connection; `request` says more about them if they are old enough to be listed.
    pub fn add(&mut self, count: u64, age_ns: u64, is_older: bool, request: impl FnOnce() -> OpenRequest) {
        self.count += count;
        self.older += if is_older { count } else { 0 };
        self.age_sum_ns = self.age_sum_ns.saturating_add(age_ns.saturating_mul(count));
        self.oldest_ns = self.oldest_ns.max(age_ns);
        let bucket = bucket_index(age_ns).min(BUCKETS) as u32;
        self.ages.add(&Sums::sparse([(bucket, count.cast_signed())]));
        let at = self.listed.partition_point(|other| other.age_ns >= age_ns);
        if age_ns >= LISTED_FROM_NS && at < LISTED {
            self.listed.insert(at, request());
            self.listed.truncate(LISTED);
        }
    }
}

impl Open {
    /// Adds those of another host or worker at the same time.
    pub fn add_beside(&mut self, other: Self) {
        self.count += other.count;
        self.older += other.older;
        self.age_sum_ns = self.age_sum_ns.saturating_add(other.age_sum_ns);
        self.oldest_ns = self.oldest_ns.max(other.oldest_ns);
        self.ages.add(&other.ages);
        self.listed.extend(other.listed);
        self.listed.sort_by_key(|request| Reverse(request.age_ns));
        self.listed.truncate(LISTED);
    }
}

/// A client's address as text, from a kernel record: IPv4 as an IPv6-mapped one; port 0 stands for UNIX.
#[must_use]
pub fn client(address: IpAddr, port: u32) -> String {
    match u16::try_from(port) {
        Ok(0) | Err(_) => "unix".to_owned(),
        Ok(port) => SocketAddr::new(address, port).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(ages: &[u64]) -> Open {
        let mut open = Open::default();
        for age_ns in ages {
            open.add(1, *age_ns, false, || OpenRequest { age_ns: *age_ns, ..OpenRequest::default() });
        }
        open
    }

    #[test]
    fn the_oldest_are_listed_in_order_and_all_are_counted() {
        let ages: Vec<u64> = (0..20).map(|at| (at * 7 % 20) * 50_000_000).collect();
        let all = open(&ages);
        assert_eq!((all.count, all.oldest_ns), (20, 950_000_000));
        let listed: Vec<u64> = all.listed.iter().map(|request| request.age_ns / 50_000_000).collect();
        assert_eq!(listed, [19, 18, 17, 16, 15, 14, 13, 12]);
        assert_eq!(all.ages.iter().map(|(_, count)| count).sum::<i64>(), 20);
        assert_eq!(all.ages.get(bucket_index(450_000_000) as u32), 1);
        // What is younger is counted alone, and what no bucket has is over range.
        let two = open(&[LISTED_FROM_NS - 1, 1 << 40]);
        assert_eq!((two.count, two.listed.len(), two.ages.get(BUCKETS as u32)), (2, 1, 1));
    }
}
