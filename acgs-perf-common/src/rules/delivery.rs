//! When a reply has left. A send that returned has put its bytes into the send buffer; they leave when TCP may send them.
//!
//! In: how far a connection has come, as the kernel knows it at some later moment. Out: until when the reply was held, and by what.
//! Nothing watches the segments: the kernel remembers when it sent the segment that was acknowledged last, so that whoever looks
//! later knows it to a microsecond. Places in the stream of bytes wrap.

use crate::attribution::Component;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// End of what was written.
    pub written: u32,
    /// End of what was sent.
    pub sent: u32,
    /// End of what was acknowledged.
    pub acknowledged: u32,
    /// When the segment was sent, the last time, that was acknowledged last.
    pub acknowledged_sent_at: u64,
    /// When the last segment was sent, or with pacing when the next one may be.
    pub last_sent_at: u64,
}

/// How far a reply has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Some of it is still here.
    Held,
    /// All of it was sent, and may have to be sent again.
    Sent,
    /// The client has all of it.
    Acknowledged,
}

/// Whether place `a` in a stream is behind place `b`.
#[inline(always)]
#[must_use]
pub const fn is_behind(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

/// What holds a reply that was written up to `written` and sent up to `sent`. `window_end` is up to where the client takes bytes,
/// `segment` the bytes of a full segment.
#[inline(always)]
#[must_use]
pub const fn holder(written: u32, sent: u32, window_end: u32, segment: u32) -> Component {
    if is_behind(written, window_end) {
        Component::DeliveryWindow
    } else if written.wrapping_sub(sent) < segment {
        // A segment that is not full waits for an acknowledgement, or for whoever has put in the cork.
        Component::DeliveryNagle
    } else {
        Component::DeliveryNetwork
    }
}

/// Until when a reply that ends at `end` was held, as it is known at `now`: from `since`, when its last send returned, or later.
#[inline(always)]
#[must_use]
pub fn held_until(progress: &Progress, end: u32, since: u64, now: u64) -> (u64, Stage) {
    let (until, stage) = if !is_behind(end, progress.acknowledged) {
        (progress.acknowledged_sent_at, Stage::Acknowledged)
    } else if !is_behind(end, progress.sent) {
        (progress.last_sent_at, Stage::Sent)
    } else {
        (now, Stage::Held)
    };
    // Sent within the send, or a moment that the clock of the pacing has not reached.
    let until = if until > now { now } else { until };
    (if until.wrapping_sub(since) as i64 > 0 { until } else { since }, stage)
}

/// `until`, but no later than the connection has been busy since `since`: `busy` ticks of `tick_ns`, of which the last one may have
/// just begun. Where the service sends the next piece of its reply after a pause, and the client acknowledges that before the send returns,
/// the kernel remembers of the piece before only that it was not busy all the time.
#[inline(always)]
#[must_use]
pub fn at_most_busy(until: u64, since: u64, busy: u32, tick_ns: u32) -> u64 {
    let most = since.wrapping_add((busy as u64 + 1).wrapping_mul(tick_ns as u64));
    // Who does not know the length of a tick knows nothing of this.
    if tick_ns != 0 && until.wrapping_sub(most) as i64 > 0 { most } else { until }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Progress =
        Progress { written: 100, sent: 100, acknowledged: 40, acknowledged_sent_at: 70, last_sent_at: 90 };

    #[test]
    fn what_was_acknowledged_had_left_when_it_was_sent_the_last_time() {
        let all = Progress { acknowledged: 100, acknowledged_sent_at: 95, ..SENT };
        assert_eq!(held_until(&all, 100, 10, 200), (95, Stage::Acknowledged));
        // The end of the connection takes a place in the stream too.
        assert_eq!(held_until(&Progress { acknowledged: 101, ..all }, 100, 10, 200), (95, Stage::Acknowledged));
        // It was sent within the send.
        assert_eq!(held_until(&all, 100, 97, 200), (97, Stage::Acknowledged));
    }

    #[test]
    fn what_was_sent_may_have_to_be_sent_again() {
        assert_eq!(held_until(&SENT, 100, 10, 200), (90, Stage::Sent));
        assert_eq!(held_until(&SENT, 100, 10, 80), (80, Stage::Sent), "the clock of the pacing goes before");
    }

    #[test]
    fn what_is_still_here_is_held_until_now() {
        assert_eq!(held_until(&Progress { sent: 99, ..SENT }, 100, 10, 200), (200, Stage::Held));
        assert_eq!(held_until(&Progress { sent: 99, ..SENT }, 100, 300, 200), (300, Stage::Held));
    }

    #[test]
    fn a_reply_is_not_held_while_nothing_of_it_waits() {
        assert_eq!(at_most_busy(9_000, 1_000, 2, 1_000), 4_000);
        assert_eq!(at_most_busy(3_900, 1_000, 2, 1_000), 3_900);
        assert_eq!(at_most_busy(9_000, 1_000, 2, 0), 9_000);
    }

    #[test]
    fn places_wrap() {
        let begin = u32::MAX - 10;
        assert!(is_behind(5, begin) && !is_behind(begin, 5) && !is_behind(7, 7));
        let wrapped = Progress { written: 5, sent: begin, acknowledged: begin, ..SENT };
        assert_eq!(held_until(&wrapped, 5, 10, 200).1, Stage::Held);
        assert_eq!(held_until(&Progress { sent: 5, ..wrapped }, 5, 10, 200).1, Stage::Sent);
    }

    #[test]
    fn the_holder_is_the_window_or_a_segment_that_is_not_full_or_the_network() {
        assert_eq!(holder(5_000, 1_000, 4_999, 1_460), Component::DeliveryWindow);
        assert_eq!(holder(5_000, 4_000, 9_000, 1_460), Component::DeliveryNagle);
        assert_eq!(holder(5_000, 1_000, 9_000, 1_460), Component::DeliveryNetwork);
    }
}
