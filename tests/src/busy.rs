//! A machine on which nobody keeps a CPU for long: threads that want all of it, and threads that take it away.
//!
//! In: nothing. Out: load on every CPU until it is dropped; the CPUs on which a process was seen; in a virtual machine of the tests a
//! kernel that preempts itself wherever it can.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::clock;
use crate::vm;

/// Where the scheduler says how willing the kernel is to be preempted, such as `none voluntary (full) lazy`.
const PREEMPTION: &str = "/sys/kernel/debug/sched/preempt";
/// Place of a thread's last CPU in `/proc/PID/task/TID/stat`, behind its name in brackets.
const LAST_CPU: usize = 36;

/// CPUs that this process may use.
pub fn cpus() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Two threads on each CPU; they end with this value.
pub struct Busy {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Busy {
    /// One takes whatever it gets. The other, which comes before all ordinary threads, wakes every `every_ns` at no matter what place
    /// of whoever runs then, and so takes the CPU from it there.
    pub fn start(every_ns: u64) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for cpu in 0..cpus() {
            let end = Arc::clone(&ends);
            threads.push(thread::spawn(move || {
                clock::pin(cpu)?;
                while !end.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                Ok(())
            }));
            let end = Arc::clone(&ends);
            threads.push(thread::spawn(move || {
                clock::pin(cpu)?;
                clock::no_timer_slack();
                clock::realtime()?;
                while !end.load(Ordering::Relaxed) {
                    clock::sleep(every_ns);
                }
                Ok(())
            }));
        }
        Self { ends, threads }
    }

    /// Ends them; fails if one of them could not do what it is for.
    pub fn stop(mut self) -> io::Result<()> {
        self.ends.store(true, Ordering::Relaxed);
        let outcomes =
            self.threads.drain(..).map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("panic"))));
        outcomes.collect()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// Adds the CPUs on which the threads of a process ran last.
pub fn note_cpus(pid: u32, seen: &mut BTreeSet<usize>) {
    let tasks = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).into_iter().flatten().flatten();
    // A thread may be gone by now.
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    seen.extend(stats.filter_map(|stat| last_cpu(&stat)));
}

fn last_cpu(stat: &str) -> Option<usize> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(LAST_CPU)?.parse().ok()
}

/// Has the kernel of a virtual machine of the tests preempt itself; on a real machine, which is used by others too, it stays as it
/// is. What is so now, for the output.
pub fn preempt_wherever_possible() -> String {
    if vm::inside()
        && let Err(error) = fs::write(PREEMPTION, "full")
    {
        return format!("as the kernel was built: {error}");
    }
    fs::read_to_string(PREEMPTION).map_or_else(|_| "not known".to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_found_on_the_cpu_that_it_is_tied_to() {
        let cpu = cpus() - 1;
        let stat = thread::spawn(move || {
            clock::pin(cpu).unwrap();
            fs::read_to_string("/proc/thread-self/stat").unwrap()
        });
        assert_eq!(last_cpu(&stat.join().unwrap()), Some(cpu));
        assert_eq!(last_cpu("1 (a) b) S 1"), None);
        let mut seen = BTreeSet::new();
        note_cpus(std::process::id(), &mut seen);
        assert!(!seen.is_empty() && seen.iter().all(|cpu| *cpu < 4096), "{seen:?}");
    }
}
