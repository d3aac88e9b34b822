//! The clients' own time: how much of the P99 is not the service's to shorten.
//!
//! In: the rows of the attribution histogram. Out: what of the latency above the P99 the clients took themselves, by sending slowly or by
//! reading slowly, and what the P99 would be about without it. **Assumption:** the requests of one bucket had equal parts of that time.

use acgs_perf_common::attribution::{COMPONENT_NAMES, Component};

use super::rows::{PARTS, merge_rows, split};
use crate::analysis::model::{AttributionRowReport, ClientTimeReport};

/// The components that are the client's own.
const OWN: [Component; 3] = [Component::RequestBody, Component::SendBuffer, Component::DeliveryWindow];
/// Less than this share of the latency above the P99 is not told, in percent.
const WORTH_PERCENT: u128 = 10;

/// The clients' own time; `None` if it is little.
#[must_use]
pub fn client_time(rows: &[AttributionRowReport]) -> Option<ClientTimeReport> {
    let merged = merge_rows(rows);
    let split = split(&merged, PARTS / 100)?;
    let names = OWN.map(|part| COMPONENT_NAMES[part as usize].0);
    let of_tail = names.iter().filter_map(|name| split.slow.components.get(name)).sum::<u128>();
    if of_tail == 0 || of_tail.saturating_mul(100) < split.slow.latency.saturating_mul(WORTH_PERCENT) {
        return None;
    }
    let mut without: Vec<(u64, u64)> = merged
        .iter()
        .map(|row| {
            let own = names
                .iter()
                .filter_map(|name| row.component_ns.get(*name))
                .fold(0, |sum: u64, ns| sum.saturating_add(*ns));
            (row.latency_ns.saturating_sub(own) / row.count.max(1), row.count)
        })
        .collect();
    without.sort_unstable();
    let total: u128 = without.iter().map(|(_, count)| u128::from(*count)).sum();
    let mut seen = 0;
    let p99 = without.iter().find(|(_, count)| {
        seen += u128::from(*count);
        seen * 100 >= total * 99
    })?;
    Some(ClientTimeReport { mean_ns: split.slow.mean(of_tail), p99_without_ns: p99.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(latency_ns: u64, count: u64, own: &[(&str, u64)]) -> AttributionRowReport {
        let mut row =
            AttributionRowReport { low_ns: latency_ns, count, latency_ns: latency_ns * count, ..Default::default() };
        row.component_ns = own.iter().map(|(name, ns)| ((*name).to_owned(), ns * count)).collect();
        row
    }

    #[test]
    fn a_tail_of_slow_clients_is_told_with_the_p99_without_them() {
        let slow = row(500_000_000, 20, &[("delivery_window", 400_000_000), ("request_body", 99_000_000)]);
        let rows = [row(1_000_000, 970, &[]), row(2_000_000, 10, &[]), slow];
        let client = client_time(&rows).unwrap();
        assert_eq!((client.mean_ns, client.p99_without_ns), (499_000_000, 1_000_000));
    }

    #[test]
    fn a_little_is_not_worth_telling() {
        assert_eq!(client_time(&[]), None);
        assert_eq!(client_time(&[row(1_000_000, 100, &[("request_body", 99_999)])]), None);
        assert!(client_time(&[row(1_000_000, 100, &[("request_body", 100_000)])]).is_some());
        assert_eq!(client_time(&[row(1_000_000, 100, &[("delivery_nagle", 900_000)])]), None, "that is the service's");
    }
}
