//! Numbers for people: durations, sizes, counts, dates.
//!
//! In: integers in base units. Out: text with the unit, three significant digits.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use acgs_perf_common::maps::UNIX_PORT;

/// A process by its command and id; several together have no id, which is 0.
#[must_use]
pub fn process_name(comm: &str, pid: u32) -> String {
    if pid == 0 { comm.to_owned() } else { format!("{comm} {pid}") }
}

/// A duration: `87 ns`, `212 µs`, `1.23 ms`, `68.7 s`.
#[must_use]
pub fn duration(ns: u64) -> String {
    scaled(ns, &[("ns", 1), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)])
}

/// Two durations, the unit once if it is the same: `208–216 µs`, `980 µs – 1.02 ms`; one, if they read the same.
#[must_use]
pub fn span(low: u64, high: u64) -> String {
    let (low, high) = (duration(low), duration(high));
    match (low.split_once(' '), high.split_once(' ')) {
        _ if low == high => high,
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number}–{high}"),
        _ => format!("{low} – {high}"),
    }
}

/// A size in bytes: `512 B`, `3 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    scaled(count, &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)])
}

/// Three significant digits in the largest unit that leaves at least 1.
fn scaled(value: u64, units: &[(&str, u64)]) -> String {
    let mut at = units.iter().rposition(|(_, factor)| value >= *factor).unwrap_or(0);
    loop {
        let (name, factor) = units[at];
        let quotient = value as f64 / factor as f64;
        let decimals = match quotient {
            _ if factor == 1 => 0,
            q if q < 9.995 => 2,
            q if q < 99.95 => 1,
            _ => 0,
        };
        let text = format!("{quotient:.decimals$}");
        // 999 999 ns rounds to 1000 µs: say 1.00 ms.
        if let (Some((_, next)), Ok(rounded)) = (units.get(at + 1), text.parse::<f64>())
            && rounded * factor as f64 >= *next as f64
        {
            at += 1;
            continue;
        }
        // A whole number has no point; a rounded one keeps its digits.
        let text = if value.is_multiple_of(factor) { text.split('.').next().unwrap_or(&text) } else { &text };
        return match factor {
            _ if at + 1 == units.len() && quotient >= 1000.0 => format!("{} {name}", grouped(quotient.round() as u64)),
            _ => format!("{text} {name}"),
        };
    }
}

/// A count with its digits in groups of three: `1,234,567`.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: grouped and whole from 100 on, else with up to three decimals.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second >= 100.0 { grouped(per_second.round() as u64) } else { format!("{per_second}") }
}

/// `part` of `whole` in percent; `–` when there is no whole. What is not zero never shows as 0 %.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".into();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    match percent {
        _ if part == 0 => "0 %".into(),
        p if p < 0.1 => "<0.1 %".into(),
        p if p < 9.95 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}

/// A point in time, UTC: `2026-01-01 00:00:00 UTC`.
#[must_use]
pub fn timestamp(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970, in eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// An address from the kernel's four words in network byte order; IPv4 is shown as such.
#[must_use]
pub fn ip(words: [u32; 4]) -> IpAddr {
    let mut octets = [0; 16];
    for (bytes, word) in octets.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(octets).to_canonical()
}

/// Address of a downstream peer, by the key of its row and the path of its UNIX socket.
#[must_use]
pub fn downstream_address(key: &[u32], path: &str) -> Option<String> {
    match *key {
        [0] => Some("others".to_owned()),
        [_, _, _, _, _, UNIX_PORT] => Some(format!("unix:{path}")),
        [_, a, b, c, d, port] => Some(SocketAddr::new(ip([a, b, c, d]), port as u16).to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_significant_digits() {
        let table = [
            (0, "0 ns"),
            (7, "7 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (1_234, "1.23 µs"),
            (12_340, "12.3 µs"),
            (212_400, "212 µs"),
            (999_499, "999 µs"),
            (999_999, "1.00 ms"),
            (1_230_000, "1.23 ms"),
            (5_000_000, "5 ms"),
            (9_996_000, "10.0 ms"),
            (99_960_000, "100 ms"),
            (100_000_000, "100 ms"),
            (68_719_476_736, "68.7 s"),
            (200_000_000_000, "200 s"),
            (12_345_000_000_000, "12,345 s"),
        ];
        for (ns, text) in table {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn a_span_names_its_unit_once() {
        assert_eq!(span(815_000, 815_001), "815 µs");
        assert_eq!(
            (span(208_000, 216_000), span(980_000, 1_020_000)),
            ("208–216 µs".into(), "980 µs – 1.02 ms".into())
        );
    }

    #[test]
    fn sizes_counts_and_shares() {
        assert_eq!((bytes(512), bytes(3 << 20), bytes(16 << 30)), ("512 B".into(), "3 MiB".into(), "16 GiB".into()));
        assert_eq!((grouped(7), grouped(1_000), grouped(1_234_567)), ("7".into(), "1,000".into(), "1,234,567".into()));
        assert_eq!((percent(0, 9), percent(1, 100_000), percent(1, 3)), ("0 %".into(), "<0.1 %".into(), "33 %".into()));
        assert_eq!((percent(1, 0), percent(5, 100)), ("–".into(), "5.0 %".into()));
        assert_eq!((rate(98_123.4), rate(0.333)), ("98,123".into(), "0.333".into()));
    }

    #[test]
    fn dates() {
        assert_eq!(timestamp(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(timestamp(951_782_400_000_000_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(timestamp(1_767_225_599_999_999_999), "2025-12-31 23:59:59 UTC");
    }
}
