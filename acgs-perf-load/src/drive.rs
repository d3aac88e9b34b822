//! The loop that sends and receives.
//!
//! In: a client with its connections, a schedule, bounds. Out: an `Outcome` for each slice of the schedule. It sleeps until a reply
//! comes or shortly before the next request is due, and looks without sleeping from then on: a sleeper is woken too late.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::bounds::Bounds;
use crate::client::Client;
use crate::clock;
use crate::connection::State;
use crate::epoll::Ready;
use crate::error::LoadError;
use crate::failure::Failure;
use crate::log::Entry;
use crate::outcome::Outcome;
use crate::protocol::Reply;
use crate::schedule::{Due, Schedule};

/// From so long before a request is due the loop does not sleep. To be woken takes 5 to 60 µs, the longer the more the CPU sleeps.
const AWAKE_NS: u64 = 60_000;
/// To ask what is ready takes less than this; whoever waits for longer had nothing to do.
const ASKING_NS: u64 = 4_000;
/// Requests that are late are looked for so often in the time that they may take.
const LOOKS: u64 = 16;

/// A run that goes on.
struct Run {
    schedule: Schedule,
    bounds: Bounds,
    outcomes: Vec<Outcome>,
    sent: u64,
    /// Requests that were answered or failed.
    ended: u64,
    start: u64,
    /// Nothing is sent from here on.
    last: u64,
    /// Nothing is waited for from here on.
    end: u64,
    next_look: u64,
    free_ns: u64,
    last_sent: u64,
}

impl Client {
    /// Sends as the schedule says, and waits for what was sent; an outcome per slice of the schedule.
    ///
    /// # Errors
    /// Only if the kernel refuses to wait for connections; what fails with them is in the outcomes.
    pub fn drive(&mut self, schedule: Schedule, bounds: &Bounds) -> Result<Vec<Outcome>, LoadError> {
        clock::no_timer_slack();
        let outcomes = (0..schedule.slices()).map(|_| Outcome::new()).collect::<Result<_, _>>()?;
        let start = clock::now();
        let after = |duration: Duration| start.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        let end = after(bounds.limit);
        let last = bounds.duration.map_or(end, after);
        let run = Run {
            schedule,
            bounds: *bounds,
            outcomes,
            sent: 0,
            ended: 0,
            start,
            last,
            end,
            next_look: 0,
            free_ns: 0,
            last_sent: start,
        };
        self.connections.iter_mut().for_each(|connection| connection.idle_ns = start);
        self.turn(run)
    }

    fn turn(&mut self, mut run: Run) -> Result<Vec<Outcome>, LoadError> {
        let mut ready = Vec::new();
        loop {
            let mut now = clock::now();
            let mut wait = run.end.saturating_sub(now);
            let is_stopped = run.bounds.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
            if is_stopped {
                run.last = run.last.min(now);
            }
            let mut sending = run.sent < run.bounds.requests && !is_stopped;
            while sending && !self.idle.is_empty() {
                let due = match run.schedule.due() {
                    Due::At(due) => run.start + due,
                    Due::Whenever => now,
                    Due::Never => {
                        sending = false;
                        break;
                    }
                };
                if due.max(now) >= run.last {
                    sending = false;
                } else if due > now {
                    wait = wait.min((due - now).saturating_sub(AWAKE_NS));
                    break;
                } else {
                    self.send(due, &mut run);
                    run.schedule.advance();
                    sending = run.sent < run.bounds.requests;
                    now = clock::now();
                }
            }
            let has_more = sending && now < run.last && run.schedule.due() != Due::Never;
            if (run.ended == run.sent && !has_more) || now >= run.end {
                return Ok(self.finish(run, now));
            }
            if let Some(timeout) = run.bounds.timeout {
                wait = wait.min(self.look_for_late(timeout, now, &mut run));
            }
            self.epoll.wait(Some(wait), &mut ready).map_err(LoadError::Epoll)?;
            let waited = clock::now() - now;
            if ready.is_empty() || waited > ASKING_NS {
                run.free_ns += waited;
            }
            for event in &ready {
                self.handle(*event, &mut run);
            }
        }
    }

    /// Sends the next request on an idle connection.
    fn send(&mut self, intended_ns: u64, run: &mut Run) {
        let Some(index) = self.idle.pop_front() else { return };
        let (id, slow) = (self.next_id, self.messages.is_slow(self.next_id));
        self.next_id += 1;
        run.sent += 1;
        let connection = &mut self.connections[index];
        let sent_ns = clock::now();
        run.last_sent = sent_ns;
        connection.request = Entry { id, intended_ns, sent_ns, slow, ..Entry::default() };
        connection.slice = run.schedule.slice();
        connection.late_ns = sent_ns - intended_ns.max(connection.idle_ns).min(sent_ns);
        let outcome = &mut run.outcomes[connection.slice];
        outcome.sent += 1;
        outcome.waited += u64::from(connection.idle_ns > intended_ns);
        outcome.lateness.saturating_record(connection.late_ns);
        let bytes = self.messages.request(id, slow);
        if connection.state == State::Idle {
            if let Err(error) = connection.send(bytes) {
                self.fail(index, Failure::connected(&error), format!("send: {error}"), run);
            }
            return;
        }
        if connection.generation > 0 && !self.each_its_own {
            outcome.reconnects += 1;
        }
        if let Err(error) = connection.begin(index, &self.target, &self.epoll, bytes) {
            self.fail(index, Failure::connecting(&error), format!("connect: {error}"), run);
        }
    }

    /// Ends a connection; the request on it, if any, failed.
    fn fail(&mut self, index: usize, failure: Failure, text: String, run: &mut Run) {
        let connection = &mut self.connections[index];
        if connection.is_taken() {
            let now = clock::now();
            let outcome = &mut run.outcomes[connection.slice];
            if failure == Failure::Timeout {
                outcome.without_end.saturating_record(now.saturating_sub(connection.request.intended_ns));
            }
            outcome.fail(failure, text);
            run.ended += 1;
            connection.idle_ns = now;
            self.idle.push_back(index);
        }
        connection.close(self.messages.reader());
    }

    fn handle(&mut self, event: Ready, run: &mut Run) {
        let index = event.token as u32 as usize;
        let connection = &mut self.connections[index];
        if connection.generation != (event.token >> 32) as u32 {
            return;
        }
        if event.writable() {
            let result = match connection.state {
                State::Connecting => connection
                    .connected(self.messages.greeting())
                    .map_err(|error| (Failure::connecting(&error), format!("connect: {error}"))),
                _ => connection.flush().map_err(|error| (Failure::connected(&error), format!("send: {error}"))),
            };
            if let Err((failure, text)) = result {
                return self.fail(index, failure, text, run);
            }
        }
        if event.readable() {
            self.receive(index, event.ended(), run);
        }
    }

    /// Takes all that came.
    fn receive(&mut self, index: usize, ended: bool, run: &mut Run) {
        loop {
            let connection = &mut self.connections[index];
            let count = match connection.receive(&mut self.buffer) {
                Ok(None) => return,
                Ok(Some(count)) => count,
                Err(error) => return self.fail(index, Failure::connected(&error), format!("receive: {error}"), run),
            };
            if connection.state == State::Idle {
                // The server closed it, or said something unasked before it does.
                return self.fail(index, Failure::Closed, String::new(), run);
            }
            let reply = match count {
                0 => connection.reader.end(),
                _ => match connection.reader.feed(&self.buffer[..count], connection.request.id) {
                    Ok(reply) => reply,
                    Err(error) => return self.fail(index, Failure::Malformed, error.to_string(), run),
                },
            };
            if let Some(reply) = reply {
                match self.connections[index].state {
                    State::Greeting(answered) => self.greeted(index, answered, reply, run),
                    _ => self.complete(index, reply, run),
                }
            } else if count == 0 {
                return self.fail(index, Failure::Closed, "the server closed the connection".into(), run);
            } else if let Err(error) = self.connections[index].answer() {
                return self.fail(index, Failure::connected(&error), format!("send: {error}"), run);
            }
            if self.connections[index].state == State::Closed || (count < self.buffer.len() && !ended) {
                return;
            }
        }
    }

    /// A greeting was answered.
    fn greeted(&mut self, index: usize, answered: usize, reply: Reply, run: &mut Run) {
        let connection = &mut self.connections[index];
        if let Some(code) = reply.error {
            let text = format!("{code}: {}", connection.reader.said());
            return self.fail(index, Failure::NotWelcome, text, run);
        }
        if let Err(error) = connection.greet(answered + 1, self.messages.greeting()) {
            self.fail(index, Failure::connected(&error), format!("send: {error}"), run);
        }
    }

    fn complete(&mut self, index: usize, reply: Reply, run: &mut Run) {
        let connection = &mut self.connections[index];
        let entry = Entry { done_ns: clock::now(), ..connection.request };
        let outcome = &mut run.outcomes[connection.slice];
        outcome.record(entry, connection.late_ns, reply);
        run.ended += 1;
        if let (Some(code), None) = (reply.error, &outcome.first_error) {
            outcome.first_error = Some(format!("{code}: {}", connection.reader.said()));
        }
        if run.bounds.log {
            outcome.log.push(entry);
        }
        (connection.state, connection.idle_ns) = (State::Idle, entry.done_ns);
        if reply.close || self.each_its_own {
            connection.close(self.messages.reader());
        }
        self.idle.push_back(index);
    }

    /// Gives up requests that take too long; how long until the next look.
    fn look_for_late(&mut self, timeout: Duration, now: u64, run: &mut Run) -> u64 {
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        if now >= run.next_look {
            run.next_look = now.saturating_add((timeout / LOOKS).max(1_000_000));
            for index in 0..self.connections.len() {
                let connection = &self.connections[index];
                if connection.is_taken() && now.saturating_sub(connection.request.sent_ns) >= timeout {
                    self.fail(index, Failure::Timeout, "no reply in the time that a request may take".into(), run);
                }
            }
        }
        run.next_look - now
    }

    /// Counts what is left, and closes connections on which a reply is still to come, so that a later run does not get it.
    fn finish(&mut self, mut run: Run, now: u64) -> Vec<Outcome> {
        for connection in &mut self.connections {
            if connection.is_taken() {
                let age = now.saturating_sub(connection.request.intended_ns);
                run.outcomes[connection.slice].without_end.saturating_record(age);
                connection.close(self.messages.reader());
            }
        }
        let last = run.last.min(now);
        // Whether what is left over waited for a connection, or for the generator, and for how long for that.
        let idle_since = self.idle.iter().map(|index| self.connections[*index].idle_ns).min();
        self.idle = (0..self.connections.len()).collect();
        let is_stopped = run.bounds.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        let mut left = run.bounds.requests - run.sent;
        while let (Due::At(due), true) = (run.schedule.due(), left > 0) {
            let due = run.start + due;
            if due >= last {
                break;
            }
            let outcome = &mut run.outcomes[run.schedule.slice()];
            outcome.not_sent += 1;
            outcome.without_end.saturating_record(last - due);
            let late_ns = idle_since.map_or(0, |since| last.saturating_sub(due.max(since)));
            outcome.lateness.saturating_record(late_ns);
            run.schedule.advance();
            left -= 1;
        }
        let all = &mut run.outcomes[0];
        all.elapsed_ns = now - run.start;
        all.free_ns = run.free_ns;
        all.sending_ns = match run.schedule.due() {
            // As many as there may be: they were due until the next one would have been.
            Due::At(due) if left == 0 => due.max(run.last_sent - run.start),
            Due::Never if !is_stopped => run.schedule.end_ns().max(run.last_sent - run.start),
            _ => last - run.start,
        };
        run.outcomes
    }
}

#[cfg(test)]
mod tests;
