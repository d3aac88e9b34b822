//! A year of load, minute by minute: healthy and noisy, and with twenty incidents in it.
//!
//! In: a small generator of load, which gives the same year every time. Out: no page, and twenty, each in time and over in time.

use super::burn::Severity;
use super::history::Counts;
use super::machine::{Change, Machine, Step};

const DAY: u32 = 24 * 60;
const YEAR: u32 = 365 * DAY;

/// How much is slow, in how many minutes.
struct Incident {
    share: f64,
    minutes: u32,
}

const fn incident(share: f64, minutes: u32) -> Incident {
    Incident { share, minutes }
}

const INCIDENTS: [Incident; 20] = [
    incident(1.00, 15),
    incident(1.00, 60),
    incident(1.00, 400),
    incident(0.90, 20),
    incident(0.75, 25),
    incident(0.60, 30),
    incident(0.50, 35),
    incident(0.40, 45),
    incident(0.35, 60),
    incident(0.30, 60),
    incident(0.28, 90),
    incident(0.25, 75),
    incident(0.22, 90),
    incident(0.20, 120),
    incident(0.18, 300),
    incident(0.15, 480),
    incident(0.12, 480),
    incident(0.10, 600),
    incident(0.10, 720),
    incident(0.09, 720),
];

impl Incident {
    /// Minutes within which it is to be paged: the part of a window that fills it up to its limit; half as much again where that
    /// takes hours, in which the rate of requests changes, and two minutes.
    fn promise(&self) -> u32 {
        let of = |window: f64, limit: f64| if self.share > limit { limit / self.share * window } else { f64::MAX };
        let minutes = of(60.0, 0.144).min(of(360.0, 0.06));
        (minutes * if minutes > 60.0 { 1.5 } else { 1.1 }) as u32 + 2
    }
}

/// The same numbers every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }
}

/// A minute of a healthy service: few requests at night and at the end of the week; one in five hundred is slow, more while the hourly
/// and the nightly jobs run, and sometimes many for a minute or two.
fn healthy(minute: u32, busiest: f64, hiccup: &mut u32, random: &mut Random) -> Counts {
    let of_day = f64::from(minute % DAY) / f64::from(DAY);
    let is_weekend = minute / DAY % 7 >= 5;
    let wave = 0.55 - 0.45 * (of_day * std::f64::consts::TAU).cos();
    let requests = busiest * wave * if is_weekend { 0.4 } else { 1.0 } * (0.7 + 0.6 * random.next());
    let mut share = 0.002 * (0.2 + 1.6 * random.next());
    if minute % 60 < 2 {
        share += 0.03;
    }
    if minute % DAY < 15 {
        share += 0.08;
    }
    if *hiccup == 0 && random.next() < 1.0 / 700.0 {
        *hiccup = 1 + (random.next() * 2.0) as u32;
    }
    if *hiccup > 0 {
        *hiccup -= 1;
        share += 0.5 * random.next();
    }
    let requests = requests as i64;
    let expected = requests as f64 * share.min(1.0);
    // Whole requests, whose number is right in the mean.
    Counts { requests, slow: (expected + random.next()) as i64 }
}

fn year(busiest: f64, starts: &[u32]) -> Vec<(u32, Change)> {
    let (mut machine, mut random, mut hiccup) = (Machine::default(), Random(7), 0);
    machine.set_services(&["api"]);
    let mut changes = Vec::new();
    for minute in 0..YEAR {
        let mut counts = healthy(minute, busiest, &mut hiccup, &mut random);
        let under_way =
            starts.iter().zip(&INCIDENTS).find(|(start, of)| (**start..**start + of.minutes).contains(&minute));
        if let Some((_, incident)) = under_way {
            counts.slow = counts.slow.max((counts.requests as f64 * incident.share) as i64);
        }
        machine.add("api", minute, counts);
        changes.extend(machine.evaluate(minute).into_iter().map(|change| (minute, change)));
    }
    changes
}

#[test]
fn a_healthy_year_wakes_nobody() {
    for busiest in [20.0, 3_000.0, 100_000.0] {
        let changes = year(busiest, &[]);
        assert!(changes.is_empty(), "{busiest}: {changes:?}");
    }
}

#[test]
fn each_of_twenty_incidents_is_one_page_in_time_and_over_in_time() {
    // Not always at the same hour of the day.
    let starts: Vec<u32> = (0..20).map(|at| 4 * DAY + 480 + at * 17 * DAY + at * 431 % DAY).collect();
    let changes = year(3_000.0, &starts);
    let pages: Vec<_> = changes.iter().filter(|(_, change)| change.severity == Severity::Page).collect();
    let told: Vec<_> = pages.iter().map(|(at, change)| (at, matches!(change.step, Step::Fired(_)))).collect();
    assert_eq!(pages.len(), 40, "{starts:?}: {told:?}");
    let mut prolonged = 0;
    for ((start, incident), pair) in starts.iter().zip(&INCIDENTS).zip(pages.chunks(2)) {
        let [(fired, first), (over, last)] = pair else { panic!("{pair:?}") };
        assert!(matches!((first.step, last.step), (Step::Fired(_), Step::Resolved(_))), "{pair:?}");
        let took = fired - start;
        assert!(took <= incident.promise(), "{took} minutes, {} promised", incident.promise());
        let left = over - (start + incident.minutes);
        // The nightly job, and a hiccup of half of the requests for two minutes, are not calm: then it is another half hour.
        assert!(left <= 30 + 5 + 1 + 30, "{left} minutes after the end");
        prolonged += u32::from(left > 30 + 5 + 1);
    }
    assert!(prolonged <= 3, "{prolonged} took longer");
    // Of what burns on, or did for long, a ticket may tell too; but never of what is being paged.
    for (minute, change) in changes.iter().filter(|(_, change)| change.severity == Severity::Ticket) {
        let is_during = starts.iter().zip(&INCIDENTS).any(|(start, of)| (*start..start + of.minutes).contains(minute));
        assert!(!(is_during && matches!(change.step, Step::Fired(_))), "{change:?}");
    }
}
