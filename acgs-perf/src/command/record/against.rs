//! `record --against`: the recording under way against a baseline, and what has come of it at the end.
//!
//! In: the runs of a baseline, the intervals of the recording as they end, and its capture. Out: whether it is decided, so that the recording
//! need not go on; and the comparison. What cannot be compared is told before anything is recorded, but for the load, which only the recording shows.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use crate::analysis::compare::{Comparison, Decision, Figure, Limits, Side, Watch, compare};
use crate::command::baseline::runs;
use crate::discover::Target;
use crate::engine::host_facts;
use crate::snapshot::{Capture, Context, Host, Interval, Process};
use crate::units::{duration, rate};

/// The load may be by this factor greater or smaller than in the baseline.
const LOAD: f64 = 1.2;
/// Nothing is decided before so many seconds, which a service needs to become warm.
const MIN_NS: u64 = 5_000_000_000;

/// A baseline, and what is known of the recording so far.
pub struct Against {
    name: String,
    baseline: Side,
    watch: Watch,
    services: Vec<(String, Vec<Process>)>,
    recorded_ns: u64,
    decision: Decision,
}

/// What has come of it.
pub struct Judged {
    /// The comparison of the whole.
    pub comparison: Comparison,
    /// What was found while it ran.
    pub decision: Decision,
    /// Why the two cannot be compared.
    pub refused: Option<String>,
}

impl Against {
    /// Reads a baseline for a recording of these services.
    ///
    /// # Errors
    /// When there is none, or it cannot be compared with what is to be recorded; one line says why.
    pub fn new(directory: &Path, name: &str, targets: &[Target]) -> anyhow::Result<Self> {
        let runs = runs::runs(directory, name)?;
        let host = host_facts();
        for run in &runs {
            let wanted = targets.iter().map(|target| (target.spec.name.as_str(), target.spec.objective.p99));
            comparable(&run.capture.context, &host, wanted)
                .map_err(|why| anyhow::anyhow!("--against {name}: {}: {why}", run.path.display()))?;
        }
        let sides = runs.iter().map(|run| Side::of_capture(name, &run.capture, None)).collect();
        let Some(baseline) = Side::joined(sides) else { bail!("--against {name}: it has no runs") };
        let processes = |target: &Target| {
            target.pids.iter().map(|pid| Process { pid: *pid, ..Process::default() }).collect::<Vec<_>>()
        };
        Ok(Self {
            name: name.to_owned(),
            watch: Watch::new(&baseline, &Limits::default()),
            services: targets.iter().map(|target| (target.spec.name.clone(), processes(target))).collect(),
            baseline,
            recorded_ns: 0,
            decision: Decision::Open,
        })
    }

    /// Takes an interval of the recording; whether it is decided that something is worse.
    pub fn push(&mut self, interval: &Interval) -> bool {
        self.watch.push(&Side::of_interval(interval, &self.services));
        self.recorded_ns += interval.len_ns;
        if self.recorded_ns >= MIN_NS && self.decision == Decision::Open {
            self.decision = self.watch.decision();
        }
        matches!(self.decision, Decision::Worse(_))
    }

    /// Compares the whole.
    #[must_use]
    pub fn judge(&self, capture: &Capture) -> Judged {
        let new = Side::of_capture("this recording", capture, None);
        let mut comparison = compare(&self.baseline, &new, &Limits::default());
        comparison.old.name = format!("baseline {}", self.name);
        let refused = other_load(&comparison);
        Judged { comparison, decision: self.decision.clone(), refused }
    }
}

impl Judged {
    /// A line per service and figure that got worse.
    pub fn worse(&self) -> Vec<(String, Figure)> {
        let mut all: Vec<(String, Figure)> = match &self.decision {
            Decision::Worse(figures) => figures.clone(),
            Decision::Open | Decision::NoWorse => Vec::new(),
        };
        for (service, shift) in self.comparison.told().filter(|(_, shift)| shift.is_worse()) {
            if !all.iter().any(|(name, figure)| name == service && *figure == shift.figure) {
                all.push((service.to_owned(), shift.figure.clone()));
            }
        }
        all
    }
}

/// Whether a run can be compared with what is to be recorded; otherwise why not.
fn comparable<'a>(
    run: &Context,
    host: &Host,
    services: impl Iterator<Item = (&'a str, Duration)>,
) -> Result<(), String> {
    let (was, is) = (&run.host, host);
    let differs = |what: &str, was: &str, is: &str| Err(format!("recorded {what} {was}, and this is {is}"));
    if was.kernel != is.kernel {
        return differs("on Linux", &was.kernel, &is.kernel);
    }
    if was.cpus != is.cpus || was.arch != is.arch {
        let text = |host: &Host| format!("{} CPUs ({})", host.cpus, host.arch);
        return differs("on", &text(was), &text(is));
    }
    for (name, is) in services {
        let Some(of) = run.services.iter().find(|of| of.name == name) else {
            let names: Vec<&str> = run.services.iter().map(|of| of.name.as_str()).collect();
            return Err(format!("it has no service {name}, but {}", names.join(", ")));
        };
        let was = of.objective.p99;
        if was != is {
            let text = |time: Duration| duration(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            return Err(format!("{name} was held against a P99 of {}, and is against {}", text(was), text(is)));
        }
    }
    Ok(())
}

/// Why the load was another one. Where a closed loop is slower because the service is, that is no other load.
fn other_load(comparison: &Comparison) -> Option<String> {
    comparison.services.iter().find_map(|of| {
        let shift = of.figures.iter().find(|shift| shift.figure == Figure::Rate)?;
        let is_slower = of
            .figures
            .iter()
            .any(|shift| shift.is_worse() && matches!(shift.figure, Figure::Latency { .. } | Figure::Component { .. }));
        let is_other = shift.new > shift.old * LOAD || (shift.new * LOAD < shift.old && !is_slower);
        is_other.then(|| {
            format!(
                "cannot be compared with the baseline: {} answered {} requests/s, and {} in the baseline",
                of.name,
                rate(shift.new.round()),
                rate(shift.old.round())
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::compare::{ServiceComparison, Shift, Told, Unit};
    use crate::snapshot::ServiceContext;

    #[test]
    fn what_is_another_host_or_another_question_is_refused_in_one_line() {
        let host = Host { kernel: "6.18.44".into(), arch: "x86_64".into(), cpus: 2, ..Host::default() };
        let service = ServiceContext { name: "api".into(), ..ServiceContext::default() };
        let p99 = service.objective.p99;
        let run = Context { host: host.clone(), services: vec![service], ..Context::default() };
        let asked = |host: &Host, name: &str, p99| comparable(&run, host, std::iter::once((name, p99)));
        assert_eq!(asked(&host, "api", p99), Ok(()));
        for (host, name, p99, word) in [
            (Host { kernel: "7.0.1".into(), ..host.clone() }, "api", p99, "on Linux 6.18.44, and this is 7.0.1"),
            (Host { cpus: 8, ..host.clone() }, "api", p99, "on 2 CPUs (x86_64), and this is 8 CPUs"),
            (host.clone(), "db", p99, "it has no service db, but api"),
            (host.clone(), "api", p99 * 2, "api was held against a P99 of"),
        ] {
            let why = asked(&host, name, p99).unwrap_err();
            assert!(why.contains(word) && !why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn another_load_is_refused_unless_the_service_has_become_slower() {
        let shift = |figure, old: f64, new: f64, told| Shift {
            figure,
            unit: Unit::PerSecond,
            old,
            new,
            shift: new - old,
            interval: None,
            would_be_seen: None,
            told,
        };
        let refused = |rate: f64, p99| {
            let figures = vec![
                shift(Figure::Rate, 100.0, rate, Told::Nothing),
                shift(Figure::Latency { quantile: 9_900 }, 1e6, 2e6, p99),
            ];
            let service = ServiceComparison { name: "api".into(), figures, ..ServiceComparison::default() };
            let comparison = compare(&Side::default(), &Side::default(), &Limits::default());
            other_load(&Comparison { services: vec![service], ..comparison })
        };
        assert_eq!((refused(110.0, Told::Nothing), refused(85.0, Told::Nothing)), (None, None));
        assert!(refused(130.0, Told::Up).unwrap().contains("api answered 130 requests/s, and 100 in the baseline"));
        assert!(refused(70.0, Told::Nothing).is_some() && refused(70.0, Told::Up).is_none());
    }
}
