//! Why the slowest requests are slow.
//!
//! In: the rows of the attribution histogram, the downstream peers and the exemplars, as the report carries them, so that
//! the rows of a loaded report, or of several, can be cut anew. Out: the tail section of the report, without its sentence, which is made in `output::words`.

mod cause;
mod client;
mod cut;
mod rows;
mod sequence;
mod wakes;
mod without;

#[cfg(test)]
mod tests;

pub use client::client_time;
use cut::QUANTILES;
pub use cut::{Cuts, cuts};
pub use rows::merge_rows;
pub(in crate::analysis) use rows::{PARTS, split};
pub use without::{Named, p99_without};

pub use cause::{Cause, Explanation, Part, causes, component, explain};
pub use sequence::{Sequence, sequence};
pub use wakes::cpu_wait_after;

use crate::analysis::model::{AttributionRowReport, CutReport, DownstreamReport, ExemplarReport, TailReport};

/// The quantile that the sentence is about, if it has enough requests.
const MAIN: &str = "p99";

/// The tail section for some rows, which may be those of several reports one after the other.
#[must_use]
pub fn tail(
    rows: &[AttributionRowReport],
    downstream: &[DownstreamReport],
    exemplars: &[ExemplarReport],
) -> TailReport {
    let Cuts { mut cuts, left_out } = cuts(rows, exemplars);
    for peer in cuts.iter_mut().flat_map(|cut| &mut cut.downstream) {
        peer.service = downstream.iter().find(|d| d.address == peer.peer).and_then(|d| d.service.clone());
    }
    TailReport { cuts, left_out, ..TailReport::default() }
}

/// The part of the requests that is above the main cut, in parts of [`PARTS`]; `None` without one.
#[must_use]
pub fn main_part(cuts: &[CutReport]) -> Option<u128> {
    let quantile = &main_cut(cuts)?.quantile;
    QUANTILES.iter().find(|(name, _)| name == quantile).map(|(_, part)| *part)
}

/// The cut that the sentence, the findings and the summary are about: P99, else the highest below it.
#[must_use]
pub fn main_cut(cuts: &[CutReport]) -> Option<&CutReport> {
    let end = cuts.iter().position(|cut| cut.quantile == MAIN).map_or(cuts.len(), |at| at + 1);
    cuts[..end].last()
}
