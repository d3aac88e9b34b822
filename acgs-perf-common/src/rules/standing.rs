//! How work stands: for whom it is, where it is, who else has it. One word, so that each question is one comparison.
//!
//! In: nothing. Out: the type. Only what the enums here name can be, whatever the order of events; a test of the rules looks at each
//! standing that occurs.

/// For whom a thread works. The numbers are made of three bits: at work, for a request that was read, handed over.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Custody {
    /// It has no work; the rest means nothing.
    Free = 0,
    /// Nobody knows yet for whom this is.
    Anonymous = ACTIVE,
    /// For a request that it has read, or turned to.
    Own = ACTIVE | KNOWN,
    /// A worker that has done its job, or was woken for one: nobody knows yet for whom this is.
    Worker = ACTIVE | HANDED,
    /// For a request that came from another thread, with a wake-up.
    Handed = ACTIVE | KNOWN | HANDED,
}

/// Where work is.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// With its thread alone.
    Thread = 0,
    /// It has an entry in the table of requests that wait.
    Parked = TABLED,
    /// The same, and a worker has finished with it: since `at` it could have gone on.
    Finished = TABLED | FINISHED,
    /// In the table: it was answered.
    Done = DONE,
}

/// How many threads have it.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Copies {
    /// One.
    One = 0,
    /// More than one has a copy.
    Several = SPREAD,
    /// The same, and another thread was woken with it and goes on.
    Given = SPREAD | GIVEN,
}

/// What else there is to say, each for itself.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// All of it so far was on-CPU, without calls, by one thread: `parts` holds nothing else, and there is no segment for it.
    Plain = 1 << 8,
    /// Its last downstream call may be another request's.
    Guessed = 1 << 9,
    /// What the thread did last for it was to open a connection to a peer, to call it, or to read its answer.
    Away = 1 << 10,
    /// A connection to a peer is being opened for it.
    Opening = 1 << 11,
    /// The table had to put it into the map.
    Spilled = 1 << 12,
    /// It began as its thread, which had had nothing to do, was woken: what it turns out to be for did not wait for a thread.
    Woken = 1 << 13,
    /// In the table: a thread writes it down, goes on with it or answers it, and no other may meanwhile; see `table::take`.
    Taken = 1 << 14,
}

const ACTIVE: u32 = 1;
const KNOWN: u32 = 1 << 1;
const HANDED: u32 = 1 << 2;
const TABLED: u32 = 1 << 3;
const FINISHED: u32 = 1 << 4;
const DONE: u32 = 1 << 5;
const SPREAD: u32 = 1 << 6;
const GIVEN: u32 = 1 << 7;
const PLAIN: u32 = Mark::Plain as u32;

/// How work stands.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing(u32);

impl Standing {
    /// Of a request that was answered, of which nothing is known but that it is in the table.
    pub const TABLED: Self = Self(TABLED);
    /// Of a request that was answered, of which another thread may still have a copy.
    pub const SPREAD: Self = Self(SPREAD);

    /// Of new work: plain, with its thread alone.
    #[inline(always)]
    #[must_use]
    pub const fn new(custody: Custody) -> Self {
        Self(custody as u32 | PLAIN)
    }

    /// From the word that a subprogram was given.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// The word, to give it to a subprogram.
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u32 {
        self.0
    }

    /// For whom it is; `None` if that is nothing that should occur.
    #[must_use]
    pub const fn custody(self) -> Option<Custody> {
        match self.0 & (ACTIVE | KNOWN | HANDED) {
            0 => Some(Custody::Free),
            ACTIVE => Some(Custody::Anonymous),
            bits if bits == Custody::Own as u32 => Some(Custody::Own),
            bits if bits == Custody::Worker as u32 => Some(Custody::Worker),
            bits if bits == Custody::Handed as u32 => Some(Custody::Handed),
            _ => None,
        }
    }

    /// Where it is; `None` if that is nothing that should occur.
    #[must_use]
    pub const fn place(self) -> Option<Place> {
        match self.0 & (TABLED | FINISHED | DONE) {
            0 => Some(Place::Thread),
            TABLED => Some(Place::Parked),
            bits if bits == Place::Finished as u32 => Some(Place::Finished),
            DONE => Some(Place::Done),
            _ => None,
        }
    }

    /// How many have it; `None` if that is nothing that should occur.
    #[must_use]
    pub const fn copies(self) -> Option<Copies> {
        match self.0 & (SPREAD | GIVEN) {
            0 => Some(Copies::One),
            SPREAD => Some(Copies::Several),
            bits if bits == Copies::Given as u32 => Some(Copies::Given),
            _ => None,
        }
    }

    /// Whether the thread is at work.
    #[inline(always)]
    #[must_use]
    pub const fn is_active(self) -> bool {
        self.0 & ACTIVE != 0
    }

    /// Whether it is known for which request.
    #[inline(always)]
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.0 & KNOWN != 0
    }

    /// Whether the thread is at work for a request that is known.
    #[inline(always)]
    #[must_use]
    pub const fn is_for_request(self) -> bool {
        self.0 & (ACTIVE | KNOWN) == ACTIVE | KNOWN
    }

    /// Whether it came from another thread.
    #[inline(always)]
    #[must_use]
    pub const fn is_handed(self) -> bool {
        self.0 & HANDED != 0
    }

    /// Whether a worker is at a job, or has done one, and nobody knows yet for whom.
    #[inline(always)]
    #[must_use]
    pub const fn is_unknown_job(self) -> bool {
        self.0 & (ACTIVE | KNOWN | HANDED) == Custody::Worker as u32
    }

    /// Whether the thread has begun something since, on its CPU alone, of which nobody knows for whom it is.
    #[inline(always)]
    #[must_use]
    pub const fn is_fresh(self) -> bool {
        self.0 == Self::new(Custody::Anonymous).0
    }

    /// Whether the thread was woken from having nothing to do, and has only looked what there is since.
    #[inline(always)]
    #[must_use]
    pub const fn is_only_woken(self) -> bool {
        self.0 & (ACTIVE | KNOWN | HANDED) == ACTIVE && self.has(Mark::Woken)
    }

    /// Whether it is a request for which one thread has computed, and nothing else.
    #[inline(always)]
    #[must_use]
    pub const fn is_only_computed(self) -> bool {
        self.0 & !TABLED == Self::new(Custody::Own).0
    }

    /// Whether it is known, waits, and nobody else has it.
    #[inline(always)]
    #[must_use]
    pub const fn waits_alone(self) -> bool {
        self.0 & (KNOWN | DONE | SPREAD) == KNOWN
    }

    /// Whether it has an entry in the table.
    #[inline(always)]
    #[must_use]
    pub const fn is_tabled(self) -> bool {
        self.0 & TABLED != 0
    }

    /// Whether a worker has finished with it.
    #[inline(always)]
    #[must_use]
    pub const fn is_finished(self) -> bool {
        self.0 & FINISHED != 0
    }

    /// Whether it was answered.
    #[inline(always)]
    #[must_use]
    pub const fn is_done(self) -> bool {
        self.0 & DONE != 0
    }

    /// Whether nobody may go on with it, or put another copy of it into the table: it was answered, or another thread is at it.
    #[inline(always)]
    #[must_use]
    pub const fn is_out_of_reach(self) -> bool {
        self.0 & (DONE | Mark::Taken as u32) != 0
    }

    /// Whether more than one thread has a copy.
    #[inline(always)]
    #[must_use]
    pub const fn is_spread(self) -> bool {
        self.0 & SPREAD != 0
    }

    /// Whether another thread was woken with it.
    #[inline(always)]
    #[must_use]
    pub const fn is_given(self) -> bool {
        self.0 & GIVEN != 0
    }

    /// Whether it may be in the table, or with another thread that could put it there.
    #[inline(always)]
    #[must_use]
    pub const fn may_be_found(self) -> bool {
        self.0 & (TABLED | SPREAD) != 0
    }

    /// Whether it has this mark.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, mark: Mark) -> bool {
        self.0 & mark as u32 != 0
    }

    /// Gives it this mark.
    #[inline(always)]
    pub const fn mark(&mut self, mark: Mark) {
        self.0 |= mark as u32;
    }

    /// Takes this mark away.
    #[inline(always)]
    pub const fn unmark(&mut self, mark: Mark) {
        self.0 &= !(mark as u32);
    }

    /// The thread has no work any more.
    #[inline(always)]
    pub const fn free(&mut self) {
        self.0 &= PLAIN;
    }

    /// It has an entry in the table.
    #[inline(always)]
    pub const fn park(&mut self) {
        self.0 |= TABLED;
    }

    /// It has an entry in the table too.
    #[inline(always)]
    #[must_use]
    pub const fn tabled(self) -> Self {
        Self(self.0 | TABLED)
    }

    /// The entry in the table shall say that a worker has finished with it, or, once it is there, no longer.
    #[inline(always)]
    pub const fn set_finished(&mut self, finished: bool) {
        self.0 = if finished { self.0 | FINISHED } else { self.0 & !FINISHED };
    }

    /// Whether the place is free for another one: it was answered, and nobody writes another one down there.
    #[inline(always)]
    #[must_use]
    pub const fn is_over(self) -> bool {
        self.0 & (DONE | Mark::Taken as u32) == DONE
    }

    /// A thread is at it.
    #[inline(always)]
    #[must_use]
    pub const fn taken(self) -> Self {
        Self(self.0 | Mark::Taken as u32)
    }

    /// The thread is no longer at it.
    #[inline(always)]
    #[must_use]
    pub const fn let_go(self) -> Self {
        Self(self.0 & !(Mark::Taken as u32))
    }

    /// A thread goes on with what the table has.
    #[inline(always)]
    #[must_use]
    pub const fn resumed(self) -> Self {
        Self((self.0 & !(FINISHED | DONE | Mark::Taken as u32)) | ACTIVE | TABLED)
    }

    /// More than one thread has a copy.
    #[inline(always)]
    pub const fn spread(&mut self) {
        self.0 |= SPREAD;
    }

    /// The same, with the account of another copy: whether that is plain, is in the table, and what its last call was.
    #[inline(always)]
    #[must_use]
    pub const fn with_account_of(self, other: Self) -> Self {
        const ACCOUNT: u32 = PLAIN | TABLED | Mark::Guessed as u32 | Mark::Away as u32 | Mark::Opening as u32;
        Self((self.0 & !(PLAIN | Mark::Away as u32 | Mark::Opening as u32)) | (other.0 & ACCOUNT))
    }

    /// Another thread was woken with it, and goes on.
    #[inline(always)]
    pub const fn give(&mut self) {
        self.0 |= GIVEN;
    }

    /// The copy of who was woken with it.
    #[inline(always)]
    #[must_use]
    pub const fn handed_over(self) -> Self {
        Self((self.0 | HANDED) & !GIVEN)
    }

    /// The entry in the table, once it was answered.
    #[inline(always)]
    pub const fn answered(&mut self) {
        self.0 = DONE | (self.0 & PLAIN);
    }
}
