//! Every system call in which a thread can wait with a time limit, each called as libraries call it.
//!
//! In: which, and how long. Out: the time has passed.

use std::ptr::{null, null_mut};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;

/// A way to wait until a limit, and its name.
pub type Way = (&'static str, fn(Duration));

/// All of them.
pub const WAYS: &[Way] = &[
    ("futex", futex),
    ("futex_until", futex_until),
    ("futex_wall_clock", futex_wall_clock),
    ("epoll_wait", epoll_wait),
    ("epoll_pwait2", epoll_pwait2),
    ("poll", poll),
    ("ppoll", ppoll),
    ("select", select),
    ("pselect", pselect),
];

/// The way of this name.
#[must_use]
pub fn way(name: &str) -> Option<fn(Duration)> {
    WAYS.iter().find(|(known, _)| *known == name).map(|(_, way)| *way)
}

fn timespec(time: Duration) -> libc::timespec {
    clock::timespec(time.as_nanos() as u64)
}

/// With a limit from the call on, as Go calls it.
fn futex(time: Duration) {
    let (word, limit) = (0u32, timespec(time));
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word and the limit outlive the call, and nobody else knows the word.
    unsafe { libc::syscall(libc::SYS_futex, &raw const word, operation, 0, &raw const limit) };
}

/// With a limit on the monotonic clock, as Rust's standard library and Java call it.
fn futex_until(time: Duration) {
    let mutex = Mutex::new(());
    let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    let _woken = Condvar::new().wait_timeout(guard, time);
}

/// `pthread_cond_timedwait` of a condition with default attributes: a limit on the wall clock.
fn futex_wall_clock(time: Duration) {
    let (mut mutex, mut condition) = (libc::PTHREAD_MUTEX_INITIALIZER, libc::PTHREAD_COND_INITIALIZER);
    let limit = clock::timespec(clock::realtime_now() + time.as_nanos() as u64);
    // SAFETY: both live here, were initialised, and nobody else knows them.
    unsafe {
        libc::pthread_mutex_lock(&raw mut mutex);
        while libc::pthread_cond_timedwait(&raw mut condition, &raw mut mutex, &raw const limit) == 0 {}
        libc::pthread_mutex_unlock(&raw mut mutex);
    }
}

fn with_epoll(wait: impl FnOnce(i32, *mut libc::epoll_event)) {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: the descriptor is closed once, after its last use.
    unsafe {
        let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        wait(epoll, &raw mut event);
        libc::close(epoll);
    }
}

fn epoll_wait(time: Duration) {
    // SAFETY: there is room for one event.
    with_epoll(|epoll, event| unsafe {
        libc::epoll_wait(epoll, event, 1, time.as_millis() as i32);
    });
}

fn epoll_pwait2(time: Duration) {
    let limit = timespec(time);
    // SAFETY: there is room for one event, and the limit outlives the call.
    with_epoll(|epoll, event| unsafe {
        libc::syscall(libc::SYS_epoll_pwait2, epoll, event, 1, &raw const limit, null::<u8>(), 0);
    });
}

fn poll(time: Duration) {
    // SAFETY: no descriptors.
    unsafe { libc::poll(null_mut(), 0, time.as_millis() as i32) };
}

fn ppoll(time: Duration) {
    let limit = timespec(time);
    // SAFETY: no descriptors; the limit outlives the call.
    unsafe { libc::ppoll(null_mut(), 0, &raw const limit, null()) };
}

fn select(time: Duration) {
    let mut limit = libc::timeval { tv_sec: time.as_secs() as i64, tv_usec: i64::from(time.subsec_micros()) };
    // SAFETY: no descriptors; the limit outlives the call. The library would call `pselect6` instead.
    unsafe { libc::syscall(libc::SYS_select, 0, null_mut::<u8>(), null_mut::<u8>(), null_mut::<u8>(), &raw mut limit) };
}

fn pselect(time: Duration) {
    let limit = timespec(time);
    // SAFETY: no descriptors; the limit outlives the call.
    unsafe { libc::pselect(0, null_mut(), null_mut(), null_mut(), &raw const limit, null()) };
}
