//! Keeps a report small enough to be read back: what `load` refuses must not be written.
//!
//! In: a report. Out: its sealed text. A day of eight services has a time series of more than the limit; of such a report each
//! second point is left out until it fits, and a note says so.

use super::load::MAX_BYTES;
use super::seal::seal;
use crate::analysis::model::Report;

/// Seals a report, and thins it out first if its text would be larger than what is read back.
///
/// # Errors
/// As [`seal`].
pub fn seal_to_fit(report: &mut Report) -> serde_json::Result<String> {
    seal_within(report, MAX_BYTES as usize)
}

fn seal_within(report: &mut Report, limit: usize) -> serde_json::Result<String> {
    let mut text = seal(report)?;
    let mut every = 1u32;
    while text.len() > limit && report.services.iter().any(|service| service.series.len() > 1) {
        every *= 2;
        for service in &mut report.services {
            let mut at = 0;
            service.series.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        if every > 2 {
            report.notes.pop();
        }
        report.notes.push(format!(
            "the time series has only every {every}th interval: with all of them the report would be larger than {} MiB, which \
             is not read back; record fewer services at once, or with a longer --interval",
            limit >> 20
        ));
        text = seal(report)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::report::verify_bytes;

    #[test]
    fn what_would_be_too_large_is_thinned_out_until_it_fits() {
        let mut report = assessed(sample::whole());
        let point = report.services[0].series[0].clone();
        report.services[0].series = (0..4_000u64)
            .map(|at| {
                let mut point = point.clone();
                point.offset_ns = at;
                point
            })
            .collect();
        let whole = report.clone();
        let text = seal_within(&mut report, 300_000).unwrap();
        assert!(text.len() <= 300_000, "{}", text.len());
        verify_bytes(std::path::Path::new("r.json"), text.as_bytes()).unwrap();
        let series = &report.services[0].series;
        let distance = 4_000 / series.len() as u64;
        assert!(distance.is_power_of_two() && distance > 1 && series[1].offset_ns == distance);
        assert_eq!(report.notes.len(), 1);
        assert!(report.notes[0].contains(&format!("only every {distance}th interval")), "{:?}", report.notes);
        let mut report = whole.clone();
        seal_to_fit(&mut report).unwrap();
        assert!(report.notes.is_empty() && report.services == whole.services);
    }

    #[test]
    fn what_cannot_be_thinned_out_ends_too() {
        let mut report = assessed(sample::small());
        assert!(seal_within(&mut report, 10).unwrap().len() > 10);
    }
}
