//! `slow_worker`: one of several processes answers most of the slow requests, and few of the others.

use super::context::Context;
use super::start::share;
use crate::analysis::model::{Confidence, Figure, Finding, Unit};
use crate::analysis::tables::WorkerRow;

/// Its id.
pub const SLOW_WORKER: &str = "slow_worker";

/// A process that answers fewer requests is none of several that share the work.
const LEAST_REQUESTS: u64 = 100;
/// Of fewer slow requests chance may give most to one process.
const LEAST_SLOW: u64 = 30;
/// A request to it is so many times as likely to be slow as one to the others, and one of so many slow requests is its own.
const TIMES: u64 = 3;

/// By how often a request to each is slow. Which requests a process gets, nobody knows here: that is what the sentence asks.
pub fn look(context: &Context) -> Vec<Finding> {
    let workers: Vec<WorkerRow> =
        context.rows::<WorkerRow>().into_iter().filter(|row| row.requests >= LEAST_REQUESTS).collect();
    let (requests, slow) = workers.iter().fold((0, 0), |(all, slow), row| (all + row.requests, slow + row.slow));
    let is_slow = |row: &&WorkerRow| {
        let (others, others_slow) = (requests - row.requests, slow - row.slow);
        // Rates are compared by products: of the others none may be slow.
        let is_slower =
            u128::from(row.slow) * u128::from(others) >= u128::from(TIMES * others_slow) * u128::from(row.requests);
        row.slow >= LEAST_SLOW && TIMES * row.slow >= slow && others != 0 && is_slower
    };
    let Some(row) = workers.iter().find(is_slow) else { return Vec::new() };
    let who = format!("{} ({})", row.comm, row.pid);
    let figures = vec![
        Figure::new("slow_requests", row.slow, Unit::Count).of(who.clone()).against(slow),
        Figure::new("requests", row.requests, Unit::Count).of(who).against(requests),
        Figure::new("workers", workers.len() as u64, Unit::Count),
    ];
    let found = context.found(SLOW_WORKER, context.severity(), Confidence::Medium, figures);
    vec![Finding { share: Some(share(row.slow as f64 / slow as f64)), ..found }]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::sample::planted::{ids, with_table};
    use crate::analysis::tables::TableRow as _;

    fn is_found(workers: &[(u64, u64)]) -> bool {
        let row = |(pid, (requests, slow)): (usize, &(u64, u64))| json!({"pid": pid.to_string(), "comm": "gunicorn", "requests": requests, "slow": slow});
        let rows: Value = workers.iter().enumerate().map(row).collect();
        ids(&with_table(WorkerRow::SECTION, rows)).contains(&SLOW_WORKER.to_owned())
    }

    #[test]
    fn it_is_one_of_several_with_most_of_the_slow_requests() {
        assert!(is_found(&[(1_000, 0), (1_000, 40), (1_000, 2)]));
        assert!(is_found(&[(1_000, 0), (1_000, 40)]));
        assert!(is_found(&[(7_180, 90), (2_895, 42), (1_925, 95)]));
        assert!(!is_found(&[(1_000, 20), (1_000, 22), (1_000, 25)]), "all alike");
        assert!(!is_found(&[(1_000, 10), (8_000, 90)]), "it has most of the requests too");
        assert!(!is_found(&[(1_000, 0), (1_000, 29)]), "chance");
        assert!(!is_found(&[(5_000, 90)]) && !is_found(&[(5_000, 90), (99, 0)]), "alone");
        assert!(!is_found(&[]));
    }
}
