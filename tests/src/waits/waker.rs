//! Waits that another thread ends: one that has nothing to do with the request, or a helper of its own.
//!
//! In: how long. Out: the time has passed, and the other thread has let this one go on.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;

/// A limit that never comes.
const NEVER: Duration = Duration::from_secs(60);
/// As who waits for an interpreter's global lock looks.
const LOOK: Duration = Duration::from_millis(2);

/// Whether it is over, and who is told.
#[derive(Default)]
struct Wait {
    is_over: Mutex<bool>,
    condition: Condvar,
}

impl Wait {
    fn end(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.condition.notify_one();
    }

    fn until_over(&self, look: Duration) {
        let mut is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_over {
            is_over = self.condition.wait_timeout(is_over, look).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

static WAITS: Mutex<Vec<(Instant, Arc<Wait>)>> = Mutex::new(Vec::new());

/// Starts the thread that ends the waits whose time has come. It looks for them every millisecond, so that nobody wakes it.
pub fn start() {
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_millis(1));
            let now = Instant::now();
            let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
            waits.retain(|(due, wait)| {
                if *due <= now {
                    wait.end();
                }
                *due > now
            });
        }
    });
}

fn waits(time: Duration, look: Duration) {
    let wait = Arc::new(Wait::default());
    WAITS.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now() + time, Arc::clone(&wait)));
    wait.until_over(look);
}

/// Waits with a limit that never comes, for a thread that works for nobody.
pub fn woken(time: Duration) {
    waits(time, NEVER);
}

/// The same, but it looks every two milliseconds.
pub fn looked(time: Duration) {
    waits(time, LOOK);
}

/// Waits for a thread that it has started, which sleeps.
pub fn helped(time: Duration) {
    let wait = Wait::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            clock::sleep(time.as_nanos() as u64);
            wait.end();
        });
        wait.until_over(NEVER);
    });
}
