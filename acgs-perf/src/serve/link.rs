//! The agent's end of the way to its network-facing process.
//!
//! In: contexts and intervals for it, queries from it. Out: messages, on threads of their own, so that nothing that the network-facing
//! process does or does not do holds the recording up: what it has not read yet is added up in bounded memory.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::Builder;
use std::time::{SystemTime, UNIX_EPOCH};

use super::wire::{self, MAX_QUERY, News, Query};
use crate::live::rights;
use crate::output::words;
use crate::store::{self, ReadError, Wanted};
use crate::{analysis, report, time};

/// Messages that wait for the thread that writes them.
const WAITING: usize = 8;

/// The way to the network-facing process.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    news: SyncSender<News>,
    /// What did not fit in there, in order; neighbours that can be are one.
    waiting: VecDeque<News>,
    is_broken: Arc<AtomicBool>,
}

impl Link {
    /// Starts the threads. Queries are answered from the ring in `directory`.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn start(stream: UnixStream, directory: &Path) -> io::Result<Self> {
        let (news, to_write) = sync_channel(WAITING);
        let is_broken = Arc::new(AtomicBool::new(false));
        let (writes, reads) = (stream.try_clone()?, stream.try_clone()?);
        let broken = Arc::clone(&is_broken);
        Builder::new().name("acgs-tell".into()).stack_size(256 << 10).spawn(move || {
            drop_rights();
            tell(&writes, &to_write);
            broken.store(true, Ordering::Relaxed);
        })?;
        let (answers, directory) = (news.clone(), directory.to_owned());
        Builder::new().name("acgs-answer".into()).spawn(move || {
            drop_rights();
            answer(&reads, &answers, &directory);
        })?;
        Ok(Self { stream, news, waiting: VecDeque::new(), is_broken })
    }

    /// A way for others to tell it something that a later message makes up for: what finds no place is dropped.
    #[must_use]
    pub fn teller(&self) -> SyncSender<News> {
        self.news.clone()
    }

    /// Whether the network-facing process is gone.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Tells something. It does not wait.
    pub fn tell(&mut self, news: News) {
        if self.is_broken() {
            self.waiting.clear();
            return;
        }
        queue(&mut self.waiting, news);
        while let Some(news) = self.waiting.pop_front() {
            match self.news.try_send(news) {
                Ok(()) => {}
                Err(TrySendError::Full(news)) => {
                    self.waiting.push_front(news);
                    break;
                }
                Err(TrySendError::Disconnected(_)) => break,
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The threads, and the process at the other end, see the end of it.
        drop(self.stream.shutdown(Shutdown::Both));
    }
}

/// Adds to what waits: an interval to the one before it, a context in place of the one before it.
fn queue(waiting: &mut VecDeque<News>, news: News) {
    match (waiting.back_mut(), news) {
        (Some(News::Interval(before)), News::Interval(interval)) => before.merge(&interval),
        // Also of two runs: nothing was counted between, so that the older one's context is of no use any more.
        (Some(News::Context(before)), News::Context(context)) => *before = context,
        (_, news) => waiting.push_back(news),
    }
}

/// What these threads do takes no right of root's.
fn drop_rights() {
    if let Err(error) = rights::keep(rights::NONE) {
        tracing::warn!("cannot give up capabilities: {error}");
    }
}

fn tell(stream: &UnixStream, to_write: &Receiver<News>) {
    while let Ok(news) = to_write.recv() {
        if wire::send(stream, &news).is_err() {
            break;
        }
    }
}

/// Answers queries, one after the other.
fn answer(stream: &UnixStream, answers: &SyncSender<News>, directory: &Path) {
    while let Ok(query) = wire::receive::<Query>(stream, MAX_QUERY) {
        let (status, body) = match report(&query, directory) {
            Ok(json) => (200, json),
            Err((status, why)) => (status, why + "\n"),
        };
        if answers.send(News::Answer { id: query.id, status, body }).is_err() {
            break;
        }
    }
}

/// The report that a query asks for, or a status and why not.
fn report(query: &Query, directory: &Path) -> Result<String, (u16, String)> {
    let now_unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let time = |name: &str, text: &str| time::parse(name, text, now_unix_ns).map_err(|why| (400, why.to_string()));
    let from_unix_ns = time("from", &query.from)?;
    let to_unix_ns = query.to.as_deref().map_or(Ok(now_unix_ns), |to| time("to", to))?;
    if to_unix_ns <= from_unix_ns {
        return Err((400, "to is not after from".to_owned()));
    }
    let wanted = Wanted { from_unix_ns, to_unix_ns, service: query.service.clone() };
    let found = store::capture(directory, &wanted).map_err(|error| match error {
        ReadError::NotThen { .. } | ReadError::NoService { .. } | ReadError::Nothing(_) => (404, error.to_string()),
        // Where the ring is, is nobody's business out there.
        ReadError::Directory { .. } | ReadError::Layout(_) => (500, "the ring cannot be read".to_owned()),
    })?;
    let mut report = words::said(analysis::analyse(&found.capture));
    report::seal_to_fit(&mut report).map_err(|error| (500, error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::snapshot::{Context, Interval};

    fn nowhere() -> PathBuf {
        PathBuf::from("/nonexistent")
    }

    fn interval(start_ns: u64) -> News {
        News::Interval(Box::new(Interval { start_ns, len_ns: 1, ..Interval::default() }))
    }

    fn context(start_ns: u64) -> News {
        News::Context(Box::new(Context { start_ns, ..Context::default() }))
    }

    #[test]
    fn who_does_not_read_makes_nobody_wait() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut link = Link::start(ours, &nowhere()).unwrap();
        link.tell(context(0));
        let seconds = 100_000;
        (0..seconds).for_each(|at| link.tell(interval(at)));
        assert!(link.waiting.len() <= 1, "{}", link.waiting.len());
        // All of it comes, in fewer intervals.
        assert!(matches!(wire::receive::<News>(&theirs, 1 << 20).unwrap(), News::Context(_)));
        let mut end = 0;
        while end < seconds {
            link.tell(interval(seconds));
            let News::Interval(interval) = wire::receive::<News>(&theirs, 1 << 20).unwrap() else {
                panic!("no interval")
            };
            assert_eq!(interval.start_ns, end);
            end = interval.end_ns();
        }
        drop(theirs);
        while !link.is_broken() {
            link.tell(interval(0));
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_waits_stays_in_order() {
        let mut waiting = VecDeque::new();
        for news in [context(1), interval(1), interval(2), context(1), context(1), context(3), interval(3)] {
            queue(&mut waiting, news);
        }
        let starts: Vec<u64> = waiting
            .iter()
            .map(|news| match news {
                News::Interval(interval) => interval.start_ns,
                News::Context(context) => context.start_ns + 100,
                _ => 0,
            })
            .collect();
        assert_eq!(starts, [101, 1, 103, 3]);
    }

    #[test]
    fn a_query_is_a_strangers() {
        for (from, to, status) in [("yesterday", None, 400), ("1m", Some("2m"), 400), ("1m", None, 500)] {
            let query = Query { from: from.into(), to: to.map(Into::into), ..Query::default() };
            assert_eq!(report(&query, &nowhere()).unwrap_err().0, status, "{from}");
        }
    }
}
