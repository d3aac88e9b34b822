//! The processes of a service that answer its requests, so that one that is slower than the others shows.
//!
//! In: what the kernel side has counted by process. Out: a section with a row for each, and the table of the report.

use acgs_perf_common::maps::{OTHER_PROCESSES, OTHER_WORKERS, WORKERS, Worker};

use super::maps::Maps;
use super::table::{Column, Kind, Name, Scope, TableSpec};
use crate::sums::{Key, Row, Sections, Sums};

/// By process; requests and slow ones, labelled with the command name. Those without a row of their own have the process id
/// [`OTHER_PROCESSES`].
pub const SECTION: &str = "workers";
/// With more entries than this, those in which nothing happens make room for new ones.
const ROOM: usize = WORKERS as usize / 2;

/// The table of the report.
pub const TABLE: TableSpec = TableSpec {
    section: SECTION,
    title: "Processes that answer requests",
    meaning: "Which of the service's processes answered how many requests, up to the end of the recording; most first. What came \
              with another request in one read counts with it",
    scope: Scope::Service,
    also_needs: None,
    names: &[
        Name { name: "pid", meaning: "Process; `others` for those that found no room in the table" },
        Name { name: "comm", meaning: "Its command" },
    ],
    row_names: |key, row| {
        let pid = key.first().filter(|pid| **pid != OTHER_PROCESSES);
        vec![pid.map_or_else(|| "others".to_owned(), u32::to_string), row.label.clone()]
    },
    columns: &[
        Column { name: "requests", meaning: "Requests answered", kind: Kind::Count(0) },
        Column {
            name: "slow",
            meaning: "Requests that were slower than the P99 of the service had been in the second before",
            kind: Kind::Count(1),
        },
    ],
};

/// Adds what the processes have answered so far.
pub fn read(maps: &Maps, service: u32, sections: &mut Sections) {
    let table = ("WORKER", "processes that answer requests", ROOM);
    let of_service = |key: &u64, worker: &Worker| {
        let sums = Sums::dense([worker.requests as i64, worker.slow as i64]);
        let pid = *key as u32;
        ((key >> 32) as u32 == service).then(|| (vec![pid], Row { sums, label: maps.comm(pid), ..Row::default() }))
    };
    let mut rows = maps.read_table(table, sections.get(SECTION), of_service);
    let others_sums = [OTHER_WORKERS, OTHER_WORKERS + 1].map(|counter| maps.counter(service, counter) as i64);
    let sums = Sums::dense(others_sums);
    if sums.count(0) != 0 {
        rows.insert(others(&Key::new()), Row { sums, ..Row::default() });
    }
    sections.insert(SECTION.into(), rows);
}

/// Those without a row of their own, together.
pub fn others(_: &Key) -> Key {
    vec![OTHER_PROCESSES]
}
